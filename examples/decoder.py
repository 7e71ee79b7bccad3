"""A language model as a .pte, and generating with it, out of ExecuTorch's own transformer.

Two forms:

- `static`: the caches of keys and values are inputs of the program, and what is new of them outputs (ExecuTorch's static attention).
- `state`: the caches are Core ML states, which stay in the model from call to call.

A method `prefill` takes a part of the prompt at once, a method `decode` one token. They are functions of one Core ML model (iOS 18), and share
their weights and the states.

Going back to an earlier position costs nothing in either: what lies behind a position is masked, and written again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import unittest.mock
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from examples import pipeline
from examples.checkpoint import Checkpoint

FORMS = ("static", "state")
QUANTIZATIONS = ("fp16", "8w", "b4w", "c4w")

# Tokens of a prompt that one call of the method `prefill` takes.
PREFILL_TOKENS = 32

# The methods, and how many tokens a call of each takes.
_METHODS = {"prefill": PREFILL_TOKENS, "decode": 1}


class PromptError(ValueError):
    """A prompt that the model's context has no room for."""


@contextlib.contextmanager
def _without_initial_weights() -> Iterator[None]:
    """Modules made in the block have no values in their weights, which are about to be replaced: drawing them takes seconds."""
    with contextlib.ExitStack() as stack:
        for layer in (torch.nn.Linear, torch.nn.Embedding):
            stack.enter_context(unittest.mock.patch.object(layer, "reset_parameters"))
        yield


def transformer(checkpoint: Checkpoint, **options: Any) -> torch.nn.Module:
    """ExecuTorch's transformer with the checkpoint's weights, float32, in eval mode; `options` are further ones of `ModelArgs`."""
    import executorch.examples.models.llama.static_attention  # noqa: F401  (registers static_mha)
    from executorch.examples.models.llama.llama_transformer import construct_transformer
    from executorch.examples.models.llama.model_args import ModelArgs

    arguments = ModelArgs(**checkpoint.parameters, **options)
    with _without_initial_weights():
        model = construct_transformer(arguments)
    weights = dict(checkpoint.weights)
    if arguments.attention_type == "static_mha":
        for name in list(weights):
            for projection in ("wq", "wk", "wv"):
                if name.endswith(f"attention.{projection}.weight"):
                    weights[name.replace(projection, f"{projection}s.0")] = weights.pop(name)
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    if unexpected or {name for name, _ in model.named_parameters()} & set(missing):
        raise AssertionError(f"the transformer and the checkpoint disagree: {missing} {unexpected}")
    if weights["output.weight"] is weights["tok_embeddings.weight"]:
        model.output.weight = model.tok_embeddings.weight
    return model.eval().requires_grad_(False)


def quantize(model: torch.nn.Module, quantization: str) -> torch.nn.Module:
    """Rounds the weights of linear layers: 8 or 4 bits per channel (8w, c4w), 4 bits per block of 32 (b4w); `fp16` leaves the model as it is.

    The embedding and the output layer have 8 bits per row in every scheme: the classifier over the whole vocabulary decides between near
    neighbours. A tied output layer then has weights of its own.
    """
    from torchao.quantization.granularity import PerAxis, PerGroup
    from torchao.quantization.quant_api import IntxWeightOnlyConfig, quantize_

    if quantization == "fp16":
        return model
    model.output.weight = torch.nn.Parameter(model.output.weight.detach().clone(), requires_grad=False)
    embedding = IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=PerAxis(0))
    linear = {
        "8w": embedding,
        "c4w": IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerAxis(0)),
        "b4w": IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)),
    }[quantization]
    quantize_(model, embedding, lambda module, _: isinstance(module, torch.nn.Embedding))
    quantize_(model, linear, lambda module, _: isinstance(module, torch.nn.Linear) and module is not model.output)
    quantize_(model, embedding, lambda module, _: module is model.output)
    return model


# The static form is made of a float16 module, whose caches the program passes on without a copy. A state is float16 in any case.
_DTYPES = {"static": torch.float16, "state": torch.float32}


def reference(checkpoint: Checkpoint, *, form: str, quantization: str, context: int) -> torch.nn.Module:
    """The model in PyTorch, in float32 arithmetic: `model(ids)` is the logits of every position, [1, tokens, vocabulary].

    With the checkpoint's own weights for `fp16`, with the quantized ones for the others.
    """
    model = transformer(checkpoint, generate_full_logits=True, max_context_len=context, max_seq_len=context)
    if quantization == "fp16":
        return model
    for module in quantize(model.to(_DTYPES[form]), quantization).modules():
        weight: Any = getattr(module, "weight", None)
        if hasattr(weight, "dequantize"):
            module.weight = torch.nn.Parameter(weight.dequantize(), requires_grad=False)
    return model.float()


class StaticStep(torch.nn.Module):
    """One call of the static form.

    Inputs: ids, int32 [1, n]; mask, float16 [1, n, cache + n], added to the scores; cosines and sines of the n positions; the index of the
    token whose logits are wanted, int64 [1]; a cache of keys and one of values for each layer, float16 [1, heads, cache, width].
    Outputs: logits, float16 [1, vocabulary]; what is new of each cache, float16 [1, heads, n, width].
    """

    def __init__(self, model: torch.nn.Module, cache: int) -> None:
        super().__init__()
        self.model = model
        self.cache = cache
        self.layers = model.n_layers

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cosines: torch.Tensor,
        sines: torch.Tensor,
        last: torch.Tensor,
        *caches: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        names = [f"l{layer},h0" for layer in range(self.layers)]
        keys, values = (dict(zip(names, part, strict=True)) for part in (caches[: self.layers], caches[self.layers :]))
        options = {"masks": {self.cache: mask}, "freqs_cos_override": cosines, "freqs_sin_override": sines}
        options |= {"in_cache_state": (keys, values), "last_valid_token_pos": last}
        logits, updates = self.model(ids, options)
        new_keys, new_values = updates["out_cache_state"]
        return (logits, *(new_keys[name] for name in names), *(new_values[name] for name in names))


class StateStep(torch.nn.Module):
    """One call of the state form.

    Inputs: ids, int32 [1, n]; their positions, int32 [n]; the index of the token whose logits are wanted, int64 [1].
    Output: logits, float32 [1, 1, vocabulary]. The caches are buffers.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        return self.model(ids, {"input_pos": positions, "last_valid_token_pos": last})


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a program was made for.

    Attributes:
        form: one of FORMS.
        context: tokens that it can hold.
        layers, heads, width: of its caches.
        vocabulary: how many ids there are.
    """

    form: str
    context: int
    layers: int
    heads: int
    width: int
    vocabulary: int

    @staticmethod
    def of(checkpoint: Checkpoint, form: str, context: int) -> Shape:
        p = checkpoint.parameters
        return Shape(form, context, p["n_layers"], p["n_kv_heads"], p["head_dim"], p["vocab_size"])


def rotations(checkpoint: Checkpoint, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary embedding, float16 [context, width / 2]."""
    from executorch.examples.models.llama.model_args import ModelArgs
    from executorch.examples.models.llama.rope import Rope

    cosines, sines = Rope(ModelArgs(**checkpoint.parameters, max_context_len=context)).get_freqs(None, context)
    return cosines.half(), sines.half()


def lower(checkpoint: Checkpoint, *, form: str, quantization: str, context: int, stages: pipeline.Stages) -> bytes:
    """The .pte of a checkpoint, with the methods `prefill` and `decode`.

    Args:
        form: one of FORMS.
        quantization: one of QUANTIZATIONS.
        context: tokens of prompt and answers that it can hold.
        stages: is told of what is going on.
    """
    import coremltools as ct
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.compiler.coreml_preprocess import MULTIMETHOD_WEIGHT_SHARING_STRATEGY

    stages.begin("quantize" if quantization != "fp16" else "build")
    if form == "static":
        attention: dict[str, Any] = {"attention_type": "static_mha", "attention_kwargs": {"decompose_sdpa_in_mha": True}}
    else:
        attention = {"use_kv_cache": True}
    model = transformer(checkpoint, max_context_len=context, max_seq_len=context, **attention)
    model = quantize(model.to(_DTYPES[form]), quantization)
    shape = Shape.of(checkpoint, form, context)
    methods = {}
    for name, tokens in _METHODS.items():
        if form == "static":
            cache = context - 1
            methods[name] = (
                StaticStep(model, cache),
                StaticCaches(shape, *rotations(checkpoint, context)).inputs([0] * tokens, tokens),
            )
        else:
            inputs = (
                torch.zeros(1, tokens, dtype=torch.int32),
                torch.arange(tokens, dtype=torch.int32),
                torch.tensor([tokens - 1]),
            )
            methods[name] = (StateStep(model), inputs)
    specs = CoreMLBackend.generate_compile_specs(minimum_deployment_target=ct.target.iOS18, compute_precision=ct.precision.FLOAT16)
    positional = MULTIMETHOD_WEIGHT_SHARING_STRATEGY.POSITIONAL
    specs.append(CoreMLBackend.generate_multimethod_weight_sharing_strategy_compile_spec(positional))
    return pipeline.lower_methods(methods, stages=stages, compile_specs=specs)


class StaticCaches:
    """The caches of the static form, and the inputs of a call."""

    def __init__(self, shape: Shape, cosines: torch.Tensor, sines: torch.Tensor) -> None:
        self._cosines, self._sines = cosines, sines
        self._length = shape.context - 1
        one = (1, shape.heads, self._length, shape.width)
        self._caches = [torch.zeros(one, dtype=torch.float16) for _ in range(2 * shape.layers)]
        self._masks: dict[int, torch.Tensor] = {}

    def inputs(self, ids: Sequence[int], size: int, position: int = 0) -> tuple[torch.Tensor, ...]:
        """The inputs of the method of `size` tokens, for `ids` behind `position`; the ids are filled up with zeros."""
        if size not in self._masks:
            self._masks[size] = torch.full((1, size, self._length + size), -torch.inf, dtype=torch.float16)
            self._masks[size][:, :, self._length :] = torch.full((size, size), -torch.inf).triu(1)
        mask = self._masks[size]
        mask[:, :, :position] = 0
        mask[:, :, position : self._length] = -torch.inf
        padded = torch.zeros(1, size, dtype=torch.int32)
        padded[0, : len(ids)] = torch.tensor(ids)
        rows = torch.arange(position, position + size).clamp(max=len(self._cosines) - 1)
        return (padded, mask, self._cosines[rows], self._sines[rows], torch.tensor([len(ids) - 1]), *self._caches)

    def update(self, new: Sequence[torch.Tensor], count: int, position: int) -> None:
        """Writes the first `count` tokens of a call's further outputs behind `position`."""
        count = min(count, self._length - position)
        for cache, part in zip(self._caches, new, strict=True):
            cache[:, :, position : position + count] = part[:, :, :count]


class Session:
    """A text that grows: the prompt's tokens, and those that follow.

    Attributes:
        position: tokens that the caches hold.
    """

    def __init__(self, path: Path, checkpoint: Checkpoint, shape: Shape) -> None:
        import executorch.backends.apple.coreml.runtime  # noqa: F401  (makes the Core ML delegate run here)
        from executorch.runtime import Runtime

        self._program = Runtime.get().load_program(path)
        self._methods = {size: self._program.load_method(name) for name, size in _METHODS.items()}
        self._shape = shape
        self._caches = StaticCaches(shape, *rotations(checkpoint, shape.context)) if shape.form == "static" else None
        self.position = 0

    @property
    def room(self) -> int:
        """How many tokens there is room for."""
        return self._shape.context - self.position

    def feed(self, ids: Sequence[int]) -> torch.Tensor:
        """Appends tokens; the logits of what follows, [vocabulary].

        Raises:
            PromptError: there is no room for them; nothing is appended.
        """
        if not ids:
            raise PromptError("the prompt is empty, so there is nothing to continue")
        if len(ids) > self.room:
            raise PromptError(
                f"the prompt has {len(ids)} tokens, but only {self.room} of the context's {self._shape.context} are free; shorten it, begin "
                "anew, or make the model with a longer --context"
            )
        if any(not 0 <= token < self._shape.vocabulary for token in ids):
            raise PromptError(
                f"the prompt has a token that a model of {self._shape.vocabulary} tokens does not know, so it comes from another tokenizer"
            )
        logits = torch.empty(0)
        at = 0
        while at < len(ids):
            # A call writes as many tokens as it has: near the end of the context there is no room for a whole prefill.
            size = max(size for size in self._methods if size == 1 or (len(ids) - at > 1 and self.room >= size))
            part = ids[at : at + size]
            logits = self._call(part, size)
            at += len(part)
        return logits

    def _call(self, ids: Sequence[int], size: int) -> torch.Tensor:
        if self._caches is not None:
            outputs = self._methods[size].execute(self._caches.inputs(ids, size, self.position))
            self._caches.update(outputs[1:], len(ids), self.position)
        else:
            padded = torch.zeros(1, size, dtype=torch.int32)
            padded[0, : len(ids)] = torch.tensor(ids)
            # What is only there to fill the call is written behind the text, where the next tokens replace it.
            positions = torch.arange(self.position, self.position + size, dtype=torch.int32)
            outputs = self._methods[size].execute((padded, positions, torch.tensor([len(ids) - 1])))
        self.position += len(ids)
        return outputs[0].flatten().clone()

    def truncate(self, position: int) -> None:
        """Goes back to the first `position` tokens."""
        if not 0 <= position <= self.position:
            raise ValueError(f"cannot go to token {position}: there are {self.position}")
        self.position = position
