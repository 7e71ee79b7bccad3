"""What lets ExecuTorch's stock Core ML runtime read a blob of ours too: docs/blob_format.md, "A blob for both runtimes".

Behind the files are metadata.json and the index of a flattened directory, which names the blob's own files where they are.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from executorch_coreml.blob.content import Blob, Kind, NamedData, content_id
from executorch_coreml.blob.stock import MODEL_PATHS

METADATA = MODEL_PATHS.METADATA.value
DEBUG_INFO = MODEL_PATHS.DEBUG_INFO.value
_ROOT_NAME = "lowered_module"
_MODELS = {Kind.PACKAGE: MODEL_PATHS.MODEL.value, Kind.COMPILED: MODEL_PATHS.COMPILED_MODEL.value}

_MAX_INDEX_BYTES = 64 << 20


class DisagreementError(ValueError):
    """The stock table is damaged, or says something else than the blob."""


@dataclasses.dataclass(frozen=True)
class Region:
    """Where bytes are, from the start of the blob."""

    offset: int
    size: int


def obstacle(blob: Blob) -> str:
    """Why the stock runtime cannot be given this blob; empty when it can."""
    for function in blob.functions:
        for state in function.states:
            if state.initial_value_path:
                return (
                    f"the state {state.tensor.name!r} starts with values of its own, but the stock runtime starts states from zero"
                )
    for file in blob.files:
        if isinstance(file.content, NamedData):
            return f"the file {file.path!r} is in named data, from which the stock runtime does not read single files"
    return ""


def identifier(blob: Blob) -> str:
    """What the stock runtime keeps the compiled model by: the same for the same content only."""
    return f"executorch_{content_id(blob).hex()}"


def metadata(blob: Blob) -> bytes:
    """metadata.json of a canonical blob."""
    names = {
        function.name: {"inputNames": [t.name for t in function.inputs], "outputNames": [t.name for t in function.outputs]}
        for function in blob.functions
    }
    document: dict[str, Any] = {"identifier": identifier(blob)}
    if len(names) == 1:
        (only,) = names.values()
        document |= only
    else:
        document["methods"] = names
    return _dump(document)


def _dump(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _paths(blob: Blob, regions: Mapping[str, Region], metadata_region: Region, debug_map: Region | None) -> dict[str, Region]:
    """Every file that the stock runtime is to see."""
    model = _MODELS[blob.kind]
    found = {f"{model}/{path}": region for path, region in regions.items()}
    found[METADATA] = metadata_region
    if debug_map is not None:
        found[DEBUG_INFO] = debug_map
    return found


def encode(blob: Blob, regions: Mapping[str, Region], end: int, debug_map: Region | None) -> bytes:
    """The bytes behind the files.

    Args:
        blob: canonical, without an `obstacle`.
        regions: by path, where its files are.
        end: where the bytes returned will be.
        debug_map: where the blob's debug map is, when it has one.
    """
    form = metadata(blob)
    return form + _index(_paths(blob, regions, Region(end, len(form)), debug_map))


def _index(files: Mapping[str, Region]) -> bytes:
    """The index, reversed: children before parents, the root last."""
    tree: dict[str, Any] = {}
    for path, region in files.items():
        *folders, name = path.split("/")
        folder = tree
        for component in folders:
            folder = folder.setdefault(component, {})
        folder[name] = region
    nodes: list[dict[str, Any]] = []

    def add(name: str, entry: dict[str, Any] | Region) -> int:
        children: dict[str, int] = {}
        region = Region(0, 0)
        if isinstance(entry, Region):
            region = entry if entry.size else region
        else:
            children = {child: add(child, entry[child]) for child in sorted(entry, key=str.encode)}
        nodes.append(
            {
                "name": name,
                "kind": 0 if isinstance(entry, Region) else 1,
                "dataRegion": {"offset": region.offset, "size": region.size},
                "children": children,
            }
        )
        return len(nodes) - 1

    add(_ROOT_NAME, tree)
    return _dump({"nodes": nodes})[::-1]


def check(data: memoryview, size: int, blob: Blob, regions: Mapping[str, Region]) -> None:
    """Compares the last `size` bytes of a blob with what was read from the rest.

    Raises DisagreementError.
    """
    reason = obstacle(blob)
    if reason:
        raise DisagreementError(reason)
    start = len(data) - size
    document, index_size = _parse_index(bytes(data[start:]))
    found = _files(document)
    stored = found.get(METADATA)
    if stored is None or stored.offset < start or stored.offset + stored.size > len(data) - index_size:
        raise DisagreementError(f"{METADATA} is missing, or is not in front of the index")
    debug_map = found.get(DEBUG_INFO) if blob.debug_map else None
    expected = _paths(blob, regions, stored, debug_map)
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            raise DisagreementError(f"{path!r} is not in the stock index")
        if path not in expected:
            raise DisagreementError(f"{path!r} is only in the stock index")
        if expected[path].size != found[path].size or (found[path].size and expected[path] != found[path]):
            raise DisagreementError(f"{path!r} is at another place in the stock index, or has another size there")
    if blob.debug_map and (debug_map is None or _bytes_at(data, debug_map) != blob.debug_map):
        raise DisagreementError(f"{DEBUG_INFO} is not the blob's debug map")
    _check_metadata(_bytes_at(data, stored), blob)


def _bytes_at(data: memoryview, region: Region) -> bytes:
    return bytes(data[region.offset : region.offset + region.size])


def _check_metadata(stored: bytes, blob: Blob) -> None:
    try:
        document = json.loads(stored)
        expected = json.loads(metadata(blob.canonical()))
        same = {key: document.get(key) for key in ("identifier", "methods", "inputNames", "outputNames")} == {
            key: expected.get(key) for key in ("identifier", "methods", "inputNames", "outputNames")
        }
    except (ValueError, AttributeError, RecursionError) as error:
        raise DisagreementError(f"{METADATA} cannot be read: {error}") from None
    if not same:
        raise DisagreementError(f"{METADATA} has another identifier, or other functions, inputs or outputs")


def _parse_index(form: bytes) -> tuple[Any, int]:
    """The index at the end of the bytes, turned round, and how many bytes it takes, with what is behind it."""
    text = form[: -_MAX_INDEX_BYTES - 1 : -1]
    body = text.lstrip(b"\0 \t\r\n\v\f")
    depth, in_string, escaped = 0, False, False
    for position, letter in enumerate(body):
        if in_string:
            if escaped:
                escaped = False
            elif letter == 0x5C:
                escaped = True
            elif letter == 0x22:
                in_string = False
        elif letter == 0x22:
            in_string = True
        elif letter == 0x7B:
            depth += 1
        elif letter == 0x7D:
            depth -= 1
            if depth == 0:
                try:
                    return json.loads(body[: position + 1]), len(text) - len(body) + position + 1
                except (ValueError, RecursionError) as error:
                    raise DisagreementError(f"the stock index cannot be read: {error}") from None
        if depth == 0:
            break
    raise DisagreementError("the blob does not end with a stock index")


def _files(document: Any) -> dict[str, Region]:
    """The files of an index, by path."""
    nodes = document.get("nodes") if isinstance(document, dict) else None
    if not isinstance(nodes, list) or not nodes:
        raise DisagreementError("the stock index has no nodes")
    found: dict[str, Region] = {}
    with_parent: set[int] = set()
    try:
        name = nodes[-1]["name"]
        if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise DisagreementError("the root of the stock index has a name that cannot be the name of a folder")
        waiting = [(len(nodes) - 1, "")]
        while waiting:
            number, path = waiting.pop()
            node = nodes[number]
            if node["kind"] == 0:
                region = node["dataRegion"]
                found[path] = Region(int(region["offset"]), int(region["size"]))
                continue
            for child_name, child in node["children"].items():
                # Before its parent and of one parent only: so this ends.
                if not isinstance(child, int) or not 0 <= child < number or child in with_parent or "/" in child_name:
                    raise DisagreementError(f"the stock index has a child {child_name!r} that is not allowed")
                with_parent.add(child)
                waiting.append((child, f"{path}/{child_name}" if path else child_name))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DisagreementError):
            raise
        raise DisagreementError(f"the stock index has a node that cannot be read: {error!r}") from None
    return found
