"""Threads that lower do not disturb each other, nor others: temporary files, Python's warnings, coremltools, NumPy are as they were.

torch.export and exir's own passes are not made for threads: the programs are in the edge dialect before the threads start. By default two
rounds of eight threads; with COREML_DELEGATE_FULL_TESTS=1 a hundred.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
import threading
import warnings
from collections.abc import Callable
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from aot_lowering import call, export, lower
from coremltools.converters.mil.backend.mil import helper
from coremltools.converters.mil.frontend.torch import ops as torch_ops
from coremltools.converters.mil.frontend.torch.ops import _TORCH_OPS_REGISTRY
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil.passes import pass_pipeline
from coremltools.converters.mil.mil.passes.defs.quantization import FP16ComputePrecision
from coremltools.optimize.coreml import _quantization_passes
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge

THREADS = 8
ROUNDS = 100 if os.environ.get("COREML_DELEGATE_FULL_TESTS") else 2


class Corrected(torch.nn.Module):
    """Ops of every kind: coremltools' converters, corrected ones, one that stays outside, a constant."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.rsqrt(self.linear(x).abs() + 1).reciprocal() + torch.atan2(x, x.abs())
        return torch.softmax(torch.where(y > 0, y, 0.5 * x), -1)


class Deep(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(12)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


# Not k-means: scikit-learn's checks change Python's warnings.
PALETTES = {"mode": "uniform", "nbits": 4}


def lower_deep() -> None:
    options: dict[str, Any] = {"minimum_deployment_target": ct.target.iOS18, "op_palettizer_config": PALETTES}
    assert call(lower(Deep(), (torch.randn(2, 64),), **options)).mil_ops.count("linear") == 12


def compile_deep() -> Callable[[], Any]:
    """Only what the delegate does: torch's export and exir's passes change Python's warnings themselves."""
    program = to_edge(export(Deep(), (torch.randn(2, 64),))).exported_program()
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18, op_palettizer_config=PALETTES)
    return lambda: CoreMLBackend.preprocess(CoreMLBackend.copy_exported_program_for_preprocess(program, specs), specs)


def watched(look: Callable[[], Any], work: Callable[[], Any] = lower_deep) -> list[Any]:
    """What `look` gives in this thread, again and again, while another works."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    lowering = threading.Thread(target=run)
    lowering.start()
    seen = []
    while lowering.is_alive():
        seen.append(look())
        lowering.join(0.002)
    if failures:
        raise failures[0]
    assert len(seen) > 20
    return seen


def test_temporary_folders_of_other_threads_stay(tmp_path: pathlib.Path) -> None:
    """A conversion that points tempfile at a folder of its own removes what others made meanwhile."""
    before = tempfile.tempdir
    made = watched(lambda: (pathlib.Path(tempfile.mkdtemp(prefix="other_thread_")), tempfile.tempdir))
    try:
        assert all(folder.is_dir() for folder, _ in made)
        assert {folder.parent for folder, _ in made} == {pathlib.Path(tempfile.gettempdir())}
        assert {directory for _, directory in made} == {before}
    finally:
        for folder, _ in made:
            folder.rmdir()


def _what_others_share() -> tuple[Any, ...]:
    return (
        list(warnings.filters),
        warnings.showwarning,
        FP16ComputePrecision.fp16_overflow,
        FP16ComputePrecision._check_underflow_to_zero,
        helper._get_offset_by_writing_data,
        [pass_pipeline.tqdm, torch_ops._tqdm, _quantization_passes.tqdm],
        dict(_TORCH_OPS_REGISTRY.name_to_func_mapping),
        ct.PassPipeline.DEFAULT.passes,
        np.geterr(),
    )


def test_nothing_is_replaced_for_other_threads() -> None:
    compile_deep()()  # Imports of its own.
    work = compile_deep()
    before = _what_others_share()
    for seen in watched(_what_others_share, work):
        for index, (now, was) in enumerate(zip(seen, before)):
            assert now == was, f"number {index}"


def test_coremltools_own_conversions_still_show_their_bars(capsys: Any) -> None:
    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 2))])
    def program(x):
        return mb.relu(x=x)

    lower_deep()
    capsys.readouterr()
    ct.convert(program, convert_to="milinternal")
    assert "Running MIL default pipeline" in capsys.readouterr().err


def test_a_conversion_that_fails_leaves_no_folder(tmp_path: pathlib.Path, monkeypatch: Any) -> None:
    from executorch.backends.apple.coreml.compiler import coremltools_driver

    def fails(*arguments: Any, **options: Any) -> None:
        raise ValueError("no such model")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(coremltools_driver, "_write", fails)
    with pytest.raises(ValueError, match="no such model"):
        lower_deep()
    assert list(tmp_path.iterdir()) == []


def test_threads_that_lower_at_once_give_the_bytes_of_one() -> None:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS17)

    def lowered(program: torch.export.ExportedProgram) -> tuple[list[tuple[str, Any]], bytes]:
        tagged = CoreMLPartitioner(compile_specs=specs).partition(program).tagged_exported_program
        tags = [(node.name, node.meta.get("delegation_tag")) for node in tagged.graph.nodes]
        copied = CoreMLBackend.copy_exported_program_for_preprocess(program, specs)
        return tags, bytes(CoreMLBackend.preprocess(copied, specs).processed_bytes)

    def work(program: torch.export.ExportedProgram) -> None:
        barrier.wait()
        try:
            for _ in range(ROUNDS):
                given.append(lowered(program))
        except BaseException as error:
            failures.append(error)

    programs = [to_edge(export(Corrected(), (torch.ones(2, 16),))).exported_program() for _ in range(THREADS)]
    expected = lowered(programs[0])
    assert sum(tag is not None for _, tag in expected[0]) > 8
    barrier = threading.Barrier(THREADS)
    given: list[Any] = []
    failures: list[BaseException] = []
    threads = [threading.Thread(target=work, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(given) == THREADS * ROUNDS
    assert all(one == expected for one in given)
