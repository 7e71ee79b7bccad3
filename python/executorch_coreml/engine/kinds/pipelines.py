"""Pipelines: models one after the other, which find their inputs by name among those of the pipeline and the outputs before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import evaluator

# Of pipelines within pipelines.
_MAX_DEPTH = 8
_MAX_MODELS = 1000


class Pipeline(evaluator.KindModel):
    """pipeline, pipelineClassifier, pipelineRegressor: which of them says what an app gets, not what is computed."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        # Here and not above: the registry names this class.
        from executorch_coreml.engine.kinds import registry

        which = model.WhichOneof("Type")
        message = model.pipeline if which == "pipeline" else getattr(model, which).pipeline
        if context.depth >= _MAX_DEPTH:
            raise refusals.unsupported(f"pipelines are nested more than {_MAX_DEPTH} deep", context.artifact)
        if not 1 <= len(message.models) <= _MAX_MODELS:
            raise refusals.corrupt(f"a pipeline has {len(message.models)} models", context.artifact)
        if message.names and len(message.names) != len(message.models):
            raise refusals.corrupt(f"there are {len(message.names)} names for {len(message.models)} models", context.artifact)
        names = list(message.names) or [f"model{index}" for index in range(len(message.models))]
        self._models = []
        known = {spec.name for spec in self.inputs}
        for name, part in zip(names, message.models, strict=True):
            loaded = registry.load_model(part, context.within(name))
            for spec in loaded.inputs:
                if spec.name not in known and not spec.is_optional and spec.default_value is None:
                    raise refusals.corrupt(f"{name} takes {spec.name}, which nothing before it computes", context.artifact)
            known.update(spec.name for spec in loaded.outputs)
            # Those of a classifier that is an ML Program are no tensors.
            known.update(filter(None, [getattr(getattr(loaded, "classifier", None), "label", None)]))
            self._models.append(loaded)
        self.require_outputs(known)

    def predict(self, data: Mapping[str, Any]) -> dict[str, Any]:
        # Values stay as they are given: each model takes them as its own description says, and says which one is missing. Exported detectors
        # describe thresholds as required that their suppression has defaults for.
        unknown = [name for name in data if name not in {spec.name for spec in self.inputs}]
        if unknown:
            raise refusals.invalid("the model has no such input", f"{unknown[0]} of {self.artifact}")
        values = dict(data)
        for model in self._models:
            values.update(model.predict({spec.name: values[spec.name] for spec in model.inputs if spec.name in values}))
        return {spec.name: self._present(spec, values[spec.name]) for spec in self.outputs}

    def _present(self, spec: Any, value: Any) -> Any:
        from executorch_coreml.engine import feature_types, features

        return value if features.is_image(value) else feature_types.present(spec, value, self.artifact)
