"""ExecuTorch's own programs for language models, unchanged: what they make and generate is the eager model's.

Each runs with the arguments that a user gives it; in this process, where the delegate is there because its runtime is imported.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
import pytest
import torch

from examples import checkpoint, decoder
from tests.llm import tiny_model

PROMPT = "the cat in the hat and a "
CONTEXT, INPUT = 64, 16
FULL = bool(os.environ.get("COREML_DELEGATE_FULL_TESTS"))

EXPORT_STATIC = "executorch.examples.apple.coreml.llama.export_static_llm_coreml"
RUN_STATIC = "executorch.examples.apple.coreml.llama.run_static_llm"
RUN_MULTIFUNCTION = "executorch.examples.apple.coreml.llama.run_static_llm_multifunction"
EXPORT_CACHES, RUN_CACHES = "executorch.examples.apple.coreml.llama.export", "executorch.examples.apple.coreml.llama.run"
EXPORT_LLM = "executorch.extension.llm.export.export_llm"
EXPORT_LLAMA = "executorch.examples.models.llama.export_llama"

# Logits of up to 40 of a float16 program; 4-bit weights are the same numbers on both sides.
TOLERANCE = 0.15


def run(module: str, *arguments: str, folder: Path) -> str:
    """What `python -m module arguments` does in `folder`; what it printed. (Its module is imported once: it registers operations.)"""
    printed = io.StringIO()
    before, here = sys.argv, Path.cwd()
    sys.argv = [module, *arguments]
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(printed):
            importlib.import_module(module).main()
    finally:
        sys.argv = before
        os.chdir(here)
    return printed.getvalue()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> checkpoint.Checkpoint:
    return checkpoint.read(tiny_model.write_gguf(tmp_path_factory.mktemp("gguf") / "m.gguf"))


@pytest.fixture(scope="module")
def files(model: checkpoint.Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return tiny_model.write_meta_files(model, tmp_path_factory.mktemp("meta"))


@pytest.fixture(autouse=True)
def _one_hydra() -> Iterator[None]:
    yield
    from hydra.core.global_hydra import GlobalHydra

    GlobalHydra.instance().clear()


def static_reference(files: dict[str, Path], **options: Any) -> tuple[torch.nn.Module, Any]:
    """The eager model that the export script makes, and its manager of caches."""
    script = importlib.import_module(EXPORT_STATIC)
    model, arguments = script.load_model(str(files["checkpoint.pth"]), str(files["params.json"]), CONTEXT)
    given = {
        "target_split_size": 1024,
        "max_splits": 8,
        "embedding_quantize": "8,0",
        "linear_quantize": "c4w",
        "no_graph_breaks": False,
    }
    model = script._transform_eager_model(model, types.SimpleNamespace(**(given | options)), torch.float16)
    return model, static_manager(arguments)


def static_manager(arguments: Any) -> Any:
    from executorch.examples.models.llama.static_attention import StaticAttentionIOManager

    return StaticAttentionIOManager(
        arguments, input_len=INPUT, cache_lens=CONTEXT - INPUT, batch_size=1, dtype=torch.float16, style="smart_mask"
    )


@pytest.mark.parametrize("quantization", ["c4w", "b4w"] if FULL else ["c4w"])
def test_static_llm_is_exported_and_run(
    model: checkpoint.Checkpoint, files: dict[str, Path], tmp_path: Path, quantization: str
) -> None:
    given = ["-c", str(files["checkpoint.pth"]), "-p", str(files["params.json"]), "-o", "m.pte", "--linear_quantize", quantization]
    printed = run(EXPORT_STATIC, *given, "--max_context_len", str(CONTEXT), "--input_len", str(INPUT), folder=tmp_path)
    assert "Saved ExecuTorch program to" in printed

    eager, manager = static_reference(files, linear_quantize=quantization)
    ids = model.tokenizer.encode(PROMPT).ids
    with torch.no_grad():
        expected_logits = manager.prefill(eager, ids)
        first = int(expected_logits[0, -1].argmax())
        expected = manager.decode(eager, first, 11, stop_tokens=[])

    # The program's numbers, through the script's own wrapper.
    script = importlib.import_module(RUN_STATIC)
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(tmp_path / "m.pte")
    method = program.load_method("forward")
    ours = static_manager(
        importlib.import_module(EXPORT_STATIC).ModelArgs(
            **model.parameters, max_context_len=CONTEXT, generate_full_logits=True, attention_type="static_mha"
        )
    )
    wrapped = script.create_pte_wrapper(method, list(ours.k_caches), list(ours.v_caches))
    logits = ours.prefill(wrapped, ids)
    assert (logits.float() - expected_logits.float()).abs().max() <= TOLERANCE
    assert ours.decode(wrapped, first, 11, stop_tokens=[]) == expected

    # The script, and its other way of decoding.
    text = "".join(model.tokenizer.decode([token]) for token in expected)
    options = [
        "--params",
        str(files["params.json"]),
        "--tokenizer",
        str(files["tokenizer.json"]),
        "--prompt",
        PROMPT,
        "--temperature",
        "0",
    ]
    options += ["--tokenizer_config", str(files["tokenizer_config.json"]), "--max_new_tokens", "12"]
    options += ["--input_len", str(INPUT), "--cache_len", str(CONTEXT - INPUT)]
    assert f"\n{PROMPT}{text}\n" in run(RUN_STATIC, "--model", "m.pte", *options, folder=tmp_path)
    lookahead = ["--lookahead", "--ngram_size", "3", "--window_size", "4", "--n_verifications", "4"]
    assert text in run(RUN_STATIC, "--model", "m.pte", *options, *lookahead, folder=tmp_path)


def test_multifunction_llm_is_exported_and_run(model: checkpoint.Checkpoint, files: dict[str, Path], tmp_path: Path) -> None:
    """Methods `prefill` and `forward` of one model; the reference is PyTorch with the same 4-bit weights.

    Lookahead needs several tokens per call, so the script itself refuses it for this program. A prompt whose last part is one token is refused by
    ExecuTorch: the script hands its sixteen tokens to the method that takes one.
    """
    given = ["-c", str(files["checkpoint.pth"]), "-p", str(files["params.json"]), "-o", "m.pte", "--linear_quantize", "c4w"]
    run(EXPORT_STATIC, *given, "--max_context_len", str(CONTEXT), "--input_len", str(INPUT), "--multifunction", folder=tmp_path)

    eager, manager = static_reference(files, linear_quantize="c4w")
    prompt = "the cat in the hat"
    with torch.no_grad():
        first = int(manager.prefill(eager, model.tokenizer.encode(prompt).ids)[0, -1].argmax())
        expected = manager.decode(eager, first, 11, stop_tokens=sorted(model.end))
    options = [
        "-m",
        "m.pte",
        "-p",
        str(files["params.json"]),
        "-t",
        str(files["tokenizer.json"]),
        "--prompt",
        prompt,
        "--temperature",
        "0",
    ]
    options += ["--tokenizer_config", str(files["tokenizer_config.json"]), "--max_new_tokens", "12"]
    printed = run(RUN_MULTIFUNCTION, *options, "--input_len", str(INPUT), "--max_context_len", str(CONTEXT), folder=tmp_path)
    said = (
        printed.partition(f"\n{prompt}")[2]
        .partition("\n" + "-" * 50)[0]
        .replace("\n[Using 'forward' (decode) method for generation]\n", "")
    )
    assert said == "".join(model.tokenizer.decode([token]) for token in expected)


def test_caches_as_inputs_are_exported_and_run(files: dict[str, Path], tmp_path: Path) -> None:
    """The older scripts, whose runner can also run PyTorch's model: both print the same."""
    vocabulary = tmp_path / "bytes.tiktoken"
    vocabulary.write_text("".join(f"{base64.b64encode(bytes([byte])).decode()} {byte}\n" for byte in range(256)), encoding="ascii")
    given = ["-c", str(files["checkpoint.pth"]), "-p", str(files["params.json"]), "--dtype", "fp16"]
    lengths = ["--seq_length", "8", "--max_seq_length", str(CONTEXT)]
    run(EXPORT_CACHES, *given, *lengths, "-n", "m.pte", folder=tmp_path)
    options = ["-t", str(vocabulary), "--prompt", "the cat", "--temperature", "0"]
    printed = run(RUN_CACHES, "-m", "m.pte", *options, folder=tmp_path)
    expected = run(RUN_CACHES, "--use_eager", *given, *lengths, "--cache_size", str(CONTEXT - 8), *options, folder=tmp_path)
    said, expected = (text[text.index("the cat") :].strip() for text in (printed, expected))
    assert len(expected) > len("the cat")
    assert said == expected


def llm_arguments(model: checkpoint.Checkpoint, files: dict[str, Path]) -> list[str]:
    metadata = json.dumps({"get_bos_id": 1, "get_eos_ids": sorted(model.end)}).replace('"', '\\"')
    return [
        f"base.checkpoint={files['checkpoint.pth']}",
        f"base.params={files['params.json']}",
        f'base.metadata="{metadata}"',
        "model.use_kv_cache=True",
        "model.enable_dynamic_shape=False",
        "backend.coreml.enabled=True",
        "backend.coreml.ios=18",
        f"export.max_seq_length={CONTEXT}",
        f"export.max_context_length={CONTEXT}",
        "export.output_name=llm.pte",
        "hydra.run.dir=.",
        "hydra.output_subdir=null",
    ]


def continued(model: checkpoint.Checkpoint, path: Path) -> list[int]:
    """The prompt and the twelve tokens that PyTorch continues it with; the program, called with one token after the other, has PyTorch's logits."""
    from executorch.runtime import Runtime

    reference = decoder.reference(model, form="state", quantization="fp16", context=CONTEXT)
    ids = model.tokenizer.encode(PROMPT).ids
    for _ in range(12):
        ids.append(int(reference(torch.tensor([ids]))[0, -1].argmax()))
    expected = reference(torch.tensor([ids]))[0]
    program = Runtime.get().load_program(path)
    method = program.load_method("forward")
    for position, token in enumerate(ids[:-1]):
        logits = method.execute((torch.tensor([[token]]), torch.tensor([position])))[0]
        assert (logits.flatten().float() - expected[position]).abs().max() <= TOLERANCE, position
    return ids


@pytest.mark.parametrize("options", [[], ["--coreml-enable-state"]] if FULL else [["--coreml-enable-state"]], ids=str)
def test_export_llama(model: checkpoint.Checkpoint, files: dict[str, Path], tmp_path: Path, options: list[str]) -> None:
    """The older command line, whose `--coreml-enable-state` and `--coreml-preserve-sdpa` ExecuTorch reads and hands to nobody."""
    given = ["-c", str(files["checkpoint.pth"]), "-p", str(files["params.json"]), "-kv", "--disable_dynamic_shape", "--coreml"]
    given += [
        "--coreml-ios",
        "18",
        "--max_seq_length",
        str(CONTEXT),
        "--max_context_length",
        str(CONTEXT),
        "-o",
        ".",
        "-n",
        "m.pte",
    ]
    run(EXPORT_LLAMA, *given, "--coreml-preserve-sdpa", *options, folder=tmp_path)
    continued(model, tmp_path / "m.pte")


def test_export_llm_lowers_everything_and_text_llm_runner_generates(
    model: checkpoint.Checkpoint, files: dict[str, Path], tmp_path: Path
) -> None:
    run(EXPORT_LLM, *llm_arguments(model, files), folder=tmp_path)
    path = tmp_path / "llm.pte"

    ids = continued(model, path)
    prompt = len(model.tokenizer.encode(PROMPT).ids)

    from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner

    runner = TextLLMRunner(str(path), str(files["tokenizer.json"]))
    for _ in range(2):
        pieces: list[str] = []
        runner.generate(PROMPT, GenerationConfig(max_new_tokens=12, temperature=0.0, echo=False), pieces.append)
        assert "".join(pieces) == model.tokenizer.decode(ids[prompt:], skip_special_tokens=False)
        runner.reset()
