"""A plain script that lowers a model and runs it prints nothing: whatever it would print, nobody could do anything about it."""

from __future__ import annotations

import re
import subprocess
import sys

SCRIPT = """
import torch
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.exir import to_edge_transform_and_lower

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 4)

    def forward(self, x, i):
        # A number beyond float16, and operations of ExecuTorch's own on several threads.
        return self.layer(x).masked_fill(i > 1, torch.finfo(torch.float32).min).softmax(-1) * 1e-30, (i + 1) > 2

inputs = torch.randn(2, 3), torch.ones(2, 1, dtype=torch.int64)
partitioner = CoreMLPartitioner(skip_ops_for_coreml_delegation=["aten.linear.default", "aten.addmm.default"])
program = to_edge_transform_and_lower(torch.export.export(Model().eval(), inputs), partitioner=[partitioner])

import executorch.backends.apple.coreml.runtime
from executorch.runtime import Runtime

method = Runtime.get().load_program(program.to_executorch().buffer).load_method("forward")
assert len(method.execute(inputs)) == 2
assert any("executorch_call_delegate" in str(node.target) for node in program.exported_program().graph.nodes)
"""


def test_lowering_and_running_print_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


OTHERS = """
import os, threading
import executorch.backends.apple.coreml.runtime
from executorch.backends.apple.coreml.runtime import _quiet_threadpool

stop = threading.Event()
def write():
    for index in range(2000):
        os.write(2, b"line %d\\n" % index)
writer = threading.Thread(target=write)
writer.start()
_quiet_threadpool.start()
writer.join()
"""


def test_executorch_still_writes_when_its_pool_of_threads_starts() -> None:
    """Which _quiet_threadpool is for (tools/workarounds.toml)."""
    script = "from executorch.extension.pybindings import portable_lib; portable_lib._threadpool_get_thread_count()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "[cpuinfo_utils.cpp:" in done.stderr


def test_what_others_write_meanwhile_is_not_lost() -> None:
    done = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True, check=True)
    assert sorted(done.stderr.splitlines()) == sorted(f"line {index}" for index in range(2000))


def test_torchao_still_writes_when_it_is_imported() -> None:
    """Which _quiet_imports is for (tools/workarounds.toml)."""
    done = subprocess.run([sys.executable, "-c", "import torchao.quantization"], capture_output=True, text=True, check=True)
    assert re.search(r"Failed to load \S+\.so: |Skipping import of cpp extensions|is an Enum subclass", done.stderr)
