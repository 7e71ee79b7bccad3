"""A generated program as data: leaves (inputs, buffers), modules, calls with literal arguments, results. Prints itself as torch code.

Everything is JSON: numbers, strings, booleans, None and lists stand for themselves, and an object with one key for what JSON has not:
{"v": "v3"} a value, {"py": "torch.float32"} an expression, {"size": ["v3", 0]} an extent, {"slice": [1, None, 2]}, {"tuple": [...]},
{"def": {...}} a function of its own calls, as torch.cond takes them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from typing import Any

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64")

# What every printed program starts with.
PRELUDE = """\
import dataclasses
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import cond
from torch._higher_order_ops import while_loop
from torch._higher_order_ops.scan import scan


def normal(shape, seed, scale=1.0, dtype=torch.float32):
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * scale).to(dtype)


def integers(shape, seed, low, high, dtype=torch.int64):
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
"""


@dataclasses.dataclass
class Leaf:
    """A tensor that the calls start from. fill: ("normal", seed, scale), ("integers", seed, low, high) or ("values", flat list).

    dims: dimension -> name of a dynamic extent. kind: "input", "buffer" or "mutable" (a buffer that the calls may write)."""

    name: str
    kind: str
    dtype: str
    shape: list[int]
    fill: list[Any]
    dims: dict[str, str] = dataclasses.field(default_factory=dict)

    def extents(self, dynamic: dict[str, int]) -> list[int]:
        return [dynamic.get(self.dims.get(str(index), ""), extent) for index, extent in enumerate(self.shape)]

    def text(self, dynamic: dict[str, int]) -> str:
        shape = tuple(self.extents(dynamic))
        kind, *rest = self.fill
        if kind == "normal":
            return f"normal({shape}, seed={rest[0]}, scale={rest[1]}, dtype=torch.{self.dtype})"
        if kind == "integers":
            return f"integers({shape}, seed={rest[0]}, low={rest[1]}, high={rest[2]}, dtype=torch.{self.dtype})"
        values = "[" + ", ".join(number(value) for value in rest[0]) + "]"
        return f"torch.tensor({values}, dtype=torch.{self.dtype}).reshape({shape})"


@dataclasses.dataclass
class Call:
    """out: the name of the result; empty for none. function: "torch.add", "F.pad", "self.m0"; ".view" for a method of the first
    argument; "[]" and "[]=" for indexing; "+" and other signs for Python's operators."""

    out: str
    function: str
    args: list[Any]
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    # Which part of the vocabulary it comes from.
    family: str = ""

    def text(self) -> str:
        args = [literal(argument) for argument in self.args]
        named = [f"{key}={literal(value)}" for key, value in self.kwargs.items()]
        name = self.function
        if name == "[]":
            made = f"{args[0]}[{', '.join(args[1:])}]"
        elif name == "[]=":
            made = f"{args[0]}[{', '.join(args[1:-1])}] = {args[-1]}"
        elif name.startswith("."):
            made = f"{args[0]}{name}({', '.join(args[1:] + named)})"
        elif name[0].isalpha():
            made = f"{name}({', '.join(args + named)})"
        else:
            made = f"{name}{args[0]}" if len(args) == 1 else f"{args[0]} {name} {args[1]}"
        return f"{self.out} = {made}" if self.out else made

    @property
    def writes(self) -> bool:
        name = self.function.split(".")[-2 if self.function.startswith("torch.ops") else -1]
        return self.function == "[]=" or (name.endswith("_") and not name.endswith("__"))


# How several tensors come or go as one object.
FORMS = ("dict", "nested", "namedtuple", "dataclass")


def _class_text(form: str, name: str, fields: list[str]) -> list[str]:
    """The lines that define the class of a form; none where it has none."""
    lines = [f"class {name}(NamedTuple):" if form == "namedtuple" else f"class {name}:"]
    lines += [f"    {field}: torch.Tensor" for field in fields]
    # ExecuTorch writes the names of classes into programs, which need one.
    named = f'{name}, serialized_type_name="{name}"'
    if form == "namedtuple":
        return [*lines, "", "", f"torch.utils._pytree._register_namedtuple({named})", "", ""]
    if form == "dataclass":
        return ["@dataclasses.dataclass", *lines, "", "", f"torch.export.register_dataclass({named})", "", ""]
    return []


def _in_form(form: str, class_name: str, fields: list[str], texts: list[str]) -> str:
    """One object of several values."""
    if form == "dict":
        return "{" + ", ".join(f'"{field}": {text}' for field, text in zip(fields, texts, strict=True)) + "}"
    if form == "nested":
        return f'({{"first": {texts[0]}}}, [{", ".join(texts[1:])}])'
    return f"{class_name}(" + ", ".join(f"{field}={text}" for field, text in zip(fields, texts, strict=True)) + ")"


def _member(form: str, whole: str, field: str, position: int) -> str:
    """How one value of such an object is read."""
    if form == "dict":
        return f'{whole}["{field}"]'
    if form == "nested":
        return f'{whole}[0]["first"]' if position == 0 else f"{whole}[1][{position - 1}]"
    return f"{whole}.{field}"


@dataclasses.dataclass
class Program:
    """results: names of values, in order. result_form: "tuple", or one of FORMS. input_form: "flat", or one of FORMS for all inputs.

    dynamic: name of an extent -> [least, most, example, other extents to run...]. seed: what it was drawn from. companion: another
    program that is lowered together with this one, as a method of its own.
    """

    leaves: list[Leaf]
    modules: dict[str, str]
    calls: list[Call]
    results: list[str]
    dynamic: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    input_form: str = "flat"
    result_form: str = "tuple"
    seed: int = -1
    companion: Program | None = None

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Program:
        data = json.loads(text)
        companion = data.pop("companion", None)
        data["companion"] = None if companion is None else Program.from_json(json.dumps(companion))
        data["leaves"] = [Leaf(**leaf) for leaf in data["leaves"]]
        data["calls"] = [Call(**call) for call in data["calls"]]
        return Program(**data)

    @property
    def inputs(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.kind == "input"]

    @property
    def buffers(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.kind != "input"]

    @property
    def mutable(self) -> list[Leaf]:
        return [leaf for leaf in self.leaves if leaf.kind == "mutable"]

    def extents(self) -> list[dict[str, int]]:
        """The extents to run with, the example first."""
        if not self.dynamic:
            return [{}]
        count = max(len(spec) for spec in self.dynamic.values()) - 2
        return [{name: spec[2 + min(i, len(spec) - 3)] for name, spec in self.dynamic.items()} for i in range(count)]

    def source(self) -> str:
        """The class `Program`, `inputs(...)` and `dynamic_shapes` as Python text, PRELUDE not included."""
        example = self.extents()[0]
        names = [leaf.name for leaf in self.inputs]
        returned = [f"r{index}" for index in range(len(self.results))]
        lines = [*_class_text(self.input_form, "Given", names), *_class_text(self.result_form, "Made", returned)]
        lines += ["class Program(torch.nn.Module):", "    def __init__(self):", "        super().__init__()"]
        lines += [f'        self.register_buffer("{b.name[5:]}", {b.text(example)})' for b in self.buffers]
        for name, constructor in self.modules.items():
            lines += ["        torch.manual_seed(0)", f"        self.{name} = {constructor}"]
        if self.input_form == "flat":
            lines += ["", f"    def forward({', '.join(['self', *names])}):"]
        else:
            lines += ["", "    def forward(self, given):"]
            lines += [f"        {name} = {_member(self.input_form, 'given', name, i)}" for i, name in enumerate(names)]
        for call in self.calls:
            lines += [f"        {line}" for line in _definitions(call)]
            lines.append("        " + call.text())
        made = (
            ", ".join(self.results) if self.result_form == "tuple" else _in_form(self.result_form, "Made", returned, self.results)
        )
        lines += [f"        return {made}", "", "", f"def inputs({', '.join(f'{k}={v}' for k, v in example.items())}):"]
        symbols = {k: _Symbol(k) for k in example}
        lines.append(f"    return {self._of_inputs([leaf.text(symbols) for leaf in self.inputs])}")  # type: ignore[arg-type]
        if self.dynamic:
            lines += ["", ""]
            lines += [f'{k} = torch.export.Dim("{k}", min={v[0]}, max={v[1]})' for k, v in self.dynamic.items()]
            shapes = ["{" + ", ".join(f"{d}: {name}" for d, name in leaf.dims.items()) + "}" for leaf in self.inputs]
            lines.append(f"dynamic_shapes = {self._of_inputs(shapes)}")
        else:
            lines += ["", "", "dynamic_shapes = None"]
        return "\n".join(lines) + "\n"

    def _of_inputs(self, texts: list[str]) -> str:
        """The tuple of arguments of forward, of one text for each input."""
        if self.input_form == "flat":
            return f"({''.join(text + ', ' for text in texts)})"
        return f"({_in_form(self.input_form, 'Given', [leaf.name for leaf in self.inputs], texts)},)"


class _Symbol:
    """An extent that prints as its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


def number(value: Any) -> str:
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value)


def literal(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(literal(part) for part in value) + "]"
    if not isinstance(value, dict):
        return repr(value) if isinstance(value, str) else number(value)
    ((kind, content),) = value.items()
    if kind == "v":
        return str(content)
    if kind == "py":
        return str(content)
    if kind == "size":
        return f"{content[0]}.size({content[1]})"
    if kind == "slice":
        start, stop, step = ("" if part is None else literal(part) for part in content)
        return f"{start}:{stop}" + (f":{step}" if step else "")
    if kind == "tuple":
        return "(" + "".join(literal(part) + ", " for part in content) + ")"
    if kind == "def":
        return str(content["name"])
    raise ValueError(f"{kind!r} is no kind of literal.")


def _definitions(call: Call) -> Iterator[str]:
    """The lines of the functions that a call is handed."""
    for argument in [*call.args, *call.kwargs.values()]:
        if isinstance(argument, dict) and "def" in argument:
            function = argument["def"]
            yield f"def {function['name']}({', '.join(function['parameters'])}):"
            for inner in function["calls"]:
                yield "    " + Call(**inner).text()
            yield f"    return {literal(function['result'])}"


def statements(call: Call) -> str:
    """A call as text that can be executed alone."""
    return "\n".join([*_definitions(call), call.text()])


def names_in(value: Any) -> Iterator[str]:
    """The values that an argument reads."""
    if isinstance(value, list):
        for part in value:
            yield from names_in(part)
    elif isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "v":
            yield content
        elif kind == "size":
            yield content[0]
        elif kind in ("slice", "tuple"):
            yield from names_in(content)
        elif kind == "def":
            own = {*content["parameters"], *(inner["out"] for inner in content["calls"])}
            for inner in content["calls"]:
                yield from (name for name in names_in([*inner["args"], *inner["kwargs"].values()]) if name not in own)


def reads(call: Call) -> set[str]:
    return set(names_in([*call.args, *call.kwargs.values()]))
