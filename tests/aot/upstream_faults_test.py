"""Faults of ExecuTorch and coremltools that are worked around, in these alone. A test that fails says that the fault is gone, and that its row of
tools/workarounds.toml and the code named there may go, too."""

from __future__ import annotations

import copy
import gc
import pathlib
import tracemalloc
from typing import Any

import coremltools as ct
import numpy as np
from coremltools.converters.mil.backend.mil import load as backend
from coremltools.converters.mil.mil import Builder as mb
from executorch.backends.apple.coreml.compiler import coremltools_driver
from executorch.exir._serialize._cord import FileBackedData


def test_a_copy_of_file_backed_data_is_left_without_its_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"weights")
    data = FileBackedData(str(path), cleanup=True)
    copied = copy.copy(data)
    assert copied.to_bytes() == b"weights"
    del data
    gc.collect()
    assert not path.exists()


def test_coremltools_copies_each_float16_weight_twice(tmp_path: pathlib.Path) -> None:
    weight = np.ones((2048, 1024), np.float16)

    @mb.program(input_specs=[mb.TensorSpec(shape=(1, 1024))], opset_version=ct.target.iOS17)
    def program(x: Any) -> Any:
        return mb.linear(x=mb.cast(x=x, dtype="fp16"), weight=weight)

    def peak(exporter: type, folder: str) -> int:
        (tmp_path / folder).mkdir()
        tracemalloc.start()
        try:
            exporter(program, str(tmp_path / folder), ct.target.iOS17).export()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(backend.MILProtoExporter, "theirs") > 1.5 * weight.nbytes
    assert peak(coremltools_driver._Exporter, "ours") < 0.5 * weight.nbytes
