"""No file of the checkout names a place of one machine: a home folder, a scratch folder, a local package index."""

import re

from tools import source_tree

# Written in pieces, so that this file does not match itself.
PLACES = [
    "/wo" + "rk/",
    "/tmp" + "/w/",
    "/opt/wh" + "eels",
    "/opt/py" + "pi",
    "/ro" + "ot/",
    r"/ho" + r"me/\w+",
    r"/Us" + r"ers/\w+",
]
PATTERN = re.compile(("|".join(rf"(?<![\w.$}}]){place}" for place in PLACES)).encode())

# Binary files may hold any bytes.
BINARY = (".bin", ".blob", ".gif", ".jpg", ".mlmodel", ".mlpackage", ".npy", ".npz", ".pdf", ".png", ".pte", ".pyc", ".zip")


def test_no_file_names_a_place_of_one_machine() -> None:
    found = []
    for path in source_tree.files(source_tree.root()):
        if path.suffix in BINARY or path.is_symlink() or path.name == "user.bazelrc":
            continue
        for number, line in enumerate(path.read_bytes().splitlines(), start=1):
            if match := PATTERN.search(line):
                found.append(f"{path.relative_to(source_tree.root())}:{number}: {match[0].decode()}")
    assert found == []


def test_the_pattern() -> None:
    assert PATTERN.search(("see /wo" + "rk/main").encode())
    assert PATTERN.search(("cd /ho" + "me/me").encode())
    assert not PATTERN.search(("tests/wo" + "rk/main and network/mains").encode())
