"""Writes the wheel: executorch_coreml-VERSION-py3-none-PLATFORM.whl.

    build_wheel --out=FOLDER/NAME.whl --manifest=FILE --strip=PROGRAM

The manifest has one line `DESTINATION<tab>SOURCE` per file of the wheel. The same files give the same bytes: entries are sorted, and have neither
time stamps nor the permissions of whoever built them.

Libraries and programs (below executorch_coreml/lib) are checked and changed on the way: they may need symbols of glibc 2.35 at most, as the
wheel's name promises, and nothing but libraries of the wheel itself, of SYSTEM and of BESIDE; and they look for OpenVINO's and ExecuTorch's libraries where pip puts those
packages.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Collection, Iterable

from dist import elf

LIB = "executorch_coreml/lib/"
# From site-packages/executorch_coreml/lib.
RUNPATH = "$ORIGIN:$ORIGIN/../../openvino/libs:$ORIGIN/../../executorch/lib"
# Every Linux has these, in a version that the symbols' versions say.
SYSTEM = ["libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "libpthread.so.0", "libdl.so.2"]
# The packages that the wheel requires bring these.
BESIDE = [r"libopenvino[\w.]*", r"libtbb[\w.]*", r"libhwloc\.so\.15", r"libexecutorch\w*\.so"]
# The newest versions of manylinux_2_35 (Ubuntu 22.04).
NEWEST = {"GLIBC": (2, 35), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13), "GCC": (12,)}
MOST_BYTES = 15_000_000
PROGRAMS = ("coreml-cache", "coreml_compile_helper", "coreml_runner")


def check_library(name: str, content: bytes, inside: Collection[str] = ()) -> None:
    """`inside`: the libraries of the wheel.

    Ends the program where a library would not load on a machine that the wheel's name promises."""
    library = elf.Elf(content)
    for needed in library.needed():
        if needed not in SYSTEM and needed not in inside and not any(re.fullmatch(pattern, needed) for pattern in BESIDE):
            sys.exit(f"{name} needs {needed}, which neither every Linux nor a package that the wheel requires has")
    for version in library.needed_versions():
        family, _, number = version.partition("_")
        limit = NEWEST.get(family)
        if limit is None or not re.fullmatch(r"[\d.]+", number):
            continue
        if tuple(map(int, number.split("."))) > limit:
            sys.exit(f"{name} needs {version}, newer than {family}_{'.'.join(map(str, limit))}, which manylinux_2_35 ends with")


def digest(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def record(files: dict[str, bytes], where: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for name, content in sorted(files.items()):
        writer.writerow([name, digest(content), len(content)])
    writer.writerow([where, "", ""])
    return text.getvalue().encode()


def wheel_bytes(files: dict[str, bytes]) -> bytes:
    """A zip archive of the files, the same for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        # The metadata last, as the wheel format recommends.
        for name in sorted(files, key=lambda n: (".dist-info/" in n, n)):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            mode = 0o755 if name.startswith(LIB) else 0o644
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def stripped(content: bytes, strip: str) -> bytes:
    """Without the symbols that only a debugger reads."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "file")
        path.write_bytes(content)
        subprocess.run([strip, "--strip-all", str(path)], check=True)
        return path.read_bytes()


def read(lines: Iterable[str], strip: str, for_this_machine: bool) -> dict[str, bytes]:
    files = {}
    for line in lines:
        destination, _, source = line.rstrip("\n").partition("\t")
        files[destination] = pathlib.Path(source).read_bytes()
    libraries = [name for name in files if name.startswith(LIB)]
    inside = [name.removeprefix(LIB) for name in libraries]
    for name in libraries:
        if not for_this_machine:
            check_library(name, files[name], inside)
        files[name] = elf.with_runpath(stripped(files[name], strip), RUNPATH)
    return files


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--manifest", type=pathlib.Path, required=True)
    parser.add_argument("--strip", required=True, help="the program of that name")
    parser.add_argument(
        "--for-this-machine", action="store_true", help="for tests: the libraries may need what only this machine has"
    )
    arguments = parser.parse_args()
    with open(arguments.manifest, encoding="utf-8") as lines:
        files = read(lines, arguments.strip, arguments.for_this_machine)
    name, version, *_ = arguments.out.name.split("-")
    info = f"{name}-{version}.dist-info/RECORD"
    files[info] = record(files, info)
    content = wheel_bytes(files)
    if len(content) > MOST_BYTES and not arguments.for_this_machine:
        sys.exit(f"the wheel has {len(content)} bytes, more than {MOST_BYTES}")
    arguments.out.write_bytes(content)
    print(f"{arguments.out.name}: {len(content) / 1e6:.2f} MB, {len(files)} files")


if __name__ == "__main__":
    main()
