"""CoreMLQuantizer: what it matches, under which entry, with which parameters."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest
import torch
import torch.nn.functional as F
from coremltools.optimize.torch.quantization import LinearQuantizerConfig, ModuleLinearQuantizerConfig
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer, patterns
from executorch.backends.apple.coreml.quantizer.observers import SharedRangeFakeQuantize
from torch import nn
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e

# Without it the suite runs a fixed sample.
FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))

QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
WEIGHT = torch.ops.quantized_decomposed.dequantize_per_channel.default


class Function(nn.Module):
    """A function with the modules given."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x, *others):
        return self.function(self, x, *others)


def config(**options):
    return LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(**options))


def exported(module, *inputs, strict=False):
    return torch.export.export(module.eval(), inputs, strict=strict).module()


@dataclasses.dataclass
class Quantized:
    program: torch.fx.GraphModule
    quantizer: CoreMLQuantizer

    @property
    def report(self):
        return self.quantizer.report

    @property
    def patterns(self):
        return [item.pattern for item in self.report.annotated]

    def calls(self, target):
        return [n for n in self.program.graph.nodes if n.target == target]

    def quantized(self, name):
        """(scale, zero point, dtype) that the result of a node is quantized with, or None."""
        (node,) = [n for n in self.program.graph.nodes if n.name == name]
        found = {tuple(u.args[i] for i in (1, 2, 5)) for u in node.users if u.target == QUANTIZE}
        assert len(found) <= 1
        return found.pop() if found else None


def quantize(module, *inputs, batches=None, configuration=None, strict=False, **options):
    torch.manual_seed(0)
    quantizer = CoreMLQuantizer(configuration or config(), **options)
    prepared = prepare_pt2e(exported(module, *inputs, strict=strict), quantizer)
    for batch in batches or [inputs]:
        prepared(*batch)
    return Quantized(convert_pt2e(prepared), quantizer)


X2 = torch.linspace(-1, 1, 2 * 4 * 6 * 6).reshape(2, 4, 6, 6)


# Patterns.


def test_every_row_names_ops_that_exist_and_no_op_twice():
    assert len(patterns.index()) == sum(len(p.targets) for p in patterns.PATTERNS)
    assert len(patterns.activations()) == sum(len(a.targets) for a in patterns.ACTIVATIONS)
    assert not patterns.index().keys() & patterns.activations().keys()
    for names in (patterns.BATCH_NORM, patterns.NON_NEGATIVE, patterns.CARRIES_CONSTANTS):
        assert len(patterns.overloads(names)) == len(names)


@pytest.mark.parametrize("strict", [False, True] if FULL else [False])
@pytest.mark.parametrize(
    ("layer", "shape", "name", "axis"),
    [
        (nn.Conv1d(4, 3, 3), (1, 4, 8), "conv1d", 0),
        (nn.Conv2d(4, 3, 3, padding="same", bias=False), (1, 4, 8, 8), "conv2d", 0),
        (nn.Conv3d(4, 3, 2), (1, 4, 4, 4, 4), "conv3d", 0),
        (nn.ConvTranspose1d(4, 3, 3), (1, 4, 8), "conv_transpose1d", 1),
        (nn.ConvTranspose2d(4, 3, 2, bias=False), (1, 4, 8, 8), "conv_transpose2d", 1),
        (nn.ConvTranspose3d(4, 3, 2), (1, 4, 4, 4, 4), "conv_transpose3d", 1),
        (nn.Linear(4, 3, bias=False), (2, 4), "linear", 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_weighted_layers_have_one_scale_per_output_channel(layer, shape, name, axis, strict):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = quantize(layer, x, strict=strict)
    assert result.patterns == [name]
    (weight,) = result.calls(WEIGHT)
    assert weight.args[3:] == (axis, -128, 127, torch.int8)
    scale = getattr(result.program, weight.args[1].target)
    others = [i for i in range(layer.weight.dim()) if i != axis]
    torch.testing.assert_close(scale, layer.weight.detach().abs().amax(others) / 127.5)
    error = (result.program(x) - layer(x)).abs().max() / layer(x).abs().max()
    assert error < 0.03


def endings():
    """Every activation behind a convolution; some behind the other anchors, all of them in the full run."""
    for row in patterns.ACTIVATIONS:
        for anchor in ("conv2d", "linear", "add"):
            if FULL or anchor == "conv2d" or row.name in ("relu", "tanh"):
                yield pytest.param(anchor, row, False, id=f"{anchor}-{row.name}")
                if row.in_place:
                    yield pytest.param(anchor, row, True, id=f"{anchor}-{row.name}_")


@pytest.mark.parametrize(("anchor", "row", "in_place"), endings())
def test_every_activation_ends_a_pattern(anchor, row, in_place):
    target = patterns.aten(row.targets[1 if in_place else 0])
    extra = (-1.0, 1.0) if row.name == "hardtanh" else ()
    layers = {"conv2d": nn.Conv2d(4, 4, 1), "linear": nn.Linear(6, 6)}
    layer = {"layer": layers[anchor]} if anchor in layers else {}
    model = Function(lambda self, x: target(self.layer(x) if layer else x + 0.5, *extra), **layer)
    quantizer = CoreMLQuantizer(config())
    quantizer.annotate(exported(model, X2))
    assert [item.pattern for item in quantizer.report.annotated] == [f"{anchor} + {row.name}"]
    assert quantizer.report.left_float == ()


@pytest.mark.parametrize("activation", [None, F.relu, F.silu])
@pytest.mark.parametrize(
    ("layer", "norm", "x"), [(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), X2), (nn.Linear(6, 6), nn.BatchNorm1d(6), X2[0, 0])]
)
def test_batch_norm_belongs_to_its_layer_when_training(activation, layer, norm, x):
    model = Function(lambda self, x: (activation or (lambda y: y))(self.norm(self.layer(x))), layer=layer, norm=norm)
    quantizer = CoreMLQuantizer(config())
    quantizer.annotate(torch.export.export(model.train(), (x,)).module())
    (found,) = quantizer.report.annotated
    assert found.pattern.split(" + ")[1:] == ["batch_norm"] + ([activation.__name__] if activation else [])


def test_an_activation_that_is_not_the_only_reader_stays_outside_the_pattern():
    model = Function(lambda self, x: (y := self.layer(x)).relu() + y, layer=nn.Linear(6, 6))
    result = quantize(model, X2)
    assert result.patterns == ["linear", "add"]
    assert result.quantized("linear") is not None
    assert result.quantized("relu") is not None  # As the add's operand.


def test_integer_arithmetic_is_left_alone():
    result = quantize(Function(lambda self, x, i: (x + 1.0, i + 1, i * 2)), X2, torch.arange(3))
    assert result.patterns == ["add"]
    assert result.report.left_float == ()


def test_a_mask_of_infinities_stays_float():
    def attention(self, x, keep):
        return torch.softmax(x @ x + torch.where(keep, 0.0, float("-inf")), -1), x.masked_fill(keep, -65504.0).view(4, 9) * 2

    x = X2[0, 0]
    result = quantize(Function(attention), x, torch.eye(6, dtype=torch.bool))
    assert result.patterns == ["matmul"]
    assert [(i.op, i.reason.split(" (")[0]) for i in result.report.left_float if i.op.startswith(("add", "mul"))] == [
        ("add", "an operand stands for infinity"),
        ("mul", "an operand stands for infinity"),
    ]


def test_a_weight_computed_from_the_inputs_stays_float():
    result = quantize(Function(lambda self, x, w: F.linear(x, w)), X2, torch.ones(6, 6))
    (left,) = result.report.left_float
    assert left.reason == "its weight is computed from the model's inputs"


# Parameters.


def test_symmetric_uint8_has_zero_point_128_and_0_behind_relu():
    model = Function(lambda self, x: self.b(F.relu(self.a(x))), a=nn.Linear(6, 6), b=nn.Linear(6, 6))
    result = quantize(model, X2)
    assert result.quantized("x")[1:] == (128, torch.uint8)
    assert result.quantized("relu")[1:] == (0, torch.uint8)
    assert result.quantized("x")[0] == pytest.approx(1 / 127.5)


def test_a_non_negative_tensor_uses_the_whole_range_wherever_it_comes_from():
    result = quantize(Function(lambda self, x: torch.softmax(x, -1) @ x), X2)
    assert result.quantized("softmax")[1:] == (0, torch.uint8)


def test_affine_and_int8_activations():
    model = Function(lambda self, x: self.a(x), a=nn.Linear(6, 6))
    scale, zero_point, dtype = quantize(model, X2.abs() + 1, configuration=config(quantization_scheme="affine")).quantized("x")
    assert (zero_point, dtype) == (0, torch.uint8)
    assert scale == pytest.approx(2 / 255)
    scale, zero_point, dtype = quantize(model, X2, activation_dtype=torch.int8).quantized("x")
    assert (zero_point, dtype) == (0, torch.int8)
    assert scale == pytest.approx(1 / 127.5)


@pytest.mark.parametrize(("dtype", "limits"), [("qint4", (-8, 7)), ("quint4", (0, 15)), ("quint8", (0, 255))])
def test_weights_of_other_dtypes(dtype, limits):
    scheme = "affine" if dtype.startswith("qu") else "symmetric"
    model = Function(lambda self, x: self.a(x), a=nn.Linear(6, 6))
    result = quantize(model, X2, configuration=config(weight_dtype=dtype, quantization_scheme=scheme))
    (weight,) = result.calls(WEIGHT)
    assert weight.args[4:6] == limits
    stored = getattr(result.program, weight.args[0].target)
    assert limits[0] <= stored.min() <= limits[0] + 1
    assert stored.max() == limits[1]


def test_weights_per_tensor():
    model = Function(lambda self, x: self.a(x), a=nn.Linear(6, 6))
    result = quantize(model, X2, configuration=config(weight_per_channel=False, activation_dtype=torch.float32))
    assert result.calls(WEIGHT) == result.calls(QUANTIZE) == []
    (weight,) = result.calls(torch.ops.quantized_decomposed.dequantize_per_tensor.default)
    assert weight.args[1] == pytest.approx(model.a.weight.abs().max().item() / 127.5)


def test_weight_only_quantizes_no_activation():
    model = Function(lambda self, x: F.relu(self.a(x)) + x, a=nn.Linear(6, 6))
    result = quantize(model, X2, configuration=config(activation_dtype=torch.float32))
    assert result.patterns == ["linear + relu"]
    assert result.calls(QUANTIZE) == []
    (left,) = result.report.left_float
    assert (left.op, left.reason) == ("add", "it has no weight, and its activations stay float")


# Shared ranges.


def test_a_mean_does_not_pull_its_inputs_range_towards_its_own():
    model = Function(lambda self, x: F.relu(self.a(x)).mean((2, 3)), a=nn.Conv2d(4, 4, 1))
    result = quantize(model, X2, batches=[(X2,)] * 200)
    with torch.no_grad():
        largest = F.relu(model.a(X2)).max().item()
    assert result.quantized("relu")[0] == pytest.approx(largest / 255, rel=1e-2)
    assert result.quantized("mean") == result.quantized("relu")


def test_a_concat_has_the_union_of_its_inputs_ranges():
    model = Function(lambda self, x: torch.cat([self.a(x), self.a(x) * 50.0], 1), a=nn.Conv2d(4, 4, 1))
    result = quantize(model, X2, batches=[(X2,)] * 20)
    with torch.no_grad():
        largest = 50 * model.a(X2).abs().max().item()
    scales = {result.quantized(name) for name in ("conv2d", "mul", "cat")} | {result.quantized("conv2d_1")} - {None}
    assert len({s for s in scales if s}) <= 2
    assert result.quantized("cat")[0] == pytest.approx(largest / 127.5, rel=2e-2)
    assert result.quantized("mul") == result.quantized("cat")


@pytest.mark.parametrize(
    "op",
    [
        lambda y: F.max_pool2d(y, 2),
        lambda y: F.avg_pool2d(y, 2),
        lambda y: F.adaptive_avg_pool2d(y, 1),
        lambda y: y.flatten(1),
        lambda y: y.reshape(2, -1),
        lambda y: y.permute(0, 2, 3, 1),
        lambda y: y[:, 1:],
        lambda y: y.split(2, 1)[1],
        lambda y: y.chunk(2, 1)[0],
        lambda y: y.unsqueeze(0),
        lambda y: F.pixel_shuffle(y, 2),
        lambda y: F.interpolate(y, scale_factor=2, mode="nearest"),
    ],
)
def test_shape_ops_and_pools_share_their_inputs_parameters(op):
    result = quantize(Function(lambda self, x: op(self.a(x)), a=nn.Conv2d(4, 4, 1)), X2)
    (output,) = next(n for n in result.program.graph.nodes if n.op == "output").args[0]
    assert output.target == torch.ops.quantized_decomposed.dequantize_per_tensor.default
    assert tuple(output.args[i] for i in (1, 2, 5)) == result.quantized("conv2d")


def test_shape_ops_of_float_tensors_stay_float():
    result = quantize(Function(lambda self, x: F.max_pool2d(x, 2)), X2)
    assert result.patterns == []
    assert result.report.left_float[0].reason == "its input is not quantized, and the op only passes values on"


def test_observers_can_be_switched_like_torchaos():
    quantizer = CoreMLQuantizer(config())
    model = Function(lambda self, x: self.a(x).mean(-1), a=nn.Linear(6, 6))
    prepared = prepare_qat_pt2e(torch.export.export(model.train(), (X2,)).module(), quantizer)
    prepared(X2)
    (follower,) = [m for m in prepared.modules() if isinstance(m, SharedRangeFakeQuantize) and "follows" in repr(m)]
    before = follower.calculate_qparams()
    prepared.apply(lambda m: m.disable_observer() if hasattr(m, "disable_observer") else None)
    prepared(X2 * 100)
    assert follower.calculate_qparams() == before
    prepared.apply(lambda m: m.disable_fake_quant() if hasattr(m, "disable_fake_quant") else None)
    torch.testing.assert_close(prepared(X2), model(X2))


def test_a_dropout_that_trains_is_not_clipped_to_its_inputs_range():
    model = Function(
        lambda self, x: self.b(self.d(F.relu(self.a(x))).flatten(2)), a=nn.Linear(6, 6), d=nn.Dropout(0.5), b=nn.Linear(36, 6)
    )
    prepared = prepare_qat_pt2e(torch.export.export(model.train(), (X2,)).module(), CoreMLQuantizer(config()))
    torch.manual_seed(0)
    readers = {}
    for node in prepared.graph.nodes:
        for operand in node.all_input_nodes:
            readers.setdefault(operand.name, []).append(node.op)
    assert readers["dropout"] == readers["flatten"] == ["call_function"]  # No fake quantization behind them,
    assert readers["relu"] == ["call_module"]  # but before.
    # Without training it is the identity, and shares its input's parameters like any op that passes values on.
    result = quantize(model.eval(), X2)
    assert result.quantized("flatten") == result.quantized("relu") is not None


# Entries.


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return self.second(self.first(self.conv(x))) + x


FLOAT, INT4 = None, ModuleLinearQuantizerConfig(weight_dtype="qint4")


@pytest.mark.parametrize("strict", [False, True])
def test_names_win_over_types_and_types_over_the_global_entry(strict):
    configuration = LinearQuantizerConfig(
        global_config=ModuleLinearQuantizerConfig(),
        module_type_configs={nn.Linear: INT4, "add": FLOAT},
        module_name_configs={"second": FLOAT, r"second\.1": ModuleLinearQuantizerConfig()},
    )
    quantizer = CoreMLQuantizer(configuration)
    quantizer.annotate(exported(Blocks(), X2, strict=strict))
    decided = {item.module: (item.pattern, item.entry, item.what) for item in quantizer.report.annotated}
    assert decided == {
        "conv": ("conv2d", "global_config", "weight int8 per channel, activations uint8"),
        "first.0": ("linear + relu", "module_type_configs['Linear']", "weight int4 per channel, activations uint8"),
        "second.1": ("linear", "module_name_configs['second\\\\.1']", "weight int8 per channel, activations uint8"),
    }
    left = {item.node: item.reason for item in quantizer.report.left_float}
    assert left == {
        "linear_1": "module_name_configs['second'] keeps it float",
        "add": "module_type_configs['add'] keeps it float",
    }


def test_an_activation_with_a_float_entry_of_its_own_is_not_in_the_pattern():
    configuration = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(), module_type_configs={nn.ReLU: None})
    quantizer = CoreMLQuantizer(configuration)
    quantizer.annotate(exported(Blocks(), X2))
    assert [item.pattern for item in quantizer.report.annotated] == ["conv2d", "linear", "linear", "linear", "add"]


def test_functions_are_types_too():
    import operator

    configuration = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(), module_type_configs={operator.add: None})
    quantizer = CoreMLQuantizer(configuration)
    quantizer.annotate(exported(Blocks(), X2))
    assert "add" not in [item.pattern for item in quantizer.report.annotated]


def test_an_entry_that_quantized_nothing_is_said(caplog):
    configuration = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(), module_type_configs={nn.Conv3d: INT4})
    quantizer = CoreMLQuantizer(configuration)
    quantizer.annotate(exported(Blocks(), X2))
    assert quantizer.report.unused == ("module_type_configs['Conv3d']",)
    assert "module_type_configs['Conv3d'] quantized nothing." in str(quantizer.report)
    assert "module_type_configs['Conv3d'] quantized nothing" in caplog.text


def test_a_module_called_twice_keeps_its_entry():
    model = Function(lambda self, x: self.a(self.a(x)), a=nn.Linear(6, 6))
    configuration = LinearQuantizerConfig(module_name_configs={"a": INT4})
    result = quantize(model, X2, configuration=configuration)
    assert [item.entry for item in result.report.annotated] == ["module_name_configs['a']"] * 2


def test_a_float_producer_does_not_keep_its_reader_from_quantizing_its_input():
    model = Function(lambda self, x: self.b(self.a(x)), a=nn.Linear(6, 6), b=nn.Linear(6, 6))
    configuration = LinearQuantizerConfig(global_config=ModuleLinearQuantizerConfig(), module_name_configs={"a": None})
    result = quantize(model, X2, configuration=configuration)
    assert result.quantized("linear") is not None
    assert result.quantized("x") is None


# Wrong uses.


def wrong(configuration, match, **options):
    with pytest.raises(ValueError, match=match):
        CoreMLQuantizer(configuration, **options).annotate(exported(Blocks(), X2))


def test_wrong_uses_are_refused_with_the_fix():
    wrong(
        LinearQuantizerConfig(module_name_configs={"secnd.0": INT4}),
        r"module_name_configs\['secnd.0'\] matches no module.*'second.0'",
    )
    wrong({"global_config": {}}, "config is a dict; pass a coremltools.optimize.torch.quantization.LinearQuantizerConfig")
    wrong(
        None,
        "activation_dtype is torch.int16; Core ML quantizes activations to torch.int8 or torch.uint8",
        activation_dtype=torch.int16,
    )
    wrong(config(algorithm="learnable"), "global_config: algorithm 'learnable'.*set algorithm='vanilla'")
    wrong(config(weight_observer="ema_min_max"), "weight_observer 'ema_min_max'.*use 'moving_average_min_max' or 'min_max'")


def test_there_is_no_report_before_there_is_an_annotation():
    with pytest.raises(RuntimeError, match="call prepare_pt2e or prepare_qat_pt2e"):
        _ = CoreMLQuantizer(None).report


# Speed.


def test_annotating_does_not_trace_patterns():
    """Annotating a model with one Linear took 164 s, 162 s of it in 405 torch.export traces of patterns that do not depend on the model."""
    program = exported(nn.Linear(6, 6), X2)
    began = time.process_time()
    CoreMLQuantizer(config()).annotate(program)
    assert time.process_time() - began < 1.0


# Training.


def test_qat_of_convolution_and_batch_norm_trains_and_converts():
    def after(y):
        return F.max_pool2d(F.relu(y), 2)

    torch.manual_seed(0)
    model = Function(lambda self, x: after(self.norm(self.conv(x))), conv=nn.Conv2d(4, 4, 1, bias=False), norm=nn.BatchNorm2d(4))
    prepared = prepare_qat_pt2e(torch.export.export(model.train(), (X2,)).module(), CoreMLQuantizer(config()))
    optimizer = torch.optim.SGD(prepared.parameters(), 0.05)
    losses = []
    for _ in range(10):
        loss = (prepared(X2) - after(X2.abs())).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.9
    move_exported_model_to_eval(prepared)
    trained = prepared(X2)
    converted = convert_pt2e(prepared)
    torch.testing.assert_close(converted(X2), trained, atol=0.05, rtol=0.05)
