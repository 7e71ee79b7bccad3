"""Draws a program from a seed: call after call from the vocabulary, each executed at once in several worlds and taken back if it is unfit.

Unfit is what raises in torch, gives NaN, leaves the range of the precision, overflows an integer, or is conditioned so badly that no
tolerance could be derived; so that nearly every program that comes out can be judged.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from program import Call, Leaf, Program, statements
from torch.utils._pytree import tree_leaves
from worlds import WIDE, World, leaf_tensor, namespace

MOST_ELEMENTS = 20_000
# Of the tolerance at which a program is inconclusive, what a single value may take.
SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What a seed is lowered with. target: "iOS15" to "iOS18". precision: "float32" or "float16"."""

    target: str
    precision: str


_LARGEST_HALF = 65504.0


class Unfit(Exception):
    """What was drawn does not do; the draw goes on with something else."""


def rounding(precision: str, dtypes: set[torch.dtype], *, has_states: bool = False) -> torch.dtype:
    """The coarsest dtype that values of a program are rounded to."""
    if torch.bfloat16 in dtypes:
        return torch.bfloat16
    if precision == "float16" or torch.float16 in dtypes or has_states:
        return torch.float16
    return torch.float32


class Draw:
    """The state of a draw. Vocabulary modules call `emit`, `leaf`, `module` and the pickers."""

    def __init__(self, seed: int, configurations: list[Configuration], *, dynamic: bool) -> None:
        self.rng = random.Random(seed)
        self.configurations = configurations
        self.least_target = min(int(configuration.target[3:]) for configuration in configurations)
        has_half = any(configuration.precision == "float16" for configuration in configurations)
        self.program = Program([], {}, [], [], seed=seed)
        self.half = has_half or self.rng.random() < 0.15
        self.may_mutate = self.rng.random() < 0.12
        narrow = torch.float16 if self.half or self.may_mutate else torch.float32
        self.limit = 6e4 if narrow is torch.float16 else 1e30
        self.sensitivity = (1e-1 if narrow is torch.float16 else 1e-2) * SHARE
        kinds = [World("written"), World("exact"), World("disturbed", narrow, 1), World("disturbed", narrow, 2)]
        self.example: dict[str, int] = {}
        # What the extents are in the worlds behind the first four, which are as written: those that a program is run with, and the largest.
        self.others: list[dict[str, int]] = []
        if dynamic:
            for name in ("n", "m")[: self.rng.choice((1, 1, 2))]:
                least = self.rng.choice((1, 1, 2, 3))
                example = self.rng.choice((5, 6, 7, 11))
                other = self.rng.choice((least, least + 1, 9, 16))
                self.example[name] = example
                self.program.dynamic[name] = [least, 16, example, other, 16]
            self.others = self.program.extents()[1:]
            kinds += [World("written") for _ in self.others]
        self.worlds = kinds
        self.spaces: list[dict[str, Any]] = [{**namespace(eager=True), "self": _Self()} for _ in kinds]
        self.values: list[str] = []
        self.family = ""
        self._may_be_large = False

    # What there is.

    def value(self, name: str) -> Any:
        """The value as written, at the example's extents."""
        return self._get(0, name)

    def _get(self, world: int, name: str) -> Any:
        return getattr(self.spaces[world]["self"], name[5:]) if name.startswith("self.") else self.spaces[world][name]

    def shape(self, name: str) -> list[int]:
        return list(self.value(name).shape)

    def dtype(self, name: str) -> torch.dtype:
        made: torch.dtype = self.value(name).dtype
        return made

    def tensors(self, fits: Callable[[torch.Tensor], bool] = lambda tensor: True) -> list[str]:
        return [name for name in self.values if isinstance(self.value(name), torch.Tensor) and fits(self.value(name))]

    def pick(self, fits: Callable[[torch.Tensor], bool] = lambda tensor: True) -> str:
        """A value that fits, later ones more often. Raises Unfit if there is none."""
        found = self.tensors(fits)
        if not found:
            raise Unfit
        return found[-1 - min(int(self.rng.expovariate(0.25)), len(found) - 1)]

    def number(self, dtype: torch.dtype) -> float | int | bool:
        """A literal for a tensor of this dtype."""
        rng = self.rng
        if dtype is torch.bool:
            return rng.random() < 0.5
        if not dtype.is_floating_point:
            if rng.random() < 0.03:
                return rng.choice((2**40, -(2**33), 2**63 - 1))
            return rng.choice((0, 1, -1, 2, 3, 5, 7, -3, 10, 100, 255, 2049, 4097, 32768, 70000, 16777217, 2**31 - 1))
        return rng.choice((0.0, 1.0, -1.0, 2.0, 0.5, -0.5, 0.1, 0.3, 1.5, 3.0, -2.5, 1e-3, 10.0, 100.0, 1e4))

    def extent(self) -> int:
        return self.rng.choice((1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 8, 16) if self.rng.random() < 0.96 else (0, 32, 300))

    def new_shape(self, ranks: tuple[int, ...] = (0, 1, 1, 2, 2, 2, 3, 3, 4, 5)) -> list[int]:
        if self.rng.random() < 0.015:
            return [self.rng.choice((1, 2)), self.rng.choice((2100, 4200, 6000))]
        shape = [self.extent() for _ in range(self.rng.choice(ranks))]
        while _elements(shape) > 2000:
            shape[shape.index(max(shape))] = 2
        return shape

    # What is added.

    def leaf(
        self,
        dtype: torch.dtype,
        shape: list[int] | None = None,
        *,
        kind: str = "",
        low: int | None = None,
        high: int | None = None,
        scale: float | None = None,
        values: list[Any] | None = None,
        dims: dict[str, str] | None = None,
    ) -> str:
        """A new input, buffer or mutable buffer; high is exclusive."""
        rng = self.rng
        kind = kind or ("input" if rng.random() < 0.6 else "buffer")
        if kind == "input" and dtype not in (torch.bool, torch.int32, torch.int64, torch.float16, torch.float32):
            kind = "buffer" if rng.random() < 0.85 else kind
        if shape is None:
            shape = self.new_shape()
            if self.example and kind == "input" and shape and 0 not in shape and dims is None:
                position, extent = rng.randrange(len(shape)), rng.choice(list(self.example))
                shape[position], dims = self.example[extent], {str(position): extent}
        fill: list[Any]
        seed = rng.randrange(1000)
        if values is not None:
            fill = ["values", values]
        elif dtype is torch.bool:
            fill = ["integers", seed, *rng.choice(((0, 2), (0, 2), (0, 2), (0, 1), (1, 2)))]
        elif dtype.is_floating_point:
            fill = ["normal", seed, scale or rng.choice((1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 3.0, 3.0, 10.0, 100.0, 1e4))]
        else:
            bound = {torch.uint8: 256, torch.int8: 127, torch.int16: 2**15 - 1}.get(dtype, 2**31 - 1)
            top = min(bound, rng.choice((3, 7, 10, 10, 10, 300, 5000, 70000, 2**25, 2**31 - 1)))
            bottom = 0 if dtype is torch.uint8 or rng.random() < 0.3 else -top
            fill = ["integers", seed, bottom if low is None else low, top if high is None else high]
        number = len(self.program.leaves)
        name = f"x{number}" if kind == "input" else f"self.b{number}"
        made = Leaf(name, kind, str(dtype)[6:], list(shape), fill, dims or {})
        self.program.leaves.append(made)
        self._place(made)
        self.values.append(name)
        return name

    def _place(self, leaf: Leaf) -> None:
        for index, world in enumerate(self.worlds):
            extents = self.example if index < 4 else self.others[index - 4]
            tensor = world.convert(leaf_tensor(leaf, extents, self.spaces[index]))
            if leaf.kind == "input":
                self.spaces[index][leaf.name] = tensor
            else:
                setattr(self.spaces[index]["self"], leaf.name[5:], tensor)

    def constant(self, dtype: torch.dtype, shape: list[int], **options: Any) -> str:
        return self.leaf(dtype, shape, kind="buffer", **options)

    def module(self, constructor: str) -> str:
        name = f"m{len(self.program.modules)}"
        self.program.modules[name] = constructor
        for world, space in zip(self.worlds, self.spaces, strict=True):
            setattr(space["self"], name, world.instantiate(constructor))
        return f"self.{name}"

    def emit(self, function: str, *args: Any, **kwargs: Any) -> str:
        """Adds a call and executes it. Arguments that are names of values stand for them. Raises Unfit, the draw unchanged."""
        name = f"v{len(self.program.calls)}"
        call = Call("" if function == "[]=" else name, function, [self.encode(a) for a in args], {}, self.family)
        call.kwargs = {key: self.encode(value) for key, value in kwargs.items()}
        text = statements(call)
        # int32 is all that Core ML has: integers beyond it come from literals only, so that it is theirs to be kept outside.
        self._may_be_large = any(isinstance(part, int) and abs(part) > 2**31 for part in (*args, *kwargs.values()))
        if call.writes:
            self._check_written(args[0])
        try:
            for world, space in zip(self.worlds, self.spaces, strict=True):
                world.execute(text, space)
            if any([world.overflowed_half() for world in self.worlds]) and self.limit < _LARGEST_HALF:
                raise Unfit("beyond the range inside the op")
            if call.out:
                self._check(name)
            if call.writes:
                self._check_all()
        except Exception as error:
            if call.writes:
                self._rebuild()
            raise (error if isinstance(error, Unfit) else Unfit(str(error))) from error
        self.program.calls.append(call)
        if not call.out:
            return str(args[0])
        self.values.append(name)
        return name

    def encode(self, argument: Any) -> Any:
        if isinstance(argument, str) and (argument in self.values):
            return {"v": argument}
        if isinstance(argument, torch.dtype):
            return {"py": str(argument)}
        if isinstance(argument, slice):
            return {"slice": [self.encode(argument.start), self.encode(argument.stop), self.encode(argument.step)]}
        if isinstance(argument, tuple):
            return {"tuple": [self.encode(part) for part in argument]}
        if isinstance(argument, list):
            return [self.encode(part) for part in argument]
        return argument

    def _check_written(self, name: str) -> None:
        """Nothing may write to an input or to a constant."""
        written = self.value(name).untyped_storage()._cdata if isinstance(self.value(name), torch.Tensor) else 0
        for leaf in self.program.leaves:
            if leaf.kind != "mutable" and self.value(leaf.name).untyped_storage()._cdata == written:
                raise Unfit("an input or a constant would be written")

    def _check_all(self) -> None:
        for name in self.values:
            if not (name.startswith("x") or name.startswith("self.")):
                self._check(name)

    def _check(self, name: str) -> None:
        worlds = [tree_leaves(self._get(index, name)) for index in range(len(self.worlds))]
        written, exact, *disturbed = worlds[:4]
        if not all(len(other) == len(written) for other in worlds):
            raise Unfit
        for position, tensor in enumerate(written):
            if not isinstance(tensor, torch.Tensor):
                continue
            if tensor.is_complex() or tensor.is_sparse or tensor.is_quantized:
                raise Unfit("no dtype of Core ML")
            if tensor.numel() > MOST_ELEMENTS or tensor.dim() > 6:
                raise Unfit("too large")
            self._check_tensor(tensor, exact[position], [other[position] for other in disturbed])
        for tensor in (tensor for world in worlds[4:] for tensor in world if isinstance(tensor, torch.Tensor)):
            if tensor.isnan().any():
                raise Unfit("NaN at another extent")
            if tensor.numel() and self._is_beyond_int32(tensor):
                raise Unfit("beyond int32 at another extent")

    def _is_beyond_int32(self, tensor: torch.Tensor) -> bool:
        # Not by way of the magnitude: int64's lowest number has none.
        return tensor.dtype is torch.int64 and not self._may_be_large and max(int(tensor.max()), -int(tensor.min())) > 2**31 - 1

    def _check_tensor(self, written: torch.Tensor, exact: torch.Tensor, disturbed: list[torch.Tensor]) -> None:
        if any(other.shape != written.shape for other in (exact, *disturbed)):
            raise Unfit("a shape that depends on rounding")
        if written.numel() == 0:
            return
        if not written.is_floating_point():
            if any(not torch.equal(written.to(other.dtype), other) for other in (exact, *disturbed)):
                raise Unfit("integers that depend on rounding, or overflow")
            if self._is_beyond_int32(written):
                raise Unfit("beyond int32")
            return
        if WIDE.get(written.dtype, torch.float64) != exact.dtype:
            raise Unfit("another dtype")
        values = written.double()
        if values.isnan().any() and self.rng.random() < 0.9:
            raise Unfit("NaN")
        finite = exact.isfinite()
        if any(not torch.equal(finite, other.isfinite()) for other in (values, *disturbed)):
            raise Unfit("infinities that depend on rounding")
        if not finite.all():
            values, exact, disturbed = values[finite], exact[finite], [other[finite] for other in disturbed]
        if exact.numel() == 0:
            return
        largest = float(exact.abs().max())
        if largest > self.limit:
            raise Unfit("beyond the range")
        worst = max(float((other - exact).abs().max()) for other in (values, *disturbed))
        if worst > self.sensitivity * max(largest, 1e-30):
            raise Unfit("conditioned badly")

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """What is added inside stays only if nothing inside is Unfit, which is raised on."""
        calls, leaves, values, modules = (
            len(self.program.calls),
            len(self.program.leaves),
            len(self.values),
            list(self.program.modules),
        )
        try:
            yield
        except Unfit:
            wrote = any(call.writes for call in self.program.calls[calls:])
            del self.program.calls[calls:], self.program.leaves[leaves:], self.values[values:]
            self.program.modules = {name: self.program.modules[name] for name in modules}
            if wrote:
                self._rebuild()
            raise

    def _rebuild(self) -> None:
        """Executes everything again, because something was written that should not have been."""
        for space in self.spaces:
            for name in self.values:
                space.pop(name, None)
        for leaf in self.program.leaves:
            self._place(leaf)
        for call in self.program.calls:
            for world, space in zip(self.worlds, self.spaces, strict=True):
                world.execute(statements(call), space)


class _Self:
    """Holds buffers and modules."""


def _elements(shape: list[int]) -> int:
    count = 1
    for extent in shape:
        count *= extent
    return count
