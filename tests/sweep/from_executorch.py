"""The models of executorch.examples.models that can be had without their authors' weights; the others are in the lists of their libraries."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from unittest import mock

import torch
from sweep_table import Built, Model, Tensors
from torch.utils import _pytree as pytree

# Names of MODEL_NAME_TO_MODEL. mobilebert, emformer_* and w2l want transformers and torchaudio.
_NAMES = """
mul linear add add_mul softmax conv1d sdpa lstm mv2_untrained deep_autoencoder ds_cnn mobilenet_v1_025 resnet8 llama2 w2l emformer_transcribe emformer_predict
emformer_join
"""


def _random_weights(name: str) -> contextlib.AbstractContextManager[object]:
    """Keeps torchaudio from loading the weights of the Emformer, which these examples take from its pipeline."""
    if not name.startswith("emformer"):
        return contextlib.nullcontext()
    import torchaudio

    return mock.patch.object(torchaudio.pipelines.RNNTBundle, "_get_model", lambda bundle: bundle._rnnt_factory_func())


def _build(name: str) -> Built:
    from executorch.examples.models import MODEL_NAME_TO_MODEL
    from executorch.examples.models.model_factory import EagerModelFactory

    with _random_weights(name):
        module, inputs, _, _ = EagerModelFactory.create_model(*MODEL_NAME_TO_MODEL[name])
    given = tuple(leaf for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, torch.Tensor))
    return Tensors(module), given


def models() -> Iterator[Model]:
    for name in _NAMES.split():
        yield Model("executorch", name, functools.partial(_build, name))
