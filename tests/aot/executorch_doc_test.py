"""The snippets of ExecuTorch's Core ML documentation (docs/source/backends/coreml, of June 2026), as its reader would write them, through to
a run whose values are compared with torch's. One test per snippet, named for its page; import lines and calls are the documented ones.

The pages on operator support and troubleshooting have no Python. Pretrained weights are random here: nothing is downloaded.
"""

# ruff: noqa: I001  (the documented import lines, in their order)

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable

import executorch.backends.apple.coreml.runtime  # noqa: F401  (registers the delegate)
import pytest
import torch
import zoo_torchvision
from executorch.runtime import Runtime

FLOAT16 = 2e-3


@pytest.fixture(autouse=True)
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Snippets write into the current folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """MobileNetV2 whose `DEFAULT` weights are random, with the statistics that a few batches leave in its batch norms."""
    mobilenetv2 = zoo_torchvision.models().mobilenetv2
    network = mobilenetv2.mobilenet_v2(weights=None)
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(4, 3, 96, 96))
    weights = network.eval().state_dict()
    monkeypatch.setattr(mobilenetv2.MobileNet_V2_Weights, "get_state_dict", lambda *args, **kwargs: weights)


def run(program: bytes | str, *inputs: torch.Tensor, method: str = "forward") -> torch.Tensor:
    return Runtime.get().load_program(program).load_method(method).execute(inputs)[0].clone()


def assert_equal(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = FLOAT16) -> None:
    assert actual.shape == expected.shape
    difference = float((actual - expected).norm() / expected.norm())
    assert difference < tolerance, difference


@torch.no_grad()
def test_overview_export(pretrained):
    import torch
    import torchvision.models as models
    from torchvision.models.mobilenetv2 import MobileNet_V2_Weights
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    mobilenet_v2 = models.mobilenetv2.mobilenet_v2(weights=MobileNet_V2_Weights.DEFAULT).eval()
    sample_inputs = (torch.randn(1, 3, 224, 224),)
    et_program = to_edge_transform_and_lower(
        torch.export.export(mobilenet_v2, sample_inputs),
        partitioner=[CoreMLPartitioner()],
    ).to_executorch()
    with open("mv2_coreml.pte", "wb") as file:
        et_program.write_to_file(file)

    assert_equal(run("mv2_coreml.pte", *sample_inputs), mobilenet_v2(*sample_inputs), 5e-3)


class Gate(torch.nn.Module):
    """A buffer that it changes, and ops of two kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(4))
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x)
        return torch.sin(self.linear(self.total))


@pytest.mark.parametrize(
    ("compute_unit", "compute_precision"),
    [("ALL", "FLOAT16"), ("CPU_ONLY", "FLOAT32"), ("CPU_AND_GPU", "FLOAT32"), ("CPU_AND_NE", "FLOAT16")],
)
@torch.no_grad()
def test_partitioner_compile_specs(compute_unit, compute_precision):
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    model, inputs = torch.nn.Linear(8, 4).eval(), (torch.randn(2, 8),)
    compile_specs = CoreMLBackend.generate_compile_specs(
        compute_unit=ct.ComputeUnit[compute_unit],
        minimum_deployment_target=ct.target.iOS18,
        compute_precision=ct.precision[compute_precision],
        model_type=CoreMLBackend.MODEL_TYPE.MODEL,
    )
    partitioner = CoreMLPartitioner(compile_specs=compile_specs)
    et_program = to_edge_transform_and_lower(torch.export.export(model, inputs), partitioner=[partitioner]).to_executorch()

    assert_equal(run(et_program.buffer, *inputs), model(*inputs), FLOAT16 if compute_precision == "FLOAT16" else 1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"skip_ops_for_coreml_delegation": ["aten.sin.default"]},
        {"take_over_mutable_buffer": False},
        {"take_over_mutable_buffer": True},
        {"take_over_constant_data": False},
        {"lower_full_graph": True},
    ],
    ids=str,
)
@torch.no_grad()
def test_partitioner_constructor(options):
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    model, x = Gate().eval(), torch.randn(4)
    compile_specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    edge = to_edge_transform_and_lower(
        torch.export.export(model, (x,)), partitioner=[CoreMLPartitioner(compile_specs=compile_specs, **options)]
    )
    names = [node.target.__name__ for node in edge.exported_program().graph.nodes if node.op == "call_function"]
    assert "executorch_call_delegate" in names
    assert ("aten.sin.default" in names) == ("skip_ops_for_coreml_delegation" in options)

    method = Runtime.get().load_program(edge.to_executorch().buffer).load_method("forward")
    for _ in range(3):
        assert_equal(method.execute((x,))[0], model(x))


@torch.no_grad()
def test_partitioner_lower_full_graph_refuses():
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class Model(torch.nn.Module):
        def forward(self, x):
            return torch.asinh(x)

    program = torch.export.export(Model(), (torch.randn(3),))
    with pytest.raises(Exception, match="asinh"):
        to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner(lower_full_graph=True)])


@torch.no_grad()
def test_partitioner_op_linear_quantizer_config():
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    model, inputs = torch.nn.Linear(256, 256).eval(), (torch.randn(2, 256),)
    sizes = []
    for config in (None, {"mode": "linear_symmetric", "dtype": "int8", "granularity": "per_channel"}):
        compile_specs = CoreMLBackend.generate_compile_specs(
            minimum_deployment_target=ct.target.iOS16, op_linear_quantizer_config=config
        )
        et_program = to_edge_transform_and_lower(
            torch.export.export(model, inputs), partitioner=[CoreMLPartitioner(compile_specs=compile_specs)]
        ).to_executorch()
        assert_equal(run(et_program.buffer, *inputs), model(*inputs), 1e-2)
        sizes.append(len(et_program.buffer))
    assert sizes[1] < 0.65 * sizes[0]


@torch.no_grad()
def test_partitioner_dynamic_shapes():
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    model = torch.nn.Linear(10, 5).eval()
    ep = torch.export.export(model, (torch.randn(4, 10),), dynamic_shapes=({0: torch.export.Dim("n", min=1, max=8)},))
    et_program = to_edge_transform_and_lower(ep, partitioner=[CoreMLPartitioner()]).to_executorch()

    for extent in (1, 4, 8):
        x = torch.randn(extent, 10)
        assert_equal(run(et_program.buffer, x), model(x))


@torch.no_grad()
def test_partitioner_enumerated_shapes():
    import coremltools as ct
    import executorch.exir
    import torch
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear1 = torch.nn.Linear(10, 5)
            self.linear2 = torch.nn.Linear(11, 5)

        def forward(self, x, y):
            return self.linear1(x).sum() + self.linear2(y)

    model = Model()
    example_inputs = (torch.randn((4, 6, 10)), torch.randn((5, 11)))
    enumerated_shapes = {"x": [[1, 5, 10], [4, 6, 10]], "y": [[3, 11], [5, 11]]}
    dynamic_shapes = [
        {0: torch.export.Dim.AUTO(min=1, max=4), 1: torch.export.Dim.AUTO(min=5, max=6)},
        {0: torch.export.Dim.AUTO(min=3, max=5)},
    ]
    ep = torch.export.export(model.eval(), example_inputs, dynamic_shapes=dynamic_shapes)
    compile_specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    compile_specs.append(CoreMLBackend.generate_enumerated_shapes_compile_spec(ep, enumerated_shapes))
    partitioner = CoreMLPartitioner(compile_specs=compile_specs, lower_full_graph=True)
    delegated_program = executorch.exir.to_edge_transform_and_lower(ep, partitioner=[partitioner])
    et_prog = delegated_program.to_executorch()

    for first, second in zip(*enumerated_shapes.values(), strict=True):
        inputs = torch.randn(first), torch.randn(second)
        assert_equal(run(et_prog.buffer, *inputs), model(*inputs))
    # The page: any other shapes are an error at run time.
    with pytest.raises(RuntimeError):
        run(et_prog.buffer, torch.randn(2, 5, 10), torch.randn(3, 11))
    with pytest.raises(RuntimeError):
        run(et_prog.buffer, torch.randn(1, 5, 10), torch.randn(5, 11))


@pytest.mark.parametrize("strategy", ["POSITIONAL", "DISABLED"])
@torch.no_grad()
def test_partitioner_multifunction(strategy):
    import coremltools as ct
    import torch
    from executorch.backends.apple.coreml.compiler.coreml_preprocess import (
        CoreMLBackend,
        MULTIMETHOD_WEIGHT_SHARING_STRATEGY,
    )
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    class SimpleModel(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(16, 16)

        def forward(self, x):
            return self.linear(x)

    model = SimpleModel().eval()
    decode_inputs = (torch.randn(1, 1, 16),)
    prefill_inputs = (torch.randn(1, 64, 16),)
    decode_ep = torch.export.export(model, decode_inputs)
    prefill_ep = torch.export.export(model, prefill_inputs)
    compile_specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    compile_specs.append(
        CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(MULTIMETHOD_WEIGHT_SHARING_STRATEGY[strategy])
    )
    partitioner = CoreMLPartitioner(compile_specs=compile_specs)
    edge_manager = to_edge_transform_and_lower({"forward": decode_ep, "prefill": prefill_ep}, partitioner=[partitioner])
    et_program = edge_manager.to_executorch()
    with open("multifunction_model.pte", "wb") as f:
        et_program.write_to_file(f)

    from executorch.runtime import Runtime

    runtime = Runtime.get()
    program = runtime.load_program("multifunction_model.pte")
    assert set(program.method_names) == {"forward", "prefill"}
    forward_method = program.load_method("forward")
    decode_output = forward_method.execute(decode_inputs)
    prefill_method = program.load_method("prefill")
    prefill_output = prefill_method.execute(prefill_inputs)

    assert_equal(decode_output[0], model(*decode_inputs))
    assert_equal(prefill_output[0], model(*prefill_inputs))


# What the page quantizes with -> the most that the lowered program may differ from the quantized PyTorch program: a few 8-bit activations
# that float16 moves by a step (docs/quantization.md).
SCHEMES = {"static": (torch.quint8, 5e-2), "weight_only": (torch.float32, 5e-3)}


@pytest.mark.parametrize("scheme", SCHEMES)
@torch.no_grad()
def test_quantization_pt2e(scheme, pretrained):
    import torch
    import coremltools as ct
    import torchvision.models as models
    from torchvision.models.mobilenetv2 import MobileNet_V2_Weights
    from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from executorch.exir import to_edge_transform_and_lower
    from executorch.backends.apple.coreml.compiler import CoreMLBackend

    activation_dtype, tolerance = SCHEMES[scheme]
    mobilenet_v2 = models.mobilenetv2.mobilenet_v2(weights=MobileNet_V2_Weights.DEFAULT).eval()
    sample_inputs = (torch.randn(1, 3, 224, 224),)
    config = ct.optimize.torch.quantization.LinearQuantizerConfig(
        global_config=ct.optimize.torch.quantization.ModuleLinearQuantizerConfig(
            quantization_scheme="symmetric",
            activation_dtype=activation_dtype,
            weight_dtype=torch.qint8,
            weight_per_channel=True,
        )
    )
    quantizer = CoreMLQuantizer(config)
    training_gm = torch.export.export(mobilenet_v2, sample_inputs).module()
    prepared_model = prepare_pt2e(training_gm, quantizer)
    for calibration_sample in [torch.randn(1, 3, 224, 224)]:
        prepared_model(calibration_sample)
    quantized_model = convert_pt2e(prepared_model)
    et_program = to_edge_transform_and_lower(
        torch.export.export(quantized_model, sample_inputs),
        partitioner=[
            CoreMLPartitioner(compile_specs=CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS17))
        ],
    ).to_executorch()

    assert_equal(run(et_program.buffer, *sample_inputs), quantized_model(*sample_inputs), tolerance)
    # A quarter of float32's 14 MB.
    assert len(et_program.buffer) < 4.5e6


class EagerModel(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(32, 64)
        self.linear = torch.nn.Linear(64, 32)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.linear(self.embedding(tokens))


def _affine(eager_model: torch.nn.Module) -> None:
    from torchao.quantization.granularity import PerGroup, PerAxis
    from torchao.quantization.quant_api import (
        IntxWeightOnlyConfig,
        quantize_,
    )

    embedding_config = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
    quantize_(eager_model, embedding_config, lambda m, fqn: isinstance(m, torch.nn.Embedding))
    linear_config = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32))
    quantize_(eager_model, linear_config)


def _codebook(eager_model: torch.nn.Module) -> None:
    from torchao.quantization.quant_api import (
        quantize_,
    )
    from torchao.prototype.quantization.codebook_coreml import CodebookWeightOnlyConfig

    quant_config = CodebookWeightOnlyConfig(dtype=torch.uint3, block_size=[16, -1])
    quantize_(
        eager_model,
        quant_config,
        lambda m, fqn: isinstance(m, torch.nn.Embedding) or isinstance(m, torch.nn.Linear),  # noqa: SIM101  (as documented)
    )


@pytest.mark.parametrize("quantize", [_affine, _codebook], ids=lambda function: function.__name__.strip("_"))
@torch.no_grad()
def test_quantization_quantize_(quantize: Callable[[torch.nn.Module], None]):
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    eager_model = EagerModel().eval()
    tokens = torch.arange(0, 32, 3)[None]
    original = eager_model(tokens)
    quantize(eager_model)
    expected = eager_model(tokens)
    assert not torch.equal(expected, original)
    compile_specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    lower = functools.partial(to_edge_transform_and_lower, partitioner=[CoreMLPartitioner(compile_specs=compile_specs)])
    et_program = lower(torch.export.export(eager_model, (tokens,))).to_executorch()

    assert_equal(run(et_program.buffer, tokens), expected)
