"""Fetches one locked distribution with pip and unpacks it into `site-packages` of the current folder.

Run by the repository rule `wheel` with the workspace's Python. pip does the download, so the user's pip configuration
(index, mirrors, find-links, certificates) is honoured; the hashes come from requirements.lock.

Prints the version of the file that pip chose (a lock line may allow several builds of one version).
"""

import compileall
import os
import pathlib
import py_compile
import shutil
import stat
import subprocess
import sys
import zipfile


def download(requirement: str, folder: pathlib.Path) -> pathlib.Path:
    """Lets pip fetch `requirement` (with its `--hash` options) and returns the wheel."""
    requirements = folder / "requirements.txt"
    requirements.write_text(requirement + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{requirement.split(' ')[0]}: pip could not download it\n{result.stdout}{result.stderr}")
    (wheel,) = folder.glob("*.whl")
    return wheel


def destination(member: str, root: pathlib.Path) -> pathlib.Path:
    """Where a wheel's member goes: `*.data/` folders are spread as the wheel format says, the rest is importable code."""
    parts = pathlib.PurePosixPath(member).parts
    if member.startswith("/") or ".." in parts:
        sys.exit(f"{member}: a wheel must not name files outside itself")
    if len(parts) > 2 and parts[0].endswith(".data"):
        if parts[1] in ("purelib", "platlib"):
            return root.joinpath("site-packages", *parts[2:])
        return root.joinpath({"scripts": "bin"}.get(parts[1], parts[1]), *parts[2:])
    return root.joinpath("site-packages", *parts)


def unpack(wheel: pathlib.Path, root: pathlib.Path) -> None:
    """Extracts `wheel`, keeping the executable bits that zipfile drops."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            path = destination(member.filename, root)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            if (member.external_attr >> 16) & stat.S_IXUSR:
                path.chmod(0o755)


def main() -> None:
    requirement = sys.argv[1]
    root = pathlib.Path.cwd()
    folder = root / "download"
    folder.mkdir()
    wheel = download(requirement, folder)
    (root / "site-packages").mkdir()
    unpack(wheel, root)
    version = wheel.name.split("-")[1]
    shutil.rmtree(folder)
    # Tests see these files read-only: without compiled files every process would compile torch again. The files never change
    # after this, hence no check of the source at import.
    compileall.compile_dir(
        root / "site-packages", quiet=2, workers=1, maxlevels=50,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    print(version, end="")


if __name__ == "__main__":
    os.umask(0o022)
    main()
