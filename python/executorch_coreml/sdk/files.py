"""Files that commands read and write. What is read may come from anybody; what is written appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from executorch_coreml.sdk.errors import ToolError


def check_file(path: Path, what: str = "") -> None:
    """ToolError, which calls the file `what`, for a path that is no regular file: reading a pipe or a device may never end."""
    if path.is_file():
        return
    if not path.exists():
        raise ToolError(f"{what} {path} cannot be read: there is no such file" if what else f"there is no file {path}")
    kind = "a folder" if path.is_dir() else "not a regular file"
    raise ToolError(f"{what} {path} is {kind}: name a file".strip())


def read_array(path: Path, what: str) -> np.ndarray:
    """The array of a .npy. Nothing is unpickled. ToolError, which calls the file `what`, when it cannot be read."""
    check_file(path, what)
    try:
        found = np.load(path, allow_pickle=False)
    except Exception as error:  # What numpy raises for damaged files has no common base.
        raise ToolError(f"{what} {path} cannot be read as a .npy file: {sentence(error)}") from error
    if not isinstance(found, np.ndarray):
        found.close()
        raise ToolError(f"{what} {path} holds several arrays: save one with numpy.save")
    return found


def read_arrays(path: Path, what: str) -> dict[str, np.ndarray]:
    """The arrays of a .npz by name. Nothing is unpickled. ToolError, which calls the file `what`, when it cannot be read or would not fit
    the machine's memory."""
    check_file(path, what)
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if size > memory:
            raise ToolError(
                f"{what} {path} unpacks to {size:,} bytes, more than this machine's memory of {memory:,}: save fewer arrays"
            )
        with np.load(path, allow_pickle=False) as found:
            return {name: found[name] for name in found.files}
    except ToolError:
        raise
    except Exception as error:  # What numpy and zipfile raise for damaged files has no common base.
        raise ToolError(f"{what} {path} is not a .npz file, or is incomplete: {sentence(error)}") from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], what: str) -> None:
    """As numpy.savez, which takes no array that is called "file" and leaves what it has written when the disk is full. Errors as of written()."""
    with written(path, what) as sink, zipfile.ZipFile(sink, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write: Any = np.lib.format.write_array
                write(member, array, allow_pickle=False)


def check_output(path: Path, *read: Path | None) -> None:
    """ToolError when writing `path` would damage a file or a package among `read`."""
    target = path.resolve()
    for source in read:
        if source is None or not source.exists():
            continue
        same = target.samefile(source) if target.exists() else False
        if same or (source.is_dir() and target.is_relative_to(source.resolve())):
            raise ToolError(f"{path} is, or is part of, something that is read: use another name to write to")


@contextlib.contextmanager
def written(path: Path, what: str) -> Iterator[BinaryIO]:
    """A file to write `what` into, which becomes `path` when all of it is written, in place of a file that was there. After an error, or
    Ctrl-C, there is no new file, and a former one is whole. Folders above it are made.

    Raises:
        ToolError: it cannot be written.
    """
    try:
        # A link stays one: what it names is replaced.
        target = path.resolve()
        if target.exists() and not target.is_file() and not target.is_dir():
            # /dev/null, a pipe: there is nothing to replace.
            with target.open("wb") as sink:
                yield sink
            return
        if target.is_dir():
            raise ToolError(f"{what} cannot be written to {path}, which is a folder: name a file")
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = target.with_name(f".{os.getpid()}.coreml-part")
        try:
            with staging.open("wb") as sink:
                yield sink
            staging.replace(target)
        finally:
            staging.unlink(missing_ok=True)
    except OSError as error:
        raise ToolError(f"{what} cannot be written to {path}: {error.strerror or error}") from error


def sentence(error: BaseException) -> str:
    """An error as one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
