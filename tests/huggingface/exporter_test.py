"""Core ML in transformers' own exporters: small models of random weights, exported, saved, loaded again and run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from executorch_coreml.huggingface import FORMAT, CoreMLConfig, CoreMLExporter
from transformers.exporters import AutoHfExporter, ExecutorchConfig, ExecutorchExporter, ExportedModel

SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 50}


def ids(length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 50, (1, length), generator=torch.Generator().manual_seed(seed))


def encoder() -> transformers.PreTrainedModel:
    return transformers.BertModel(transformers.BertConfig(**SIZES))


def decoder() -> transformers.PreTrainedModel:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, num_key_value_heads=1))


def encoder_decoder() -> transformers.PreTrainedModel:
    """Its caches start from tensors without elements: a .pte whose constants are all empty cannot be loaded from a file."""
    return transformers.T5Model(transformers.T5Config(d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2, vocab_size=50))


def experts() -> transformers.PreTrainedModel:
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(**SIZES, num_key_value_heads=1, num_local_experts=4, num_experts_per_tok=2)
    )


MODELS: dict[str, tuple[Callable[[], Any], dict[str, torch.Tensor]]] = {
    "encoder": (encoder, {"input_ids": ids(9), "attention_mask": torch.ones(1, 9, dtype=torch.int64)}),
    "decoder": (decoder, {"input_ids": ids(9)}),
    "encoder and decoder": (encoder_decoder, {"input_ids": ids(9), "decoder_input_ids": ids(5)}),
    "experts": (experts, {"input_ids": ids(9)}),
}


def model_of(make: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    return make().eval()


def difference(actual: Any, expected: Any) -> float:
    key = "logits" if "logits" in expected else "last_hidden_state"
    return float((actual[key].double() - expected[key].double()).norm() / expected[key].double().norm())


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_export_computes_what_the_model_does(name: str, tmp_path: pathlib.Path) -> None:
    make, inputs = MODELS[name]
    model = model_of(make)
    expected = model(**inputs)
    config = CoreMLConfig(lower_full_graph=True)
    exported = AutoHfExporter.from_config(config).export(model, dict(inputs), config)
    assert isinstance(AutoHfExporter.from_config(config), CoreMLExporter)
    exported.save_pretrained(tmp_path)
    again = ExportedModel.from_pretrained(tmp_path)
    assert again.export_format == FORMAT
    assert difference(again(**inputs), expected) < 3e-3


def test_extents_may_be_flexible() -> None:
    make, inputs = MODELS["encoder"]
    model = model_of(make)
    config = CoreMLConfig(dynamic=True, compute_precision="float32")
    exported = CoreMLExporter().export(model, dict(inputs), config)
    for length in (9, 14):
        given = {"input_ids": ids(length, 1), "attention_mask": torch.ones(1, length, dtype=torch.int64)}
        assert difference(exported(**given), model(**given)) < 1e-5


def test_the_executorch_exporter_knows_the_backend() -> None:
    make, inputs = MODELS["encoder"]
    model = model_of(make)
    exported = ExecutorchExporter().export(model, dict(inputs), ExecutorchConfig(backend="coreml"))
    assert difference(exported(**inputs), model(**inputs)) < 3e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimum_deployment_target": "iOS99"}, "minimum_deployment_target of CoreMLConfig is 'iOS99'; use one of iOS13"),
        ({"compute_precision": "int8"}, "compute_precision of CoreMLConfig is 'int8'; use one of float16, float32"),
    ],
)
def test_options_that_do_not_exist_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoreMLConfig(**options).partitioner()
