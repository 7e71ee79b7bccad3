"""Models that were compressed in PyTorch by coremltools.optimize.torch: the .pte has the compressed form, and computes what the compressed model does."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator

import coremltools as ct
import pytest
import torch
from coremltools.optimize.torch import layerwise_compression, palettization, pruning, quantization
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.quantizer import exportable
from executorch.exir import to_edge_transform_and_lower
from quantized_lowering import FLOAT16, FLOAT32, FULL, Inputs, lower, relative
from torch import nn

IOS17, IOS18 = ct.target.iOS17, ct.target.iOS18
ROWS, COLUMNS = 256, 512
COUNT = ROWS * COLUMNS


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without what coremltools logs of each step."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


def layer() -> tuple[nn.Module, Inputs]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(COLUMNS, ROWS), nn.ReLU()).eval(), (torch.randn(3, COLUMNS),)


def whole(**fields: object) -> dict[str, object]:
    return {"global_config": fields}


def palettized(**fields: object) -> nn.Module:
    config = palettization.PostTrainingPalettizerConfig.from_dict(whole(**fields))
    return palettization.PostTrainingPalettizer(layer()[0], config).compress()


def trained_tables(**fields: object) -> nn.Module:
    """Tables that are part of the training, for two steps of it."""
    module, inputs = layer()
    palettizer = palettization.DKMPalettizer(module, palettization.DKMPalettizerConfig.from_dict(whole(**fields)))
    prepared = palettizer.prepare()
    for _ in range(2):
        prepared(*inputs)
        palettizer.step()
    return palettizer.finalize()


def quantized(**fields: object) -> nn.Module:
    config = quantization.PostTrainingQuantizerConfig.from_dict(whole(**fields))
    return quantization.PostTrainingQuantizer(layer()[0], config).compress()


def trained_integers(**fields: object) -> nn.Module:
    """Quantized in training, one step of it: what finalize() leaves torch.export cannot follow as it is."""
    module, inputs = layer()
    config = quantization.LinearQuantizerConfig.from_dict(whole(milestones=[0, 0, 10, 10], **fields))
    quantizer = quantization.LinearQuantizer(module, config)
    prepared = quantizer.prepare(inputs)
    quantizer.step()
    prepared(*inputs)
    return exportable(quantizer.finalize())


def pruned(module: nn.Module | None = None, **fields: object) -> nn.Module:
    pruner = pruning.MagnitudePruner(module or layer()[0], pruning.MagnitudePrunerConfig.from_dict(whole(**fields)))
    pruner.prepare(inplace=True)
    pruner.step()
    return pruner.finalize(inplace=True)


def pruned_then_palettized() -> nn.Module:
    config = palettization.PostTrainingPalettizerConfig.from_dict(whole(n_bits=4, granularity="per_tensor"))
    return palettization.PostTrainingPalettizer(pruned(target_sparsity=0.5), config).compress(inplace=True)


def pruned_then_quantized() -> nn.Module:
    config = quantization.PostTrainingQuantizerConfig.from_dict(whole(weight_dtype="int8"))
    return quantization.PostTrainingQuantizer(pruned(target_sparsity=0.5), config).compress(inplace=True)


def by_layers(**fields: object) -> nn.Module:
    module, inputs = layer()
    config = layerwise_compression.LayerwiseCompressorConfig.from_dict(
        {**whole(**fields), "input_cacher": "default", "calibration_nsamples": 2, "layers": None}
    )
    return layerwise_compression.LayerwiseCompressor(module, config).compress([inputs[0], inputs[0]], device="cpu")


@dataclasses.dataclass(frozen=True)
class Case:
    """make: the compressed model. bytes: of the weight in a float16 program, as its bits, tables and scales say. ops: what holds it. lowest: the lowest
    deployment target that has it."""

    make: Callable[[], nn.Module]
    bytes: float
    ops: tuple[str, ...]
    lowest: ct.target = IOS18


LUT, SCALE, SPARSE = "constexpr_lut_to_dense", "constexpr_blockwise_shift_scale", "constexpr_sparse_to_dense"
OLD_SCALE = "constexpr_affine_dequantize"
BIT = COUNT / 8
CASES = {
    "4-bit table": Case(lambda: palettized(n_bits=4, granularity="per_tensor"), 4 * BIT, (LUT,), IOS17),
    "3-bit table": Case(lambda: palettized(n_bits=3, granularity="per_tensor"), 3 * BIT, (LUT,)),
    "tables of 16 channels": Case(
        lambda: palettized(n_bits=4, granularity="per_grouped_channel", group_size=16), 4 * BIT + ROWS / 16 * 16 * 2, (LUT,)
    ),
    # coremltools gives each row a table, the common one times its scale: Core ML's compiler wants the two in that order.
    "table with scales": Case(
        lambda: palettized(n_bits=4, granularity="per_tensor", enable_per_channel_scale=True),
        4 * BIT + ROWS * 2 * (16 + 1),
        (LUT, SCALE),
    ),
    "table of int8": Case(lambda: palettized(n_bits=4, granularity="per_tensor", lut_dtype="int8"), 4 * BIT, (LUT, SCALE)),
    "table of pairs": Case(lambda: palettized(n_bits=4, granularity="per_tensor", cluster_dim=2), 2 * BIT, (LUT,)),
    "trained 2-bit table": Case(lambda: trained_tables(n_bits=2, granularity="per_tensor"), 2 * BIT, (LUT,), IOS17),
    "int8": Case(lambda: quantized(weight_dtype="int8"), 8 * BIT, (SCALE,), IOS17),
    "uint8, affine": Case(
        lambda: quantized(weight_dtype="uint8", quantization_scheme="affine"), 8 * BIT + 3 * ROWS, (SCALE,), IOS17
    ),
    "int4 of blocks": Case(
        lambda: quantized(weight_dtype="int4", granularity="per_block", block_size=32), 4 * BIT + COUNT / 32 * 2, (SCALE,)
    ),
    "trained int8": Case(lambda: trained_integers(weight_dtype="qint8", activation_dtype="float32"), 8 * BIT, (SCALE,), IOS17),
    "trained int4": Case(lambda: trained_integers(weight_dtype="qint4", activation_dtype="float32"), 4 * BIT, (SCALE,)),
    "a quarter of the weights": Case(lambda: pruned(target_sparsity=0.75), BIT + 0.25 * 16 * BIT, (SPARSE,), IOS17),
    "2 of 4 weights": Case(lambda: pruned(n_m_ratio=(2, 4)), BIT + 0.5 * 16 * BIT, (SPARSE,), IOS17),
    "half of the weights, 4-bit table": Case(pruned_then_palettized, BIT + 0.5 * 4 * BIT, ("constexpr_lut_to_sparse", SPARSE)),
    "half of the weights, int8": Case(
        pruned_then_quantized, BIT + 0.5 * 8 * BIT, ("constexpr_sparse_blockwise_shift_scale", SPARSE)
    ),
    "gptq": Case(lambda: by_layers(algorithm="gptq", weight_dtype="uint4"), 4 * BIT + 3 * ROWS, (SCALE,)),
    "sparsegpt": Case(
        lambda: by_layers(algorithm="sparse_gpt", target_sparsity=0.5, weight_dtype="uint8"),
        BIT + 0.5 * 8 * BIT,
        ("constexpr_sparse_blockwise_shift_scale", SPARSE),
    ),
}


@pytest.fixture(scope="module")
def rest() -> int:
    """The bytes of the float16 program that are not its weight."""
    module, inputs = layer()
    return len(lower(module, inputs, precision=FLOAT16).pte) - 16 * COUNT // 8


# One of each kind; the others run with COREML_DELEGATE_FULL_TESTS.
SAMPLE = (
    "4-bit table",
    "table with scales",
    "int4 of blocks",
    "trained int8",
    "2 of 4 weights",
    "half of the weights, 4-bit table",
    "sparsegpt",
)


@pytest.mark.parametrize("name", CASES if FULL else SAMPLE)
def test_a_compressed_model_keeps_its_form_and_its_numbers(name: str, rest: int) -> None:
    case = CASES[name]
    model, (_, inputs) = case.make(), layer()
    expected = model(*inputs)
    for target in (IOS17, IOS18):
        if target < case.lowest:
            with pytest.raises(
                ValueError, match=r"\(0[.\w]*\.weight\), which Core ML can express from minimum_deployment_target iOS18 on"
            ):
                lower(model, inputs, target=target)
            continue
        lowered = lower(model, inputs, target=target, precision=FLOAT16)
        ops = tuple(OLD_SCALE if target < IOS18 and op == SCALE else op for op in case.ops)
        assert tuple(op for op in lowered.ops if op.startswith("constexpr")) == ops or sorted(
            set(lowered.ops) & set(ops)
        ) == sorted(ops)
        assert abs((len(lowered.pte) - rest) / case.bytes - 1) < 0.03, (target, len(lowered.pte), rest, case.bytes)
        assert relative(lowered.run(*inputs), expected) < 3e-3
    exact = lower(model, inputs, target=case.lowest, precision=FLOAT32)
    assert relative(exact.run(*inputs), expected) < 1e-6


def test_a_quantized_activation_has_the_integers_of_the_model() -> None:
    """`torch.quantize_per_tensor` and `dequantize`, which coremltools' LinearQuantizer leaves."""
    model, (_, inputs) = trained_integers(weight_dtype="qint8", activation_dtype="quint8"), layer()
    lowered = lower(model, inputs, target=IOS17, precision=FLOAT32)
    assert lowered.ops.count("quantize") == 2
    expected, actual = model(*inputs), lowered.run(*inputs)
    steps = (actual - expected).abs() / torch.unique(expected).diff().min()
    assert float(steps.max()) < 1.01  # A sum in another order may move a value across the border between two steps.
    assert float((steps > 0.5).double().mean()) < 0.01


class Tied(nn.Module):
    """An embedding whose table is also the weight of the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(64, 32)
        self.last = nn.Linear(32, 64, bias=False)
        self.last.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.last(self.table(ids))


def _say_quantized(module: nn.Module, bits: int) -> None:
    """Rounds a weight to integers of a scale for each row, and says so, as coremltools' compressors do."""
    weight = module.weight.detach()
    scale = weight.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    module.weight.data.copy_((weight / scale).round() * scale)
    said = {"quantization_n_bits": torch.tensor(bits), "quantization_scale": scale, "compression_type": torch.tensor([3])}
    for name, value in said.items():
        module.register_buffer(f"_COREML_/weight/{name}", value)


def test_a_weight_of_two_layers_is_compressed_once() -> None:
    torch.manual_seed(0)
    model = Tied().eval()
    _say_quantized(model.last, 8)
    inputs = (torch.randint(0, 64, (2, 5)),)
    lowered = lower(model, inputs, target=IOS18, precision=FLOAT16)
    assert lowered.ops.count(SCALE) == 1
    assert relative(lowered.run(*inputs), model(*inputs)) < 2e-3


def test_a_weight_that_was_changed_afterwards_stays_float(caplog: pytest.LogCaptureFixture) -> None:
    logging.disable(logging.NOTSET)
    model, inputs = layer()
    _say_quantized(model[0], 8)
    with torch.no_grad():
        model[0].weight.add_(0.01 * torch.randn(ROWS, COLUMNS))
    lowered = lower(model, inputs, target=IOS17, precision=FLOAT16)
    assert not any(op.startswith("constexpr") for op in lowered.ops)
    assert relative(lowered.run(*inputs), model(*inputs)) < 1e-3
    assert "stored uncompressed, because it is not what its _COREML_/ buffers say" in caplog.text


def test_buffers_that_nobody_understands_are_refused_with_a_sentence() -> None:
    model, inputs = layer()
    _say_quantized(model[0], 8)
    model[0].register_buffer("_COREML_/weight/quantization_n_bits", torch.tensor(9))
    with pytest.raises(ValueError, match=r"The buffers _COREML_/\.\.\. of the model.*cannot be read: .*between 1 and 8"):
        lower(model, inputs, target=IOS18)


def test_the_program_of_the_user_stays_as_it_is() -> None:
    model, inputs = layer()
    _say_quantized(model[0], 4)
    exported = torch.export.export(model, inputs)
    names, code = set(exported.state_dict), exported.graph_module.code
    first = lower_exported(exported)
    assert set(exported.state_dict) == names
    assert exported.graph_module.code == code
    assert lower_exported(exported) == first


def lower_exported(exported: torch.export.ExportedProgram) -> bytes:
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=IOS18)
    return bytes(to_edge_transform_and_lower(exported, partitioner=[CoreMLPartitioner(compile_specs=specs)]).to_executorch().buffer)
