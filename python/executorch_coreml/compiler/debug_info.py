"""From the model's operations to ExecuTorch's debug handles, in the stock exporter's form: debug_info.json."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from executorch_coreml import _dependencies as dependencies
from executorch_coreml.blob import stock
from executorch_coreml.compiler.conversion import ConvertedModel


def to_json(debug_map: Mapping[Any, Iterable[Any]], versions: dict[str, str]) -> str:
    """debug_info.json of a map from handles to operation paths, without constants: nothing that runs, and no intermediate value, has the name of
    one. Empty when nothing is left. Raises what stock.symbols_of does."""
    paths, handles = stock.symbols_of(debug_map)
    symbols = sorted(symbol for symbol in handles if symbol.rpartition(":")[2] != "const")
    if not symbols:
        return ""
    info = stock.ModelDebugInfo(versions, {s: paths[s] for s in symbols}, {s: handles[s] for s in symbols})
    return json.dumps(dataclasses.asdict(info), sort_keys=True, separators=(",", ":"))


def of_model(converted: ConvertedModel) -> str:
    """Empty for a model that has none, of several functions for instance."""
    known = {handle: paths for handle, paths in (converted.debug_map or {}).items() if isinstance(handle, int)}
    return to_json(known, dependencies.installed_versions())
