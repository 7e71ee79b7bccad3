"""Writes apple_libraries.json: names of Apple's libraries, as published programs for macOS take them, and of ExecuTorch's.

    for p in executorch==1.5.1 onnxruntime==1.32.0 pyobjc-core==12.2.2 pyobjc-framework-cocoa==12.2.2; do
      pip download --no-deps --only-binary :all: --platform macosx_14_0_arm64 --platform macosx_10_13_universal2 --python-version 3.12 $p
    done
    python tests/portability/extract_libraries.py *.whl

Apple's linker made the programs in these wheels against the SDK, and wrote beside each name that they take from a system's library which library has it. So
each of these names exists there. SQLite's are all functions of its header (Debian's libsqlite3-dev) but those that Apple leaves out.
"""

from __future__ import annotations

import json
import pathlib
import re
import sys
import zipfile

import object_files

TARGET = pathlib.Path(__file__).parent / "apple_libraries.json"
SQLITE = pathlib.Path("/usr/include/sqlite3.h")
# Those that an app with the delegate links; Foundation has CoreFoundation's.
LIBRARIES = {
    "CoreFoundation": "Foundation",
    "CoreML": "CoreML",
    "Foundation": "Foundation",
    "libc++.1.dylib": "libc++",
    "libobjc.A.dylib": "libobjc",
}


def programs(wheel: pathlib.Path) -> dict[str, bytes]:
    """Every arm64 Mach-O file of a wheel."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                is_program = file.read(4) in (b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
            if is_program and (content := object_files.arm64_part(archive.read(member))):
                found[member.filename] = content
    return found


def main() -> None:
    names: dict[str, set[str]] = {library: set() for library in LIBRARIES.values()}
    executorch: set[str] = set()
    sources = []
    for wheel in sorted(map(pathlib.Path, sys.argv[1:])):
        sources.append(" ".join(["PyPI", *wheel.name.split("-")[:2]]))
        for name, content in programs(wheel).items():
            taken, given = object_files.symbols(content)
            for library, symbol in taken:
                if (known := LIBRARIES.get(library.rpartition("/")[2])) and library.startswith(("/usr/lib/", "/System/")):
                    names[known].add(symbol)
            if name.endswith("/libexecutorch.dylib"):
                executorch = given
    header = SQLITE.read_text(encoding="utf-8")
    functions = re.findall(r"^SQLITE_API [^;(]*?(sqlite3_\w+)\(", header, re.MULTILINE)
    (version,) = re.findall(r'#define SQLITE_VERSION +"([\d.]+)"', header)
    table = {
        "sources": [*sources, f"sqlite3.h {version}"],
        "libraries": {library: sorted(found) for library, found in sorted(names.items())},
        "libsqlite3": sorted({f"_{name}" for name in functions if "load_extension" not in name}),
        "executorch": sorted(executorch),
    }
    TARGET.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{TARGET}: {sum(map(len, names.values()))} names of {len(names)} libraries")


if __name__ == "__main__":
    main()
