"""Writes the Dockerfile of an image in which this workspace's actions run.

    dockerfile.py APT-PACKAGES.TXT

The packages are those that tools/bazel installs on a bare Debian 12: compilers, libraries and the Python that toolchains name by their paths in /usr.
"""

from __future__ import annotations

import pathlib
import sys

BASE = "debian:12-slim"


def packages(text: str) -> list[str]:
    """The first alternative of each line, which is Debian 12's, sorted."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return sorted({line.partition(":")[0].split(" or ")[0].strip() for line in lines if ":" in line})


def dockerfile(text: str) -> str:
    """The file for what apt-packages.txt says."""
    names = " \\\n      ".join(packages(text))
    return f"""\
# Written by //tools/remote_execution:dockerfile from tools/apt-packages.txt.
FROM {BASE}
RUN apt-get update \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
      {names} \\
 && rm -rf /var/lib/apt/lists/*
"""


if __name__ == "__main__":
    print(dockerfile(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
