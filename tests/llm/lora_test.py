"""LoRA with ExecuTorch's own layers: several adapters over one base in one program, and adapters that are inputs."""

from __future__ import annotations

import coremltools as ct
import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.coreml_preprocess import MULTIMETHOD_WEIGHT_SHARING_STRATEGY
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.examples.models.llama.feed_forward import LoRAFeedForward
from executorch.examples.models.llama.llama_transformer import construct_transformer
from executorch.examples.models.llama.lora import LoRALinear
from executorch.examples.models.llama.model_args import ModelArgs
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime
from torch import nn

DIM, HIDDEN, VOCABULARY, TOKENS = 256, 512, 300, 16
ADAPTED = ["q_proj", "v_proj", "down_proj"]
RANKS = {"poet": 8, "clerk": 16}

# Weights are rounded to float16; the l2-relative difference of MiniLM, a model of the same kind, is half of it.
TOLERANCE = 2e-3


def arguments(rank: int | None) -> ModelArgs:
    lora = {} if rank is None else {"r": rank, "lora_alpha": 2 * rank, "target_modules": ADAPTED}
    return ModelArgs(
        dim=DIM, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=HIDDEN, vocab_size=VOCABULARY, max_seq_len=TOKENS,
        max_context_len=TOKENS, generate_full_logits=True, **lora,
    )  # fmt: skip


@pytest.fixture(scope="module")
def methods() -> dict[str, nn.Module]:
    """The model without an adapter, and with each; the base's weights are the same tensors in all of them."""
    torch.manual_seed(0)
    base = construct_transformer(arguments(None)).eval()
    made = {"base": base}
    for name, rank in RANKS.items():
        made[name] = construct_transformer(arguments(rank)).eval()
        missing, unexpected = made[name].load_state_dict(base.state_dict(), strict=False, assign=True)
        assert not unexpected
        assert all(".lora_" in name for name in missing)
        for layer in made[name].modules():
            if isinstance(layer, LoRALinear):
                nn.init.normal_(layer.lora_b.weight, std=0.1)
    return made


def adapter_bytes(module: nn.Module) -> int:
    return sum(2 * weight.numel() for name, weight in module.named_parameters() if ".lora_" in name)


def lowered(modules: dict[str, nn.Module], ids: torch.Tensor) -> bytes:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    positional = MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL
    specs.append(CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(positional))
    programs = {name: torch.export.export(module, (ids,)) for name, module in modules.items()}
    edge = to_edge_transform_and_lower(programs, partitioner=[CoreMLPartitioner(compile_specs=specs, lower_full_graph=True)])
    return bytes(edge.to_executorch().buffer)


def test_adapters_are_methods_over_one_base(methods: dict[str, nn.Module]) -> None:
    ids = torch.randint(0, VOCABULARY, (1, TOKENS), generator=torch.Generator().manual_seed(1))
    program = lowered(methods, ids)

    loaded = Runtime.get().load_program(program)
    results = {}
    for name, module in methods.items():
        (actual,) = loaded.load_method(name).execute((ids,))
        expected = module(ids)
        assert (actual - expected).norm() <= TOLERANCE * expected.norm(), name
        results[name] = actual
    # An adapter that were left out, or taken for another, would be inside of no such tolerance.
    for one, other in (("base", "poet"), ("base", "clerk"), ("poet", "clerk")):
        assert (results[one] - results[other]).norm() > 50 * TOLERANCE * results[one].norm()

    # What two methods more cost: their adapters, and some 44 kB each for their operations.
    alone = lowered({"base": methods["base"]}, ids)
    added = len(program) - len(alone) - sum(adapter_bytes(methods[name]) for name in RANKS)
    assert 0 < added < 100_000
    assert len(alone) > 2_000_000


class Fed(nn.Module):
    """ExecuTorch's feed-forward layer, whose adapters come with each call."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        given = arguments(rank)
        given.target_modules = ["gate_proj", "up_proj", "down_proj"]
        self.layer = LoRAFeedForward(DIM, HIDDEN, given)
        for key in ("w1", "w2", "w3"):
            getattr(self.layer, key)._lora_key = key

    def forward(self, x: torch.Tensor, adapters: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        return self.layer(x, lora_blob=adapters)


def test_adapters_are_inputs() -> None:
    torch.manual_seed(0)
    rank = 4
    module = Fed(rank).eval()

    def adapter(seed: int) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        generator = torch.Generator().manual_seed(seed)
        extents = {"w1": (DIM, HIDDEN), "w2": (HIDDEN, DIM), "w3": (DIM, HIDDEN)}
        return {
            key: (torch.randn(rank, into, generator=generator) / 16, torch.randn(out, rank, generator=generator) / 4)
            for key, (into, out) in extents.items()
        }

    x = torch.randn(1, TOKENS, DIM)
    edge = to_edge_transform_and_lower(
        torch.export.export(module, (x, adapter(0))), partitioner=[CoreMLPartitioner(lower_full_graph=True)]
    )
    loaded = Runtime.get().load_program(bytes(edge.to_executorch().buffer))
    method = loaded.load_method("forward")
    for seed in (1, 2):
        given = adapter(seed)
        (actual,) = method.execute((x, *(part for pair in given.values() for part in pair)))
        expected = module(x, given)
        assert (actual - expected).norm() <= TOLERANCE * expected.norm()
        assert (expected - module(x, adapter(0))).norm() > 50 * TOLERANCE * expected.norm()
