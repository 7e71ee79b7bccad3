"""`coreml verify --generate`: whether a language model chooses PyTorch's tokens, and whose fault it is if not."""

from __future__ import annotations

import json
import pathlib

import coremltools as ct
import numpy as np
import pytest
import torch
from executorch.backends.apple.coreml.compiler import CoreMLBackend
from executorch.backends.apple.coreml.partition import CoreMLPartitioner
from executorch.backends.apple.coreml.sdk.errors import ToolError
from executorch.backends.apple.coreml.sdk.generation import Token, generate
from executorch.exir import to_edge_transform_and_lower
from torch import nn
from torch.export import Dim

VOCABULARY, WIDTH, LENGTH = 50, 32, 24
PROMPT = [3, 1, 4, 1, 5]


class Cached(nn.Module):
    """One layer of attention over a cache that the model keeps; logits [1, 1, vocabulary] for one token at one position."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.head = nn.Linear(WIDTH, VOCABULARY)
        self.register_buffer("keys", torch.zeros(1, LENGTH, WIDTH))
        self.register_buffer("values", torch.zeros(1, LENGTH, WIDTH))

    def forward(self, ids: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        self.keys[:, position] = self.key(x)
        self.values[:, position] = self.value(x)
        scores = self.query(x) @ self.keys.mT
        scores = scores.masked_fill(torch.arange(LENGTH) > position, -torch.inf)
        return self.head(x + scores.softmax(-1) @ self.values)


class Whole(nn.Module):
    """The same over a whole text, without a cache; logits [1, n, vocabulary]."""

    def __init__(self, of: Cached) -> None:
        super().__init__()
        self.of = of

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        of = self.of
        x = of.embedding(ids)
        rows = torch.arange(ids.shape[1])
        scores = (of.query(x) @ of.key(x).mT).masked_fill(rows[:, None] < rows, -torch.inf)
        return of.head(x + scores.softmax(-1) @ of.value(x))


def cached(seed: int = 0) -> Cached:
    torch.manual_seed(seed)
    return Cached().eval()


def lowered(module: nn.Module, inputs: tuple[torch.Tensor, ...], path: pathlib.Path, dynamic: object = None) -> pathlib.Path:
    """The .pte of a module at `path`, and its exported program beside it."""
    program = torch.export.export(module, inputs, dynamic_shapes=dynamic)
    torch.export.save(program, path.with_suffix(".pt2"))
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18)
    edge = to_edge_transform_and_lower(program, partitioner=[CoreMLPartitioner(compile_specs=specs)])
    path.write_bytes(edge.to_executorch().buffer)
    return path


STEP = (torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))


@pytest.fixture(scope="module")
def with_cache(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return lowered(cached(), STEP, tmp_path_factory.mktemp("cache") / "m.pte")


def greedy(count: int) -> list[int]:
    """What PyTorch continues PROMPT with."""
    whole, text = Whole(cached()), list(PROMPT)
    for _ in range(count):
        text.append(int(whole(torch.tensor([text]))[0, -1].argmax()))
    return text[len(PROMPT) :]


def test_a_model_with_a_cache(with_cache: pathlib.Path) -> None:
    found = generate(with_cache, with_cache.with_suffix(".pt2"), 12, prompt=PROMPT)
    assert found.passed, found
    assert [mode.numeric_mode for mode in found.modes] == ["float32", "float16"]
    for mode in found.modes:
        assert [token.expected for token in mode.tokens] == greedy(12)
        assert mode.first_difference is None
        assert mode.worst.l2_relative < 2e-3


@pytest.mark.parametrize("flexible", [True, False])
def test_a_model_that_reads_the_whole_text(tmp_path: pathlib.Path, flexible: bool) -> None:
    dynamic = ({1: Dim("n", min=2, max=LENGTH)},) if flexible else None
    ids = torch.zeros(1, 8 if flexible else LENGTH, dtype=torch.int32)
    path = lowered(Whole(cached()), (ids,), tmp_path / "m.pte", dynamic)
    found = generate(path, path.with_suffix(".pt2"), 12, prompt=PROMPT)
    assert found.passed, found
    for mode in found.modes:
        assert [token.chosen for token in mode.tokens] == greedy(12)
    with pytest.raises(
        ToolError, match=f"takes {LENGTH} tokens, but the prompt has 5 and 30" if not flexible else "refuses the inputs"
    ):
        generate(path, path.with_suffix(".pt2"), 30, prompt=PROMPT)


def test_another_model_is_a_fault(with_cache: pathlib.Path, tmp_path: pathlib.Path) -> None:
    other = lowered(cached(seed=1), STEP, tmp_path / "other.pte")
    found = generate(with_cache, other.with_suffix(".pt2"), 4, prompt=PROMPT)
    assert not found.passed
    fault = found.modes[0].first_fault
    assert fault is not None and fault.index == 0 and fault.l2_relative > 0.1


def test_a_choice_between_equals_is_no_fault(tmp_path: pathlib.Path) -> None:
    """Two tokens whose weights are the same in float16: PyTorch prefers the second by a hair, the program has to take the first."""
    module = cached()
    with torch.no_grad():
        module.head.bias.zero_()
        module.head.bias[[10, 20]] = torch.tensor([4.0, 4.0 + 1e-4])
        module.head.weight[20] = module.head.weight[10]
    path = lowered(module, STEP, tmp_path / "m.pte")
    found = generate(path, path.with_suffix(".pt2"), 3, prompt=PROMPT)
    assert found.passed, found
    for mode in found.modes:
        token = mode.first_difference
        assert token is not None and token.is_noise
        assert (token.chosen, token.expected) == (10, 20)
        assert token.margin == pytest.approx(1e-4, rel=0.02)
        assert "so this is no fault" in str(token)


def test_a_clear_choice_that_is_missed_is_a_fault() -> None:
    token = Token(7, 1, 2, (3.5, 3.0), (3.0, 3.5), l2_relative=1e-3, noise=0.2)
    assert token.differs and not token.is_noise
    assert "whose margin of 0.5000 is more than rounding can do to two logits (0.4000)" in str(token)


def test_the_command(coreml, with_cache: pathlib.Path) -> None:
    reference = with_cache.with_suffix(".pt2")
    given = ["verify", with_cache, "--reference", reference, "--generate", 4, "--prompt", "3,1,4,1,5"]
    code, out, _ = coreml(*given)
    assert code == 0
    assert out.count("4 of 4 tokens are those that PyTorch chooses") == 2
    code, out, _ = coreml(*given, "--json")
    assert code == 0
    assert [token["expected"] for token in json.loads(out)["modes"][0]["tokens"]] == greedy(4)
    code, out, _ = coreml(*given, "--tolerance", "1e-9")
    assert code == 3
    assert "the first fault: logits behind token 0 differ by" in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--generate", "0"], "must be at least 1"),
        (["--generate", "3", "--prompt", "1,x"], "must be a whole number"),
        (["--generate", "3", "--prompt", "1,999"], "refuses the inputs"),
        (["--generate", "3", "--prompt", "1", "--token-input", "words"], "has no input 'words'; it has ids, position"),
        (["--generate", "3", "--prompt", "1", "--position-input", "ids"], "cannot be positions"),
        (["--generate", "30", "--prompt", "1"], "refuses the inputs"),
        (["--generate", "3", "--audit"], "pass one of them"),
        (["--prompt", "1"], "pass --generate too"),
    ],
)
def test_what_cannot_be_generated(coreml, with_cache: pathlib.Path, options: list[str], sentence: str) -> None:
    try:
        code, _, err = coreml("verify", with_cache, "--reference", with_cache.with_suffix(".pt2"), *options)
    except SystemExit as error:  # argparse's own refusals
        code, err = error.code, ""
        assert code == 2
        return
    assert code == 1
    assert sentence in err.replace("\n", " ")
    assert "Traceback" not in err


def test_arrays_are_no_reference_for_a_text(with_cache: pathlib.Path, tmp_path: pathlib.Path) -> None:
    np.savez(tmp_path / "o.npz", logits=np.zeros((1, 1, VOCABULARY), np.float32))
    with pytest.raises(ToolError, match="pass the model as the reference"):
        generate(with_cache, tmp_path / "o.npz", 3)
