"""The table of converters that replace coremltools' own while a partition is converted; corrections.py says why there are any.

A converter is handed the torch op's arguments as MIL vars, and must give a var of the MIL dtype that stands for torch's result. The
helpers below read arguments wherever they stand.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
from coremltools.converters.mil.frontend.torch.utils import TORCH_DTYPE_TO_MIL_DTYPE
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

Converter = Callable[[Any, Any], None]

CT = "https://github.com/apple/coremltools/issues/"


@dataclasses.dataclass(frozen=True)
class Correction:
    """ops: coremltools' canonical names (lower case, no `aten.`, no `.default`, `.tensor`, `.scalar`). reason: what coremltools does
    instead. reference: the report, if there is one. until: the coremltools version from which the row may go; None while there is none.
    """

    ops: tuple[str, ...]
    converter: Converter
    reason: str
    reference: str
    until: str | None = None


CORRECTIONS: list[Correction] = []


def correction(*names: str, reason: str, reference: str = "") -> Callable[[Converter], Converter]:
    def add(converter: Converter) -> Converter:
        CORRECTIONS.append(Correction(names, converter, reason, reference))
        return converter

    return add


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Puts the corrections into coremltools' registry, and what was there back. Under conversion.py's lock."""
    registry = _TORCH_OPS_REGISTRY.name_to_func_mapping
    before = dict(registry)
    for correction in CORRECTIONS:
        registry.update(dict.fromkeys(correction.ops, correction.converter))
    try:
        yield
    finally:
        registry.clear()
        registry.update(before)


def is_corrected(name: str) -> bool:
    """Whether an op, by canonical name, has a converter here."""
    return any(name in correction.ops for correction in CORRECTIONS)


def arguments(context: Any, node: Any, *names: str) -> list[Any]:
    """The arguments in order, wherever they stand; None for those that are not given. Lists come as lists, constants as vars."""
    given = ops._get_inputs(context, node)
    values = []
    for index, name in enumerate(names):
        value = given[index] if index < len(given) else ops._get_kwinputs(context, node, name, default=[None])[0]
        values.append(value)
    return values


def constant(value: Any, default: Any) -> Any:
    """The Python value of a constant argument."""
    if value is None:
        return default
    value = value.val if isinstance(value, Var) else value
    return value.item() if isinstance(value, np.generic) else value


def result_type(node: Any) -> str:
    """The MIL name of the dtype of torch's result."""
    dtype = node.meta["val"].dtype
    return str(types.builtin_to_string(TORCH_DTYPE_TO_MIL_DTYPE[torch.int32 if dtype == torch.int64 else dtype]))


def cast(x: Var, dtype: str, **name: str) -> Var:
    if not name and types.builtin_to_string(x.dtype) == dtype:
        return x
    return mb.cast(x=x, dtype=dtype, **name)


def as_float(x: Var) -> Var:
    return x if types.is_float(x.dtype) else mb.cast(x=x, dtype="fp32")


def number(value: float, like: Var) -> np.generic:
    """A constant of a var's dtype."""
    return types.nptype_from_builtin(like.dtype)(value)
