"""Lowers one model once and prints what it took, as JSON: seconds, megabytes added at the peak, megabytes of the .pte.

    python lower_once.py MODEL

Whose Core ML backend it is decides sys.path; lowering_benchmark.py runs it with this project's and with the executorch wheel's. It imports
nothing of this project by name.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import tempfile
import time
import types
from pathlib import Path

import torch
from torch import nn

sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))


def mobilenet_v2() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    import torchvision

    return torchvision.models.mobilenet_v2(weights=None), (torch.randn(1, 3, 224, 224),)


def bert_base() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    from transformers import BertConfig, BertModel

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(BertConfig(attn_implementation="sdpa"))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.bert(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state

    return Encoder(), (torch.randint(0, 30000, (1, 128)),)


def lstm() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(64, 128, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0]

    return Recurrent(), (torch.randn(1, 50, 64),)


def mlp() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    layers = [layer for _ in range(12) for layer in (nn.Linear(4096, 4096), nn.ReLU())]
    return nn.Sequential(*layers), (torch.randn(1, 4096),)


MODELS = {"mobilenet_v2": mobilenet_v2, "bert_base": bert_base, "lstm_50_steps": lstm, "mlp_200m": mlp}


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(name: str) -> None:
    logging.disable(logging.ERROR)
    torch.manual_seed(0)
    from executorch.backends.apple.coreml import compiler
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with torch.no_grad():
        module, inputs = MODELS[name]()
        program = torch.export.export(module.eval(), inputs)
        before, start = peak_megabytes(), time.monotonic()
        edge = to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner()])
        executorch_program = edge.to_executorch()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pte"
            with path.open("wb") as file:
                executorch_program.write_to_file(file)
            seconds, size = time.monotonic() - start, path.stat().st_size / 2**20
    left = [n for n in edge.exported_program().graph.nodes if n.op == "call_function" and "delegate" not in str(n.target)]
    result = {
        "seconds": seconds,
        "added_mb": peak_megabytes() - before,
        "pte_mb": size,
        "left": sum("getitem" not in str(n.target) for n in left),
        "backend": str(Path(compiler.__file__).parent),
    }
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
