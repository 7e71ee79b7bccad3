"""The models that end-to-end tests and benchmarks lower: a table of names, and how to build each.

    entry = model_zoo.MODELS["resnet18"]
    module, inputs = entry.build()

A build is deterministic: the weights are random with a fixed seed, except where they are said to be real. Modules are in eval mode.
Stateful modules keep their state in buffers, so compare with a fresh build.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import torch
import zoo_recurrent
import zoo_text
import zoo_vision

Built = tuple[torch.nn.Module, tuple[torch.Tensor, ...]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One model.

    name: as in `MODELS`.
    builder: returns the module and example inputs.
    deployment_target: the lowest Core ML target it lowers to, as a name in `coremltools.target`; None for the default.
    stateful: the module changes buffers, which become Core ML states.
    """

    name: str
    builder: Callable[[], Built]
    deployment_target: str | None = None
    stateful: bool = False

    def build(self) -> Built:
        """Returns the module in eval mode and its example inputs; leaves torch's global random state as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module, inputs = self.builder()
        return module.eval(), inputs


def _table(*entries: Entry) -> Mapping[str, Entry]:
    return {entry.name: entry for entry in entries}


MODELS: Mapping[str, Entry] = _table(
    Entry(name="sin", builder=zoo_vision.sin),
    Entry(name="conv_relu", builder=zoo_vision.conv_relu),
    Entry(name="resnet18", builder=zoo_vision.resnet18),
    Entry(name="mobilenet_v2", builder=zoo_vision.mobilenet_v2),
    Entry(name="mobilenet_v3", builder=zoo_vision.mobilenet_v3),
    Entry(name="unet", builder=zoo_vision.unet),
    Entry(name="bert_base", builder=zoo_text.bert_base),
    Entry(name="minilm", builder=zoo_text.minilm),
    Entry(name="llama_prefill", builder=zoo_text.llama_prefill, deployment_target="iOS18", stateful=True),
    Entry(name="llama_decode", builder=zoo_text.llama_decode, deployment_target="iOS18", stateful=True),
    Entry(name="lstm", builder=zoo_recurrent.lstm),
)
