"""Importing is quiet, and keeps the wheel's own packages visible."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def run(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_import_prints_nothing():
    done = run("import executorch.backends.apple.coreml.partition, executorch.backends.apple.coreml.compiler")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_untested_version_is_one_line():
    done = run(
        """
import importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: "2.4.0" if name == "numpy" else real(name)
import executorch.backends.apple.coreml.partition
"""
    )
    assert done.stdout == ""
    assert done.stderr == "Not in the tested matrix of the Core ML delegate: numpy 2.4.0 (tested: 2.3.5).\n"


def test_filters_are_gone_after_the_import():
    done = run(
        """
import executorch.backends.apple.coreml._dependencies
import logging
logging.getLogger("coremltools").warning("scikit-learn version 9 is not supported")
assert not logging.getLogger("torchao").filters
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "scikit-learn version 9 is not supported\n"


@pytest.mark.parametrize("module", ["executorch.exir", "executorch.backends.xnnpack", "executorch.runtime"])
def test_wheels_packages_stay_visible(module):
    done = run(f"import executorch.backends.apple.coreml.blob, importlib.util as u; assert u.find_spec({module!r})")
    assert done.returncode == 0, done.stderr


def test_log_level_comes_from_the_environment(monkeypatch):
    from executorch.backends.apple.coreml.logging import get_coreml_log_level

    monkeypatch.setenv("ET_COREML_LOG_LEVEL", "debug")
    assert get_coreml_log_level(default_level=30) == 10
    monkeypatch.setenv("ET_COREML_LOG_LEVEL", "loud")
    with pytest.raises(ValueError, match="Invalid ET_COREML_LOG_LEVEL: LOUD"):
        get_coreml_log_level(default_level=30)
    monkeypatch.delenv("ET_COREML_LOG_LEVEL")
    assert get_coreml_log_level(default_level=30) == 30
