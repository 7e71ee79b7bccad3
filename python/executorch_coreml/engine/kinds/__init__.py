"""The kinds of Core ML models other than ML Programs, each evaluated by a class of its own.

model = kinds.load(specification.find("model.mlmodel"), "model.mlmodel", options)
outputs = model.predict({"x": 1.5})
"""

from __future__ import annotations

from executorch_coreml.engine.kinds.evaluator import Context, Evaluator
from executorch_coreml.engine.kinds.registry import load, load_model

__all__ = ["Context", "Evaluator", "load", "load_model"]
