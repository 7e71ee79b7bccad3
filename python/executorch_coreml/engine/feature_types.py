"""The features at a model's border: what is described of them, and how values are taken and given."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from executorch_coreml.engine import features, refusals


@dataclasses.dataclass(frozen=True)
class FeatureDescription:
    """An input, output or state."""

    name: str
    # Of what is no array: of its numbers; of texts str.
    dtype: np.dtype
    # An extent, or its smallest and largest value (None: unbounded). () also of what is no array, and where no shape is described.
    shape: tuple[int | tuple[int, int | None], ...]
    # Where not empty: the only shapes that are accepted.
    enumerated_shapes: tuple[tuple[int, ...], ...] = ()
    # Of an image, whose tensor is [1, channels, height, width]: "RGB", "BGR", "GRAYSCALE" or "GRAYSCALE_FLOAT16".
    color_layout: str | None = None
    # Of an input that may be left out: the value of its elements then.
    default_value: float | None = None
    # "array", "image", "int64", "double", "string", "dictionary" from keys to numbers, or "sequence". ML Programs have the first two.
    kind: str = "array"
    # Of dictionaries their keys, of sequences their items: "int64" or "string".
    item_kind: str | None = None
    is_optional: bool = False

    @property
    def is_static(self) -> bool:
        return all(isinstance(extent, int) for extent in self.shape)


_ARRAY_DTYPES = {65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8", 65552: "float16", 0: "float64"}
_LAYOUTS = {10: "GRAYSCALE", 20: "RGB", 30: "BGR", 40: "GRAYSCALE_FLOAT16"}
_ITEM_KINDS = {"int64KeyType": "int64", "stringKeyType": "string", "int64Type": "int64", "stringType": "string"}


def describe(feature: Any, artifact: str) -> FeatureDescription:
    """Of Core ML's FeatureDescription message.

    Raises:
        EngineError: for a feature without name or type, or with a contradictory one.
    """
    name = feature.name
    artifact = f"{name} of {artifact}"
    if not name:
        raise refusals.corrupt("a feature is described without a name", artifact)
    is_optional = bool(feature.type.isOptional)
    kind = feature.type.WhichOneof("Type")
    if kind == "multiArrayType":
        return dataclasses.replace(_describe_array(name, feature.type.multiArrayType, artifact), is_optional=is_optional)
    if kind == "imageType":
        return dataclasses.replace(_describe_image(name, feature.type.imageType, artifact), is_optional=is_optional)
    if kind in ("int64Type", "doubleType", "stringType"):
        scalar = {"int64Type": np.int64, "doubleType": np.float64, "stringType": np.str_}[kind]
        return FeatureDescription(name, np.dtype(scalar), (), kind=kind.removesuffix("Type"), is_optional=is_optional)
    if kind == "dictionaryType":
        keys = feature.type.dictionaryType.WhichOneof("KeyType")
        if keys is None:
            raise refusals.corrupt("a dictionary is described without the type of its keys", artifact)
        return FeatureDescription(
            name, np.dtype(np.float64), (), kind="dictionary", item_kind=_ITEM_KINDS[keys], is_optional=is_optional
        )
    if kind == "sequenceType":
        items = feature.type.sequenceType.WhichOneof("Type")
        if items is None:
            raise refusals.corrupt("a sequence is described without the type of its items", artifact)
        dtype = np.dtype(np.int64 if items == "int64Type" else np.str_)
        return FeatureDescription(name, dtype, (), kind="sequence", item_kind=_ITEM_KINDS[items], is_optional=is_optional)
    raise refusals.corrupt("a feature is described without a type", artifact)


def _describe_array(name: str, array: Any, artifact: str) -> FeatureDescription:
    if array.dataType not in _ARRAY_DTYPES:
        raise refusals.corrupt(f"an array has the unknown element type {array.dataType}", artifact)
    shape: list[int | tuple[int, int | None]] = [_extent(extent, artifact) for extent in array.shape]
    enumerated: list[tuple[int, ...]] = []
    if array.WhichOneof("ShapeFlexibility") == "enumeratedShapes":
        enumerated = [tuple(_extent(extent, artifact) for extent in item.shape) for item in array.enumeratedShapes.shapes]
        if not enumerated or len({len(item) for item in enumerated}) != 1:
            raise refusals.corrupt("the enumeration of shapes is empty or has several ranks", artifact)
        shape = [
            min(extents) if len(set(extents)) == 1 else (min(extents), max(extents)) for extents in zip(*enumerated, strict=True)
        ]
    elif array.WhichOneof("ShapeFlexibility") == "shapeRange":
        shape = [_range(item, artifact) for item in array.shapeRange.sizeRanges]
    default = array.WhichOneof("defaultOptionalValue")
    return FeatureDescription(
        name=name,
        dtype=np.dtype(_ARRAY_DTYPES[array.dataType]),
        shape=tuple(shape),
        enumerated_shapes=tuple(enumerated),
        default_value=None if default is None else float(getattr(array, default)),
    )


def _describe_image(name: str, image: Any, artifact: str) -> FeatureDescription:
    layout = _LAYOUTS.get(image.colorSpace)
    if layout is None:
        raise refusals.corrupt(f"an image has the unknown color space {image.colorSpace}", artifact)
    leading = (1, 3 if layout in ("RGB", "BGR") else 1)
    shape: list[int | tuple[int, int | None]] = [_extent(image.height, artifact), _extent(image.width, artifact)]
    enumerated: list[tuple[int, ...]] = []
    if image.WhichOneof("SizeFlexibility") == "enumeratedSizes":
        enumerated = [
            (*leading, _extent(size.height, artifact), _extent(size.width, artifact)) for size in image.enumeratedSizes.sizes
        ]
        if not enumerated:
            raise refusals.corrupt("the enumeration of sizes is empty", artifact)
        for axis in (2, 3):
            sides = {item[axis] for item in enumerated}
            shape[axis - 2] = min(sides) if len(sides) == 1 else (min(sides), max(sides))
    elif image.WhichOneof("SizeFlexibility") == "imageSizeRange":
        shape = [_range(image.imageSizeRange.heightRange, artifact), _range(image.imageSizeRange.widthRange, artifact)]
    return FeatureDescription(
        name=name,
        dtype=np.dtype(np.float32),
        shape=(*leading, *shape),
        enumerated_shapes=tuple(enumerated),
        color_layout=layout,
        kind="image",
    )


def _extent(extent: int, artifact: str) -> int:
    if not 0 <= extent < 1 << 48:
        raise refusals.corrupt(f"an extent is {extent}", artifact)
    return int(extent)


def _range(item: Any, artifact: str) -> int | tuple[int, int | None]:
    lower = _extent(item.lowerBound, artifact)
    if item.upperBound < 0:
        return lower, None
    if item.upperBound < lower:
        raise refusals.corrupt(f"a range of extents runs from {lower} to {item.upperBound}", artifact)
    return lower if item.upperBound == lower else (lower, int(item.upperBound))


def shape_text(spec: FeatureDescription) -> str:
    if spec.enumerated_shapes:
        return ", ".join(str(list(shape)) for shape in spec.enumerated_shapes)
    extents = (str(e) if isinstance(e, int) else f"{e[0]}..{'' if e[1] is None else e[1]}" for e in spec.shape)
    return f"[{', '.join(extents)}]"


def accepts_shape(spec: FeatureDescription, shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is described. One without a described shape takes any."""
    if spec.enumerated_shapes:
        return shape in spec.enumerated_shapes
    if not spec.shape:
        return True
    if len(shape) != len(spec.shape):
        return False
    for extent, described in zip(shape, spec.shape, strict=True):
        lower, upper = (described, described) if isinstance(described, int) else described
        if extent < lower or (upper is not None and extent > upper):
            return False
    return True


def accept(spec: FeatureDescription, value: Any, *, any_shape: bool = False) -> Any:
    """A caller's value as the model computes with it: an array of the described dtype (of an image its tensor, float32), int, float, str,
    a dictionary or a list.

    Raises:
        EngineError: for an array of a shape that is not described.
        ValueError: for a value of another kind.
    """
    what = f"the input {spec.name}"
    if spec.kind == "image":
        pixels = features.tensor_of_image(value, spec.color_layout, what) if features.is_image(value) else np.asarray(value)
        array = as_dtype(pixels, spec.dtype, what)
        return _checked_shape(spec, array[None] if array.ndim == 3 else array)
    if features.is_image(value):
        raise ValueError(f"{what} takes {_article(spec)}, not an image")
    if spec.kind == "array":
        array = as_dtype(np.asarray(value), spec.dtype, what)
        if not array.shape and spec.shape and math.prod(e if isinstance(e, int) else e[0] for e in spec.shape) == 1:
            array = array.reshape((1,) * len(spec.shape))
        return array if any_shape else _checked_shape(spec, array)
    if spec.kind in ("int64", "double", "string"):
        return _scalar(spec.kind, value, what)
    item_kind = spec.item_kind or ""
    if spec.kind == "dictionary":
        if not isinstance(value, Mapping):
            raise ValueError(f"{what} takes a dictionary, not {type(value).__name__}")
        return {
            _scalar(item_kind, key, f"a key of {what}"): _scalar("double", item, f"a value of {what}")
            for key, item in value.items()
        }
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        raise ValueError(f"{what} takes a list, not {type(value).__name__}")
    return [_scalar(item_kind, item, f"an item of {what}") for item in value]


def _article(spec: FeatureDescription) -> str:
    return {"array": "an array", "int64": "an integer", "double": "a number", "string": "a text"}.get(spec.kind, f"a {spec.kind}")


def _checked_shape(spec: FeatureDescription, array: np.ndarray) -> np.ndarray:
    if not accepts_shape(spec, array.shape):
        raise refusals.invalid(f"the array has the shape {list(array.shape)}", f"{spec.name}: {spec.dtype}{shape_text(spec)}")
    return array


def _scalar(kind: str, value: Any, what: str) -> int | float | str:
    if kind == "string":
        if not isinstance(value, str):
            raise ValueError(f"{what} is a text, not {type(value).__name__}")
        return str(value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"{what} is one {'integer' if kind == 'int64' else 'number'}, not {value!r}"[:300])
    number = array.reshape(-1)[0]
    if kind == "double":
        return float(number)
    if not np.isfinite(number) or int(number) != number or not -(1 << 63) <= int(number) < 1 << 63:
        raise ValueError(f"{what} is an int64, which {number} is not")
    return int(number)


def present(spec: FeatureDescription, value: Any, artifact: str) -> Any:
    """What a model computed as its description says it: an array of the described dtype and, where it has as many elements, shape; int,
    float, str, a dictionary or a list.

    Raises:
        EngineError: where the value cannot be what is described.
    """
    artifact = f"{spec.name} of {artifact}"
    if spec.kind == "image":
        return features.image_of_tensor(np.asarray(value), spec.color_layout or "")
    try:
        if spec.kind == "array":
            with np.errstate(over="ignore", invalid="ignore"):
                array = np.asarray(value)
                if array.dtype.kind not in "biuf":
                    raise ValueError(f"{array.dtype} values are not an array of numbers")
                array = np.array(array.astype(spec.dtype))
            # Core ML has no arrays of rank 0.
            shape = spec.shape if spec.shape and spec.is_static else array.shape or (1,)
            return array.reshape(shape) if math.prod(shape) == array.size else array
        if spec.kind in ("int64", "double", "string"):
            return _scalar(spec.kind, value, "the value")
        item_kind = spec.item_kind or ""
        if spec.kind == "dictionary":
            return {_scalar(item_kind, key, "a key"): _scalar("double", item, "a value") for key, item in value.items()}
        return [_scalar(item_kind, item, "an item") for item in value]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise refusals.corrupt(
            f"the model does not compute the {spec.kind} that its description names: {error}", artifact
        ) from error


def as_dtype(array: np.ndarray, dtype: np.dtype, what: str) -> np.ndarray:
    """`array` as `dtype`; ValueError where that changes more than the rounding of reals."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} takes {dtype} numbers, not {array.dtype}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = array.astype(dtype)
    if dtype.kind == "f":
        if (np.isinf(converted) & np.isfinite(array)).any():
            raise ValueError(f"{what} is {dtype}, which cannot hold {np.abs(array[np.isfinite(array)]).max()}")
    elif not np.array_equal(converted.astype(np.float64), array.astype(np.float64)):
        raise ValueError(f"{what} is {dtype}, which cannot hold all of its values of {array.dtype}")
    return converted
