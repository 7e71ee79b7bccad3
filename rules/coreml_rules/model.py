"""The model of a request: what the user's function returns, and its example inputs."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from coreml_rules.errors import ActionError, place, sentence


@dataclasses.dataclass(frozen=True)
class Model:
    """module: in eval mode. inputs: of forward(), by position. dynamic_shapes: as torch.export takes them; None for static ones."""

    module: torch.nn.Module
    inputs: tuple[Any, ...]
    dynamic_shapes: Any


def call(function: str, folder: str, arguments: Mapping[str, str]) -> Any:
    """What MODULE:FUNCTION returns. Code of the user is that below `folder`. ActionError when it cannot be called or raises."""
    module_name, colon, function_name = function.partition(":")
    if not (colon and module_name and function_name):
        raise ActionError(f"{function!r} is not a MODULE:FUNCTION, such as pkg.models:make")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ActionError(
                f"there is no module {module_name}: the py_library of its source is among deps, and its path from the repository's root (or an "
                "`imports` of that library) is its name"
            ) from error
        raise ActionError(
            f"{module_name} imports {missing}, which is not among deps{place(error, folder)}: add the library that provides it"
        ) from error
    except Exception as error:
        raise ActionError(f"{module_name} cannot be imported: {sentence(error)}{place(error, folder)}") from error
    try:
        called = getattr(module, function_name)
    except AttributeError as error:
        raise ActionError(f"the module {module_name} has no {function_name}") from error
    # What a function makes up is the same each time.
    torch.manual_seed(0)
    try:
        return called(**arguments)
    except Exception as error:
        raise ActionError(f"{function}() raised {sentence(error)}{place(error, folder)}") from error


def load(
    function: str, inputs: Sequence[str], dynamic_shapes: Mapping[str, str], folder: str, arguments: Mapping[str, str]
) -> Model:
    """The model that MODULE:FUNCTION returns: the module, or (module, example inputs), or (module, example inputs, dynamic shapes).

    Args:
        function: MODULE:FUNCTION.
        inputs: "DTYPE[SHAPE]" of each, made up; empty where the function returns them.
        dynamic_shapes: input of forward() -> its extents, as _extents() takes them; empty where the function returns them.
        folder: where the user's code is.
        arguments: of the function, by name.

    Raises:
        ActionError: for what is none of it.
    """
    made = call(function, folder, arguments)
    parts = made if isinstance(made, tuple) else (made,)
    if not parts or len(parts) > 3 or not isinstance(parts[0], torch.nn.Module):
        raise ActionError(
            f"{function}() returned {type(made).__name__}, but must return a torch.nn.Module, or a tuple of it, its example inputs (a tuple) and, "
            "optionally, the dynamic_shapes of torch.export"
        )
    module = parts[0].eval()
    given = parts[1] if len(parts) > 1 else None
    if given is not None and inputs:
        raise ActionError(f"{function}() returns example inputs, but `inputs` is set too: leave out one of them")
    if given is None and not inputs:
        raise ActionError(
            f'{function}() returns no example inputs: return (module, inputs), or set inputs = ["float32[1, 3, 224, 224]"]'
        )
    example = (
        _made_up(inputs)
        if given is None
        else given
        if isinstance(given, tuple)
        else tuple(given)
        if isinstance(given, list)
        else (given,)
    )
    if len(parts) > 2 and dynamic_shapes:
        raise ActionError(f"{function}() returns dynamic shapes, but `dynamic_shapes` is set too: leave out one of them")
    shapes = parts[2] if len(parts) > 2 else _dynamic_shapes(module, example, dynamic_shapes)
    return Model(module, example, shapes)


def samples(function: str, folder: str, arguments: Mapping[str, str]) -> list[tuple[Any, ...]]:
    """The inputs to calibrate a quantization with: what MODULE:FUNCTION returns, each a tuple. ActionError for none."""
    made = call(function, folder, arguments)
    if not isinstance(made, Iterable) or isinstance(made, (torch.Tensor, str)):
        raise ActionError(f"{function}() returned {type(made).__name__}, but must return a list of tuples of inputs")
    found = [sample if isinstance(sample, tuple) else (sample,) for sample in made]
    if not found:
        raise ActionError(f"{function}() returned no inputs to calibrate with")
    return found


def _made_up(inputs: Sequence[str]) -> tuple[torch.Tensor, ...]:
    """Tensors as `coreml run` makes them up: normal reals, zero integers."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for text in inputs:
        match = re.fullmatch(r"\s*(\w+)\s*\[([\d,\s]*)\]\s*", text)
        dtype = getattr(torch, match[1], None) if match else None
        if match is None or not isinstance(dtype, torch.dtype):
            raise ActionError(f"inputs: {text!r} is not a type and shape, such as float32[1, 3, 224, 224] or int64[1, 128]")
        shape = [int(extent) for extent in match[2].split(",") if extent.strip()]
        made.append(
            torch.randn(shape, generator=generator).to(dtype) if dtype.is_floating_point else torch.zeros(shape, dtype=dtype)
        )
    return tuple(made)


def _dynamic_shapes(module: torch.nn.Module, inputs: tuple[Any, ...], wanted: Mapping[str, str]) -> Any:
    if not wanted:
        return None
    import inspect

    names = list(inspect.signature(module.forward).parameters)[: len(inputs)]
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ActionError(
            f"dynamic_shapes names {unknown[0]!r}, which is not an argument of forward(); the arguments are {', '.join(names)}"
        )
    dims: dict[str, Any] = {}
    return {name: _extents(name, wanted[name], dims) if name in wanted else None for name in names}


def _extents(name: str, text: str, dims: dict[str, Any]) -> dict[int, Any]:
    """The dynamic dimensions of "batch=1..8, _, length=2..128": `_` or a number is static, equal names are equal extents."""
    found = {}
    for index, part in enumerate(text.split(",")):
        part = part.strip()
        if part == "_" or part.isdigit():
            continue
        match = re.fullmatch(r"([A-Za-z_]\w*)\s*(?:=\s*(\d+)\s*\.\.\s*(\d+))?", part)
        if match is None:
            raise ActionError(
                f"dynamic_shapes: {part!r} of {name} is not an extent: write `_`, a number, or NAME=LEAST..MOST such as batch=1..8"
            )
        if match[1] not in dims:
            if match[2] is None:
                raise ActionError(
                    f"dynamic_shapes: {part!r} of {name} has no range: write {part}=LEAST..MOST where the name appears first"
                )
            dims[match[1]] = torch.export.Dim(match[1], min=int(match[2]), max=int(match[3]))
        found[index] = dims[match[1]]
    return found
