"""ExecuTorch's XNNPACK backend as a peer: a checkpoint lowered by ExecuTorch's own `export_llm`, with its attention and its caches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from examples import checkpoint

# export_llm's weights for this project's quantizations: float32; 8 and 4 bits with activations rounded to 8 bits in each call.
MODES = {"fp16": [], "8w": ["quantization.qmode=int8"], "b4w": ["quantization.qmode=8da4w", "quantization.group_size=32"]}


def lower(model: checkpoint.Checkpoint, quantization: str, context: int, path: Path) -> None:
    """Writes the .pte, with what ExecuTorch recommends for its XNNPACK backend.

    Raises:
        RuntimeError: if the exporter fails, with the end of what it printed.
    """
    folder = path.parent
    torch.save({name: value.clone() for name, value in model.weights.items()}, folder / "checkpoint.pth")
    (folder / "params.json").write_text(json.dumps(model.parameters), encoding="utf-8")
    arguments = [
        f"base.checkpoint={folder / 'checkpoint.pth'}",
        f"base.params={folder / 'params.json'}",
        "model.use_kv_cache=True",
        "model.use_sdpa_with_kv_cache=True",
        "model.dtype_override=fp32",
        "backend.xnnpack.enabled=True",
        "backend.xnnpack.extended_ops=True",
        f"export.max_seq_length={context}",
        f"export.max_context_length={context}",
        f"export.output_name={path.name}",
        f"export.output_dir={folder}",
        f"hydra.run.dir={folder}",
        "hydra.output_subdir=null",
        *MODES[quantization],
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "executorch.extension.llm.export.export_llm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)
    (folder / "checkpoint.pth").unlink()
    if done.returncode != 0 or not path.exists():
        raise RuntimeError(f"export_llm made no {path}: {' / '.join(done.stderr.strip().splitlines()[-3:])}")


class Xnnpack:
    """The loaded program. Its threads are those of ExecuTorch's pool in this process."""

    def __init__(self, path: Path) -> None:
        from executorch.extension.pybindings import portable_lib

        load = portable_lib._load_for_executorch
        # These register their kernels with the library above, which must be there before.
        from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401
        from executorch.kernels import quantized  # noqa: F401

        self._module = load(str(path))

    def step(self, size: int, position: int) -> torch.Tensor:
        """The logits behind `size` tokens, which are written behind `position`."""
        logits: torch.Tensor = self._module.forward((torch.full((1, size), 7), torch.tensor([position])))[0]
        return logits
