"""What a program should compute: a PyTorch model, or arrays that one computed."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import logging
import os
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from executorch_coreml.sdk import files
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.files import sentence

FORMS = "a .pt2 that torch.export.save wrote, MODULE:FUNCTION that returns a torch module and a tuple of example inputs, or a .npz of the expected outputs"


@dataclasses.dataclass(frozen=True)
class Reference:
    """Where expected values come from: `program`, or else `arrays`."""

    # For messages.
    name: str
    program: ExportedProgram | None
    # In the order of the outputs.
    arrays: tuple[np.ndarray, ...] = ()
    # The names of arrays, in the same order.
    names: tuple[str, ...] = ()
    # What was made of the program, for those who verify against it several times.
    made: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    def example_inputs(self) -> list[np.ndarray] | None:
        """The example inputs, flat and in order; None where there are none, or some are no tensors, or of a dtype that
        NumPy does not have."""
        if self.program is None or self.program.example_inputs is None:
            return None
        flat = pytree.tree_leaves(self.program.example_inputs)
        if not all(isinstance(t, torch.Tensor) and t.dtype != torch.bfloat16 for t in flat):
            return None
        return [tensor.detach().numpy() for tensor in flat]

    def input_names(self) -> tuple[str, ...]:
        """The model's names of its inputs, in order; empty where it is not known."""
        return tuple(self.program.graph_signature.user_inputs) if self.program is not None else ()

    def outputs(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The expected outputs, flat, for flat inputs. A stateful model starts afresh. ToolError when the model refuses the inputs."""
        if self.program is None:
            return list(self.arrays)
        program = own_copy(self.program)
        try:
            with torch.no_grad():
                args, kwargs = pytree.tree_unflatten(as_tensors(inputs), program.call_spec.in_spec)
                result = program.module()(*args, **kwargs)
        except KeyError as error:
            raise ToolError(
                f"the reference {self.name} has lost {error}: to_edge_transform_and_lower() removes constants from the program that is passed to it. "
                "Export the model again, or lower a copy"
            ) from error
        except Exception as error:  # A model raises whatever it likes.
            raise ToolError(f"the reference {self.name} refuses the inputs: {sentence(error)}") from error
        return [np.asarray(o.detach().numpy() if isinstance(o, torch.Tensor) else o) for o in pytree.tree_leaves(result)]


def own_copy(program: ExportedProgram) -> ExportedProgram:
    """A program to run or to lower, both of which change it. Parameters are shared, buffers are not."""
    shared = [value for value in program.state_dict.values() if isinstance(value, torch.nn.Parameter)]
    return copy.deepcopy(program, {id(value): value for value in shared})


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing below an error is logged: it is not the user's own lowering."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def as_tensors(arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """Tensors of their own."""
    return [torch.from_numpy(np.array(array)) for array in arrays]


def load(reference: Any) -> Reference:
    """Makes a Reference of a path or "module:function" (FORMS), an ExportedProgram, (module, example inputs), or expected arrays by name or in
    order.

    Raises:
        ToolError: for what is none of these, or cannot be read.
    """
    if isinstance(reference, Reference):
        return reference
    if isinstance(reference, ExportedProgram):
        return Reference("the exported program", reference)
    if isinstance(reference, Mapping):
        return Reference("the arrays", None, tuple(np.asarray(a) for a in reference.values()), tuple(map(str, reference)))
    if isinstance(reference, tuple) and len(reference) == 2 and isinstance(reference[0], torch.nn.Module):
        return _export(*reference, f"the module {type(reference[0]).__name__}")
    if isinstance(reference, (list, tuple)):
        return Reference("the arrays", None, tuple(np.asarray(a) for a in reference), tuple(str(i) for i in range(len(reference))))
    text = os.fspath(reference)
    if text.endswith(".npz"):
        arrays = files.read_arrays(Path(text), "the reference")
        return Reference(text, None, tuple(arrays.values()), tuple(arrays))
    if text.endswith(".pt2"):
        return _program(Path(text))
    if ":" in text:
        return _function(text)
    raise ToolError(f"the reference {text} has no known form: it must be {FORMS}")


def _program(path: Path) -> Reference:
    files.check_file(path, "the reference")
    try:
        with quiet(), _nothing_unpickled():
            return Reference(str(path), torch.export.load(path))
    except Exception as error:  # torch raises whatever its parts do.
        raise ToolError(
            f"the reference {path} cannot be loaded as a program of torch.export.save: {sentence(error)}. Save it again with this torch, "
            f"{torch.__version__}"
        ) from error


_loading = threading.local()


@functools.cache
def _install_pickle_guard() -> None:
    """Python has no way to remove such a hook: it stays, and does nothing outside _nothing_unpickled()."""

    def refuse(event: str, _: Any) -> None:
        if event == "pickle.find_class" and getattr(_loading, "is_guarded", False):
            raise pickle.UnpicklingError(
                "it holds Python objects, which can run any program: save tensors only, or pass MODULE:FUNCTION"
            )

    sys.addaudithook(refuse)


@contextlib.contextmanager
def _nothing_unpickled() -> Iterator[None]:
    """torch.load() takes tensors and plain values only, whatever its caller says, and pickle nothing. What PyTorch evaluates in a .pt2
    besides, such as the expressions of its shapes, is out of reach from here."""
    _install_pickle_guard()
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    _loading.is_guarded = True
    try:
        yield
    finally:
        _loading.is_guarded = False
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _function(text: str) -> Reference:
    module_name, _, function_name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except AttributeError as error:
        raise ToolError(f"the reference {text}: the module {module_name} has no {function_name}") from error
    except Exception as error:  # So may its code.
        raise ToolError(f"the reference {text}: {module_name} cannot be imported from here: {sentence(error)}") from error
    try:
        made = function()
    except Exception as error:
        raise ToolError(f"the reference {text}: {function_name}() failed: {sentence(error)}") from error
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module)):
        raise ToolError(f"the reference {text} must return (torch module, tuple of example inputs), not {type(made).__name__}")
    return _export(*made, text)


def _export(module: torch.nn.Module, inputs: Any, name: str) -> Reference:
    given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        return Reference(name, torch.export.export(module.eval(), given))
    except Exception as error:
        raise ToolError(f"the reference {name} cannot be exported with torch.export: {sentence(error)}") from error
