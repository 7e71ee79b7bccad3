"""The image of remote workers has the packages of tools/apt-packages.txt: what Debian 12 has of each line, once."""

import pathlib

from tools.remote_execution import dockerfile

LIST = pathlib.Path("tools/apt-packages.txt").read_text(encoding="utf-8")


def test_of_alternatives_the_first_is_taken_and_comments_are_not() -> None:
    text = (
        "# a: comment\nclang-16 or clang: clang-16 clang\n\nlibfoo-dev: /usr/include/foo.h  # why\nlibfoo-dev: /usr/include/bar.h\n"
    )
    assert dockerfile.packages(text) == ["clang-16", "libfoo-dev"]


def test_the_built_file_installs_every_line_of_the_list() -> None:
    built = pathlib.Path("tools/remote_execution/Dockerfile").read_text(encoding="utf-8")
    words = built.replace("\\\n", " ").split()
    lines = [line for line in LIST.splitlines() if ":" in line and not line.startswith("#")]
    for line in lines:
        assert line.partition(":")[0].split()[0] in words, line
    assert {"clang-16", "python3", "libsqlite3-dev"} <= set(words)
    assert built.startswith("# Written by")
    assert f"\nFROM {dockerfile.BASE}\n" in built
