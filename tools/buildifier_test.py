"""buildifier finds nothing in the BUILD and .bzl files, and they are formatted.

tools/bazel test //tools:buildifier_test
"""

import pathlib
import subprocess

from tools import source_tree

# Found among the test's files, whatever Bazel's mode calls their folder.
(BUILDIFIER,) = (path for path in pathlib.Path("..").glob("*coreml_delegate_buildifier/buildifier") if path.is_file())


def _files() -> list[str]:
    root = source_tree.root()
    found = source_tree.files(root, "BUILD", "BUILD.bazel", ".bzl", "WORKSPACE", "MODULE.bazel")
    return [str(path.relative_to(root)) for path in found]


def _complaints(*arguments: str, files: list[str]) -> str:
    command = [str(BUILDIFIER.absolute()), "--mode=check", *arguments, *files]
    done = subprocess.run(command, cwd=source_tree.root(), capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_the_files_are_formatted() -> None:
    files = _files()
    assert len(files) > 100
    assert _complaints("--lint=off", files=files) == "", "run: buildifier --mode=fix FILE"


def test_buildifier_finds_nothing() -> None:
    # Files that repositories get as their BUILD file are told by no name that buildifier knows.
    named = [file for file in _files() if not file.endswith("wheel.BUILD.bazel")]
    wheels = [file for file in _files() if file.endswith("wheel.BUILD.bazel")]
    assert _complaints("--lint=warn", files=named) == ""
    assert _complaints("--lint=warn", "--type=build", files=wheels) == ""


def test_what_it_finds_fails(tmp_path: pathlib.Path) -> None:
    """The two checks complain about a file that is wrong."""
    file = tmp_path / "wrong.bzl"
    file.write_text("def f( ):\n    return 1\n")
    assert "reformat" in _complaints("--lint=off", files=[str(file)])
    assert "module-docstring" in _complaints("--lint=warn", files=[str(file)])
