"""Core ML model packages on this library's engines, with neither torch nor ExecuTorch:

    from executorch_coreml.engine import MLModel

    outputs = MLModel("model.mlpackage").predict({"x": x})

`enable_coremltools` lets coremltools predict with them. `executorch.backends.apple.coreml.runtime` has both names too.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executorch_coreml.engine.coremltools_support import enable_coremltools
    from executorch_coreml.engine.ml_model import EngineError, FeatureDescription, MLModel, MLState

__all__ = ["EngineError", "FeatureDescription", "MLModel", "MLState", "enable_coremltools"]

_MODULES = {name: "coremltools_support" if name == "enable_coremltools" else "ml_model" for name in __all__}


def __getattr__(name: str) -> Any:
    # Imported when they are asked for, so that looking for a program (_compile_helper) loads no engine.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
