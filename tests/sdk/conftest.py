"""What the tests of commands share."""

from __future__ import annotations

import pytest
from executorch.backends.apple.coreml.sdk import command_line


@pytest.fixture
def coreml(capsys: pytest.CaptureFixture[str]):
    """Runs a command: (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = command_line.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run
