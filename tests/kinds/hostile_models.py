"""Changes models at random, and says whether what became of them ends with a sentence."""

from __future__ import annotations

import pathlib
import random
from typing import Any

import numpy as np
from executorch_coreml.engine import EngineError, MLModel
from google.protobuf.descriptor import FieldDescriptor

EXTREMES = {
    FieldDescriptor.CPPTYPE_INT32: [0, -1, 1, 7, 2**31 - 1, -(2**31)],
    FieldDescriptor.CPPTYPE_INT64: [0, -1, 1, 7, 2**63 - 1, -(2**63)],
    FieldDescriptor.CPPTYPE_UINT32: [0, 1, 7, 2**32 - 1],
    FieldDescriptor.CPPTYPE_UINT64: [0, 1, 7, 2**40, 2**64 - 1],
    FieldDescriptor.CPPTYPE_DOUBLE: [0.0, -1.0, 1e308, float("nan"), float("inf")],
    FieldDescriptor.CPPTYPE_FLOAT: [0.0, -1.0, 1e38, float("nan"), float("inf")],
    FieldDescriptor.CPPTYPE_BOOL: [False, True],
    FieldDescriptor.CPPTYPE_STRING: ["", "x", "classLabel", "input", "é" * 300],
}


def messages_of(message: Any) -> list[Any]:
    """The message and all within it."""
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for item in value if field.is_repeated else [value]:
            found += messages_of(item)
    return found


def mutate(message: Any, generator: random.Random) -> None:
    """Changes one field of one message in it."""
    chosen = generator.choice([m for m in messages_of(message) if m.DESCRIPTOR.fields])
    field = generator.choice(chosen.DESCRIPTOR.fields)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(chosen, field.name).clear()
    elif field.message_type is not None:
        if field.is_repeated:
            items = getattr(chosen, field.name)
            if items and generator.random() < 0.6:
                del items[generator.randrange(len(items))]
            elif items:
                items.add().CopyFrom(generator.choice(items))
            else:
                items.add()
        elif chosen.HasField(field.name) and generator.random() < 0.7:
            chosen.ClearField(field.name)
        else:
            getattr(chosen, field.name).SetInParent()
    elif field.enum_type is not None:
        if not field.is_repeated:
            setattr(chosen, field.name, generator.choice([0, 1, 2, 3, 99]))
    elif field.cpp_type in EXTREMES:
        value = generator.choice(EXTREMES[field.cpp_type])
        if field.type == FieldDescriptor.TYPE_BYTES:
            value = str(value).encode()
        if field.is_repeated:
            items = getattr(chosen, field.name)
            if items and generator.random() < 0.5:
                items[generator.randrange(len(items))] = value
            elif items and generator.random() < 0.5:
                items.pop()
            else:
                items.append(value)
        else:
            setattr(chosen, field.name, value)


def value_of(spec: Any, generator: random.Random) -> Any:
    if spec.kind == "string":
        return "a"
    if spec.kind in ("int64", "double"):
        return generator.choice([0, 1, -3])
    if spec.kind == "dictionary":
        return {("a" if spec.item_kind == "string" else 0): 1.0}
    if spec.kind == "sequence":
        return []
    shape = [extent if isinstance(extent, int) else extent[0] for extent in spec.shape]
    return np.full(shape, generator.choice([0.0, 1.0, float("nan")])) if np.prod(shape, dtype=float) < 1e6 else np.zeros(1)


CODES = {"corrupt_data", "unsupported", "resource_exhausted", "version_too_new", "not_found", "invalid_argument"}


def survives(path: pathlib.Path, generator: random.Random) -> bool:
    """Whether the model loads; what is refused is refused with a sentence."""
    refusal: Exception | None = None
    try:
        model = MLModel(path)
    except EngineError as error:
        refusal = error
    if isinstance(refusal, EngineError):
        assert refusal.code in CODES, refusal
        assert refusal.message
        return False
    try:
        model.predict({spec.name: value_of(spec, generator) for spec in model.inputs})
    except (EngineError, ValueError) as error:
        refusal = error
    assert refusal is None or str(refusal)
    return True
