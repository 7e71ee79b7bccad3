"""A request's own files, as its program would see them under `bazel run`: one folder of links, the runfiles."""

from __future__ import annotations

import _imp
import contextlib
import importlib.machinery
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def runfiles(files: Sequence[str], imports: Sequence[str], main: str) -> Iterator[Path]:
    """Makes the folder and puts it on sys.path.

    Args:
        files: "SHORT PATH=PATH" of each file or folder, as Bazel has them: the first from the main repository's folder.
        imports: folders in the runfiles to import from, as PyInfo has them.
        main: the folder of the main repository, which becomes the current one, as in a test.

    What is not declared is not there: a file that is merely beside a declared one is not found, with or without a sandbox.
    """
    before, path, hooks = os.getcwd(), list(sys.path), list(sys.path_hooks)
    with tempfile.TemporaryDirectory(prefix="coreml_rules_") as folder:
        root = Path(folder).resolve()
        for line in files:
            name, _, source = line.partition("=")
            link = root / (name[3:] if name.startswith("../") else f"{main}/{name}")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(os.path.abspath(source))
        folders = [root, *(root / name for name in imports), *sorted(p for p in root.iterdir() if p.is_dir())]
        # Installed distributions behind those of this process: there is one torch in it.
        own = [str(p) for p in folders if p.name != "site-packages"]
        installed = [str(p) for p in folders if p.name == "site-packages" and p.is_dir()]
        sys.path[:] = [*own, *path, *installed]
        (root / main).mkdir(exist_ok=True)
        os.chdir(root / main)
        sys.path_hooks.insert(0, _hook(root))
        try:
            yield root
        finally:
            os.chdir(before)
            sys.path[:] = path
            sys.path_hooks[:] = hooks


class _Loader(importlib.machinery.SourceFileLoader):
    """Code that knows its file by the path from the current folder. What torch records of a call's place is the same in every build, and its lines
    are found."""

    def get_code(self, fullname: str) -> types.CodeType | None:
        code = super().get_code(fullname)
        if code is not None:
            _imp._fix_co_filename(code, os.path.relpath(self.path))
        return code


def _hook(root: Path) -> Callable[[str], importlib.machinery.FileFinder]:
    details = [
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
        (_Loader, importlib.machinery.SOURCE_SUFFIXES),
    ]

    def find(path: str) -> importlib.machinery.FileFinder:
        if not Path(path).is_relative_to(root):
            raise ImportError(f"{path} is none of the request's")
        return importlib.machinery.FileFinder(path, *details)

    return find
