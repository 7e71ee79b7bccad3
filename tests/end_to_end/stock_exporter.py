"""Writes programs with the stock Core ML exporter of the installed executorch wheel: run as a script in a process of its own, with this
project's packages off sys.path (they would shadow the stock ones).

    python stock_exporter.py FOLDER

writes NAME.pte and NAME.pt (method -> list of (inputs, outputs) in the order of the calls, computed by PyTorch) for each of the cases below.
"""

from __future__ import annotations

import json
import logging
import pathlib
import sys
import warnings

import coremltools as ct
import torch

logging.disable(logging.WARNING)
warnings.simplefilter("ignore")

import executorch.backends.apple.coreml.compiler as compiler  # noqa: E402
from executorch.backends.apple.coreml.compiler import CoreMLBackend  # noqa: E402
from executorch.backends.apple.coreml.partition import CoreMLPartitioner  # noqa: E402
from executorch.exir import to_edge_transform_and_lower  # noqa: E402

assert "site-packages" in compiler.__file__, compiler.__file__


class Sin(torch.nn.Module):
    def forward(self, x):
        return torch.sin(x)


class ConvRelu(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x))


class Embed(torch.nn.Module):
    """int64 in; float, int64 and bool out."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(50, 8)

    def forward(self, ids):
        vectors = self.table(ids)
        return vectors, vectors.sum(-1).argmax(-1), vectors.mean(-1) > 0


class Accumulate(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(2, 4))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


class TwoWays(torch.nn.Module):
    """Two methods over one weight."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 64)

    def forward(self, x):
        return torch.relu(self.linear(x))


class Scaled(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner.linear(x) * 3


def specs(**options):
    return CoreMLBackend.generate_compile_specs(**options)


def lower(modules, compile_specs, *, take_over_mutable_buffer=False, dynamic_shapes=None, skip=None):
    """`modules`: method -> (module, inputs)."""
    exported = {
        method: torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes) for method, (module, inputs) in modules.items()
    }
    partitioner = CoreMLPartitioner(
        compile_specs=compile_specs,
        take_over_mutable_buffer=take_over_mutable_buffer,
        skip_ops_for_coreml_delegation=skip,
    )
    return to_edge_transform_and_lower(
        exported if len(exported) > 1 else exported["forward"],
        partitioner={m: [partitioner] for m in exported} if len(exported) > 1 else [partitioner],
    ).to_executorch()


def calls(module, *all_inputs):
    with torch.no_grad():
        outputs = [module(*inputs) for inputs in all_inputs]
    return [
        (inputs, [o.clone() for o in (output if isinstance(output, tuple) else (output,))])
        for inputs, output in zip(all_inputs, outputs)
    ]


def main(folder: pathlib.Path) -> None:
    torch.manual_seed(0)
    facts = {}

    def write(name, program, expected):
        data = bytes(program.buffer)
        (folder / f"{name}.pte").write_bytes(data)
        torch.save(expected, folder / f"{name}.pt")
        facts[name] = {"shared": b"CMJR" in data, "delegates": data.count(b"CoreMLBackend")}

    x = torch.randn(2, 3)
    write("sin", lower({"forward": (Sin(), (x,))}, None), {"forward": calls(Sin(), (x,))})

    image = torch.randn(1, 3, 16, 16)
    conv = ConvRelu().eval()
    for precision in (ct.precision.FLOAT16, ct.precision.FLOAT32):
        for target in (ct.target.iOS15, ct.target.iOS17, ct.target.iOS18):
            compile_specs = specs(
                compute_precision=precision,
                minimum_deployment_target=target,
                compute_unit=ct.ComputeUnit.CPU_ONLY,
            )
            write(
                f"conv_relu_{precision.value}_{target.name}",
                lower({"forward": (conv, (image,))}, compile_specs),
                {"forward": calls(conv, (image,))},
            )

    ids = torch.tensor([[3, 49, 0, 7]])
    embed = Embed().eval()
    write(
        "embed",
        lower({"forward": (embed, (ids,))}, specs(compute_precision=ct.precision.FLOAT32)),
        {"forward": calls(embed, (ids,))},
    )

    steps = [(torch.full((2, 4), float(i)),) for i in (1, 2, 3)]
    stateful = specs(minimum_deployment_target=ct.target.iOS18)
    program = lower({"forward": (Accumulate(), steps[0])}, stateful, take_over_mutable_buffer=True)
    write("accumulate", program, {"forward": calls(Accumulate(), *steps)})

    two = TwoWays().eval()
    scaled = Scaled(two)
    row, rows = torch.randn(1, 64), torch.randn(5, 64)
    program = lower({"forward": (two, (rows,)), "decode": (scaled, (row,))}, specs(minimum_deployment_target=ct.target.iOS18))
    write("shared_weights", program, {"forward": calls(two, (rows,)), "decode": calls(scaled, (row,))})

    length = torch.export.Dim("length", min=2, max=32)
    sizes = [(torch.randn(n, 64),) for n in (5, 2, 32)]
    program = lower({"forward": (two, sizes[0])}, specs(minimum_deployment_target=ct.target.iOS17), dynamic_shapes=({0: length},))
    write("range", program, {"forward": calls(two, *sizes)})

    # The sine stays outside: two delegate calls and a kernel between them.
    class Mixed(torch.nn.Module):
        def forward(self, x):
            return torch.relu(torch.sin(torch.relu(x * 2)) + 0.1)

    program = lower({"forward": (Mixed(), (x,))}, None, skip=["aten.sin.default"])
    write("mixed", program, {"forward": calls(Mixed(), (x,))})

    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
