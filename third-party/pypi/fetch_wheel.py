"""Fetches one locked distribution with pip and unpacks it into `site-packages` of the current folder.

    fetch_wheel.py "NAME==VERSION --hash=sha256:HEX ..." [FOLDER]

Run by the repository rule `wheel` with the workspace's Python. pip does the download, so the user's pip configuration
(index, mirrors, find-links, certificates) is honoured; the hashes come from requirements.lock.

FOLDER is for a distribution of pure Python that is published as an archive of sources only: what it holds is importable as it is. No
setup.py is run, which `pip download` would do to learn the archive's metadata; hence pip's own parts find and fetch the archive here.

Prints the version of the file that pip chose (a lock line may allow several builds of one version).
"""

import compileall
import hashlib
import os
import pathlib
import py_compile
import shutil
import stat
import subprocess
import sys
import tarfile
import warnings
import zipfile
from typing import Any


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


def download_sdist(requirement: str, folder: pathlib.Path) -> pathlib.Path:
    """Lets pip find and fetch the archive of sources of `requirement`, and checks its hash."""
    pinned, *options = requirement.split(" ")
    name, _, version = pinned.partition("==")
    hashes = {option.removeprefix("--hash=sha256:") for option in options}
    try:
        from pip._internal.commands import create_command

        command: Any = create_command("download")
        parsed, _ = command.parse_args(["--disable-pip-version-check", "--no-input", "-qq", "--no-binary", name])
        with command.main_context():
            session = command.get_default_session(parsed)
            finder = command._build_package_finder(options=parsed, session=session)
            links = [c.link for c in finder.find_all_candidates(name) if str(c.version) == version and not c.link.is_wheel]
            for link in links:
                response = session.get(link.url_without_fragment, headers={"Accept-Encoding": "identity"})
                response.raise_for_status()
                if hashlib.sha256(response.content).hexdigest() in hashes:
                    archive = folder / str(link.filename)
                    archive.write_bytes(response.content)
                    return archive
    except Exception as error:
        sys.exit(f"{pinned}: pip could not download its archive of sources: {type(error).__name__}: {error}")
    sys.exit(f"{pinned}: {len(links)} archives of sources found, none with a hash that requirements.lock names")


def unpack_sdist(archive: pathlib.Path, subfolder: str, root: pathlib.Path) -> None:
    """Extracts the files of NAME-VERSION/`subfolder` and the archive's metadata; nothing in it is run."""
    name, _, version = archive.name.removesuffix(".tar.gz").rpartition("-")
    metadata = pathlib.PurePosixPath(f"{name.replace('-', '_')}-{version}.dist-info", "METADATA")
    with tarfile.open(archive, "r:gz") as sources:
        for member in sources:
            parts = pathlib.PurePosixPath(member.name).parts
            source = sources.extractfile(member) if member.isfile() else None
            if source is None or ".." in parts:
                continue
            if parts[1:] == ("PKG-INFO",):
                path = root.joinpath("site-packages", metadata)
            elif len(parts) > 2 and parts[1] == subfolder and not parts[2].endswith(".egg-info"):
                path = root.joinpath("site-packages", *parts[2:])
            else:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)


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
    requirement, sdist = sys.argv[1], "".join(sys.argv[2:3])
    root = pathlib.Path.cwd()
    folder = root / "download"
    folder.mkdir()
    (root / "site-packages").mkdir()
    if sdist:
        unpack_sdist(download_sdist(requirement, folder), sdist, root)
        if not any((root / "site-packages").glob("*.py")) and not any((root / "site-packages").glob("*/__init__.py")):
            sys.exit(f"{requirement.split(' ')[0]}: its archive holds no Python package in {sdist}/")
        version = requirement.split(" ")[0].partition("==")[2]
    else:
        wheel = download(requirement, folder)
        unpack(wheel, root)
        version = wheel.name.split("-")[1]
    shutil.rmtree(folder)
    # Tests see these files read-only: without compiled files every process would compile torch again. The files never change
    # after this, hence no check of the source at import. Without the folder's name in them they are the same in every checkout (the import
    # puts the name in). What newer Pythons say of the sources of others helps nobody here.
    warnings.simplefilter("ignore")
    compileall.compile_dir(
        root / "site-packages", stripdir=str(root), quiet=2, workers=1, maxlevels=50,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    print(version, end="")


if __name__ == "__main__":
    os.umask(0o022)
    main()
