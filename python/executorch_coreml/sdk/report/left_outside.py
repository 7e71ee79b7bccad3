"""Why operators run outside Core ML delegates."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from executorch_coreml.sdk import files, verify_edge, verify_reference
from executorch_coreml.sdk.errors import ToolError
from executorch_coreml.sdk.report.instructions import Step

_UNKNOWN = (
    "The program does not say why. To learn it, pass the model (--reference) or the partitioner's report (--partition-report)."
)
_TAKEN = (
    "The partitioner now takes this operator. An option of the lowering, such as skip_ops_for_coreml_delegation, or another "
    "exporter left it outside."
)


def read(
    chain: Sequence[Step],
    model: verify_reference.Reference | None,
    lowered_with: Mapping[str, bytes],
    partition_report: Path | None,
) -> list[dict[str, Any]]:
    """One entry for each operator outside and its reason, most frequent first."""
    outside = Counter(step.name for step in chain if step.kind == "operator")
    reasons: dict[str, list[dict[str, Any]]] = {}
    fallback = _UNKNOWN
    if partition_report is not None:
        reasons, fallback = _from_file(partition_report), _TAKEN
    elif outside and model is not None and model.program is not None:
        reasons, fallback = _by_operator(_from_model(model, lowered_with)), _TAKEN
    found = []
    for name, count in outside.most_common():
        why = reasons.get(_base(name), [])
        best = why[0] if why else {}
        found.append(
            {
                "operator": name,
                "count": count,
                "code": best.get("code", ""),
                "reason": best.get("reason", "") or fallback,
                "reference": best.get("reference", ""),
                "source": best.get("source"),
            }
        )
    return found


def _base(name: str) -> str:
    """ "aten::cumsum.out", "aten.cumsum.default" and "dim_order_ops::_to_dim_order_copy.out" without namespace and overload."""
    return re.split(r"::|\.", name, maxsplit=1)[-1].split(".")[0]


def _by_operator(left: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for node in left:
        source = node.get("source")
        line = f"{source['file']}:{source['line']}: {source['code']}" if source else None
        found.setdefault(_base(node["op"]), []).append({**node, "source": line})
    return found


def _from_file(path: Path) -> dict[str, list[dict[str, Any]]]:
    files.check_file(path, "the partitioner's report")
    try:
        left = json.loads(path.read_text(encoding="utf-8"))["left"]
        return _by_operator([dict(node, op=str(node["op"])) for node in left])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ToolError(f"{path} is not a partitioner's report: write PartitionReport.to_json() to it") from error


def _from_model(model: verify_reference.Reference, lowered_with: Mapping[str, bytes]) -> list[dict[str, Any]]:
    assert model.program is not None
    partitioner: Any = verify_edge.our_partitioner(lowered_with)
    verify_edge.lower(model.program, partitioner)
    return list(json.loads(partitioner.report.to_json())["left"])
