"""Virtual environments for the wheel's tests: made with the machine's Python, with what Bazel has fetched linked into them."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import sysconfig

# The interpreter itself, which has venv and pip; the tests' own is an environment without them.
PYTHON = os.path.realpath(sys.executable)


def locked_packages() -> list[pathlib.Path]:
    """The site-packages folders of the distributions that this test depends on."""
    found = [pathlib.Path(p) for p in sys.path if p.endswith("/site-packages") and not p.startswith(sysconfig.get_path("purelib"))]
    return [folder for folder in found if any(folder.glob("*.dist-info"))]


class Venv:
    """An environment of its own, without anything of the process that makes it."""

    def __init__(self, folder: pathlib.Path, python: str = PYTHON) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        subprocess.run([python, "-I", "-m", "venv", "--without-pip", str(folder)], check=True, env=self.environment())
        (self.site,) = folder.glob("lib/python*/site-packages")

    def environment(self, **variables: str) -> dict[str, str]:
        keep = {k: os.environ[k] for k in ("PATH", "TEST_TMPDIR", "TMPDIR", "OMP_NUM_THREADS") if k in os.environ}
        home = str(self.folder.parent)
        return {**keep, "HOME": home, "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1", **variables}

    def link(self, *names: str) -> None:
        """Links what Bazel has fetched, all of it or the distributions of these names, as pip would have unpacked it."""
        for folder in locked_packages():
            distributions = {info.name.removesuffix(".dist-info").rpartition("-")[0] for info in folder.glob("*.dist-info")}
            if names and not distributions & set(names):
                continue
            for entry in folder.iterdir():
                if entry.name != "__pycache__":
                    _link(entry, self.site / entry.name)

    def pip(self, *words: str | os.PathLike[str], check: bool = True) -> subprocess.CompletedProcess[str]:
        """The machine's pip, on this environment."""
        command = [
            PYTHON,
            "-I",
            "-m",
            "pip",
            "--python",
            str(self.python),
            "--disable-pip-version-check",
            *map(os.fspath, words),
        ]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def install(self, *wheels: pathlib.Path) -> None:
        self.pip("install", "--no-deps", "--no-index", "--no-compile", *wheels)

    def run(
        self, *words: str | os.PathLike[str], cwd: pathlib.Path | None = None, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A program of this environment: ("python", "-c", ...), ("coreml", "verify", ...)."""
        command = [str(self.folder / "bin" / os.fspath(words[0])), *map(os.fspath, words[1:])]
        return subprocess.run(
            command, env=self.environment(**variables), capture_output=True, text=True, check=False, cwd=cwd or self.folder
        )

    def python_prints(self, program: str, **variables: str) -> str:
        done = self.run("python", "-c", program, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def _link(source: pathlib.Path, target: pathlib.Path) -> None:
    """Links one entry; folders that several distributions share become folders of links."""
    if not target.exists():
        target.symlink_to(source.resolve())
        return
    if not (target.is_dir() and source.is_dir()):
        return
    if target.is_symlink():
        first = target.resolve()
        target.unlink()
        target.mkdir()
        for entry in first.iterdir():
            _link(entry, target / entry.name)
    for entry in source.iterdir():
        _link(entry, target / entry.name)
