"""Lowering twice gives the same bytes: in other processes, with other hash seeds, in other folders, on another day."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest

# Several partitions, states with and without values, named data, dynamic shapes, two methods; prints a hash of each .pte.
PROGRAM = """
import datetime, hashlib, sys, tempfile
tempfile.tempdir = sys.argv[1]
import torch
from aot_lowering import Unary, export, lower
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.coreml_preprocess import MULTIMETHOD_WEIGHT_SHARING_STRATEGY
import coremltools as ct
from torch import nn
from torch.export import Dim

torch.manual_seed(0)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3, padding=1)
        self.linear = nn.Linear(64, 1024)
        self.register_buffer("seen", torch.ones(64))
        self.register_buffer("count", torch.zeros(64))

    def forward(self, x):
        y = self.conv(x).mean((2, 3))
        self.seen.add_(y[0])
        self.count.mul_(0.5)
        z = self.linear(torch.asinh(y * self.seen) + self.count)
        return z, z.clone(), torch.relu(z)

def show(name, edge):
    print(name, hashlib.sha256(edge.to_executorch().buffer).hexdigest())

model, x = Model(), torch.randn(1, 3, 16, 16)
show("cut", lower(model, (x,), minimum_deployment_target=ct.target.iOS18))
show("stock", lower(nn.Linear(64, 1024), (torch.randn(2, 64),), blob_format="inmemoryfs"))
show("dynamic", lower(lambda x: torch.cat([x, x]) + 1, (torch.randn(4, 3),), dynamic=({0: Dim("n", max=16)},)))
linear = nn.Linear(256, 512)
methods = {name: export(linear, (torch.randn(n, 256),)) for name, n in (("a", 1), ("b", 8))}
show("methods", lower(methods))
specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
specs.append(
    CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL)
)
show("positional", lower(methods, specs=specs))
"""


def run(seed: str, folder: str, threads: str) -> list[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONHASHSEED": seed,
        "OMP_NUM_THREADS": threads,
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM, folder], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines()


def test_two_processes_give_the_same_bytes(tmp_path):
    results = []
    for index, (seed, threads) in enumerate((("1", "1"), ("4711", "2"))):
        folder = tmp_path / f"{'deeper/' * index}folder{index}"
        folder.mkdir(parents=True)
        results.append(run(seed, str(folder), threads))
        # torch keeps a folder of its own there.
        assert [path.name for path in folder.iterdir() if not path.name.startswith("torch")] == []
    assert [line.split()[0] for line in results[0]] == ["cut", "stock", "dynamic", "methods", "positional"]
    assert results[0] == results[1]


def test_hash_is_of_the_bytes():
    """The comparison above is worth something: other bytes have another hash."""
    assert hashlib.sha256(b"a").hexdigest() != hashlib.sha256(b"b").hexdigest()
    with pytest.raises(AssertionError):
        run("not a seed", "/nonexistent", "1")
