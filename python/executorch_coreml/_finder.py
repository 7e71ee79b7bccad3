"""Serves `executorch.backends.apple.coreml…` from this package.

Programs import `executorch.backends.apple.coreml.partition` and its siblings, as ExecuTorch's documentation shows. The executorch wheel has
modules of these names too; two sets of files with the same paths would overwrite each other. So this package has a name of its own,
and one finder in front of Python's own answers for the documented names. Both names are one module: whatever is imported,
patched or compared under one is the same object under the other.

What the executorch wheel has and this package has not (`executorch.backends.apple.coreml.test`) still comes from the wheel.

A third finder registers the delegate with ExecuTorch's Python runtime when that is imported, so that every program that runs a .pte finds it
(_autoload.py). COREML_DELEGATE_AUTOLOAD=0 turns that off.

Nothing but what Python has imported when it starts is imported here, so that a `.pth` file can run it in every process: hence the frozen
modules, which are importlib's own.
"""

from __future__ import annotations

import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False
if TYPE_CHECKING:
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
        spec: Any = module.__spec__
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
        """The spec of a module of this package; its parent is imported already, since Python imports parents first.

        None too where the parent is a package that only the wheel has.
        """
        module = sys.modules.get(real)
        if module is not None:
            return module.__spec__
        parent, _, _ = real.rpartition(".")
        if not parent:
            return PathFinder.find_spec(real)
        places = getattr(sys.modules.get(parent), "__path__", None)
        return None if places is None else PathFinder.find_spec(real, places)

    @staticmethod
    def _find_in_wheel(name: str) -> ModuleSpec | None:
        """What only the executorch wheel has beside our packages.

        Below such a package Python's own finder goes on; below a package of ours nothing of the wheel is served: its modules would expect the
        wheel's.
        """
        if name.count(".") != DOCUMENTED.count(".") + 1:
            return None
        backends = sys.modules["executorch.backends"]
        return PathFinder.find_spec(name, [f"{place}/apple/coreml" for place in backends.__path__])


class ParentFinder:
    """The last finder: where no executorch wheel is, the packages that lead to the documented name are empty ones."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, None, is_package=True) if name in _PARENTS else None


class AutoloadFinder:
    """Finds what Python finds, and has _autoload.py called when one of ExecuTorch's runtime modules has been imported."""

    # The native modules under executorch.runtime and executorch.extension.pybindings and under the LLM runner, and where methods are held.
    WATCHED = (
        "executorch.extension.pybindings._C",
        "executorch.extension.llm.runner._llm_runner",
        "executorch.runtime",
    )

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in self.WATCHED:
            return None
        spec = PathFinder.find_spec(name, path)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            # The loader stays what it is, for whoever looks at it.
            del loader.exec_module
            execute(module)
            from executorch_coreml import _autoload

            _autoload.imported(name)

        loader.exec_module = exec_module
        return spec


_PARENTS = ("executorch", "executorch.backends", "executorch.backends.apple")


def install() -> None:
    """Puts the finders before and behind Python's own, once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        first: list[Any] = [Finder(), AutoloadFinder()]
        last: Any = ParentFinder()
        sys.meta_path[:0] = first
        sys.meta_path.append(last)
