"""A model in a local folder as the Hugging Face hub has them: of transformers, sentence-transformers or timm. Nothing is downloaded, and no code of the
folder is run."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.files import sentence

FORMS = "a folder with the config.json of a model of transformers, sentence-transformers or timm"

Inputs = tuple[torch.Tensor, ...]


def load(folder: Path, *, length: int) -> tuple[torch.nn.Module, Inputs]:
    """The model, in evaluation mode, and example inputs. length: tokens of a text.

    Raises ToolError, which names the file at fault, for a folder that has no such model.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    if (folder / "modules.json").is_file():
        return _sentence_transformer(folder, length)
    config = _json(folder / "config.json")
    if "model_type" in config:
        return _transformer(folder, config, length)
    if "architecture" in config:
        return _timm(folder, config)
    raise ToolError(
        f"{folder / 'config.json'} has neither model_type, which models of transformers have, nor architecture, which those of timm have"
    )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ToolError(f"{path} is missing: a model must be {FORMS}") from error
    except (OSError, ValueError) as error:
        raise ToolError(f"{path} cannot be read as JSON: {sentence(error)}") from error


def _library(name: str, needed_by: Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolError(f"{needed_by} is a model of {name}, which is not installed: pip install {name}") from error


def _made(what: Path, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except ToolError:
        raise
    except Exception as error:  # A library raises whatever it likes.
        raise ToolError(f"the model in {what} cannot be loaded: {sentence(error)}") from error


class _Plain(torch.nn.Module):
    """A model of transformers whose inputs have an order and whose output is one tensor: logits, or what the last layer computes."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        found = self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True)
        output: torch.Tensor = found["logits"] if "logits" in found else found[0]
        return output


def _pretrained(kind: Any, folder: Path) -> Any:
    return _made(folder, lambda: kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)).eval()


def _transformer(folder: Path, config: dict[str, Any], length: int) -> tuple[torch.nn.Module, Inputs]:
    transformers = _library("transformers", folder)
    names = config.get("architectures") or ["AutoModel"]
    kind = getattr(transformers, names[0], None)
    if kind is None:
        raise ToolError(
            f"{folder / 'config.json'} names the architecture {names[0]}, which transformers {transformers.__version__} has not"
        )
    model = _pretrained(kind, folder)
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    given = _example_inputs(model, length)
    return _Plain(model, tuple(given)), tuple(given.values())


def _example_inputs(model: Any, length: int) -> dict[str, torch.Tensor]:
    """Inputs of one example, for the kinds of models that have one main input."""
    config, main = model.config, model.main_input_name
    if main == "input_ids":
        vocabulary = getattr(config.get_text_config(), "vocab_size", 2)
        ids = torch.randint(0, vocabulary, (1, length), generator=torch.Generator().manual_seed(0))
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        return {**given, "decoder_input_ids": ids} if config.is_encoder_decoder else given
    shape: tuple[int, ...]
    if main == "pixel_values":
        size = getattr(config, "image_size", None) or 224
        height, width = (size, size) if isinstance(size, int) else size
        shape = (1, getattr(config, "num_channels", 3), height, width)
    elif main == "input_values":
        shape = (1, 16_000)  # A second of sound.
    else:
        raise ToolError(
            f"{type(model).__name__} reads {main}, for which no example input is known here: write a function that returns the model and its example "
            "inputs, and pass MODULE:FUNCTION"
        )
    return {main: torch.randn(shape, generator=torch.Generator().manual_seed(0))}


class _Sentences(torch.nn.Module):
    """A text's embedding, as the modules of sentence-transformers compute it."""

    def __init__(self, model: Any, pooling: str, steps: list[torch.nn.Module]) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.steps = torch.nn.Sequential(*steps)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        tokens = self.model(input_ids=input_ids, attention_mask=attention_mask, return_dict=True)[0]
        weights = attention_mask[:, :, None].to(tokens.dtype)
        if self.pooling == "cls":
            pooled = tokens[:, 0]
        elif self.pooling == "max":
            pooled = tokens.masked_fill(weights == 0, -1e9).amax(1)
        else:
            pooled = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        embedding: torch.Tensor = self.steps(pooled)
        return embedding


class _Normalize(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x, p=2.0, dim=1)


def _sentence_transformer(folder: Path, length: int) -> tuple[torch.nn.Module, Inputs]:
    transformers = _library("transformers", folder)
    model, pooling = None, None
    steps: list[torch.nn.Module] = []
    for entry in _json(folder / "modules.json"):
        kind, part = str(entry.get("type")).rpartition(".")[2], folder / str(entry.get("path", ""))
        if kind == "Transformer":
            model = _pretrained(transformers.AutoModel, part)
        elif kind == "Pooling":
            pooling = _pooling(part / "config.json")
        elif kind == "Normalize":
            steps.append(_Normalize())
        else:
            raise ToolError(
                f"{folder / 'modules.json'} has a {kind}, and Transformer, Pooling and Normalize are what is known here: pass MODULE:FUNCTION"
            )
    if model is None or pooling is None:
        raise ToolError(f"{folder / 'modules.json'} must have a Transformer and a Pooling")
    given = _example_inputs(model, length)
    return _Sentences(model, pooling, steps), (given["input_ids"], given["attention_mask"])


def _pooling(path: Path) -> str:
    """cls, max or mean."""
    modes = {"pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean"}
    config = _json(path)
    chosen = [mode for key, mode in modes.items() if config.get(key)]
    others = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True and key not in modes]
    if "pooling_mode" in config:  # As sentence-transformers 5.6 and newer write it.
        chosen = [config["pooling_mode"]] if config["pooling_mode"] in modes.values() else []
    if len(chosen) != 1 or others:
        raise ToolError(f"{path} must ask for one of the poolings {', '.join(modes.values())}, and no other: pass MODULE:FUNCTION")
    return str(chosen[0])


def _timm(folder: Path, config: dict[str, Any]) -> tuple[torch.nn.Module, Inputs]:
    timm = _library("timm", folder)
    weights = next((folder / name for name in ("model.safetensors", "pytorch_model.bin") if (folder / name).is_file()), None)
    if weights is None:
        raise ToolError(f"{folder} has no model.safetensors, where timm keeps the weights")
    classes = {"num_classes": config["num_classes"]} if "num_classes" in config else {}
    model = _made(
        folder,
        lambda: timm.create_model(config["architecture"], checkpoint_path=str(weights), **classes, **config.get("model_args", {})),
    )
    size = config.get("pretrained_cfg", {}).get("input_size") or [3, 224, 224]
    return model.eval(), (torch.randn(1, *size, generator=torch.Generator().manual_seed(0)),)
