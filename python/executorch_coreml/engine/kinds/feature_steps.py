"""The steps that pipelines put before a model: scaling, imputing, encoding, putting together. One class for each, as small as it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import evaluator

_MAX_ELEMENTS = 1 << 28


def _dense(values: dict[int, float], size: int, artifact: str) -> np.ndarray:
    """float64[size] with values at their places, zeros elsewhere."""
    result = np.zeros(size)
    for place, value in values.items():
        if not 0 <= place < size:
            raise refusals.invalid(f"a value has the place {place} of {size}", artifact)
        result[place] = value
    return result


class Identity(evaluator.KindModel):
    """identity: outputs are the inputs of the same names or, of one input and one output, of any."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        names = {spec.name for spec in self.inputs}
        self._sources = {spec.name: spec.name for spec in self.outputs}
        if len(self.inputs) == len(self.outputs) == 1:
            self._sources = {self.outputs[0].name: self.inputs[0].name}
        missing = [name for name in self._sources.values() if name not in names]
        if missing:
            raise refusals.corrupt(f"an identity has the output {missing[0]}, but no input with this name", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        results = {}
        for name, source in self._sources.items():
            if source not in values:
                raise refusals.invalid("the input is missing", f"{source} of {self.artifact}")
            results[name] = values[source]
        return results


class Scaler(evaluator.KindModel):
    """scaler: (x + shift) * scale, element by element."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._input, self._output = self.only_input().name, self.only_output().name
        self._shift = np.array(model.scaler.shiftValue or [0], np.float64)
        self._scale = np.array(model.scaler.scaleValue or [1], np.float64)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        x = np.asarray(values[self._input], np.float64)
        for numbers in (self._shift, self._scale):
            if numbers.size not in (1, x.size):
                raise refusals.invalid(f"the scaler has {numbers.size} numbers for {x.size} values", self.artifact)
        return {self._output: ((x.reshape(-1) + self._shift) * self._scale).reshape(x.shape)}


class Normalizer(evaluator.KindModel):
    """normalizer: divided by a norm; zeros stay."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._input, self._output = self.only_input().name, self.only_output().name
        norms = (lambda x: x.max(initial=-np.inf), lambda x: np.abs(x).sum(), lambda x: math.sqrt((x**2).sum()))
        kind = model.normalizer.normType
        if not 0 <= kind < len(norms):
            raise refusals.corrupt(f"the normalizer has the unknown norm {kind}", self.artifact)
        self._norm = norms[kind]

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        x = np.asarray(values[self._input], np.float64)
        norm = self._norm(x)
        return {self._output: x / norm if norm != 0 else x}


class Imputer(evaluator.KindModel):
    """imputer: what is missing is replaced, NaN where nothing else is said."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self._input, self._output = self.only_input().name, self.only_output().name
        parameters = model.imputer
        replaced = parameters.WhichOneof("ReplaceValue")
        self._replaced = getattr(parameters, replaced) if replaced else math.nan
        imputed = parameters.WhichOneof("ImputedValue")
        if imputed is None:
            raise refusals.corrupt("the imputer has nothing to impute", self.artifact)
        value = getattr(parameters, imputed)
        self._imputed: Any = value
        if imputed in ("imputedDoubleArray", "imputedInt64Array"):
            self._imputed = np.array(value.vector)
        elif imputed in ("imputedStringDictionary", "imputedInt64Dictionary"):
            self._imputed = dict(value.map)

    def _is_missing(self, value: Any) -> bool:
        if isinstance(self._replaced, float) and math.isnan(self._replaced):
            return isinstance(value, float) and math.isnan(value)
        return type(value) is type(self._replaced) and value == self._replaced

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        x = values.get(self._input, self._replaced)
        if isinstance(x, dict):
            if not isinstance(self._imputed, dict):
                raise refusals.invalid("the imputer's input is a dictionary, but its values are not", self.artifact)
            found = {key: self._imputed.get(key, item) if self._is_missing(item) else item for key, item in x.items()}
            return {self._output: found}
        if isinstance(x, np.ndarray):
            if isinstance(self._imputed, (dict, str)) or isinstance(self._replaced, str):
                raise refusals.invalid("the imputer has no numbers for an array", self.artifact)
            imputed = np.asarray(self._imputed).reshape(-1)
            if imputed.size not in (1, x.size):
                raise refusals.invalid(f"the imputer has {imputed.size} numbers for {x.size} values", self.artifact)
            flat = x.reshape(-1)
            missing = np.isnan(flat) if isinstance(self._replaced, float) and math.isnan(self._replaced) else flat == self._replaced
            return {self._output: np.where(missing, imputed, flat).reshape(x.shape)}
        if isinstance(self._imputed, (dict, np.ndarray)) and self._is_missing(x):
            if isinstance(self._imputed, dict) or self._imputed.size != 1:
                raise refusals.invalid("the imputer has several values for a single one", self.artifact)
            return {self._output: self._imputed[0]}
        return {self._output: self._imputed if self._is_missing(x) else x}


class OneHotEncoder(evaluator.KindModel):
    """oneHotEncoder: an array of zeros and a one, or a dictionary with one entry."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self._input, self._output = self.only_input().name, self.only_output()
        parameters = model.oneHotEncoder
        which = parameters.WhichOneof("CategoryType")
        categories = list(getattr(parameters, which).vector) if which else []
        if not categories or len(set(categories)) != len(categories):
            raise refusals.corrupt("the encoder has no categories, or has one twice", self.artifact)
        self._index = {category: index for index, category in enumerate(categories)}
        self._ignores_unknown = parameters.handleUnknown == 1
        self._is_sparse = parameters.outputSparse
        if self._is_sparse != (self._output.kind == "dictionary"):
            raise refusals.corrupt("the encoder's output is not described as the encoder computes it", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        value = values[self._input]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0].item()
        index = None if isinstance(value, (np.ndarray, dict, list)) else self._index.get(value)
        if index is None and not self._ignores_unknown:
            raise refusals.invalid(f"{value!r} is not one of the encoder's categories"[:300], self.artifact)
        if self._is_sparse:
            key = value if self._output.item_kind == "string" else index
            return {self._output.name: {} if index is None else {key: 1.0}}
        result = np.zeros(len(self._index))
        if index is not None:
            result[index] = 1
        return {self._output.name: result}


class DictVectorizer(evaluator.KindModel):
    """dictVectorizer: the values of a dictionary at the places of their keys, as an array or, where one is described, as a dictionary by
    place. A key that has none is refused, as its format says."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self._input, self._output = self.only_input().name, self.only_output().name
        which = model.dictVectorizer.WhichOneof("Map")
        keys = list(getattr(model.dictVectorizer, which).vector) if which else []
        if not keys or len(set(keys)) != len(keys):
            raise refusals.corrupt("the vectorizer has no keys, or has one twice", self.artifact)
        if self.inputs[0].kind != "dictionary":
            raise refusals.corrupt("the vectorizer's input is not described as a dictionary", self.artifact)
        self._is_sparse = self.outputs[0].kind == "dictionary"
        if self._is_sparse and self.outputs[0].item_kind != "int64":
            raise refusals.corrupt("the places of a vectorizer must be texts", self.artifact)
        self._index = {key: index for index, key in enumerate(keys)}

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        placed = {}
        for key, value in values[self._input].items():
            if key not in self._index:
                raise refusals.invalid(f"the vectorizer has no place for the key {key!r}"[:300], self.artifact)
            placed[self._index[key]] = value
        if self._is_sparse:
            return {self._output: placed}
        return {self._output: _dense(placed, len(self._index), self.artifact)}


class FeatureVectorizer(evaluator.KindModel):
    """featureVectorizer: inputs one behind the other, in the order of its list: numbers, arrays, and dictionaries of values by place."""

    takes_any_shape = True

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self._output = self.only_output().name
        self._columns = [(column.inputColumn, column.inputDimensions) for column in model.featureVectorizer.inputList]
        for name, _ in self._columns:
            spec = self.named(name, self.inputs, "input")
            if spec.kind in ("string", "sequence", "image") or (spec.kind == "dictionary" and spec.item_kind != "int64"):
                raise refusals.corrupt(f"the input {name} is a {spec.kind}, which has no place in a vector", self.artifact)
        if sum(size for _, size in self._columns) > _MAX_ELEMENTS:
            raise refusals.exhausted("the vector has more elements than memory can hold", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        parts = []
        for name, size in self._columns:
            if name not in values:
                raise refusals.invalid("the input is missing", f"{name} of {self.artifact}")
            value = values[name]
            if isinstance(value, dict):
                value = _dense(value, size, self.artifact)
            part = np.asarray(value, np.float64).reshape(-1)
            if part.size != size:
                raise refusals.invalid(f"the input {name} has {part.size} numbers, but the vectorizer takes {size}", self.artifact)
            parts.append(part)
        return {self._output: np.concatenate(parts) if parts else np.empty(0)}


class ArrayFeatureExtractor(evaluator.KindModel):
    """arrayFeatureExtractor: chosen elements of an array."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._input, self._output = self.only_input().name, self.only_output().name
        self._indices = list(model.arrayFeatureExtractor.extractIndex)
        if not self._indices:
            raise refusals.corrupt("the extractor has no index", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        flat = np.asarray(values[self._input]).reshape(-1)
        if max(self._indices) >= flat.size:
            raise refusals.invalid(f"the extractor needs element {max(self._indices)} of {flat.size}", self.artifact)
        return {self._output: flat[self._indices]}


class CategoricalMapping(evaluator.KindModel):
    """categoricalMapping: texts to integers, or integers to texts."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self._input, self._output = self.only_input().name, self.only_output().name
        parameters = model.categoricalMapping
        which = parameters.WhichOneof("MappingType")
        if which is None:
            raise refusals.corrupt("the mapping is empty", self.artifact)
        self._map = dict(getattr(parameters, which).map)
        unknown = parameters.WhichOneof("ValueOnUnknown")
        self._unknown = getattr(parameters, unknown) if unknown else None

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        value = values[self._input]
        if isinstance(value, np.ndarray) and value.size == 1:
            value = value.reshape(-1)[0].item()
        found = None if isinstance(value, (np.ndarray, dict, list)) else self._map.get(value, self._unknown)
        if found is None:
            raise refusals.invalid(f"{value!r} is not in the mapping"[:300], self.artifact)
        return {self._output: found}


class ClassConfidenceThresholding(evaluator.KindModel):
    """classConfidenceThresholding: confidences [C] become [2, C], below them ones: as its format says, all classes are taken."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._input, self._output = self.only_input().name, self.only_output().name

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        confidences = np.asarray(values[self._input], np.float64).reshape(-1)
        return {self._output: np.stack([confidences, np.ones_like(confidences)])}
