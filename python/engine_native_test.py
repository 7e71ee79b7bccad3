"""The engines from Python, on the conformance suite's models."""

import os
import threading

import numpy as np
import pytest
from executorch.backends.apple.coreml.engine import _native as _engine

_DATA = "runtime/engine/cts/testdata"


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """Copies a package's files: in Bazel's runfiles they are symbolic links, which are refused."""
    root = _DATA if os.path.exists(_DATA) else os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], _DATA)
    target = tmp_path_factory.mktemp("packages")

    def copy(name):
        source = os.path.join(root, name + ".mlpackage")
        folder = target / (name + ".mlpackage")
        for directory, _, files in os.walk(source, followlinks=True):
            for file in files:
                path = folder / os.path.relpath(os.path.join(directory, file), source)
                path.parent.mkdir(parents=True, exist_ok=True)
                with open(os.path.join(directory, file), "rb") as stream:
                    path.write_bytes(stream.read())
        return str(folder)

    return copy


def test_description(package):
    model = _engine.load(package("range"))
    assert model.description == {
        "name": "main",
        "inputs": [
            {"name": "x", "dtype": "float32", "shape": ((1, 8), 3), "enumerated_shapes": []},
            {"name": "y", "dtype": "float32", "shape": ((1, 8), 3), "enumerated_shapes": []},
        ],
        "outputs": [{"name": "sum", "dtype": "float32", "shape": ((0, None), 3), "enumerated_shapes": []}],
        "states": [],
        "images": {},
        "default_values": {},
        "classifier": None,
    }
    assert _engine.describe(package("range")) == [model.description]


def test_predict(package):
    model = _engine.load(package("add"), threads=1)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    # A transposed array is copied to the layout that the model wants.
    outputs = model.predict({"x": x, "y": np.ascontiguousarray(x.T).T})
    np.testing.assert_array_equal(outputs["sum"], 2 * x)
    assert outputs["sum"].dtype == np.float32


def test_outputs_grow_to_what_the_inputs_ask_for(package):
    model = _engine.load(package("range"))
    for rows in (1, 8, 2, 5):
        x = np.full((rows, 3), rows, np.float32)
        outputs = model.predict({"x": x, "y": x})
        np.testing.assert_array_equal(outputs["sum"], 2 * x)


def test_scalars(package):
    outputs = _engine.load(package("scalar")).predict({"a": np.float32(2), "x": np.array([1, 2, 3], np.float32)})
    np.testing.assert_array_equal(outputs["product"], [2, 4, 6])
    assert outputs["total"].shape == ()
    assert outputs["total"] == 12


def test_states(package):
    model = _engine.load(package("state"))
    state = model.make_state({"acc": np.array([1, 2, 3, 4], np.float16)})
    x = np.ones(4, np.float16)
    np.testing.assert_array_equal(model.predict({"x": x}, state)["total"], [2, 3, 4, 5])
    copy = state.copy()
    model.predict({"x": x}, state)
    np.testing.assert_array_equal(state.read("acc"), [3, 4, 5, 6])
    np.testing.assert_array_equal(copy.read("acc"), [2, 3, 4, 5])
    state.reset()
    np.testing.assert_array_equal(state.read("acc"), [1, 2, 3, 4])
    state.write("acc", np.full(4, 7, np.float16))
    np.testing.assert_array_equal(state.read("acc"), [7, 7, 7, 7])
    with pytest.raises(_engine.EngineError, match="float32"):
        state.write("acc", np.zeros(4, np.float32))


def test_functions(package):
    path = package("functions")
    assert _engine.load(path).description["name"] == "push_twice"
    with pytest.raises(_engine.EngineError, match="push_twice") as error:
        _engine.load(path, function_name="pull")
    assert error.value.code == "not_found"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ({}, "x: float32"),
        ({"x": np.zeros((2, 3), np.float32)}, "y: float32"),
        ({"x": np.zeros((2, 3), np.float64), "y": np.zeros((2, 3), np.float32)}, "float64"),
        ({"x": np.zeros((3, 2), np.float32), "y": np.zeros((2, 3), np.float32)}, r"\[3, 2\]"),
        ({"x": np.zeros((2, 3), np.complex64), "y": np.zeros((2, 3), np.float32)}, "complex64"),
        ({k: np.zeros((2, 3), np.float32) for k in ("x", "y", "z")}, "z"),
    ],
)
def test_wrong_inputs(package, inputs, text):
    model = _engine.load(package("add"))
    with pytest.raises(_engine.EngineError, match=text) as error:
        model.predict(inputs)
    assert error.value.code == "invalid_argument"


def test_errors_carry_the_whole_status(package):
    with pytest.raises(_engine.EngineError) as error:
        _engine.load(package("unsupported"))
    assert error.value.code == "unsupported"
    assert "no_such_operation" in str(error.value)
    assert error.value.artifact.endswith("unsupported.mlpackage")
    with pytest.raises(_engine.EngineError, match="no engine with this name"):
        _engine.load(package("add"), engine="coreml_on_mars")
    with pytest.raises(_engine.EngineError, match="numeric_mode"):
        _engine.load(package("add"), numeric_mode="float8")


def test_compiled_folder(package, tmp_path):
    _engine.compile(package("add"), str(tmp_path))
    model = _engine.load_compiled(str(tmp_path))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(model.predict({"x": x, "y": x})["sum"], 2 * x)
    (tmp_path / "graph.ov").write_bytes(b"")
    with pytest.raises(_engine.EngineError) as error:
        _engine.load_compiled(str(tmp_path))
    assert error.value.code == "corrupt_data"


def test_inspect(package):
    model = _engine.load(package("scalar"))
    outputs, events, values = model.inspect({"a": np.array([3], np.float32), "x": np.array([1, 2, 3], np.float32)}, values=True)
    assert outputs["total"] == 18
    np.testing.assert_array_equal(values["product"], [3, 6, 9])
    operations = {name: kind for kind, name, _, _, _ in events}
    assert operations["product"] == "operation"
    assert operations["main"] == "execute"


def test_threads_predict_at_the_same_time(package):
    model = _engine.load(package("add"))
    wrong = []

    def work(number):
        x = np.full((2, 3), number, np.float32)
        for _ in range(100):
            if not (model.predict({"x": x, "y": x})["sum"] == 2 * number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
