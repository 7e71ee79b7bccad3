"""torchvision without its compiled operators, which load only beside the torch they were built with.

The module that declares shapes for those operators fails to import without them. No classification model uses it.
"""

from __future__ import annotations

import importlib.util
import sys
import types


def prepare() -> None:
    """Makes `import torchvision` work, here and inside transformers, which imports it when it is installed."""
    name = "torchvision._meta_registrations"
    if "torchvision" not in sys.modules and importlib.util.find_spec("torchvision") is not None:
        sys.modules.setdefault(name, types.ModuleType(name))


def models() -> types.ModuleType:
    """torchvision.models."""
    prepare()
    import torchvision.models

    return torchvision.models
