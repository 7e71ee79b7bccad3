"""Every model of the sweep, by `library/name`; and the case of one, which is what a worker asks for."""

from __future__ import annotations

import from_executorch
import from_libraries
import from_timm
import from_torchvision
import from_transformers
import sweep_table
from module_cases import Case

# What //third-party/pypi has, so that it runs everywhere.
LOCKED = ("transformers", "torchvision")
LIBRARIES = (*LOCKED, "timm", "torchaudio", "segmentation_models_pytorch", "ultralytics", "diffusers", "executorch")

MODELS = sweep_table.table(
    [
        *from_transformers.models(),
        *from_torchvision.models(),
        *from_timm.models(),
        *from_libraries.models(),
        *from_executorch.models(),
    ]
)


def case(name: str) -> Case:
    """The model of a name, made small, with its inputs. Raises what making it raises."""
    return sweep_table.made(MODELS[name])
