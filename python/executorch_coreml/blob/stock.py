"""The stock exporter's payload, as far as it is bytes and JSON: a flattened directory, or a reference to one in the named data.

The directory has `metadata.json`, `debug_info.json` and the model. A reference is four bytes and JSON, {"version", "key", "functionName"}.
"""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterable, Mapping
from typing import Any

REFERENCE_MAGIC = b"CMJR"


class MODEL_PATHS(enum.Enum):
    MODEL = "model.mlpackage"
    COMPILED_MODEL = "model.mlmodelc"
    METADATA = "metadata.json"
    DEBUG_INFO = "debug_info.json"


@dataclasses.dataclass
class MethodMetadata:
    inputNames: list[str]
    outputNames: list[str]


@dataclasses.dataclass
class ModelMetadata:
    inputNames: list[str]
    outputNames: list[str]
    # The stock runtime's cache key.
    identifier: str


@dataclasses.dataclass
class MultifunctionModelMetadata:
    identifier: str
    # By method name, which is also the name of the model's function.
    methods: dict[str, MethodMetadata]


@dataclasses.dataclass
class ModelDebugInfo:
    versionInfo: dict[str, str]
    # By debug symbol, `output:operator`.
    debugSymbolToOperationPath: dict[str, list[dict[str, str]]]
    debugSymbolToHandles: dict[str, list[int]]


def is_reference(data: bytes) -> bool:
    return data[: len(REFERENCE_MAGIC)] == REFERENCE_MAGIC


def is_directory(data: bytes) -> bool:
    """Whether bytes are a flattened directory: they end in the mirrored JSON of its entries, and are no blob, which may end so too."""
    return data[8:12] != b"CMLB" and data.rstrip(b"\0 \t\r\n")[-1:] == b"{"


def reference_to_bytes(key: str, function: str) -> bytes:
    """The processed bytes of a delegate whose directory, or blob for both runtimes, is the named data `key`."""
    return REFERENCE_MAGIC + json.dumps({"version": 1, "key": key, "functionName": function}).encode()


def read_reference(data: bytes) -> tuple[str, str]:
    """The key and the function of a reference.

    Raises:
        ValueError: for a reference that cannot be read.
    """
    try:
        reference = json.loads(data[len(REFERENCE_MAGIC) :].rstrip(b"\0"))
        return str(reference["key"]), str(reference["functionName"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def symbols_of(debug_map: Mapping[Any, Iterable[Any]]) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """The operation path and the debug handles of each debug symbol, `output:operator`, of a map from handles to operation paths.

    What is no operation with an output has no symbol. Raises what a map that was not made by an exporter makes Python raise.
    """
    paths: dict[str, Any] = {}
    handles: dict[str, list[int]] = {}
    for handle, of_handle in debug_map.items():
        for path in of_handle:
            if "Operator" in path[-1] and "Output" in path[-1]:
                symbol = f"{path[-1]['Output']}:{path[-1]['Operator']}"
                paths[symbol] = path
                handles.setdefault(symbol, []).append(int(handle))
    return paths, handles
