"""A canonical .mlpackage: the same model gives the same bytes, whenever and wherever it is lowered.

coremltools writes random identifiers and today's date into a package. Here the manifest is written with fixed identifiers, and
what describes the build (versions, date, dialect) is taken out: the blob's producer field has the versions, and its identity must not
depend on them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from pathlib import Path

from coremltools.proto import Model_pb2

from executorch_coreml import blob

_AUTHOR = "com.apple.CoreML"
_SPEC_PATH = f"{_AUTHOR}/model.mlmodel"
_WEIGHTS_PATH = f"{_AUTHOR}/weights"
# The name space of the manifest's identifiers; any fixed value does.
_NAMESPACE = uuid.UUID("6f1e2f0e-5c5b-5a52-9a0b-2d1d4c1f7c11")
_BUILD_METADATA = "com.github.apple.coremltools."


def _identifier(path: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, path)).upper()


def manifest(*, has_weights: bool) -> bytes:
    """Manifest.json of a package with a specification and, unless it has none, a weights folder."""
    entries = {
        _identifier(_SPEC_PATH): {
            "author": _AUTHOR,
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": _SPEC_PATH,
        }
    }
    if has_weights:
        entries[_identifier(_WEIGHTS_PATH)] = {
            "author": _AUTHOR,
            "description": "CoreML Model Weights",
            "name": "weights",
            "path": _WEIGHTS_PATH,
        }
    document = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": entries,
        "rootModelIdentifier": _identifier(_SPEC_PATH),
    }
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def strip_build_metadata(spec: Model_pb2.Model) -> None:
    """Removes what tells when and with what the model was built, in place."""
    metadata = spec.description.metadata.userDefined
    for key in [key for key in metadata if key.startswith(_BUILD_METADATA)]:
        del metadata[key]
    if "buildInfo" in spec.mlProgram.attributes:
        del spec.mlProgram.attributes["buildInfo"]


def weight_files(folder: Path) -> list[Path]:
    """The files of a weights folder, sorted by name; none when there is no folder."""
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def package_files(spec: Model_pb2.Model, weights: Sequence[blob.File]) -> tuple[blob.File, ...]:
    """The files of the package: manifest, specification and the weight files, which come with their paths in the package."""
    return (
        blob.File("Manifest.json", blob.InlineBytes(manifest(has_weights=bool(weights)))),
        blob.File(f"Data/{_SPEC_PATH}", blob.InlineBytes(spec.SerializeToString(deterministic=True))),
        *weights,
    )


def weight_path(name: str) -> str:
    """The path in the package of a weight file."""
    return f"Data/{_WEIGHTS_PATH}/{name}"
