"""Makes the program of a finding smaller for as long as the finding stays what it is, and prints it as a script of plain torch code."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from program import PRELUDE, Call, Leaf, Program, reads, statements
from vocabulary import trimmed
from workers import Worker
from worlds import World, leaf_tensor, namespace

SECONDS = 240.0


class Shrinker:
    """Tries candidates in a worker process of its own, so that a finding that kills or never ends shrinks as well."""

    def __init__(self, answer: dict[str, Any], *, seconds: float = SECONDS, say: Callable[[str], None] = lambda line: None) -> None:
        self.program = Program.from_json(answer["program"])
        chosen = answer.get("configuration") or {"target": "iOS18", "precision": "float32"}
        self.configuration = {"target": chosen["target"], "precision": chosen["precision"]}
        self.outcome, self.kind = answer["outcome"], answer["kind"]
        self.answer = answer
        self.worker = Worker(timeout_s=20.0 if self.outcome == "hung" else 60.0)
        self.ends = time.monotonic() + seconds
        self.say = say
        self.tried = 0

    def shrink(self) -> Program:
        try:
            self._pass(self._alone)
            self._pass(self._fewer_results)
            changed = True
            while changed and time.monotonic() < self.ends:
                changed = self._pass(self._cut) | self._pass(self._bypassed)
            for candidates in (self._simpler_forms, self._fewer_arguments, self._smaller_extents, self._simpler_fills, self._cut):
                self._pass(candidates)
        finally:
            self.worker.stop()
        return self.program

    def _pass(self, candidates: Callable[[], Iterator[Program]]) -> bool:
        """Takes the first candidate that shows the finding, again and again, until none does."""
        ever, again = False, True
        while again and time.monotonic() < self.ends:
            again = False
            for candidate in candidates():
                if time.monotonic() > self.ends:
                    break
                if self._shows(candidate):
                    self.program, again, ever = candidate, True, True
                    self.say(f"{len(candidate.calls)} calls, {len(candidate.leaves)} leaves after {self.tried} candidates")
                    break
        return ever

    def _shows(self, candidate: Program) -> bool:
        self.tried += 1
        answer = self.worker.ask({"program": candidate.to_json(), "configurations": [self.configuration]})
        shows = bool(answer["outcome"] == self.outcome and (answer["kind"] == self.kind or self.outcome in ("hung", "crashed")))
        if shows:
            self.answer = {**answer, "seed": self.program.seed}
        return shows

    def _alone(self) -> Iterator[Program]:
        """Without the program that it is lowered with, or that one instead of it."""
        if self.program.companion is not None:
            yield self._with(companion=None)
            yield self.program.companion

    def _fewer_results(self) -> Iterator[Program]:
        names = list(dict.fromkeys(self.program.results))
        if len(names) > 3:
            yield self._with(results=names[: len(names) // 2])
            yield self._with(results=names[len(names) // 2 :])
        if len(self.program.results) > 1:
            for name in names:
                yield self._with(results=[name])
        if len(self.program.results) > 2:
            for index in range(len(self.program.results)):
                yield self._with(results=self.program.results[:index] + self.program.results[index + 1 :])

    def _with(self, **changes: Any) -> Program:
        made = copy.deepcopy(self.program)
        for key, value in changes.items():
            setattr(made, key, value)
        return trimmed(made)

    def _values(self) -> dict[str, Any]:
        """What each name is at the example's extents."""
        program, world = self.program, World("written")
        holder = type("Holder", (), {})()
        values: dict[str, Any] = {**namespace(eager=True), "self": holder}
        for leaf in program.leaves:
            tensor = leaf_tensor(leaf, program.extents()[0], values)
            if leaf.kind == "input":
                values[leaf.name] = tensor
            else:
                setattr(holder, leaf.name[5:], tensor)
        for name, constructor in program.modules.items():
            setattr(holder, name, world.instantiate(constructor))
        kept: dict[str, Any] = {}
        for call in program.calls:
            world.execute(statements(call), values)
            if call.out and isinstance(values[call.out], torch.Tensor):
                kept[call.out] = values[call.out].clone()
        return kept

    def _cut(self) -> Iterator[Program]:
        """An input with the value that a call has, instead of the call."""
        values = self._values()
        for index in range(len(self.program.calls) - 1, -1, -1):
            call = self.program.calls[index]
            tensor = values.get(call.out)
            if tensor is None or (call.out in self.program.results and len(self.program.calls) == 1):
                continue
            if call.writes or tensor.numel() > 4000:
                continue
            made = copy.deepcopy(self.program)
            made.leaves.append(self._leaf(call.out, tensor))
            del made.calls[index]
            yield trimmed(_renamed(made, call.out, made.leaves[-1].name))
        for index, call in enumerate(self.program.calls):
            if call.writes:
                made = copy.deepcopy(self.program)
                del made.calls[index]
                first = call.args[0].get("v", "") if isinstance(call.args[0], dict) else ""
                yield trimmed(_renamed(made, call.out, first) if call.out else made)

    def _leaf(self, name: str, tensor: torch.Tensor) -> Leaf:
        shape, dtype = list(tensor.shape), str(tensor.dtype)[6:]
        example = self.program.extents()[0]
        dims = {str(i): key for i, extent in enumerate(shape) for key, value in example.items() if extent == value}
        fill: list[Any] = ["values", tensor.flatten().tolist()]
        if dims or tensor.numel() > 256:
            fill = ["normal", 1, 1.0] if tensor.is_floating_point() else ["integers", 1, 0, 2 if tensor.dtype is torch.bool else 4]
        return Leaf(f"x{name[1:]}_", "input", dtype, shape, fill, dims)

    def _bypassed(self) -> Iterator[Program]:
        """An argument of the same dtype and shape instead of the call's result."""
        values = self._values()
        for index in range(len(self.program.calls) - 1, -1, -1):
            call = self.program.calls[index]
            if not call.out:
                continue
            for name in sorted(reads(call)):
                if call.out in values and name in values:
                    one, other = values[call.out], values[name]
                    if one.dtype is not other.dtype or one.shape != other.shape:
                        continue
                elif name not in (leaf.name for leaf in self.program.leaves):
                    continue
                made = copy.deepcopy(self.program)
                del made.calls[index]
                yield trimmed(_renamed(made, call.out, name))

    def _simpler_forms(self) -> Iterator[Program]:
        program = self.program
        if program.input_form != "flat":
            yield self._with(input_form="flat")
        if program.result_form != "tuple":
            yield self._with(result_form="tuple")
        if program.dynamic:
            leaves = copy.deepcopy(program.leaves)
            for leaf in leaves:
                leaf.dims = {}
            yield self._with(leaves=leaves, dynamic={})
        for name in list(program.dynamic):
            leaves = copy.deepcopy(program.leaves)
            for leaf in leaves:
                leaf.dims = {dim: extent for dim, extent in leaf.dims.items() if extent != name}
            yield self._with(leaves=leaves)
        for index, leaf in enumerate(program.leaves):
            if leaf.kind in ("buffer", "mutable"):
                made = copy.deepcopy(program)
                changed = made.leaves[index]
                old, changed.kind, changed.name = leaf.name, "input", f"x{leaf.name[6:]}"
                yield trimmed(_renamed(made, old, changed.name))

    def _fewer_arguments(self) -> Iterator[Program]:
        for index, call in enumerate(self.program.calls):
            for key in call.kwargs:
                made = copy.deepcopy(self.program)
                del made.calls[index].kwargs[key]
                yield trimmed(made)
            if len(call.args) > 1 and call.function[0].isalpha():
                made = copy.deepcopy(self.program)
                del made.calls[index].args[-1]
                yield trimmed(made)

    def _smaller_extents(self) -> Iterator[Program]:
        extents = sorted({extent for leaf in self.program.leaves for extent in leaf.shape if extent > 1}, reverse=True)
        for extent in extents:
            for less in (1, 2, 3):
                if less < extent:
                    yield self._resized(extent, less)

    def _resized(self, extent: int, less: int) -> Program:
        leaves = copy.deepcopy(self.program.leaves)
        for leaf in leaves:
            shape = [less if size == extent else size for size in leaf.shape]
            if leaf.fill[0] == "values" and shape != leaf.shape:
                tensor = torch.tensor(leaf.fill[1], dtype=getattr(torch, leaf.dtype)).reshape(leaf.shape)
                for dim, size in enumerate(shape):
                    tensor = tensor.narrow(dim, 0, size)
                leaf.fill = ["values", tensor.flatten().tolist()]
            leaf.shape = shape
        return self._with(leaves=leaves)

    def _simpler_fills(self) -> Iterator[Program]:
        for index, leaf in enumerate(self.program.leaves):
            is_float = leaf.dtype.startswith(("float", "bfloat"))
            simple = ["normal", 1, 1.0] if is_float else ["integers", 1, 0, 2]
            if leaf.fill not in (simple, ["values", [1.0 if is_float else 1]]):
                leaves = copy.deepcopy(self.program.leaves)
                leaves[index].fill = simple
                yield self._with(leaves=leaves)


def _renamed(program: Program, old: str, new: str) -> Program:
    def replace(value: Any) -> Any:
        if isinstance(value, list):
            return [replace(part) for part in value]
        if isinstance(value, dict):
            ((kind, content),) = value.items()
            if kind == "v":
                return {"v": new if content == old else content}
            if kind == "size":
                return {"size": [new if content[0] == old else content[0], content[1]]}
            if kind == "py":
                return {"py": content.replace(f"{old}.size", f"{new}.size")}
            if kind in ("slice", "tuple"):
                return {kind: replace(content)}
        return value

    for call in program.calls:
        call.args, call.kwargs = replace(call.args), {key: replace(value) for key, value in call.kwargs.items()}
    program.results = [new if name == old else name for name in program.results]
    return program


def kind_of(program: Program, answer: dict[str, Any]) -> str:
    """What the findings of one kind have in common: where they are raised, or which functions a wrong number takes."""
    if answer["outcome"] in ("wrong", "hung", "crashed"):
        functions = sorted({call.function.removeprefix("torch.ops.") for call in program.calls})
        return f"{answer['outcome']}: {', '.join(functions)}"
    return str(answer["kind"])


# What the text of a program defines, and what that of its companion calls these.
_DEFINED = re.compile(r"\b(Program|inputs|dynamic_shapes|Given|Made)\b")


def script(program: Program, configuration: dict[str, str]) -> str:
    """The program as a script that shows what is wrong and needs nothing of this folder."""
    precision = configuration.get("precision", "float32").upper()
    states = [leaf.name[5:] for leaf in program.mutable]
    passes = f"ExecutorchBackendConfig(passes=[InitializedMutableBufferPass({states})])" if states else ""
    sources = {"forward": ("", program.source())}
    if program.companion is not None:
        sources["other"] = ("Other", _DEFINED.sub(r"Other\1", program.companion.source()))
    text = "".join(source for _, source in sources.values())
    prelude = PRELUDE
    for name in ("normal", "integers"):
        if f"{name}(" not in text:
            start = prelude.index(f"\n\ndef {name}")
            end = prelude.find("\n\n\n", start + 2)
            prelude = prelude[:start] + (prelude[end:] if end > 0 else "\n")
    for line in (
        "import dataclasses\n",
        "from typing import NamedTuple\n\n",
        "from torch import cond\n",
        "from torch._higher_order_ops import while_loop\n",
        "from torch._higher_order_ops.scan import scan\n",
    ):
        if not re.search(rf"\b{line.split()[-1]}\b", text):
            prelude = prelude.replace(line, "")
    exported = "\n".join(
        f"{source}\n\n"
        f'exported["{method}"] = torch.export.export({prefix}Program().eval(), {prefix}inputs(), dynamic_shapes={prefix}dynamic_shapes)'
        for method, (prefix, source) in sources.items()
    )
    runs = "\n".join(
        f"""\
method, module = program.load_method("{method}"), {prefix}Program().eval()
for step in range({3 if states else 1}):
    print("lowered:", method.execute(torch.utils._pytree.tree_leaves({prefix}inputs())))
    print("torch:  ", module(*{prefix}inputs()))"""
        for method, (prefix, _) in sources.items()
    )
    return f"""{prelude.strip()}


exported = {{}}


{exported}

import coremltools as ct
import executorch.backends.apple.coreml.runtime as coreml_runtime
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower{", ExecutorchBackendConfig" if states else ""}
{"from executorch.exir.passes.init_mutable_pass import InitializedMutableBufferPass" + chr(10) if states else ""}from executorch.runtime import Runtime

specs = CoreMLBackend.generate_compile_specs(
    minimum_deployment_target=ct.target.{configuration.get("target", "iOS18")}, compute_precision=ct.precision.{precision}
)
edge = to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
coreml_runtime.set_options(numeric_mode="{configuration.get("numeric_mode", "float32")}")
buffer = bytes(edge.to_executorch({passes}).buffer)
program = Runtime.get().load_program(buffer)
{runs}
"""


__all__ = ["Call", "Shrinker", "kind_of", "script"]
