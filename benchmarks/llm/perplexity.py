"""How well SmolLM2-135M predicts a text as a .pte, against PyTorch, for each way of storing its weights.

    tools/bazel run -c opt //benchmarks/llm:perplexity -- --keep=FOLDER                     # .pte files of //benchmarks/llm are used, and stay
    tools/bazel run -c opt //benchmarks/llm:perplexity -- --quantizations=fp16,b4w --numeric-modes=float32,float16

The text is the beginning of Jane Austen's "Pride and Prejudice" (1813; in the public domain), up to 512 tokens. Each token but the first is
predicted from those before it. Perplexity is exp of the mean of -log(probability) of the tokens that follow, in nats; the larger it is, the
less the model expects the text. Three models predict: PyTorch with the checkpoint's weights; PyTorch with the weights of the .pte, in float32;
and the .pte, one token after the other through its method `decode`. "same token" counts the positions at which the most probable token is
PyTorch's, with the same weights and with the checkpoint's.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import rich.console
import torch

from examples import checkpoint, decoder, pipeline

TEXT = Path(__file__).parent / "text.txt"
_CONTEXT = 512


def perplexity(logits: torch.Tensor, ids: torch.Tensor) -> float:
    """Of a text.

    Args:
        logits: what follows each token but the last, float [n - 1, vocabulary].
        ids: the text, int64 [n].
    """
    return math.exp(float(torch.nn.functional.cross_entropy(logits.double(), ids[1:])))


def of_program(path: Path, model: checkpoint.Checkpoint, shape: decoder.Shape, ids: torch.Tensor) -> torch.Tensor:
    """The logits behind each token but the last, float32 [n - 1, vocabulary], of a .pte."""
    session = decoder.Session(path, model, shape)
    return torch.stack([session.feed([int(token)]).float() for token in ids[:-1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantizations", default="fp16,8w,c4w,b4w")
    parser.add_argument("--numeric-modes", default="float32")
    parser.add_argument("--keep", type=Path, help="a folder for the .pte files; those that are there are used")
    parser.add_argument("--checkpoint", type=Path, help="another GGUF file of a Llama-like model (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--tokens", type=int, default=_CONTEXT, help="of the text")
    arguments = parser.parse_args()
    pipeline.quiet()
    from executorch.backends.apple.coreml import runtime

    console = rich.console.Console(width=140)
    model = checkpoint.read(arguments.checkpoint or checkpoint.smollm2_path())
    ids = torch.tensor(model.tokenizer.encode(TEXT.read_text(encoding="utf-8")).ids[: min(arguments.tokens, _CONTEXT)])
    shape = decoder.Shape.of(model, "static", _CONTEXT)
    table = pipeline.plain_table(
        "weights", "numeric mode", "PyTorch", "same weights", "this .pte", "same token", "of the checkpoint's", "largest difference"
    )
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        original: torch.Tensor = decoder.transformer(
            model, generate_full_logits=True, max_context_len=_CONTEXT, max_seq_len=_CONTEXT
        )(ids[None])[0, :-1]
        for quantization in arguments.quantizations.split(","):
            path = (arguments.keep or Path(temporary)) / f"static-{quantization}-{shape.layers}.pte"
            if not path.exists():
                with pipeline.Stages(console).running() as stages:
                    path.write_bytes(
                        decoder.lower(model, form="static", quantization=quantization, context=_CONTEXT, stages=stages)
                    )
            expected = decoder.reference(model, form="static", quantization=quantization, context=_CONTEXT)(ids[None])[0, :-1]
            for numeric_mode in arguments.numeric_modes.split(","):
                with runtime.options(numeric_mode=numeric_mode):
                    actual = of_program(path, model, shape, ids)
                same = [int((actual.argmax(-1) == other.argmax(-1)).sum()) for other in (expected, original)]
                table.add_row(
                    quantization,
                    numeric_mode,
                    *(f"{perplexity(logits, ids):.3f}" for logits in (original, expected, actual)),
                    *(f"{count} of {len(actual)}" for count in same),
                    f"{float((actual - expected).abs().max()):.3f}",
                )
    console.print(f"{len(ids)} tokens of {TEXT.name}; perplexity, and tokens that agree with PyTorch's", highlight=False)
    console.print(table)
    console.print("Computed by the portable engine; what Apple's Core ML computes cannot be seen here.", highlight=False)


if __name__ == "__main__":
    main()
