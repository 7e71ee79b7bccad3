"""Serves `executorch.backends.apple.coreml…` from this package.

Programs import `executorch.backends.apple.coreml.partition` and its siblings, as ExecuTorch's documentation shows. The executorch wheel has
modules of these names too; two sets of files with the same paths would overwrite each other. So this package has a name of its own,
and one finder in front of Python's own answers for the documented names. Both names are one module: whatever is imported,
patched or compared under one is the same object under the other.

What the executorch wheel has and this package has not (`executorch.backends.apple.coreml.test`) still comes from the wheel.

Nothing but Python's own start-up modules is imported here, so that a `.pth` file can run it in every process.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

OURS = "executorch_coreml"
DOCUMENTED = "executorch.backends.apple.coreml"


def _real_name(name: str) -> str:
    return OURS + name[len(DOCUMENTED) :]


class _Loader:
    """Gives the module of this package's own name, imported first if need be."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        from importlib import import_module

        module = import_module(_real_name(spec.name))
        # The import system overwrites __spec__ with the one of the second name; exec_module puts this back.
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        spec = module.__spec__
        if spec is not None and spec.loader is self:
            module.__spec__ = spec.loader_state
        assert name == OURS or name.startswith(OURS + "."), name

    # For `python -m` and tools that read sources.

    def _real(self, name: str) -> Any:
        from importlib.util import find_spec

        spec = find_spec(_real_name(name))
        if spec is None or spec.loader is None:
            raise ImportError(f"no module named {name!r}", name=name)
        return spec.loader

    def get_code(self, name: str) -> CodeType | None:
        code: CodeType | None = self._real(name).get_code(_real_name(name))
        return code

    def get_source(self, name: str) -> str | None:
        source: str | None = self._real(name).get_source(_real_name(name))
        return source

    def is_package(self, name: str) -> bool:
        return bool(self._real(name).is_package(_real_name(name)))

    def get_filename(self, name: str) -> str:
        return str(self._real(name).get_filename(_real_name(name)))


class Finder:
    """The finder of sys.meta_path. Thread rule: Python's import locks cover it; it has no state."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a documented name, None for every other name."""
        if not name.startswith(DOCUMENTED) or name[len(DOCUMENTED) : len(DOCUMENTED) + 1] not in ("", "."):
            return None
        real = _real_name(name)
        found = self._find_real(real)
        if found is None:
            return self._find_in_wheel(name)
        loader: Any = _Loader()
        spec = ModuleSpec(name, loader, origin=found.origin, is_package=found.submodule_search_locations is not None)
        spec.has_location = found.has_location
        if found.submodule_search_locations is not None:
            spec.submodule_search_locations = list(found.submodule_search_locations)
        return spec

    @staticmethod
    def _find_real(real: str) -> ModuleSpec | None:
        """The spec of a module of this package; its parent is imported already, since Python imports parents first."""
        module = sys.modules.get(real)
        if module is not None:
            return module.__spec__
        parent, _, _ = real.rpartition(".")
        places = sys.modules[parent].__path__ if parent else None
        return PathFinder.find_spec(real, places)

    @staticmethod
    def _find_in_wheel(name: str) -> ModuleSpec | None:
        """What only the executorch wheel has. Below a package of ours nothing of the wheel is served: its modules would expect the wheel's."""
        if name.count(".") != DOCUMENTED.count(".") + 1:
            return None
        backends = sys.modules["executorch.backends"]
        return PathFinder.find_spec(name, [f"{place}/apple/coreml" for place in backends.__path__])


class ParentFinder:
    """The last finder: where no executorch wheel is, the packages that lead to the documented name are empty ones."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, None, is_package=True) if name in _PARENTS else None


_PARENTS = ("executorch", "executorch.backends", "executorch.backends.apple")


def install() -> None:
    """Puts the finders before and behind Python's own, once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        first: Any = Finder()
        last: Any = ParentFinder()
        sys.meta_path.insert(0, first)
        sys.meta_path.append(last)
