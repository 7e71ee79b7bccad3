"""Does a language model choose the tokens that its PyTorch model does?

    from executorch_coreml.sdk.generation import generate

    found = generate("model.pte", "model.pt2", 64, prompt=[1, 450, 7483])
    assert found.passed, found

The program and the PyTorch model read the same text: the prompt, then PyTorch's most probable tokens. After each of them the logits are
compared. A token that the program would choose otherwise is a fault only if PyTorch's own choice was clear: if the margin between the two
tokens is larger than what rounding can do to two logits.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from executorch_coreml.sdk import running, verify, verify_package, verify_reference
from executorch_coreml.sdk.compare import l2_relative
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.files import sentence


@dataclasses.dataclass(frozen=True)
class Token:
    """What follows one text.

    Attributes:
        index: 0 for the first token behind the prompt.
        chosen, expected: the most probable token here, and PyTorch's.
        logits: of `chosen` and of `expected`, in the program.
        expected_logits: of the same two, in PyTorch.
        l2_relative: the difference of all logits from PyTorch's.
        noise: how far a single logit may be off: the allowed l2-relative difference times the root mean square of PyTorch's logits.
    """

    index: int
    chosen: int
    expected: int
    logits: tuple[float, float]
    expected_logits: tuple[float, float]
    l2_relative: float
    noise: float

    @property
    def margin(self) -> float:
        """How much larger PyTorch's logit of its own token is than that of the program's token; 0 where both are the same token."""
        return self.expected_logits[1] - self.expected_logits[0]

    @property
    def differs(self) -> bool:
        return self.chosen != self.expected

    @property
    def is_noise(self) -> bool:
        """Whether the token is another one, and rounding alone may have done that: each of two logits is off by up to `noise`."""
        return self.differs and self.margin <= 2 * self.noise

    def __str__(self) -> str:
        if not self.differs:
            return f"token {self.index} is {self.chosen}, as in PyTorch"
        return (
            f"token {self.index} is {self.chosen}, and {self.expected} in PyTorch: their logits are {self.logits[0]:.4f} and {self.logits[1]:.4f} here, "
            f"{self.expected_logits[0]:.4f} and {self.expected_logits[1]:.4f} in PyTorch, whose margin of {self.margin:.4f} is "
            + (
                f"within what rounding can do to two logits ({2 * self.noise:.4f}), so this is no fault"
                if self.is_noise
                else f"more than rounding can do to two logits ({2 * self.noise:.4f})"
            )
        )


@dataclasses.dataclass(frozen=True)
class ModeResult:
    """All tokens in one numeric mode. tolerance: of the l2-relative difference of the logits, and where the figure of it comes from."""

    numeric_mode: str
    tokens: tuple[Token, ...]
    tolerance: float
    source: str

    @property
    def worst(self) -> Token:
        """The token whose logits are furthest from PyTorch's; NaN is further than anything."""
        return max(self.tokens, key=lambda token: np.inf if np.isnan(token.l2_relative) else token.l2_relative)

    @property
    def first_difference(self) -> Token | None:
        """The first token that is another than PyTorch's."""
        return next((token for token in self.tokens if token.differs), None)

    @property
    def first_fault(self) -> Token | None:
        """The first token whose logits are outside the tolerance, or which differs by more than rounding explains."""
        return next((t for t in self.tokens if not t.l2_relative <= self.tolerance or (t.differs and not t.is_noise)), None)

    @property
    def passed(self) -> bool:
        return self.first_fault is None

    def to_json(self) -> dict[str, Any]:
        return {
            "numeric_mode": self.numeric_mode,
            "passed": self.passed,
            "tolerance": self.tolerance,
            "normal_source": self.source,
            "tokens": [
                {**dataclasses.asdict(token), "margin": token.margin, "differs": token.differs, "is_noise": token.is_noise}
                for token in self.tokens
            ],
        }


@dataclasses.dataclass(frozen=True)
class Generation:
    """What generate() found."""

    path: str
    reference: str
    prompt: tuple[int, ...]
    modes: tuple[ModeResult, ...]
    remarks: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return all(mode.passed for mode in self.modes)

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "reference": self.reference,
            "passed": self.passed,
            "prompt": list(self.prompt),
            "modes": [mode.to_json() for mode in self.modes],
            "remarks": list(self.remarks),
        }

    def __str__(self) -> str:
        lines = [f"{self.path} against {self.reference}: {'the same tokens' if self.passed else 'OTHER TOKENS OR LOGITS'}"]
        for mode in self.modes:
            same = sum(not token.differs for token in mode.tokens)
            lines.append(f"  {mode.numeric_mode}: {same} of {len(mode.tokens)} tokens are PyTorch's")
            lines += [f"    {token}" for token in dict.fromkeys((mode.first_difference, mode.first_fault)) if token is not None]
        return "\n".join([*lines, *self.remarks])


@dataclasses.dataclass(frozen=True)
class _Form:
    """How the model takes a text. tokens, positions: indices of its inputs. width: the tokens of a call; None if it takes any number."""

    tokens: int
    positions: int | None
    width: int | None


def generate(
    path: str | os.PathLike[str],
    reference: Any,
    count: int,
    *,
    prompt: Sequence[int] | None = None,
    inputs: Mapping[str, np.ndarray] | Sequence[np.ndarray] | None = None,
    token_input: str | None = None,
    position_input: str | None = None,
    method: str = "forward",
    numeric_modes: Sequence[str] = verify.NUMERIC_MODES,
    tolerance: float | None = None,
    seed: int = 0,
    threads: int = 0,
) -> Generation:
    """Continues a prompt by `count` tokens, each PyTorch's most probable one, and compares the logits and the choices of a program.

    The model takes token ids, int32 or int64 [n] or [1, n], and its first output has the logits, [..., vocabulary], whose last row (or row
    behind the last token, where a call is filled up with zeros) belongs to what follows. With an input of positions, the caches are states
    or buffers of the model, and the text goes in token by token. Without one, each call has the whole text: a model of flexible length
    takes it as it is, one of fixed length filled up behind it.

    Args:
        path: A .pte or a .mlpackage.
        reference: A model, as of verify().
        count: How many tokens, at least 1.
        prompt: Ids; None for those of the reference's example inputs.
        inputs: As of verify(): what the inputs that are neither tokens nor positions have in every call.
        token_input, position_input: Names of the model's inputs; None for the first input of integers, and for the next that has one integer
            for a call or for each of its tokens.
        method, numeric_modes, tolerance, seed, threads: As of verify(); the tolerance is that of all logits behind each token.

    Raises:
        ToolError: for what cannot be loaded, run or compared, and for a prompt that does not fit.
    """
    path = Path(path)
    if count < 1:
        raise ToolError(f"the number of tokens to generate must be at least 1, not {count}")
    expected = verify_reference.load(reference)
    if expected.program is None:
        raise ToolError(f"{expected.name} has outputs for certain inputs: to generate, pass the model as the reference")
    by_name, flat = verify.prepare_inputs(path, method, expected, inputs, seed=seed)
    names = tuple(by_name)
    form = _form_of(expected, flat, token_input, position_input)
    text = [int(token) for token in (flat[form.tokens].ravel() if prompt is None else prompt)]
    limits = np.iinfo(flat[form.tokens].dtype)
    if not text or not all(0 <= token <= limits.max for token in text):
        raise ToolError(f"the prompt must have at least one token id, and none below 0 or beyond {limits.dtype}")
    if form.positions is None and form.width is not None and len(text) + count - 1 > form.width:
        raise ToolError(
            f"{path} takes {form.width} tokens, but the prompt has {len(text)} and {count} are to follow: shorten the prompt, or generate fewer"
        )

    logits, continued = _in_pytorch(expected, flat, form, text, count)
    modes = []
    remarks: list[str] = []
    with verify_package.open_packages(path, method) as packages:
        # What rounding does is measured at the beginning of the text, where states have the values that they begin with.
        first = _call_inputs(flat, form, continued[: 1 if form.positions is not None else len(text)], 0)
        model = verify.Model.of(expected, first, packages, remarks)
        is_float16 = any(package.is_float16 for package in packages)
        for numeric_mode in numeric_modes:
            normal = model.normal(len(model.outputs), is_float16, numeric_mode)[0]
            allowed = verify.FACTOR * normal.l2_relative if tolerance is None else tolerance
            runnable = running.prepare(path, by_name, method=method, threads=threads, numeric_mode=numeric_mode)

            def call(given: Sequence[np.ndarray], runnable: running.Runnable = runnable) -> np.ndarray:
                outputs = runnable.call(dict(zip(names, given, strict=True)))
                return outputs[packages[0].output_names[0]] if path.is_dir() else next(iter(outputs.values()))

            reader = _Reader(call, flat, form)
            actual = [reader.read(continued[:length]) for length in range(len(text), len(text) + count)]
            tokens = tuple(_token(i, *pair, allowed) for i, pair in enumerate(zip(actual, logits, strict=True)))
            modes.append(ModeResult(numeric_mode, tokens, allowed, normal.source if tolerance is None else "given"))
    return Generation(str(path), expected.name, tuple(text), tuple(modes), tuple(remarks))


def _token(index: int, actual: np.ndarray, expected: np.ndarray, allowed: float) -> Token:
    if actual.shape != expected.shape:
        raise ToolError(
            f"the program has {actual.size} logits and the reference {expected.size}: they do not belong to the same model"
        )
    chosen, wanted = int(np.argmax(actual)), int(np.argmax(expected))
    return Token(
        index,
        chosen,
        wanted,
        (float(actual[chosen]), float(actual[wanted])),
        (float(expected[chosen]), float(expected[wanted])),
        l2_relative(actual, expected),
        allowed * float(np.sqrt(np.mean(np.square(expected[np.isfinite(expected)])))),
    )


def _form_of(expected: verify_reference.Reference, flat: Sequence[np.ndarray], tokens: str | None, positions: str | None) -> _Form:
    names = expected.input_names()
    if len(names) != len(flat):
        names = tuple(str(index) for index in range(len(flat)))

    def index_of(name: str) -> int:
        if name not in names:
            raise ToolError(f"{expected.name} has no input {name!r}; it has {', '.join(names)}")
        return names.index(name)

    integers = [index for index, array in enumerate(flat) if array.dtype in (np.int32, np.int64)]
    rows = [index for index in integers if flat[index].ndim == 1 or (flat[index].ndim == 2 and len(flat[index]) == 1)]
    token = index_of(tokens) if tokens is not None else next(iter(rows), None)
    if token is None or token not in rows:
        raise ToolError(
            f"{expected.name} has no input of token ids, int32 or int64 [n] or [1, n]; its inputs are "
            + ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in zip(names, flat, strict=True))
        )
    given = flat[token].size
    width = None if _is_flexible(expected, names[token]) else given
    others = [index for index in integers if index != token and flat[index].size in (1, given)]
    # A position changes what is read of a cache; without a cache a lone integer may be anything, and stays as it is.
    has_cache = _keeps_a_cache(expected)
    position = index_of(positions) if positions is not None else next(iter(others), None) if has_cache else None
    if position is not None and position not in others:
        raise ToolError(
            f"the input {names[position]} of {expected.name} cannot be positions: it needs one integer, or one for each token"
        )
    if position is not None and width not in (None, 1):
        raise ToolError(
            f"{expected.name} takes {width} tokens in each call, so what follows cannot be read token by token: pass a method of one token"
        )
    if has_cache and position is None:
        raise ToolError(f"{expected.name} keeps a cache, but no input of positions was found: name it")
    return _Form(token, position, width)


def _keeps_a_cache(expected: verify_reference.Reference) -> bool:
    """Whether a model writes into its buffers. A program as torch.export leaves it does so with calls that change their arguments."""
    assert expected.program is not None
    if expected.program.graph_signature.buffers_to_mutate:
        return True
    has_buffers = bool(expected.program.graph_signature.inputs_to_buffers)
    schemas = (getattr(node.target, "_schema", None) for node in expected.program.graph.nodes if node.op == "call_function")
    return has_buffers and any(schema is not None and schema.is_mutable for schema in schemas)


def _is_flexible(expected: verify_reference.Reference, name: str) -> bool:
    assert expected.program is not None
    node = next((n for n in expected.program.graph.nodes if n.op == "placeholder" and n.name == name), None)
    value = node.meta.get("val") if node is not None else None
    return isinstance(value, torch.Tensor) and any(not isinstance(extent, int) for extent in value.shape)


def _call_inputs(flat: Sequence[np.ndarray], form: _Form, tokens: Sequence[int], position: int) -> list[np.ndarray]:
    """The inputs of one call with `tokens`, the first of which is at `position`."""
    given = list(flat)
    example = flat[form.tokens]
    filled = [*tokens, *[0] * ((form.width or 0) - len(tokens))]
    given[form.tokens] = np.array(filled, example.dtype).reshape((1, -1) if example.ndim == 2 else (-1,))
    if form.positions is not None:
        one = flat[form.positions]
        given[form.positions] = np.full([1 if extent == example.size else extent for extent in one.shape], position, one.dtype)
    return given


class _Reader:
    """Reads a growing text with a model, whose first output for flat inputs is call(inputs)."""

    def __init__(self, call: Callable[[Sequence[np.ndarray]], np.ndarray], flat: Sequence[np.ndarray], form: _Form) -> None:
        self._call, self._flat, self._form = call, flat, form
        # Tokens that a cache has.
        self._position = 0

    def read(self, text: Sequence[int]) -> np.ndarray:
        """The logits of what follows a text, which begins with the one before: float64 [vocabulary]."""
        if self._form.positions is None:
            return self._logits(text, 0)
        for position in range(self._position, len(text)):
            logits = self._logits(text[position : position + 1], position)
        self._position = len(text)
        return logits

    def _logits(self, tokens: Sequence[int], position: int) -> np.ndarray:
        output = self._call(_call_inputs(self._flat, self._form, tokens, position))
        rows = output.reshape(-1, output.shape[-1] if output.ndim else 1)
        # A model that has a row for each token has one for the filling behind them, too.
        return rows[len(tokens) - 1 if len(rows) >= len(tokens) else -1].astype(np.float64)


def _in_pytorch(
    expected: verify_reference.Reference, flat: Sequence[np.ndarray], form: _Form, prompt: Sequence[int], count: int
) -> tuple[list[np.ndarray], list[int]]:
    """PyTorch's logits behind the prompt and each further token, and the text of both."""
    assert expected.program is not None
    program = verify_reference.own_copy(expected.program)
    text = list(prompt)
    found: list[np.ndarray] = []
    try:
        with torch.no_grad():
            module = program.module()

            def call(given: Sequence[np.ndarray]) -> np.ndarray:
                args, kwargs = pytree.tree_unflatten(verify_reference.as_tensors(given), program.call_spec.in_spec)
                first: torch.Tensor = pytree.tree_leaves(module(*args, **kwargs))[0]
                return first.detach().float().numpy()

            reader = _Reader(call, flat, form)
            for _ in range(count):
                found.append(reader.read(text))
                text.append(int(np.argmax(found[-1])))
    except Exception as error:  # A model raises whatever it likes.
        raise ToolError(f"the reference {expected.name} refuses the inputs: {sentence(error)}") from error
    return found, text
