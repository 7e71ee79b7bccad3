"""Rules of the kind Correction: converters that run instead of coremltools' own; corrections.py says why there are any.

A converter is handed the torch op's arguments as MIL vars, and must give a var of the MIL dtype that stands for torch's result. The
helpers below read arguments wherever they stand.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from coremltools.converters.mil.frontend.torch import ops
from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
from coremltools.converters.mil.frontend.torch.utils import TORCH_DTYPE_TO_MIL_DTYPE, unify_inplace_and_functional
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Var, types

from executorch_coreml.compiler import op_rules

Converter = Callable[[Any, Any], None]

CT = "https://github.com/apple/coremltools/issues/"


class OnDevices(enum.Enum):
    """Which programs a row is for whose fault lies in what devices compute: what coremltools makes is right as MIL is defined, and so the engines
    that compute it as defined, this project's among them, are right without the row. `device_guards=False` turns such rows off.
    """

    ANY = "any"
    # Of float16 programs, which alone run on the Neural Engine.
    FLOAT16 = "float16"


EVERYWHERE = frozenset(OnDevices)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Correction(op_rules.Rule):
    """A converter that runs instead of coremltools' own.

    ops: coremltools' canonical names (lower case, no `aten.`, no `.default`, `.tensor`, `.scalar`). reason: what coremltools does instead.
    where_missing: the row steps aside for any converter that coremltools has. on_devices: for which programs the row is there, whose fault lies in
    what devices compute; None where coremltools is wrong by itself.
    """

    converter: Converter
    where_missing: bool = False
    on_devices: OnDevices | None = None


def correction(
    *names: str,
    reason: str,
    reference: str = "",
    fixed_in: str | None = None,
    where_missing: bool = False,
    on_devices: OnDevices | None = None,
) -> Callable[[Converter], Converter]:
    def add(converter: Converter) -> Converter:
        op_rules.add(
            Correction(
                ops=names,
                converter=converter,
                reason=reason,
                reference=reference,
                fixed_in=fixed_in,
                where_missing=where_missing,
                on_devices=on_devices,
            )
        )
        return converter

    return add


def is_guarded(on_devices: OnDevices | None, guarded: frozenset[OnDevices]) -> bool:
    """Whether a row holds in a program whose devices are guarded so."""
    return on_devices is None or on_devices in guarded


def converter_of(kind: str, guarded: frozenset[OnDevices] = EVERYWHERE) -> Converter | None:
    """The converter of an op, by canonical name, that runs instead of coremltools'; None where coremltools' does."""
    name = unify_inplace_and_functional(kind)
    for correction in op_rules.rules_of(Correction):
        if name in correction.ops and correction.is_in_force and is_guarded(correction.on_devices, guarded):
            return None if correction.where_missing and _TORCH_OPS_REGISTRY.get_func(name) is not None else correction.converter
    return None


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
    """The MIL name of the dtype of torch's result. Extents and what is computed of them are int32."""
    value = node.meta["val"]
    numbers = {torch.SymInt: torch.int64, torch.SymFloat: torch.float32, torch.SymBool: torch.bool}
    dtype = value.dtype if isinstance(value, torch.Tensor) else numbers.get(type(value)) or torch.tensor(value).dtype
    return str(types.builtin_to_string(TORCH_DTYPE_TO_MIL_DTYPE[torch.int32 if dtype == torch.int64 else dtype]))


def cast(x: Var, dtype: str, **name: str) -> Var:
    if not name and types.builtin_to_string(x.dtype) == dtype:
        return x
    return mb.cast(x=x, dtype=dtype, **name)


def as_float(x: Var) -> Var:
    return x if types.is_float(x.dtype) else mb.cast(x=x, dtype="fp32")


def integers_of(x: Var) -> Var | None:
    """The integers that a var is, or that its floats were made of."""
    if types.is_int(x.dtype):
        return x
    source = x.op.inputs["x"] if x.op is not None and x.op.op_type == "cast" else None
    return source if source is not None and types.is_int(source.dtype) else None


def number(value: float, like: Var) -> np.generic:
    """A constant of a var's dtype."""
    return types.nptype_from_builtin(like.dtype)(value)


def axes_of(dim: Any, rank: int) -> list[int]:
    """The dimensions of a reduction, in order; None and nothing mean all."""
    if isinstance(dim, Var):
        dim = dim.val
    dims = [] if dim is None else [int(d.val) if isinstance(d, Var) else int(d) for d in np.ravel(dim)]
    return sorted(d % rank for d in dims) if dims else list(range(rank))
