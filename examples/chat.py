"""A chat with SmolLM2-135M-Instruct (its published weights) as a .pte: PyTorch -> Core ML -> ExecuTorch on this machine, compared with PyTorch.

tools/bazel run //examples:chat                                                    a chat in the terminal
tools/bazel run //examples:chat -- --prompt "The capital of France is"             continues a text, for scripts
tools/bazel run //examples:chat -- --ask "What is the capital of France?"          one question of a chat
tools/bazel run //examples:chat -- --quantization b4w --form state --keep /tmp     4-bit weights, caches as Core ML states, the .pte kept

In the chat: /undo forgets the last question and its answer, /new begins anew, /quit or an empty line ends.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import tempfile
import time
from pathlib import Path

import rich.console
import torch
from absl import app, flags

from examples import checkpoint, decoder, pipeline

_PROMPT = flags.DEFINE_string("prompt", None, "A text to continue.")
_ASK = flags.DEFINE_string("ask", None, "A question to answer, as in a chat.")
_TOKENS = flags.DEFINE_integer(
    "tokens", None, "How many tokens an answer has at most. Default: 24 for --prompt, 120 otherwise.", lower_bound=1
)
_QUANTIZATION = flags.DEFINE_enum(
    "quantization", "fp16", decoder.QUANTIZATIONS, "How weights are stored: float16, 8 bits or 4 bits."
)
_FORM = flags.DEFINE_enum(
    "form", "static", decoder.FORMS, "Where the caches of keys and values are: with the caller, or Core ML states."
)
_CONTEXT = flags.DEFINE_integer(
    "context", 512, "Tokens of prompt and answers that the model can hold.", lower_bound=64, upper_bound=8192
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "Another GGUF file of a Llama-like model. Default: SmolLM2-135M-Instruct.")
_KEEP = flags.DEFINE_string("keep", None, "A folder for the .pte; one that is there already is used. Default: it is not kept.")
_COMPARE = flags.DEFINE_bool("compare", True, "Compare every token with PyTorch's, after the answer.")

_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

# Logits of the exact kernels of this engine differ from PyTorch's by less; what is larger is worth a look.
_NORMAL_DIFFERENCE = 0.5


@dataclasses.dataclass(frozen=True)
class Token:
    """One generated token.

    Attributes:
        id: chosen, the most probable.
        logits: of which it was chosen, [vocabulary].
    """

    id: int
    logits: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model said: the ids of everything before, the tokens, and how long prompt and tokens took."""

    before: list[int]
    tokens: list[Token]
    prompt_tokens: int
    prompt_seconds: float
    seconds: float

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]


def question(text: str, *, first: bool) -> str:
    """A question in the form that the model was trained on."""
    system = f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n" if first else "\n"
    return f"{system}<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def answer(
    model: checkpoint.Checkpoint,
    session: decoder.Session,
    before: list[int],
    prompt: str,
    limit: int,
    console: rich.console.Console,
) -> Answer:
    """Continues `before` and `prompt` with the most probable tokens, until one that ends an answer, or `limit`; prints them as they come."""
    new = model.tokenizer.encode(prompt).ids
    began = time.perf_counter()
    logits = session.feed(new)
    started = time.perf_counter()
    tokens: list[Token] = []
    shown = ""
    while len(tokens) < limit:
        tokens.append(Token(int(logits.argmax()), logits))
        if tokens[-1].id in model.end:
            break
        text = model.tokenizer.decode([token.id for token in tokens])
        # A character may be of several tokens: what is not complete yet ends with a replacement character.
        if not text.endswith("\ufffd"):
            console.out(text[len(shown) :], end="", highlight=False)
            console.file.flush()
            shown = text
        if len(tokens) == limit or session.room == 0:
            break
        logits = session.feed([tokens[-1].id])
    console.out("")
    return Answer([*before, *new], tokens, len(new), started - began, time.perf_counter() - started)


def print_speed(console: rich.console.Console, said: Answer) -> None:
    """One line of tokens per second and memory."""
    # The first token is of the prompt's last call.
    decoded = len(said.tokens) - 1
    parts = [f"prompt {said.prompt_tokens} tokens, {said.prompt_tokens / said.prompt_seconds:.1f}/s"]
    if decoded > 0:
        parts.append(f"answer {len(said.tokens)} tokens, {decoded / said.seconds:.1f}/s")
    parts.append(f"resident {resident_mib():.0f} MiB, peak {pipeline.peak_memory_mib():.0f} MiB")
    console.print(f"[dim]{'; '.join(parts)}[/dim]", highlight=False, soft_wrap=True)


def resident_mib() -> float:
    """The memory that this process has now, in MiB; the largest so far where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return pipeline.peak_memory_mib()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def compare(
    console: rich.console.Console, model: checkpoint.Checkpoint, reference: torch.nn.Module, said: Answer, *, each: bool
) -> bool:
    """Prints how the tokens differ from PyTorch's on the same text; whether they are PyTorch's own, and the logits near its.

    Args:
        each: print every token, not only a summary.
    """
    with torch.no_grad():
        logits = reference(torch.tensor([said.before + said.ids[:-1]]))[0, len(said.before) - 1 :]
    table = pipeline.plain_table("token", "probability", "PyTorch's", "difference of logits", "PyTorch's token")
    differences, same = [], 0
    for token, expected in zip(said.tokens, logits, strict=True):
        difference = float((token.logits.float() - expected).abs().max())
        chosen = int(expected.argmax())
        differences.append(difference)
        same += chosen == token.id
        probabilities = [float(torch.softmax(values.float(), 0)[token.id]) for values in (token.logits, expected)]
        other = "the same" if chosen == token.id else repr(model.tokenizer.decode([chosen], skip_special_tokens=False))
        text = repr(model.tokenizer.decode([token.id], skip_special_tokens=False))
        table.add_row(text, *(f"{p:.4f}" for p in probabilities), f"{difference:.4f}", other)
    if each:
        console.print(table)
    largest = max(differences)
    verdict = "normal" if largest <= _NORMAL_DIFFERENCE else "MORE THAN NORMAL"
    console.print(
        f"{same} of {len(differences)} tokens are those that PyTorch chooses; logits differ by at most {largest:.4f} ({verdict}: up to {_NORMAL_DIFFERENCE})",
        highlight=False,
        soft_wrap=True,
    )
    return same == len(differences) and largest <= _NORMAL_DIFFERENCE


def pte_path(folder: Path, source: Path) -> Path:
    """Where the .pte of these options is kept; another checkpoint has another name."""
    identity = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    return folder / f"chat-{identity}-{_FORM.value}-{_QUANTIZATION.value}-{_CONTEXT.value}.pte"


def chat(
    console: rich.console.Console, model: checkpoint.Checkpoint, session: decoder.Session, reference: torch.nn.Module | None
) -> None:
    """Questions from the terminal until there are no more."""
    text: list[int] = []
    turns: list[int] = []
    while True:
        try:
            asked = console.input("[bold]> [/bold]").strip()
        except (EOFError, KeyboardInterrupt):
            console.print()
            return
        if asked in ("", "/quit"):
            return
        if asked in ("/new", "/undo"):
            session.truncate(turns.pop() if turns and asked == "/undo" else 0)
            turns = turns if asked == "/undo" else []
            text = text[: session.position]
            continue
        turns.append(session.position)
        try:
            said = answer(model, session, text, question(asked, first=not text), _TOKENS.value or 120, console)
        except decoder.PromptError as error:
            console.print(f"[red]{error}[/red]; /undo and /new make room", highlight=False, soft_wrap=True)
            turns.pop()
            continue
        # The last token has not been fed: the next question begins with it.
        text = (said.before + said.ids)[: session.position]
        if session.room > 0:
            session.feed(said.ids[-1:])
            text = said.before + said.ids
        print_speed(console, said)
        if reference is not None:
            compare(console, model, reference, said, each=False)


def main(argv: list[str]) -> int:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is not an option; write a text behind --prompt or --ask")
    pipeline.quiet()
    console = rich.console.Console(width=None if os.isatty(1) else 120)
    try:
        with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
            return run(console, Path(temporary))
    except (checkpoint.CheckpointError, decoder.PromptError) as error:
        console.print(f"[red]{error}[/red]", highlight=False, soft_wrap=True)
        return 1


def run(console: rich.console.Console, temporary: Path) -> int:
    """All of it; `temporary` is for a .pte that is not kept."""
    folder = Path(_KEEP.value) if _KEEP.value else temporary
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(_CHECKPOINT.value) if _CHECKPOINT.value else checkpoint.smollm2_path()
    with pipeline.Stages(console).running() as stages:
        stages.begin("weights")
        model = checkpoint.read(source)
        prompt = _PROMPT.value if _PROMPT.value is not None else question(_ASK.value or "", first=True)
        if len(model.tokenizer.encode(prompt).ids) >= _CONTEXT.value:
            raise decoder.PromptError(
                f"the prompt has {len(model.tokenizer.encode(prompt).ids)} tokens, but the context has {_CONTEXT.value}: shorten it, or see --context"
            )
        console.print(
            f"[bold]{model.name}[/bold], {_QUANTIZATION.value}, caches: {_FORM.value}, context: {_CONTEXT.value} tokens",
            highlight=False,
        )
        path = pte_path(folder, source)
        if path.exists():
            stages.end()
            console.print(f"  {path} was made before; delete it to lower again", highlight=False, soft_wrap=True)
        else:
            pte = decoder.lower(model, form=_FORM.value, quantization=_QUANTIZATION.value, context=_CONTEXT.value, stages=stages)
            partial = path.with_suffix(".partial")
            partial.write_bytes(pte)
            partial.replace(path)
            del pte
        stages.begin("load")
        session = decoder.Session(path, model, decoder.Shape.of(model, _FORM.value, _CONTEXT.value))
    console.print(f".pte: {path.stat().st_size / 2**20:.1f} MiB; resident {resident_mib():.0f} MiB", highlight=False)
    reference = None
    if _COMPARE.value:
        reference = decoder.reference(model, form=_FORM.value, quantization=_QUANTIZATION.value, context=_CONTEXT.value)
    good = True
    if _PROMPT.value is None and _ASK.value is None:
        console.print("A model of 135 million parameters: it answers simple questions, and is often wrong. /undo, /new, /quit.")
        chat(console, model, session, reference)
    else:
        console.print()
        if _PROMPT.value is not None:
            console.out(prompt, end="", highlight=False)
        said = answer(model, session, [], prompt, _TOKENS.value or (24 if _PROMPT.value is not None else 120), console)
        print_speed(console, said)
        if reference is not None:
            good = compare(console, model, reference, said, each=True)
    console.print(
        "Computed by the portable engine; what Apple's Core ML computes cannot be seen here.", highlight=False, soft_wrap=True
    )
    return 0 if good else 1


if __name__ == "__main__":
    app.run(main)
