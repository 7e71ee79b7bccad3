"""The Python runtime package: loading, options, states, diagnostics and what failures say."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
from unittest import mock

import coremltools as ct
import pytest
import torch
from executorch.backends.apple.coreml import _libraries, runtime
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.runtime import _library, _load_options
from executorch.exir import to_edge_transform_and_lower
from executorch.runtime import Runtime


class Sin(torch.nn.Module):
    def forward(self, x):
        return torch.sin(x)


class Accumulate(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.tensor([5.0, -5.0]))

    def forward(self, x):
        self.total.add_(x)
        return self.total * 2


def lower(module, inputs, *, precision=ct.precision.FLOAT32, dynamic_shapes=None, stateful=False, skip=None) -> bytes:
    target = {"minimum_deployment_target": ct.target.iOS18} if stateful else {}
    partitioner = CoreMLPartitioner(
        compile_specs=CoreMLBackend.generate_compile_specs(compute_precision=precision, **target),
        take_over_mutable_buffer=stateful,
        skip_ops_for_coreml_delegation=skip,
    )
    exported = torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)
    return bytes(to_edge_transform_and_lower(exported, partitioner=[partitioner]).to_executorch().buffer)


@pytest.fixture(scope="module")
def sin() -> bytes:
    return lower(Sin(), (torch.ones(2, 3),))


@pytest.fixture(autouse=True)
def defaults():
    yield
    runtime.set_options(engine="", compute_unit="", numeric_mode="", threads=0, share_models=False)


def test_openvino_s_own_package_works_beside_the_delegate() -> None:
    """One copy of libopenvino serves both; it must be one that finds its frontends."""
    import openvino

    converted = openvino.convert_model(Sin(), example_input=torch.ones(2, 3))
    assert [op.get_type_name() for op in converted.get_ops()].count("Sin") == 1


def test_importing_registers_the_backend_and_the_portable_engine() -> None:
    assert "CoreMLBackend" in runtime.registered_backends()
    assert "CoreMLBackend" in Runtime.get().backend_registry.registered_backend_names
    assert Runtime.get().backend_registry.is_available("CoreMLBackend")
    found = runtime.diagnose()
    assert found.is_registered
    assert found.default_engine == "portable"
    assert "openvino" in found.engines["portable"].lower()
    assert pathlib.Path(found.library).exists()
    assert found.version


def test_loading_again_changes_nothing() -> None:
    before = runtime.registered_backends()
    again = _library.load()
    assert again._handle == runtime._LIBRARY._handle
    assert runtime.registered_backends() == before


def test_sin_runs(sin: bytes) -> None:
    x = torch.linspace(-3, 3, 6).reshape(2, 3)
    method = Runtime.get().load_program(sin).load_method("forward")
    torch.testing.assert_close(method.execute([x])[0], torch.sin(x), rtol=1e-6, atol=1e-6)


def test_a_channels_last_input_is_read_in_its_order(sin: bytes) -> None:
    del sin
    data = lower(Sin(), (torch.ones(1, 3, 4, 5),))
    x = torch.randn(1, 3, 4, 5)
    method = Runtime.get().load_program(data).load_method("forward")
    torch.testing.assert_close(method.execute([x])[0], torch.sin(x), rtol=1e-6, atol=1e-6)


def test_shapes_follow_the_input_from_call_to_call() -> None:
    length = torch.export.Dim("length", min=2, max=64)
    data = lower(Sin(), (torch.ones(4, 3),), dynamic_shapes=({0: length},))
    method = Runtime.get().load_program(data).load_method("forward")
    for n in (4, 2, 64, 3, 64):
        x = torch.randn(n, 3)
        (y,) = method.execute([x])
        torch.testing.assert_close(y, torch.sin(x), rtol=1e-6, atol=1e-6)
    with pytest.raises(RuntimeError):
        method.execute([torch.randn(65, 3)])


def test_operations_left_outside_run_between_delegates() -> None:
    class Mixed(torch.nn.Module):
        def forward(self, x):
            return torch.relu(torch.sin(torch.relu(x * 2)) + 0.1)

    x = torch.randn(2, 3)
    data = lower(Mixed(), (x,), skip=["aten.sin.default"])
    (y,) = Runtime.get().load_program(data).load_method("forward").execute([x])
    torch.testing.assert_close(y, Mixed()(x), rtol=1e-6, atol=1e-6)


def test_states_keep_their_initial_value_and_can_be_reset() -> None:
    method = Runtime.get().load_program(lower(Accumulate(), (torch.ones(2),), stateful=True)).load_method("forward")
    for _ in range(2):
        assert method.execute([torch.ones(2)])[0].tolist() == [12.0, -8.0]
        assert method.execute([torch.ones(2)])[0].tolist() == [14.0, -6.0]
        runtime.reset_states()
    runtime.reset_states("forward")
    with pytest.raises(runtime.DelegateError, match=r"no loaded method with this name.*nobody") as raised:
        runtime.reset_states("nobody")
    assert raised.value.error == 0x20


def test_the_numeric_mode_is_the_options() -> None:
    data = lower(Sin(), (torch.ones(1000),), precision=ct.precision.FLOAT16)
    x = torch.linspace(-3, 3, 1000)
    results = {}
    for mode in ("float32", "float16"):
        runtime.set_options(numeric_mode=mode, threads=1)
        (results[mode],) = Runtime.get().load_program(data).load_method("forward").execute([x])
    # float16 mode rounds the sine to a half; float32 mode does not.
    assert torch.equal(results["float16"], results["float16"].half().float())
    assert not torch.equal(results["float32"], results["float32"].half().float())
    # The input, at most 3, is rounded too: half a unit in the last place of each.
    assert float((results["float32"] - results["float16"]).abs().max()) <= 2**-10 + 2**-11


def test_options_are_put_back() -> None:
    data = lower(Sin(), (torch.ones(1000),), precision=ct.precision.FLOAT16)
    x = torch.linspace(-3, 3, 1000)

    def run() -> torch.Tensor:
        return Runtime.get().load_program(data).load_method("forward").execute([x])[0]

    runtime.set_options(threads=1)
    before = run()
    with runtime.options(numeric_mode="float16", threads=2):
        assert torch.equal(run(), run().half().float())
        with pytest.raises(runtime.DelegateError), runtime.options(numeric_mode="bfloat16"):
            pass
        assert torch.equal(run(), run().half().float())
    assert torch.equal(run(), before)
    assert (runtime._options["numeric_mode"], runtime._options["threads"]) == ("", 1)
    with runtime.options(warm_up=True):
        pass
    assert runtime._options["warm_up"] is False, "which it was without having been set"
    with pytest.raises(TypeError, match="numeric_modes"), runtime.options(numeric_modes="float16"):
        pass


def test_a_method_holds_the_bytes_of_its_program(tmp_path: pathlib.Path) -> None:
    """Programs from bytes that nobody else holds: ExecuTorch's methods read freed memory, and crash."""
    path = tmp_path / "sin.pte"
    path.write_bytes(lower(Sin(), (torch.ones(2, 3),)))
    done = subprocess.run([sys.executable, "-c", _CHAINED, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


_CHAINED = """
import gc, io, pathlib, sys
import torch
import executorch.backends.apple.coreml.runtime
from executorch.runtime import Runtime

path = pathlib.Path(sys.argv[1])
x = torch.full((2, 3), 0.5)
for make in (path.read_bytes, lambda: bytearray(path.read_bytes()), lambda: io.BytesIO(path.read_bytes()), lambda: path):
    for _ in range(5):
        method = Runtime.get().load_program(make()).load_method("forward")
        gc.collect()
        rubbish = [bytes([255]) * size for size in range(1000, 40_000, 200)]
        assert method.metadata.num_inputs() == 1
        torch.testing.assert_close(method.execute([x])[0], torch.sin(x))
        del method, rubbish
"""


@pytest.mark.parametrize(
    "options,message",
    [
        ({"engine": "absent"}, "no engine with this name.*absent"),
        ({"compute_unit": "gpu"}, "cpu_and_gpu"),
        ({"numeric_mode": "bfloat16"}, "float32, float16"),
        ({"threads": -1}, "threads"),
        ({"engine": "e" * 300}, "255 bytes"),
    ],
)
def test_a_bad_option_is_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(runtime.DelegateError, match=message):
        runtime.set_options(**options)


def test_options_are_those_of_the_delegates_table() -> None:
    options = runtime.load_options()
    assert options["threads"].kind == "int"
    assert options["compute_unit"].choices == ("all", "cpu_only", "cpu_and_gpu", "cpu_and_ne")
    for option in options.values():
        assert option.doc
        runtime.set_options(**{option.name: option.unset})
    with pytest.raises(TypeError, match=r"no option thread; there are: engine, compute_unit"):
        runtime.set_options(thread=1)
    with pytest.raises(TypeError, match="the option threads is of the kind int"):
        runtime.set_options(threads="2")


def test_an_option_of_the_table_alone_can_be_set() -> None:
    """A row that the delegate gains needs nothing in Python: any kind of it reaches the library."""
    rows = [
        {"name": "patience", "kind": "int", "choices": [], "doc": "how long"},
        {"name": "hurry", "kind": "bool", "choices": [], "doc": "whether"},
        {"name": "mood", "kind": "choice", "choices": ["good", "bad"], "doc": "how"},
        {"name": "place", "kind": "path", "choices": [], "doc": "where"},
    ]
    table = _load_options.parse(json.dumps(rows))
    assert {name: option.unset for name, option in table.items()} == {"patience": 0, "hurry": False, "mood": "", "place": ""}
    library = mock.Mock(**{f"coreml_delegate_set_{kind}_option.return_value": 0 for kind in ("int", "bool", "string")})
    for name, value in {"patience": 3, "hurry": True, "mood": "bad", "place": pathlib.Path("/there")}.items():
        assert _load_options.set_in(library, table[name], value) == 0
    library.coreml_delegate_set_int_option.assert_called_once_with(b"patience", 3)
    library.coreml_delegate_set_bool_option.assert_called_once_with(b"hurry", 1)
    assert library.coreml_delegate_set_string_option.mock_calls == [mock.call(b"mood", b"bad"), mock.call(b"place", b"/there")]


def test_a_damaged_program_says_what_is_wrong(sin: bytes) -> None:
    # The size of the blob's table, which stands before it. (Without the identifier behind that it would be a stock blob, and run.)
    index = sin.rindex(b"CMLB") - 8
    damaged = sin[:index] + b"\xff\xff\xff\x7f" + sin[index + 4 :]
    with pytest.raises(RuntimeError):
        Runtime.get().load_program(damaged).load_method("forward")
    assert "docs/errors.md#" in runtime.last_error()


def test_models_of_equal_content_are_shared_on_request(sin: bytes) -> None:
    runtime.set_options(share_models=True)
    x = torch.ones(2, 3)
    first, second = bytes(bytearray(sin)), bytes(bytearray(sin))
    programs = [Runtime.get().load_program(data) for data in (first, second)]
    for program in programs:
        torch.testing.assert_close(program.load_method("forward").execute([x])[0], torch.sin(x))


def test_methods_load_and_run_from_several_threads(sin: bytes) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            generator = torch.Generator().manual_seed(seed)
            method = Runtime.get().load_program(sin).load_method("forward")
            for _ in range(20):
                x = torch.randn(2, 3, generator=generator)
                torch.testing.assert_close(method.execute([x])[0], torch.sin(x), rtol=1e-6, atol=1e-6)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_missing_library_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setattr(_libraries, "candidates", lambda name: [tmp_path / name])
    monkeypatch.setattr("executorch.extension.pybindings.portable_lib._get_registered_backend_names", list)
    with pytest.raises(ImportError, match=r"none of these places:[\s\S]*libcoremldelegate.so[\s\S]*tools/bazel build"):
        _library.load.__wrapped__()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ImportError, match="no wheel has it for darwin, where this package can lower and inspect models"):
        _library.load.__wrapped__()


def test_a_library_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "libcoremldelegate.so"
    path.write_bytes(b"not a library")
    monkeypatch.setattr(_libraries, "candidates", lambda name: [path])
    with pytest.raises(ImportError, match="cannot be loaded"):
        _library.load.__wrapped__()


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


# Plays executorch's wheel for macOS: this package has no library there, and ExecuTorch's Python runtime a CoreMLBackend.
AS_ON_A_MAC = """
import os, pathlib
os.environ["COREML_DELEGATE_AUTOLOAD"] = "0"
from executorch.extension.pybindings import portable_lib
from executorch_coreml import _libraries
_libraries.candidates = lambda name: [pathlib.Path("/nonexistent") / name]
registered = portable_lib._get_registered_backend_names()
assert "CoreMLBackend" not in registered, registered
portable_lib._get_registered_backend_names = lambda: [*registered, "CoreMLBackend"]
del os.environ["COREML_DELEGATE_AUTOLOAD"]
"""


def test_executorchs_own_backend_runs_where_it_is_registered() -> None:
    # Without an import line of ours, then by name: one line for both, and what asks this delegate for something is refused.
    done = run_python(
        AS_ON_A_MAC + "import executorch.runtime\n"
        "from executorch.backends.apple.coreml import runtime\n"
        "try:\n"
        "    runtime.set_options(threads=1)\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    sentence = "the CoreMLBackend of this process is the one that the executorch package has registered, and not this package's"
    assert done.stdout.startswith(sentence)
    (line,) = [line for line in done.stderr.splitlines() if "Core ML" in line]
    assert line.startswith(f"Core ML delegates run in executorch's own backend: {sentence}")


def test_the_import_is_silent_and_the_process_ends_well_with_methods_alive(sin: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "sin.pte"
    path.write_bytes(sin)
    done = run_python(
        "import executorch.backends.apple.coreml.runtime\n"
        "from executorch.runtime import Runtime\n"
        "import torch\n"
        f"method = Runtime.get().load_program({str(path)!r}).load_method('forward')\n"
        "print(method.execute([torch.zeros(2, 3)])[0].sum().item())\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0.0\n"
    assert done.stderr == ""


def test_the_order_of_imports_does_not_matter() -> None:
    for first in ("import openvino", "import coremltools, executorch.runtime"):
        done = run_python(
            f"{first}\nfrom executorch.backends.apple.coreml import runtime\nprint(runtime.diagnose().default_engine)\n"
        )
        assert (done.returncode, done.stdout) == (0, "portable\n"), done.stderr
