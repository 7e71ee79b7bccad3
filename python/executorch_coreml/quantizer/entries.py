"""Which entry of a `LinearQuantizerConfig` an op belongs to.

coremltools' precedence: `module_name_configs` before `module_type_configs` before `global_config`. Names are matched whole, as regular
expressions. An op belongs to every module whose forward called it, from the innermost outwards, and the innermost match decides; so an entry
for a block is one for all that is in it, and an entry for a layer of the block wins over it.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from typing import Any

import torch
from coremltools.optimize.torch.quantization.quantization_config import LinearQuantizerConfig, ModuleLinearQuantizerConfig

from executorch_coreml.node_facts import scopes, type_name
from executorch_coreml.quantizer import patterns
from executorch_coreml.quantizer.specs import Specs, check, specs_of


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One entry. label: as a user finds it in the configuration. specs: None where the entry keeps its modules float."""

    label: str
    specs: Specs | None

    @property
    def is_global(self) -> bool:
        return self.label == "global_config"


def _graphs(model: torch.nn.Module) -> Iterator[torch.fx.Graph]:
    for module in model.modules():
        if isinstance(module, torch.fx.GraphModule):
            yield module.graph


def module_paths(model: torch.fx.GraphModule) -> set[str]:
    """The paths of the modules that a program was made of, as far as it remembers them: those that called an op or own a tensor."""
    found = {name for name, _ in model.named_modules()}
    for graph in _graphs(model):
        for node in graph.nodes:
            found.update(scope.path for scope in scopes(node))
            if node.op == "get_attr":
                parts = str(node.target).split(".")[:-1]
                found.update(".".join(parts[: i + 1]) for i in range(len(parts)))
    return found - {""}


class Resolver:
    """The entries of a configuration."""

    def __init__(self, config: LinearQuantizerConfig, activation_dtype: torch.dtype | None) -> None:
        """Raises ValueError for an entry that cannot be honoured."""

        def entry(label: str, module_config: ModuleLinearQuantizerConfig | None) -> Entry:
            if module_config is not None:
                check(module_config, label)
            return Entry(label, specs_of(module_config, activation_dtype))

        self._names = {name: entry(f"module_name_configs[{name!r}]", value) for name, value in config.module_name_configs.items()}
        self._types = {
            key: entry(f"module_type_configs[{getattr(key, '__name__', key)!r}]", value)
            for key, value in config.module_type_configs.items()
        }
        self._global = entry("global_config", config.global_config)

    @property
    def entries(self) -> list[Entry]:
        """All of them; the global one only when it asks for quantization."""
        return [*self._names.values(), *self._types.values(), *([self._global] if self._global.specs else [])]

    def entry_of(self, node: torch.fx.Node) -> Entry:
        """The entry that decides about an op."""
        inside = scopes(node)
        for scope in inside:
            for name, entry in self._names.items():
                if re.fullmatch(name, scope.path):
                    return entry
        for key, entry in self._types.items():
            if _is_function(key, node.target):
                return entry
        for scope in inside:
            for key, entry in self._types.items():
                if _is_type(key, scope.type_name):
                    return entry
        return self._global

    def check_names(self, known: set[str]) -> None:
        """Raises ValueError for a name that matches no module, with names that look like it."""
        for name in self._names:
            if any(re.fullmatch(name, path) for path in known):
                continue
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)[:5]
            raise ValueError(
                f"module_name_configs[{name!r}] matches no module of the program; write the module's full name, as named_modules() returns it, "
                f"such as {', '.join(map(repr, near)) or '(the program has none)'}"
            )


def _is_type(key: Any, name: str) -> bool:
    if isinstance(key, type):
        return type_name(key) == name
    return isinstance(key, str) and name.rpartition(".")[2] == key


def _is_function(key: Any, target: Any) -> bool:
    """Whether a key is the function that an op is, or its name: operator.add or "add" for torch.ops.aten.add.Tensor."""
    if isinstance(key, type):
        return False
    functions = patterns.functions_of(target)
    if isinstance(key, str):
        return any(function.__name__ == key for function in functions)
    return any(key is function for function in functions)
