"""Looks at what belongs to other packages before the delegate is imported, then imports it and lowers, and prints what became of it, as JSON.

Looked at are the functions, classes and methods of every module of coremltools and tqdm, of warnings and of tempfile, and what coremltools'
registries hold. replacements_test.py runs this as a process of its own and says what must be printed.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Iterator
from typing import Any

import coremltools as ct
import torch
import tqdm.auto  # noqa: F401  to be looked at
from executorch.exir import to_edge, to_edge_transform_and_lower

OTHERS = ("coremltools", "tqdm", "warnings", "tempfile")
CODE = (types.FunctionType, types.BuiltinFunctionType, type, staticmethod, classmethod, property)

Look = dict[str, Any]


def is_of_others(module: str) -> bool:
    return module.partition(".")[0] in OTHERS


def members(path: str, holder: Any) -> Iterator[tuple[str, Any]]:
    """The code in a module or class, in the classes within it, and in the tables of its objects, such as coremltools' registries."""
    for name, value in list(vars(holder).items()):
        if isinstance(value, CODE):
            yield f"{path}.{name}", value
        if isinstance(value, type):
            if value.__module__ == path:
                yield from members(f"{path}.{name}", value)
        elif is_of_others(type(value).__module__) and hasattr(value, "__dict__"):
            for attribute, table in list(vars(value).items()):
                if isinstance(table, dict):
                    for key, entry in list(table.items()):
                        if isinstance(entry, CODE):
                            yield f"{path}.{name}.{attribute}[{key!r}]", entry


def look() -> Look:
    found: Look = {"warnings.filters": warnings.filters, "tempfile.tempdir": tempfile.tempdir}
    for name, module in list(sys.modules.items()):
        if is_of_others(name) and isinstance(module, types.ModuleType):
            found.update(members(name, module))
    return found


def replaced(before: Look, now: Look) -> list[str]:
    return sorted(path for path, value in before.items() if path not in now or now[path] is not value)


def filters() -> list[Any]:
    """The filters of warnings: what is done, the category, and the patterns of the message and of the module that it is done with."""
    found = []
    for action, message, category, module, _ in warnings.filters:
        patterns = [part.pattern if isinstance(part, re.Pattern) else part or "" for part in (message, module)]
        found.append([action, category.__name__, *patterns])
    return found


class Model(torch.nn.Module):
    """Ops that coremltools converts, and ops with a correction of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(12)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layers(x)
        return torch.softmax(torch.where(y > 0, torch.rsqrt(y.abs() + 1), torch.atan2(y, x)), -1)


def main() -> None:
    exported = torch.export.export(Model().eval(), (torch.randn(2, 64),))
    program = to_edge(exported).exported_program()
    first, first_filters = look(), filters()
    result: dict[str, Any] = {"looked_at": sorted(first)}

    def compared() -> dict[str, Any]:
        now = look()
        ours = {path for path, value in now.items() if str(getattr(value, "__module__", "")).startswith("executorch_coreml")}
        new = [one for one in filters() if one not in first_filters]
        return {"replaced": replaced(first, now), "ours": sorted(ours), "filters": sorted(new)}

    import executorch.backends.apple.coreml.quantizer
    import executorch.backends.apple.coreml.recipes
    import executorch.backends.apple.coreml.runtime  # noqa: F401
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    result["imported"] = compared()

    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS17)
    failures: list[str] = []

    def lower() -> None:
        try:
            CoreMLPartitioner(compile_specs=specs).partition(program)
            CoreMLBackend.preprocess(CoreMLBackend.copy_exported_program_for_preprocess(program, specs), specs)
        except BaseException as error:
            failures.append(repr(error))

    before = look()
    lowering = threading.Thread(target=lower)
    lowering.start()
    looks, meanwhile = 0, set[str]()
    while lowering.is_alive():
        meanwhile.update(replaced(before, look()))
        looks += 1
        lowering.join(0.05)
    result |= {"failures": failures, "looks": looks, "meanwhile": sorted(meanwhile)}

    to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    result["lowered"] = compared()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
