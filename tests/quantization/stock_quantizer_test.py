"""The executorch wheel's own test_coreml_quantizer.py, against this workspace's quantizer."""

import inspect
from pathlib import Path

from executorch.backends.apple.coreml.test import test_coreml_quantizer as stock
from executorch.backends.apple.coreml.test.test_coreml_quantizer import TestCoreMLQuantizer

__all__ = ["TestCoreMLQuantizer"]


def test_the_suite_is_the_wheels_and_the_quantizer_is_ours():
    ours = Path(inspect.getfile(stock.CoreMLQuantizer)).resolve()
    assert not any(part == "site-packages" for part in ours.parts)
    assert "site-packages" in Path(inspect.getfile(TestCoreMLQuantizer)).parts
