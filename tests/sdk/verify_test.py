"""`coreml verify` and its Python API: on files of ours and of the stock exporter; what they say of faults; wrong files get a sentence."""

from __future__ import annotations

import json
import pathlib
import random

import coremltools as ct
import numpy as np
import pytest
import torch
import verify_models
import verify_mutations
from coremltools.optimize.torch.quantization import LinearQuantizerConfig
from coremltools.proto import Model_pb2
from executorch.backends.apple.coreml import runtime
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.node_facts import computing_op
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.quantizer import CoreMLQuantizer
from executorch.backends.apple.coreml.sdk import blame_mapping, command_line, running, verify_reference
from executorch.backends.apple.coreml.sdk.audit import audit
from executorch.backends.apple.coreml.sdk.errors import ToolError
from executorch.backends.apple.coreml.sdk.verify import FACTOR, verify
from executorch.backends.apple.coreml.sdk.verify_edge import capture, lower, our_partitioner
from executorch.backends.apple.coreml.sdk.verify_package import open_packages
from executorch.exir import to_edge_transform_and_lower
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

PROGRAMS = pathlib.Path("tests/end_to_end/testdata")
STOCK = PROGRAMS / "stock_sin.pte"
STOCK_INPUT = np.linspace(-3, 3, 6, dtype=np.float32).reshape(2, 3)


class Sin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(x)


def test_the_process_s_options_are_as_before() -> None:
    """Programs loaded after verify() are not computed in its last numeric mode."""
    reference = torch.export.export(Sin(), (torch.from_numpy(STOCK_INPUT),))
    runtime.set_options(threads=1, numeric_mode="")
    try:
        assert verify(STOCK, reference, numeric_modes=["float32", "float16"], threads=2).modes
        assert (runtime._options["threads"], runtime._options["numeric_mode"]) == (1, "")
    finally:
        runtime.set_options(threads=0)


class Overflowing(torch.nn.Module):
    """An RMS norm whose squares are beyond float16."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.leave = torch.nn.Linear(16, 32), torch.nn.Linear(32, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.enter(x) * 100
        squares = y.pow(2)
        return self.leave(y * torch.rsqrt(squares.mean(-1, keepdim=True) + 1e-5))


class Vanishing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.exp(x * 0.1 - 20.0) * 1e8


class Cancelling(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.leave = torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x) + 2000.0
        return self.leave(y - y.mean(-1, keepdim=True))


class Files:
    """The perceptron as a .pte, its reference in every form, and a mutant."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.module, self.inputs = verify_models.build("perceptron")
        self.exported = torch.export.export(self.module, self.inputs)
        self.program = folder / "perceptron.pte"
        self.program.write_bytes(lower(self.exported, our_partitioner({})))
        self.reference = folder / "perceptron.pt2"
        torch.export.save(self.exported, self.reference)
        with torch.no_grad():
            self.expected = self.module(*self.inputs).numpy()
        self.outputs, self.arrays = folder / "outputs.npz", folder / "inputs.npz"
        np.savez(self.outputs, self.expected)
        np.savez(self.arrays, *(tensor.numpy() for tensor in self.inputs))
        victim = verify_mutations.Victim(self.program.read_bytes())
        # The factor behind the cumulative sum.
        site = [s for s in victim.sites() if s[0] == "constant"][-1]
        self.planted = victim.mutate(site, random.Random(0))
        self.mutant = folder / "mutant.pte"
        self.mutant.write_bytes(self.planted.program)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("files"))


# --- measures of outputs ---


def test_a_right_program_of_ours(coreml, files) -> None:
    code, out, err = coreml("verify", "--json", files.program, "--reference", files.reference)
    assert code == 0, err
    facts = json.loads(out)
    assert facts["passed"]
    assert [mode["numeric_mode"] for mode in facts["modes"]] == ["float32", "float16"]
    for mode in facts["modes"]:
        (output,) = mode["outputs"]
        # By hand.
        actual = running.prepare(files.program, {"0": files.inputs[0].numpy()}, numeric_mode=mode["numeric_mode"]).call()["0"]
        error, expected = actual.astype(np.float64) - files.expected, files.expected.astype(np.float64)
        l2 = np.sqrt((error**2).sum() / (expected**2).sum())
        assert output["l2_relative"] == pytest.approx(l2, rel=1e-9)
        assert output["max_abs"] == np.abs(error).max()
        assert output["max_rel"] == pytest.approx((np.abs(error) / np.abs(expected)).max(), rel=1e-9)
        assert output["snr_db"] == pytest.approx(-20 * np.log10(l2), rel=1e-9)
        assert output["psnr_db"] == pytest.approx(10 * np.log10(np.abs(expected).max() ** 2 / (error**2).mean()), rel=1e-9)
        assert output["top1"] == np.mean(actual.argmax(-1) == expected.argmax(-1))
        assert output["tolerance"] == pytest.approx(FACTOR * output["normal_l2_relative"])
        assert 0 < output["l2_relative"] < output["tolerance"] < 0.04
        assert "PyTorch" in output["normal_source"]
        assert mode["blame"] is None
    text = coreml("verify", files.program, "--reference", files.reference, "--numeric-mode", "float16")[1]
    assert "numeric mode float16: every output is right" in text
    assert "Apple's own runtime is not established" in text


def test_a_right_program_of_the_stock_exporter(coreml, tmp_path, monkeypatch) -> None:
    (tmp_path / "my_sine.py").write_text(
        "import torch\n"
        "class Sine(torch.nn.Module):\n    def forward(self, x):\n        return torch.sin(x)\n"
        "def make():\n    return Sine(), (torch.linspace(-3, 3, 6).reshape(2, 3),)\n"
        "def nothing():\n    return 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    code, out, err = coreml("verify", "--json", STOCK, "--reference", "my_sine:make")
    assert code == 0, err
    (output,) = json.loads(out)["modes"][1]["outputs"]
    assert 0 < output["l2_relative"] < 1e-3
    code, _, err = coreml("verify", STOCK, "--reference", "my_sine:nothing")
    assert (code, "must return (torch module, tuple of example inputs), not int" in err) == (1, True)
    code, _, err = coreml("verify", STOCK, "--reference", "my_sine:missing")
    assert (code, "has no missing" in err) == (1, True)


def test_expected_outputs_as_arrays(coreml, files) -> None:
    code, _, err = coreml("verify", files.program, "--reference", files.outputs)
    assert code == 1
    assert "has the outputs for certain inputs" in err
    code, out, _ = coreml("verify", "--json", files.program, "--reference", files.outputs, "--inputs", files.arrays)
    assert code == 0
    (output,) = json.loads(out)["modes"][1]["outputs"]
    assert output["normal_l2_relative"] == 2e-3
    assert "test models" in output["normal_source"]
    code, out, _ = coreml("verify", files.mutant, "--reference", files.outputs, "--inputs", files.arrays)
    assert code == 3
    assert "pass the model as the reference instead" in out


def test_expected_outputs_in_python() -> None:
    result = verify(STOCK, [np.sin(STOCK_INPUT)], [STOCK_INPUT], numeric_modes=("float32",))
    assert result.passed
    # The difference of the last element is 1: more than any rounding.
    wrong = np.sin(STOCK_INPUT)
    wrong[1, 2] += 1
    (output,) = verify(STOCK, [wrong], [STOCK_INPUT], numeric_modes=("float32",)).modes[0].outputs
    assert not output.passed
    assert output.comparison.max_abs == pytest.approx(1, abs=1e-3)


# --- blame ---


def test_a_fault_is_named_with_its_line(coreml, files) -> None:
    code, out, _ = coreml("verify", "--json", files.mutant, "--reference", files.reference, "--numeric-mode", "float32")
    assert code == 3
    blame = json.loads(out)["modes"][0]["blame"]
    assert blame["kind"] == "operation"
    assert (blame["mil_op"], blame["mil_name"]) == files.planted.operation
    source = pathlib.Path(verify_models.__file__).read_text().splitlines()
    assert pathlib.Path(blame["line"]["file"]).name == "verify_models.py"
    assert source[blame["line"]["line"] - 1].strip() == blame["line"]["code"]
    assert blame["edge_op"].startswith("aten.")
    assert isinstance(blame["debug_handle"], int)
    # What it was given was right but for rounding, and what it made of it is not.
    assert blame["inherited"] < 1e-2 < blame["error"]
    text = coreml("verify", files.mutant, "--reference", files.reference, "--numeric-mode", "float32")[1]
    assert files.planted.operation[1] in text


def test_little_memory_gives_the_same_answer(files) -> None:
    reference = (files.module, files.inputs)
    found = verify(files.mutant, reference, numeric_modes=("float16",), memory_budget=2000).modes[0].blame
    assert found.mil_name == files.planted.operation[1]


def test_a_fault_in_a_stock_package(coreml, tmp_path) -> None:
    assert coreml("extract", STOCK, "-o", tmp_path)[0] == 0
    package = tmp_path / "forward_0.mlpackage"
    file = package / "Data/com.apple.CoreML/model.mlmodel"
    specification = Model_pb2.Model.FromString(file.read_bytes())
    (function,) = specification.mlProgram.functions.values()
    for operation in function.block_specializations[function.opset].operations:
        operation.type = "cos" if operation.type == "sin" else operation.type
    file.write_bytes(specification.SerializeToString())
    mode = verify(package, (Sin(), (torch.from_numpy(STOCK_INPUT),)), numeric_modes=("float16",)).modes[0]
    assert not mode.passed
    assert (mode.blame.mil_op, mode.blame.edge_op) == ("cos", "aten.sin.default")
    assert mode.blame.line.code == "return torch.sin(x)"


def test_a_tolerance_below_rounding_blames_no_operation(files) -> None:
    blame = verify(files.program, files.exported, numeric_modes=("float16",), tolerance=1e-9).modes[0].blame
    assert blame.kind == "accumulated"
    assert "rounding adds up" in str(blame)


class Residual(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = torch.nn.Linear(16, 16), torch.nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.one(x) + self.two(x) * 3)


# A pass of coremltools gives the operands of a quantized sum other scales, and takes that back behind it.
def test_a_quantized_sum_with_other_scales_is_no_fault(tmp_path) -> None:
    torch.manual_seed(0)
    inputs = (torch.randn(8, 16),)
    prepared = prepare_pt2e(torch.export.export(Residual().eval(), inputs).module(), CoreMLQuantizer(LinearQuantizerConfig()))
    prepared(*inputs)
    exported = torch.export.export(convert_pt2e(prepared), inputs)
    path = tmp_path / "residual.pte"
    path.write_bytes(lower(exported, our_partitioner({}, deployment_target=ct.target.iOS17, compute_precision="float32")))
    with open_packages(path, "forward") as (package,):
        names = [operation.name for operation in package.operations]
        edge = capture(exported, names=names, lowered_with=package.lowered_with, is_ours=True)
        mapping = blame_mapping.map_package(edge, package)
    unmapped = {
        computing_op(node).split(".")[1]
        for node in edge.program.graph.nodes
        if node.op == "call_function" and node not in mapping.operations
    }
    assert unmapped >= {"dequantize_per_tensor", "add"}
    blame = verify(path, exported, numeric_modes=("float32",), tolerance=1e-9).modes[0].blame
    assert blame is None or blame.kind == "accumulated", str(blame)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"minimum_deployment_target": ct.target.iOS18, "compute_precision": ct.precision.FLOAT32},
        {"float32_ops": ["exp"]},
        {"op_linear_quantizer_config": {"mode": "linear_symmetric", "dtype": "int8", "weight_threshold": 16}},
        {"blob_format": "coreml_blob", "compute_unit": ct.ComputeUnit.CPU_ONLY},
    ],
    ids=lambda options: "-".join(options) or "defaults",
)
def test_a_program_tells_how_it_is_lowered_again(options, tmp_path) -> None:
    torch.manual_seed(0)
    exported = torch.export.export(torch.nn.Sequential(torch.nn.Linear(16, 16), Vanishing()).eval(), (torch.randn(3, 16),))
    specs = CoreMLBackend.generate_compile_specs(**options)
    path = tmp_path / "model.pte"
    path.write_bytes(lower(exported, CoreMLPartitioner(compile_specs=specs)))
    with open_packages(path, "forward") as (package,):
        assert package.lowered_with == {spec.key: bytes(spec.value) for spec in specs}
    assert lower(exported, our_partitioner(package.lowered_with)) == path.read_bytes()


def test_compile_specs_that_nobody_has_are_an_error() -> None:
    with pytest.raises(ToolError, match="the compile spec blob_format cannot be b'zip'"):
        our_partitioner({"blob_format": b"zip"})


@pytest.mark.parametrize(
    ("model", "scale", "kind", "operation"),
    [(Overflowing, 10, "overflow", "pow"), (Vanishing, 10, "vanish", "exp"), (Cancelling, 10, "accumulated", "sub")],
)
def test_what_float16_does_to_a_model(model, scale, kind, operation, tmp_path) -> None:
    torch.manual_seed(0)
    module, inputs = model().eval(), (torch.randn(3, 16) * scale,)
    exported = torch.export.export(module, inputs)
    path = tmp_path / "model.pte"
    path.write_bytes(lower(exported, our_partitioner({})))
    exact, rounded = verify(path, exported).modes
    assert exact.passed
    assert not rounded.passed
    assert (rounded.blame.kind, rounded.blame.mil_op) == (kind, operation)
    if model is not Cancelling:
        assert rounded.blame.line.code in pathlib.Path(__file__).read_text()

    result = audit(path, exported)
    first = result.findings[0]
    assert (first.mil_op, first.kind) == (operation, "bits" if kind == "accumulated" else kind)
    assert result.tries[0].difference == rounded.outputs[0].comparison.l2_relative
    assert result.proposal.passed
    assert result.proposal.difference < 1e-2 < result.tries[0].difference
    # Measured once more: the proposal is what the exporter takes.
    cured = tmp_path / "cured.pte"
    cured.write_bytes(lower(exported, our_partitioner({}, float32_ops=list(result.proposal.float32_ops))))
    (mode,) = verify(cured, exported, numeric_modes=("float16",)).modes
    assert mode.outputs[0].comparison.l2_relative == pytest.approx(result.proposal.difference)


def test_the_audit_of_a_model_that_float16_holds(coreml, files) -> None:
    code, out, err = coreml(
        "verify", "--json", files.program, "--reference", files.reference, "--audit", "--numeric-mode", "float16"
    )
    assert code == 0, err
    found = json.loads(out)["audit"]
    assert [f["kind"] for f in found["findings"] if f["kind"] != "bits"] == []
    assert len(found["tries"]) == 1
    assert found["proposal"] is None


# --- wrong files and arguments ---


def test_wrong_files_get_a_sentence(coreml, files, tmp_path) -> None:
    (tmp_path / "text.pte").write_text("this is no program at all, only text")
    (tmp_path / "cut.pte").write_bytes(files.program.read_bytes()[: files.program.stat().st_size // 2])
    (tmp_path / "cut.pt2").write_bytes(files.reference.read_bytes()[:1000])
    (tmp_path / "cut.npz").write_bytes(files.outputs.read_bytes()[:50])
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "two.npz", np.zeros(1), np.zeros(2))
    np.savez(tmp_path / "shape.npz", np.zeros((1, 2), np.float32))
    given = ["--inputs", files.arrays]
    for arguments, words in (
        ([tmp_path / "missing.pte", "--reference", files.reference], "there is no file"),
        ([tmp_path / "text.pte", "--reference", files.reference], "not an ExecuTorch program"),
        ([tmp_path / "cut.pte", "--reference", files.reference], "cut short"),
        ([tmp_path / "empty", "--reference", files.reference], "has no Manifest.json"),
        ([files.program, "--reference", tmp_path / "missing.pt2"], "there is no such file"),
        ([files.program, "--reference", tmp_path / "cut.pt2"], "cannot be loaded as a program of torch.export.save"),
        ([files.program, "--reference", tmp_path / "missing.npz"], "there is no such file"),
        ([files.program, "--reference", tmp_path / "cut.npz"], "is not a .npz file, or is incomplete"),
        ([files.program, "--reference", "model.onnx"], "has no known form: it must be a .pt2"),
        ([files.program, "--reference", "no_such_module:make"], "cannot be imported from here"),
        ([files.program, "--reference", tmp_path / "two.npz", *given], "1 outputs, but"),
        ([files.program, "--reference", tmp_path / "shape.npz", *given], "the shapes [4, 8] and [1, 2] differ"),
        ([files.program, "--reference", files.reference, "--method", "backward"], "has no method 'backward'"),
        ([files.program, "--reference", files.reference, "--input", "0=missing.npy"], "cannot be read"),
        (
            [files.program, "--reference", files.reference, "--inputs", tmp_path / "two.npz"],
            "1 inputs (0), but what was given has 2",
        ),
        ([files.program, "--reference", files.reference, "--tolerance", "-1"], "--tolerance must be a number of at least 0"),
        ([files.program, "--reference", files.outputs, *given, "--audit"], "the audit needs the model"),
    ):
        code, out, err = coreml("verify", *arguments)
        assert (code, out) == (1, ""), (arguments, out, err)
        assert words in err, (arguments, err)
        assert err.startswith("coreml verify: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err


def test_a_missing_reference_is_a_wrong_usage(coreml, files, capsys) -> None:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["verify", str(files.program)])
    assert exit_.value.code == 2
    assert "--reference" in capsys.readouterr().err


def test_a_program_that_was_lowered_before_is_a_reference() -> None:
    module, inputs = verify_models.build("transformer")
    exported = torch.export.export(module, inputs)
    expected = verify_reference.load(exported).outputs([inputs[0].numpy()])
    to_edge_transform_and_lower(exported, partitioner=[our_partitioner({})]).to_executorch()
    actual = verify_reference.load(exported).outputs([inputs[0].numpy()])
    np.testing.assert_array_equal(actual[0], expected[0])


def test_a_program_that_another_lowering_took_constants_from_is_explained() -> None:
    module, inputs = verify_models.build("transformer")
    exported = torch.export.export(module, inputs)
    exported.constants.clear()
    with pytest.raises(ToolError, match="Export the model again"):
        verify_reference.load(exported).outputs([inputs[0].numpy()])
