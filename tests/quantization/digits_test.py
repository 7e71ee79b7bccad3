"""Quantization of a trained classifier: quantization-aware training, post-training, and what each costs in accuracy."""

from __future__ import annotations

import copy

import coremltools as ct
import digits
import pytest
import torch
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from quantized_lowering import FLOAT16, lower
from torchao.quantization.pt2e import move_exported_model_to_eval, move_exported_model_to_train
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e


@pytest.fixture(scope="module")
def trained():
    torch.set_num_threads(2)
    return digits.trained()


def config(**options):
    return LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(**options))


def test_quantization_aware_training_keeps_the_accuracy(trained):
    model, training, test = trained
    before = digits.accuracy(model, test)
    assert before > 90
    inputs = (test.images[0],)
    exported = torch.export.export(copy.deepcopy(model).train(), inputs).module()
    prepared = prepare_qat_pt2e(exported, CoreMLQuantizer(config(weight_dtype="qint4")))
    move_exported_model_to_train(prepared)
    digits.train(prepared, training, epochs=3, rate=5e-4, seed=1)
    move_exported_model_to_eval(prepared)
    lowered = lower(convert_pt2e(prepared), inputs, target=ct.target.iOS18, precision=FLOAT16)
    after = digits.accuracy(lowered.run, test)
    print(f"accuracy: float {before:.2f} %, 4-bit weights and 8-bit activations after training {after:.2f} %")
    assert after > before - 1


def test_post_training_quantization_keeps_the_accuracy(trained):
    model, training, test = trained
    inputs = (test.images[0],)
    prepared = prepare_pt2e(torch.export.export(model, inputs).module(), CoreMLQuantizer(config()))
    for batch in training.images:
        prepared(batch)
    lowered = lower(convert_pt2e(prepared), inputs, precision=FLOAT16)
    before, after = digits.accuracy(model, test), digits.accuracy(lowered.run, test)
    print(f"accuracy: float {before:.2f} %, 8-bit weights and activations {after:.2f} %")
    assert after > before - 1
