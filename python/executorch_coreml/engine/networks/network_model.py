"""Neural networks of Core ML's older format, alone or as a classifier or regressor.

A network is translated to a program when it is loaded, for the shapes that its description calls the usual ones, and again for others at the
first prediction with them; the programs of the last shapes are kept. Where a shape within depends on the values of small inputs, a program is
for these values.
"""

from __future__ import annotations

import collections
import pathlib
import tempfile
import threading
from typing import Any

import numpy as np

from executorch_coreml.engine import feature_types, program_model, refusals, specification
from executorch_coreml.engine.kinds import classes, evaluator

# Programs for different shapes of the inputs.
_KEPT = 8
# Elements of an input from which shapes are taken: a shape, not an image.
_MOST_KNOWN = 64


class NetworkModel(evaluator.KindModel):
    """neuralNetwork, neuralNetworkClassifier, neuralNetworkRegressor."""

    # Networks of the first format take arrays with a sequence and a batch before the described shape.
    takes_any_shape = True

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        which = model.WhichOneof("Type")
        self._network = getattr(model, which)
        self._context = context
        self._ranks_are_five = {
            "array": self._network.arrayInputShapeMapping == 0,
            "image": self._network.imageInputShapeMapping == 0,
        }
        for spec in self.inputs:
            if spec.kind not in ("array", "image", "int64", "double"):
                raise refusals.corrupt(f"the input {spec.name} of a network is described as {spec.kind}", self.artifact)
        # Here and not above: it imports coremltools, which programs need not.
        from executorch_coreml.engine.networks import translation

        unknown = translation.unknown_layers(self._network.layers)
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise refusals.unsupported(
                f"the network has layers that cannot be translated: {', '.join(unknown[:3])}{more}", self.artifact
            )
        self._preprocessing = _read_preprocessing(self._network.preprocessing, self.inputs, self.artifact)
        self._classes = self._probabilities = None
        if which == "neuralNetworkClassifier":
            labels = classes.read_classes(self._network, self.artifact)
            self._count = len(labels)
            others = [spec.name for spec in self.outputs if spec.kind in ("array", "image")]
            self._classes = classes.ClassOutputs(self, model.description, labels, others)
            self._probabilities = self._network.labelProbabilityLayerName or _last_output(self._network.layers, self.artifact)
        class_outputs = self._classes.names if self._classes is not None else ()
        self._asked = [spec.name for spec in self.outputs if spec.name not in class_outputs]
        if self._probabilities is not None and self._probabilities not in self._asked:
            self._asked.append(self._probabilities)
        self._defaults = {feature.name: _default_shape(feature.type) for feature in model.description.input}
        self._programs: collections.OrderedDict[Any, program_model.ProgramModel] = collections.OrderedDict()
        self._lock = threading.Lock()
        # Whether shapes within depend on the inputs' values, so that a program is for some of these.
        self._is_by_value = False
        try:
            self._program(tuple(self._usual_shape(spec) for spec in self.inputs), {})
        except translation.ValueNeededError:
            self._is_by_value = True

    def _usual_shape(self, spec: feature_types.FeatureDescription) -> tuple[int, ...]:
        if spec.kind in ("int64", "double"):
            return self._with_rank(spec, (1,))
        if not spec.shape:
            raise refusals.corrupt(f"the input {spec.name} of a network is described without a shape", self.artifact)
        default = self._defaults[spec.name]
        if spec.kind == "image" and default is not None:
            default = (1, 3 if spec.color_layout in ("RGB", "BGR") else 1, *default)
        if default is not None and feature_types.accepts_shape(spec, default):
            return self._with_rank(spec, default)
        shape = (
            spec.enumerated_shapes[0]
            if spec.enumerated_shapes
            else tuple(max(1, extent if isinstance(extent, int) else extent[0]) for extent in spec.shape)
        )
        return self._with_rank(spec, shape)

    def _with_rank(self, spec: feature_types.FeatureDescription, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of an input within the network.

        Raises:
            EngineError: for one that is not described.
        """
        rank = len(shape)
        if spec.kind == "image":
            return (1, *shape) if self._ranks_are_five["image"] else shape
        if spec.kind in ("int64", "double"):
            return (1, 1, 1, 1, 1) if self._ranks_are_five["array"] else (1,)
        if not self._ranks_are_five["array"]:
            if not feature_types.accepts_shape(spec, shape):
                raise self._wrong_shape(spec, shape)
            return shape
        # [C] or [C, H, W], with a sequence and a batch before it where they are given.
        described = len(spec.shape)
        if described not in (1, 3):
            raise refusals.corrupt(
                f"the input {spec.name} has rank {described}, where networks of the first format have 1 or 3", self.artifact
            )
        lead = rank - described
        if rank == 5:
            inner, lead_shape = shape[2 : 2 + described], shape[:2]
            fits = described == 3 or shape[3:] == (1, 1)
        else:
            inner, lead_shape = shape[lead:] if lead >= 0 else (), (1,) * (2 - lead) + shape[: max(0, lead)]
            fits = 0 <= lead <= 2
        if not fits or not feature_types.accepts_shape(spec, inner):
            raise self._wrong_shape(spec, shape)
        return (*lead_shape, *inner, *(1,) * (3 - described))

    def _wrong_shape(self, spec: feature_types.FeatureDescription, shape: tuple[int, ...]) -> Exception:
        return refusals.invalid(
            f"the array has the shape {list(shape)}",
            f"{spec.name}: {spec.dtype}{feature_types.shape_text(spec)} of {self.artifact}",
        )

    def _program(self, shapes: tuple[tuple[int, ...], ...], known: dict[str, np.ndarray]) -> program_model.ProgramModel:
        """The network for these shapes of its inputs, and for the values of those that are known."""
        key = (shapes, tuple((name, value.tobytes()) for name, value in known.items()))
        with self._lock:
            found = self._programs.get(key)
            if found is not None:
                self._programs.move_to_end(key)
                return found
            from executorch_coreml.engine.networks import translation

            by_name = dict(zip((spec.name for spec in self.inputs), shapes, strict=True))
            with tempfile.TemporaryDirectory(prefix="coreml_network_") as scratch:
                weights = pathlib.Path(scratch) / "weights"
                weights.mkdir()
                program = translation.translate(self._network.layers, by_name, self._asked, weights, self.artifact, known)
                with specification.package_of_program(program.SerializeToString(), weights) as package:
                    loaded = program_model.ProgramModel(package, **self._context.options)
            self._programs[key] = loaded
            while len(self._programs) > _KEPT:
                self._programs.popitem(last=False)
            return loaded

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        tensors = []
        for spec in self.inputs:
            if spec.name not in values:
                # A state that is not given begins with zeros.
                tensors.append(np.zeros(self._usual_shape(spec), np.float32))
                continue
            array = np.asarray(values[spec.name], np.float32)
            if spec.kind == "image":
                array = self._preprocessed(spec, array)
            tensors.append(array.reshape(self._with_rank(spec, array.shape or (1,))))
        program = self._program_for(tensors)
        outputs = program.predict_tensors({f"in{index}": tensor for index, tensor in enumerate(tensors)})
        found = {name: outputs[f"out{index}"] for index, name in enumerate(self._asked)}
        results: dict[str, Any] = {}
        for spec in self.outputs:
            if spec.name in found:
                results[spec.name] = self._as_described(spec, found[spec.name])
        if self._classes is not None and self._probabilities is not None:
            probabilities = found[self._probabilities].reshape(-1).astype(np.float64)
            if probabilities.size != self._count:
                raise refusals.corrupt(
                    f"the network computes {probabilities.size} numbers for {self._count} classes", self.artifact
                )
            results.update(self._classes.present(probabilities))
        return results

    def _program_for(self, tensors: list[np.ndarray]) -> program_model.ProgramModel:
        from executorch_coreml.engine.networks import translation

        shapes = tuple(tensor.shape for tensor in tensors)
        try:
            if not self._is_by_value:
                return self._program(shapes, {})
            named = zip((spec.name for spec in self.inputs), tensors, strict=True)
            return self._program(shapes, {name: tensor for name, tensor in named if tensor.size <= _MOST_KNOWN})
        except translation.ValueNeededError as error:
            raise refusals.unsupported(f"the network cannot be translated: {error}", self.artifact) from error

    def _preprocessed(self, spec: feature_types.FeatureDescription, image: np.ndarray) -> np.ndarray:
        for name, factor, offset in self._preprocessing:
            if name == spec.name:
                try:
                    image = image * factor + offset
                except ValueError as error:
                    raise refusals.invalid(
                        f"the mean image of the network is not of {list(image.shape[-2:])}", spec.name
                    ) from error
        return image

    def _as_described(self, spec: feature_types.FeatureDescription, value: np.ndarray) -> np.ndarray:
        if spec.kind == "image":
            if (
                value.ndim < 3
                or value.size != np.prod(value.shape[-3:])
                or value.shape[-3] != (3 if spec.color_layout in ("RGB", "BGR") else 1)
            ):
                raise refusals.corrupt(f"the image {spec.name} has the shape {list(value.shape)}", self.artifact)
            return value.reshape(1, *value.shape[-3:])
        if not (self._ranks_are_five["array"] and value.ndim == 5) or (spec.shape and spec.is_static):
            return value
        # Of rank 5 within, and nothing said: [C] or [C, H, W] where there are no more.
        if value.shape[:2] != (1, 1):
            return value
        return value.reshape(value.shape[2:3] if value.shape[3:] == (1, 1) else value.shape[2:])


def _default_shape(kind: Any) -> tuple[int, ...] | None:
    """What is described besides a range or an enumeration: of an image [height, width]. None where nothing is."""
    which = kind.WhichOneof("Type")
    if which == "imageType":
        shape = (kind.imageType.height, kind.imageType.width)
    else:
        shape = tuple(kind.multiArrayType.shape) if which == "multiArrayType" else ()
    return tuple(int(extent) for extent in shape) if shape and min(shape) > 0 else None


def _last_output(layers: Any, artifact: str) -> str:
    if not layers or not layers[-1].output:
        raise refusals.corrupt("the network has no layer that computes probabilities", artifact)
    return layers[-1].output[0]


def _read_preprocessing(
    steps: Any, inputs: tuple[feature_types.FeatureDescription, ...], artifact: str
) -> list[tuple[str, np.float32, np.ndarray]]:
    """(input, factor, what is added) of each step, in their order."""
    images = [spec for spec in inputs if spec.kind == "image"]
    found: list[tuple[str, np.float32, np.ndarray]] = []
    for step in steps:
        chosen = [spec for spec in images if spec.name == step.featureName or not step.featureName]
        if not chosen:
            raise refusals.corrupt(f"{step.featureName} is preprocessed as an image, but is not an image", artifact)
        spec = chosen[0]
        which = step.WhichOneof("preprocessor")
        if which == "scaler":
            scaler = step.scaler
            biases = {
                "RGB": (scaler.redBias, scaler.greenBias, scaler.blueBias),
                "BGR": (scaler.blueBias, scaler.greenBias, scaler.redBias),
            }.get(spec.color_layout or "", (scaler.grayBias,))
            found.append((spec.name, np.float32(scaler.channelScale), np.array(biases, np.float32).reshape(1, -1, 1, 1)))
        elif which == "meanImage":
            mean = np.array(step.meanImage.meanImage, np.float32)
            shape = tuple(extent if isinstance(extent, int) else extent[0] for extent in spec.shape)
            if mean.size != np.prod(shape):
                raise refusals.corrupt(f"the mean image has {mean.size} values for {list(shape)}", artifact)
            found.append((spec.name, np.float32(1), -mean.reshape(shape)))
        else:
            raise refusals.corrupt("there is an empty preprocessing", artifact)
    return found
