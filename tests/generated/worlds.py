"""The same calls in several arithmetics: as written, in float64, and in float64 with each rounding made visible.

In the exact world every float is float64 and every integer int64; in a disturbed one each result that rounds is off by a random part of
the epsilon. What the worlds disagree about is how well the program is conditioned, and from that its tolerance is derived (judging.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from program import PRELUDE, Leaf, Program
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

WIDE = {
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.float32: torch.float64,
    torch.uint8: torch.int64,
    torch.int8: torch.int64,
    torch.int16: torch.int64,
    torch.int32: torch.int64,
}
EPSILON = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 2.0**-24, torch.float64: 2.0**-24}
# The least positive numbers, below which the error is no part of the value.
TINY = {torch.float16: 2.0**-25, torch.bfloat16: 2.0**-130, torch.float32: 2.0**-130, torch.float64: 2.0**-130}

# Ops whose results are numbers that were there before: they do not round.
_EXACT_TEXT = """
    _to_copy abs alias amax amin as_strided bitwise_and bitwise_not bitwise_or bitwise_xor cat ceil chunk clamp clamp_max
    clamp_min clone col2im constant_pad_nd copy cummax cummin detach diag_embed diagonal dropout embedding empty eq expand eye
    fill flip floor full full_like gather hardtanh im2col index index_copy index_fill index_put index_select lift_fresh_copy
    masked_fill masked_scatter masked_select max max_pool2d_with_indices max_pool3d_with_indices maximum median min minimum
    narrow neg new_full new_ones new_zeros ones ones_like pad permute pixel_shuffle put reflection_pad1d reflection_pad2d
    reflection_pad3d relu repeat replication_pad1d replication_pad2d replication_pad3d reshape roll rot90 round scalar_tensor
    scatter select select_scatter sgn sign slice slice_scatter sort split squeeze stack t take threshold topk transpose tril
    triu trunc unbind unfold unsqueeze upsample_nearest1d upsample_nearest2d upsample_nearest3d view where zeros zeros_like
"""
_EXACT = frozenset(_EXACT_TEXT.split())


# Ops that are several of Core ML's, the first of which squares what they are given: float16 may not hold that although it holds the result.
_SQUARING_TEXT = (
    "cdist_forward dist frobenius_norm linalg_norm linalg_vector_norm mse_loss norm pdist_forward std std_mean var var_mean"
)
_SQUARING = frozenset(_SQUARING_TEXT.split())
_HALF_LARGEST = 65504.0


def wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(WIDE.get(tensor.dtype, tensor.dtype))


class _Wide(TorchDispatchMode):
    """Executes ops asked for in narrow dtypes in wide ones, and disturbs what rounds by up to `epsilon` of it."""

    def __init__(self, epsilon: float, tiny: float, seed: int) -> None:
        super().__init__()
        self.epsilon, self.tiny, self.seed = epsilon, tiny, seed
        self.generator = torch.Generator().manual_seed(seed)
        # Whether a value inside an op, or a result of one that a composite op consists of, is finite and beyond float16.
        self.overflowed_half = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        asked: list[torch.dtype] = []

        def widen(value: Any) -> Any:
            if isinstance(value, torch.dtype):
                asked.append(value)
                return WIDE.get(value, value)
            return value

        args, kwargs = tree_map(widen, args), tree_map(widen, kwargs or {})
        name = func._schema.name.split("::")[1]
        if name.lstrip("_") in _SQUARING:
            operands = [value for value in tree_leaves(args) if isinstance(value, torch.Tensor) and value.is_floating_point()]
            for value in operands[:1]:
                finite = value[value.isfinite()]
                self.overflowed_half |= bool((finite * finite).sum() > _HALF_LARGEST)
        result = func(*args, **kwargs)
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                self.overflowed_half |= bool((value.isfinite() & (value.abs() > _HALF_LARGEST)).any())
        # numeric_mode="float32" rounds nothing to float16: nothing may depend on whether it is.
        is_kept = bool(self.epsilon) and asked[:1] == [torch.float16] and self.seed % 2 == 1
        if asked and asked[0] in (torch.float16, torch.bfloat16) and isinstance(result, torch.Tensor) and not is_kept:
            return result.to(asked[0]).to(torch.float64)
        if name.rstrip("_").removesuffix("_copy") in _EXACT or name in _EXACT or self.epsilon == 0 or func.is_view:
            return result
        return tree_map(self._disturb, result)

    def _disturb(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point() or value.numel() == 0:
            return value
        return value.mul_(1 + self.epsilon * self._signs(value)).add_(self.tiny * self._signs(value))

    def _signs(self, value: torch.Tensor) -> torch.Tensor:
        return torch.randint(0, 2, value.shape, generator=self.generator, dtype=torch.float64) * 2 - 1


def eager_cond(predicate: Any, yes: Any, no: Any, operands: Any = ()) -> Any:
    return (yes if bool(predicate) else no)(*operands)


def eager_while_loop(condition: Any, body: Any, carried: Any, additional: Any = ()) -> Any:
    for _ in range(1000):
        if not bool(condition(*carried, *additional)):
            break
        carried = body(*carried, *additional)
    return carried


def eager_scan(combine: Any, carried: Any, given: Any) -> Any:
    """Along the first dimension, as torch's own."""
    results = []
    for row in given:
        carried, result = combine(carried, row)
        results.append(result)
    return carried, torch.stack(results)


def namespace(*, eager: bool) -> dict[str, Any]:
    """The names that a printed program uses. eager: control flow is Python's, so that it runs under a dispatch mode."""
    names: dict[str, Any] = {}
    exec(PRELUDE, names)
    if eager:
        names["cond"], names["while_loop"], names["scan"] = eager_cond, eager_while_loop, eager_scan
    return names


def leaf_tensor(leaf: Leaf, extents: dict[str, int], names: dict[str, Any]) -> torch.Tensor:
    made: torch.Tensor = eval(leaf.text(extents), names)
    return made


class World:
    """One arithmetic. dtype: whose rounding is made visible; None for the exact world and the one as written."""

    def __init__(self, kind: str, dtype: torch.dtype | None = None, seed: int = 0) -> None:
        self.is_wide = kind != "written"
        self.epsilon = EPSILON[dtype] if dtype else 0.0
        self.tiny = TINY[dtype] if dtype else 0.0
        self.seed = seed
        self._mode = _Wide(self.epsilon, self.tiny, seed) if self.is_wide else None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        if self._mode is None:
            with torch.no_grad():
                yield
            return
        torch.set_default_dtype(torch.float64)
        try:
            # Attention in its parts, each of which rounds: beside a mask of -10,000 the scores are lost in half precision.
            with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), self._mode:
                yield
        finally:
            torch.set_default_dtype(torch.float32)

    def overflowed_half(self) -> bool:
        """Whether an op since the last question computed, inside itself, what float16 does not hold."""
        if self._mode is None:
            return False
        overflowed, self._mode.overflowed_half = self._mode.overflowed_half, False
        return overflowed

    def convert(self, tensor: torch.Tensor) -> torch.Tensor:
        """A leaf as this world has it."""
        if not self.is_wide:
            return tensor
        made = wide(tensor).clone()
        if made.is_floating_point() and self._mode is not None and self.epsilon:
            self._mode._disturb(made)
        return made

    def execute(self, text: str, values: dict[str, Any]) -> None:
        """Executes statements. values: namespace() and the values so far; gains what the statements assign."""
        with self.entered():
            exec(text, values)

    def instantiate(self, constructor: str) -> torch.nn.Module:
        torch.manual_seed(0)
        module: torch.nn.Module = eval(constructor, namespace(eager=True)).eval()
        if self.is_wide:
            for tensor in [*module.parameters(), *module.buffers()]:
                tensor.data = self.convert(tensor.data)
        return module


def build(program: Program, *, eager: bool) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The module of a program and the names its text defines (`inputs`, `dynamic_shapes`)."""
    names = namespace(eager=eager)
    exec(compile(program.source(), f"<program {program.seed}>", "exec"), names)
    return names["Program"]().eval(), names


def flat_results(value: Any) -> list[Any]:
    return list(tree_leaves(value))


def run_program(program: Program, world: World, extents: dict[str, int], steps: int) -> list[list[torch.Tensor]]:
    """The results of each step, in a world, with the state of the one before."""
    module, names = build(program, eager=True)
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data = world.convert(tensor.data)
    inputs = tree_map(world.convert, names["inputs"](**extents))
    made = []
    for _ in range(steps):
        with world.entered():
            results = module(*tree_map(lambda t: t.clone() if isinstance(t, torch.Tensor) else t, inputs))
        made.append(
            [result.clone() if isinstance(result, torch.Tensor) else torch.tensor(result) for result in flat_results(results)]
        )
    return made


class _Dtypes(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.seen |= {value.dtype for value in tree_leaves((args, kwargs, result)) if isinstance(value, torch.Tensor)}
        return result


def dtypes_of(program: Program) -> set[torch.dtype]:
    """Every dtype that a value of the program has."""
    module, names = build(program, eager=True)
    with torch.no_grad(), _Dtypes() as mode:
        module(*names["inputs"](**program.extents()[0]))
    seen: set[torch.dtype] = mode.seen
    return seen


__all__ = ["World", "build", "dtypes_of", "flat_results", "leaf_tensor", "namespace", "run_program", "wide"]
