"""Weight compression without calibration: compile specs, recipes, and their refusals."""

from __future__ import annotations

import coremltools as ct
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.compiler.coreml_preprocess import Options
from executorch.backends.apple.coreml.recipes import CoreMLRecipeProvider, CoreMLRecipeType
from executorch.export import ExportRecipe, StageType, export
from quantized_lowering import FULL, lower, relative
from torch import nn

# ExecuTorch says of its recipes that they are experimental.
pytestmark = pytest.mark.filterwarnings("ignore::executorch.exir._warnings.ExperimentalWarning")

IOS16, IOS17, IOS18 = ct.target.iOS16, ct.target.iOS17, ct.target.iOS18


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64)).eval(), (torch.randn(5, 64),)


# Name -> compile specs, target, the ops that hold the weights, the largest l2-relative difference from the float model.
COMPRESSIONS = {
    "int8 per channel": ({"op_linear_quantizer_config": {"dtype": "int8"}}, IOS16, "constexpr_affine_dequantize", 8e-3),
    "int4 per block": (
        {"op_linear_quantizer_config": {"dtype": "int4", "granularity": "per_block", "block_size": 32}},
        IOS18,
        "constexpr_blockwise_shift_scale",
        0.12,
    ),
    "4-bit tables": ({"op_palettizer_config": {"mode": "kmeans", "nbits": 4}}, IOS16, "constexpr_lut_to_dense", 0.12),
    "3-bit tables of 16 channels": (
        {"op_palettizer_config": {"nbits": 3, "granularity": "per_grouped_channel", "group_size": 16}},
        IOS18,
        "constexpr_lut_to_dense",
        0.2,
    ),
    "half of the weights": ({"op_pruner_config": {"target_sparsity": 0.5}}, IOS16, "constexpr_sparse_to_dense", 0.5),
    "half of the weights, int8": (
        {"op_pruner_config": {"target_sparsity": 0.5}, "op_linear_quantizer_config": {"dtype": "int8"}},
        IOS18,
        "constexpr_sparse_blockwise_shift_scale",
        0.5,
    ),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_weights_run(name, network):
    options, target, op, bound = COMPRESSIONS[name]
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, **options)
    added = [spec for spec in specs if spec.key.startswith("op_")]
    lowered = lower(*network, target=target, specs=added)
    assert lowered.ops.count(op) == 2
    module, inputs = network
    assert 1e-4 < relative(lowered.run(*inputs), module(*inputs)) < bound


def test_a_weight_that_cannot_be_palettized_stays_as_it_is():
    """120 channels are no groups of 16. With scales for each channel, coremltools divides the weight before it knows."""
    torch.manual_seed(0)
    module, inputs = nn.Linear(128, 120).eval(), (torch.randn(5, 128),)
    config = {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 16, "enable_per_channel_scale": True}
    lowered = lower(module, inputs, target=IOS18, specs=[CoreMLBackend.generate_op_palettizer_config_compile_spec(config)])
    assert not any(op.startswith("constexpr") for op in lowered.ops)
    assert relative(lowered.run(*inputs), module(*inputs)) < 1e-3


def test_pruning_zeroes_the_smallest_weights(network):
    module, inputs = network
    spec = CoreMLBackend.generate_op_pruner_config_compile_spec({"threshold": 0.05, "minimum_sparsity_percentile": 0.1})
    lowered = lower(module, inputs, target=IOS16, specs=[spec])
    with torch.no_grad():
        expected = inputs[0]
        for layer in module:
            if isinstance(layer, nn.Linear):
                kept = torch.where(layer.weight.abs() < 0.05, 0.0, layer.weight)
                expected = nn.functional.linear(expected, kept, layer.bias)
            else:
                expected = layer(expected)
    assert relative(lowered.run(*inputs), expected) < 1e-3


class Shifted(nn.Module):
    """A large constant that is no weight: position embeddings that were looked up when the model was exported."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 64)
        self.register_buffer("positions", torch.randn(1, 64, 64))

    def forward(self, x):
        return self.layer(x) + self.positions


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_constants_that_are_no_weights_stay(name):
    """coremltools compresses every large constant, per block with one scale for rows and columns of an addend."""
    options, target, op, bound = COMPRESSIONS[name]
    torch.manual_seed(0)
    module, inputs = Shifted().eval(), (torch.randn(1, 64, 64),)
    added = CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, **options)
    lowered = lower(module, inputs, target=target, specs=[spec for spec in added if spec.key.startswith("op_")])
    assert lowered.ops.count(op) == 1
    positions, plain = module.positions, module.layer(inputs[0])
    # In units of the compressed layer's result: the addend takes no part in the difference, but for its rounding to float16.
    assert relative(lowered.run(*inputs) - positions, plain) < bound


class Tied(nn.Module):
    """An embedding whose table is also the weight of the last layer."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(64, 32)
        self.middle = nn.Linear(32, 32)
        self.last = nn.Linear(32, 64, bias=False)
        self.last.weight = self.table.weight

    def forward(self, ids):
        return self.last(torch.relu(self.middle(self.table(ids))))


def every_layer(module, name):
    return isinstance(module, (nn.Linear, nn.Embedding))


R = CoreMLRecipeType
RECIPES = [
    *[(R.CODEBOOK_WEIGHT_ONLY, {"bits": bits, "block_size": [-1, 16]}) for bits in (range(1, 9) if FULL else (1, 3, 5))],
    (R.CODEBOOK_WEIGHT_ONLY, {"bits": 4, "block_size": [16, -1]}),
    (R.TORCHAO_INT4_WEIGHT_ONLY_PER_GROUP, {"group_size": 16, "filter_fn": every_layer}),
    (R.TORCHAO_INT8_WEIGHT_ONLY_PER_CHANNEL, {"filter_fn": every_layer}),
]


@pytest.mark.parametrize(("recipe", "arguments"), RECIPES, ids=lambda v: v.value if isinstance(v, R) else str(v.get("bits", "")))
def test_weight_only_recipes_compute_what_the_quantized_module_computes(recipe, arguments):
    """Tied embeddings included: one table serves both layers."""
    torch.manual_seed(0)
    inputs = (torch.randint(0, 64, (3, 7)),)
    session = export(Tied().eval(), [inputs], ExportRecipe.get_recipe(recipe, **arguments))
    quantized = session.get_stage_artifacts()[StageType.SOURCE_TRANSFORM].data["forward"]
    actual = session.run_method("forward", inputs)[0]
    # Float16 weights: of scales and tables, and of what stayed float.
    assert relative(actual, quantized(*inputs)) < 1e-3
    instructions = session.get_executorch_program().execution_plan[0].chains[0].instructions
    assert len(instructions) == 1


def test_a_target_above_the_recipes_lowest_is_kept():
    """Recipes overwrite a higher user target with their minimum."""
    for target in (IOS17, IOS18):
        recipe = CoreMLRecipeProvider().create_recipe(R.PT2E_INT8_STATIC, minimum_deployment_target=target)
        (partitioner,) = recipe.lowering_recipe.partitioners
        assert Options.parse(partitioner.delegation_spec.compile_specs).deployment_target == target
    recipe = CoreMLRecipeProvider().create_recipe(R.TORCHAO_INT8_WEIGHT_ONLY_PER_CHANNEL)
    (partitioner,) = recipe.lowering_recipe.partitioners
    assert Options.parse(partitioner.delegation_spec.compile_specs).deployment_target == IOS16


class Gained(nn.Module):
    """Two layers, the first of which is much smaller than the second."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x):
        return self.layers(x)


def test_ranges_are_those_of_the_calibration_inputs():
    torch.manual_seed(0)
    model, (x,) = Gained().eval(), (torch.randn(8, 16),)
    calls = []

    def calibration():
        calls.append(1)
        return [(x,), (3 * x,)]

    session = export(model, [(x / 100,)], ExportRecipe.get_recipe(R.PT2E_INT8_STATIC, calibration_inputs_fn=calibration))
    assert calls == [1]
    # Calibrated with the example inputs alone, everything above a hundredth is cut off.
    assert relative(session.run_method("forward", (x,))[0], model(x)) < 0.05
    plain = export(Gained().eval(), [(x / 100,)], ExportRecipe.get_recipe(R.PT2E_INT8_STATIC))
    assert relative(plain.run_method("forward", (x,))[0], model(x)) > 0.5


def test_a_recipe_trains_while_it_quantizes_and_calls_the_passes():
    torch.manual_seed(0)
    inputs = (torch.randn(8, 16),)
    order = []

    def train(prepared):
        order.append("train")
        optimizer = torch.optim.SGD(prepared.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            (prepared(*inputs) - 1).square().mean().backward()
            optimizer.step()

    def noted(name):
        def note(module):
            order.append(name)
            return module

        return note

    recipe = ExportRecipe.get_recipe(
        R.PT2E_INT8_STATIC,
        is_qat=True,
        train_fn=train,
        pre_prepare_passes=[noted("pre_prepare")],
        post_prepare_passes=[noted("post_prepare")],
        pre_convert_passes=[noted("pre_convert")],
        post_convert_passes=[noted("post_convert")],
    )
    session = export(Gained(), [inputs], recipe)
    assert order == ["pre_prepare", "post_prepare", "train", "pre_convert", "post_convert"]
    assert float((session.run_method("forward", inputs)[0] - 1).square().mean()) < 0.2


def test_methods_may_have_options_of_their_own():
    torch.manual_seed(0)
    inputs = (torch.randn(8, 16),)
    recipe = ExportRecipe.get_recipe(R.FP32, methods={"whole": {}, "part": {"skip_ops_for_coreml_delegation": ["aten.relu"]}})
    model = Gained().eval()
    session = export({"whole": model, "part": model}, {"whole": [inputs], "part": [inputs]}, recipe)
    plans = {plan.name: len(plan.delegates) for plan in session.get_executorch_program().execution_plan}
    assert plans == {"whole": 1, "part": 2}
    for method in plans:
        assert relative(session.run_method(method, inputs)[0], model(*inputs)) < 1e-5


REFUSED_RECIPES = [
    (R.PT2E_INT8_STATIC, {"is_qat": True}, "'is_qat' and 'train_fn' go together"),
    (R.PT2E_INT8_STATIC, {"calibration_inputs_fn": [1]}, "'calibration_inputs_fn' must be a function, got list"),
    (R.FP16, {"is_qat": True}, "has no parameter 'is_qat'"),
    (R.FP16, {"edge_transform_passes": 3}, "must be a list of functions, got: 3"),
    (
        R.FP16,
        {"methods": {"forward": {"group_size": 3}}},
        "'methods' has 'group_size' for 'forward'; a method may have compute_unit",
    ),
    (R.FP16, {"group_size": 32}, "has no parameter 'group_size'; it takes compute_unit"),
    (R.TORCHAO_INT4_WEIGHT_ONLY_PER_GROUP, {"group_sise": 32}, "did you mean 'group_size'"),
    (R.CODEBOOK_WEIGHT_ONLY, {"bits": 4}, "'bits' and 'block_size' must be present.*missing: block_size"),
    (R.CODEBOOK_WEIGHT_ONLY, {"bits": 4, "block_size": [8, 8]}, r"write \[-1, 8\] or \[8, -1\]"),
    (R.FP32, {"compute_unit": "all"}, "must be a coremltools.ComputeUnit, such as ct.ComputeUnit.ALL, got str"),
    (
        R.PT2E_INT8_STATIC,
        {"minimum_deployment_target": IOS16},
        "or higher for pt2e.*pass minimum_deployment_target=iOS17 or leave it out",
    ),
]


@pytest.mark.parametrize(("recipe", "arguments", "message"), REFUSED_RECIPES)
def test_wrong_arguments_of_recipes_are_refused_with_the_fix(recipe, arguments, message):
    with pytest.raises(ValueError, match=message):
        CoreMLRecipeProvider().create_recipe(recipe, **arguments)


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        (
            R.TORCHAO_INT4_WEIGHT_ONLY_PER_GROUP,
            {"group_size": 20},
            "group_size=20 does not divide the 64 columns.*pass group_size=16 or 32",
        ),
        (
            R.CODEBOOK_WEIGHT_ONLY,
            {"bits": 2, "block_size": [-1, 24]},
            "does not divide the 64 columns.*use a block of 16 or 32 columns",
        ),
        (R.TORCHAO_INT8_WEIGHT_ONLY_PER_CHANNEL, {"filter_fn": lambda m, n: isinstance(m, nn.ReLU)}, "ReLU.* has no weight matrix"),
    ],
)
def test_groups_that_do_not_divide_are_refused_before_anything_is_changed(recipe, arguments, message, network):
    module, inputs = network
    with pytest.raises(ValueError, match=message):
        export(module, [inputs], ExportRecipe.get_recipe(recipe, **arguments))


REFUSED_SPECS = [
    ({"op_linear_quantizer_config": {"dtype": "int5"}}, IOS18, "op_linear_quantizer_config .*int8/uint8/int4/uint4"),
    ({"op_linear_quantizer_config": {"dtyp": "int8"}}, IOS18, "no field 'dtyp'; did you mean 'dtype'"),
    (
        {"op_linear_quantizer_config": {"dtype": "int4"}},
        IOS17,
        "need minimum_deployment_target iOS18, and minimum_deployment_target is iOS17",
    ),
    ({"op_palettizer_config": {"nbits": 5}}, IOS18, 'Supported "nbits"'),
    ({"op_palettizer_config": {"nbits": 3}}, None, "need minimum_deployment_target iOS18, and none is set"),
    ({"op_palettizer_config": {"mode": "custom"}}, IOS18, "use 'kmeans', 'uniform' or 'unique'"),
    ({"op_pruner_config": {"target_sparsity": 1.5}}, IOS18, r"Needs to be in \[0, 1\]"),
    (
        {"op_pruner_config": {"target_sparsity": 0.5}, "op_palettizer_config": {"nbits": 4}},
        IOS16,
        "op_palettizer_config with op_pruner_config",
    ),
    ({"op_linear_quantizer_config": {}, "op_palettizer_config": {"nbits": 4}}, IOS18, "leave out one of them"),
]


@pytest.mark.parametrize(("options", "target", "message"), REFUSED_SPECS)
def test_wrong_compile_specs_are_refused_with_the_fix(options, target, message):
    with pytest.raises(ValueError, match=message):
        Options.parse(CoreMLBackend.generate_compile_specs(minimum_deployment_target=target, **options))
