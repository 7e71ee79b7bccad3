"""Everything that this workspace takes from the machine is there."""

import os
import pathlib


def test_nothing_is_missing() -> None:
    runfiles = pathlib.Path(os.environ["TEST_SRCDIR"])
    files = sorted(runfiles.glob("*coreml_delegate_*/missing.txt"))
    assert len(files) == 8, files
    assert [text for file in files if (text := file.read_text(encoding="utf-8").strip())] == []
