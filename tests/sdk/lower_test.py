"""`coreml lower`: from each kind of model to a .pte that computes what the model does, and a sentence for what is none."""

from __future__ import annotations

import json
import pathlib

import pytest
import torch
import transformers
from executorch.runtime import Runtime

MODELS = """
import torch

def make():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU()), (torch.randn(2, 8),)

def make_none():
    return torch.nn.ReLU()

def make_sort():
    class Roots(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvalsh(x)
    return Roots(), (torch.eye(3),)
"""


@pytest.fixture
def here(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The test's folder, as the current one, with a module of models."""
    (tmp_path / "lower_test_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def lowered(coreml, *words: str) -> dict:
    code, out, err = coreml("lower", *words, "-o", "out.pte", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["bytes"] == pathlib.Path("out.pte").stat().st_size
    assert all(mode["passed"] for mode in found["verification"]["modes"])
    return found


def test_a_function_and_an_exported_program(coreml, here) -> None:
    found = lowered(coreml, "lower_test_models:make")
    assert any("Core ML takes 2 of 2 operations" in line for line in found["report"])
    torch.manual_seed(0)
    module, inputs = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.ReLU()), (torch.randn(2, 8),)
    torch.export.save(torch.export.export(module, inputs), "model.pt2")
    lowered(coreml, "model.pt2", "--precision", "float32", "--target", "iOS17")
    (actual,) = Runtime.get().load_program(pathlib.Path("out.pte")).load_method("forward").execute(inputs)
    torch.testing.assert_close(actual, module(*inputs), rtol=1e-5, atol=1e-6)
    code, out, _ = coreml("lower", "model.pt2", "-o", "again.pte")
    assert code == 0
    assert "every output is right" in out


def bert(folder: pathlib.Path) -> transformers.BertModel:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, vocab_size=50
    )
    model = transformers.BertModel(config).eval()
    model.save_pretrained(folder)
    return model


def test_a_folder_of_transformers(coreml, here) -> None:
    bert(here / "bert")
    lowered(coreml, "bert", "--length", "9")


def test_a_folder_of_sentence_transformers(coreml, here) -> None:
    model = bert(here / "sentences")
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    (here / "sentences" / "modules.json").write_text(
        json.dumps([{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in steps])
    )
    (here / "sentences" / "1_Pooling").mkdir()
    (here / "sentences" / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    lowered(coreml, "sentences", "--length", "9")
    ids = torch.randint(0, 50, (1, 9))
    mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0, 0]])
    (actual,) = Runtime.get().load_program(pathlib.Path("out.pte")).load_method("forward").execute([ids, mask])
    pooled = model(ids[:, :5]).last_hidden_state.mean(1)
    expected = torch.nn.functional.normalize(pooled, dim=1)
    torch.testing.assert_close(actual, expected, rtol=1e-2, atol=2e-3)


def test_what_is_no_model_is_refused_with_a_sentence(coreml, here) -> None:
    (here / "empty").mkdir()
    (here / "odd").mkdir()
    (here / "odd" / "config.json").write_text("{}")
    (here / "unknown").mkdir()
    (here / "unknown" / "config.json").write_text('{"model_type": "bert", "architectures": ["NoSuchModel"]}')
    (here / "no_weights").mkdir()
    (here / "no_weights" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertModel"]}')
    (here / "pooling").mkdir()
    (here / "pooling" / "modules.json").write_text('[{"path": "", "type": "sentence_transformers.models.Dense"}]')
    (here / "bad.pt2").write_bytes(b"no program")
    for words, message in (
        (["nothing"], "has no known form: it must be a .pt2, MODULE:FUNCTION or a folder"),
        (["empty"], "empty/config.json is missing: a model must be a folder with"),
        (["odd"], "has neither model_type"),
        (["unknown"], "names the architecture NoSuchModel, which transformers"),
        (["no_weights"], "the model in no_weights cannot be loaded: OSError"),
        (["pooling"], "has a Dense, and Transformer, Pooling and Normalize are what is known here"),
        (["missing.pt2"], "the model missing.pt2"),
        (["bad.pt2"], "cannot be loaded as a program of torch.export.save"),
        (["lower_test_models:nothing"], "the module lower_test_models has no nothing"),
        (["lower_test_models:make_none"], "must return (torch module, tuple of example inputs), not ReLU"),
        (["lower_test_models:make_sort", "--full"], "cannot be lowered: "),
        (["lower_test_models:make", "--target", "iOS99"], "--target iOS99 is none of iOS13"),
    ):
        code, out, err = coreml("lower", *words, "-o", "out.pte")
        assert (code, out) == (1, ""), words
        assert err.startswith("coreml lower: ") and err.count("\n") == 1, err
        assert message in err
        assert not pathlib.Path("out.pte").exists()
