"""Which kind of model a .mlmodel file or a package holds, and its specification for the kinds that are evaluated in Python.

The kind is found by walking over the outermost fields of the specification, without coremltools, so that ML Programs, which native code
reads, cost nothing here. The other kinds are read with coremltools' protobuf classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import mmap
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from executorch_coreml._quiet_imports import quiet
from executorch_coreml.engine import refusals

PROGRAM = "mlProgram"

# As of Core ML's Model message: field number -> its name, and what it is called in a sentence.
KINDS = {
    200: ("pipelineClassifier", "a classifier pipeline"),
    201: ("pipelineRegressor", "a regressor pipeline"),
    202: ("pipeline", "a pipeline"),
    300: ("glmRegressor", "a generalized linear regressor"),
    301: ("supportVectorRegressor", "a support vector regressor"),
    302: ("treeEnsembleRegressor", "a tree ensemble regressor"),
    303: ("neuralNetworkRegressor", "a neural network regressor"),
    304: ("bayesianProbitRegressor", "a Bayesian probit regressor"),
    400: ("glmClassifier", "a generalized linear classifier"),
    401: ("supportVectorClassifier", "a support vector classifier"),
    402: ("treeEnsembleClassifier", "a tree ensemble classifier"),
    403: ("neuralNetworkClassifier", "a neural network classifier"),
    404: ("kNearestNeighborsClassifier", "a nearest neighbors classifier"),
    500: ("neuralNetwork", "a neural network"),
    501: ("itemSimilarityRecommender", "an item similarity recommender"),
    502: (PROGRAM, "an ML Program"),
    555: ("customModel", "a custom model, whose code is part of an app"),
    556: ("linkedModel", "a link to a compiled model outside of the file"),
    560: ("classConfidenceThresholding", "a class confidence thresholding"),
    600: ("oneHotEncoder", "a one-hot encoder"),
    601: ("imputer", "an imputer"),
    602: ("featureVectorizer", "a feature vectorizer"),
    603: ("dictVectorizer", "a dictionary vectorizer"),
    604: ("scaler", "a scaler"),
    606: ("categoricalMapping", "a categorical mapping"),
    607: ("normalizer", "a normalizer"),
    609: ("arrayFeatureExtractor", "an array feature extractor"),
    610: ("nonMaximumSuppression", "a non-maximum suppression"),
    900: ("identity", "an identity"),
    2000: ("textClassifier", "a text classifier, whose language model is part of Apple's systems"),
    2001: ("wordTagger", "a word tagger, whose language model is part of Apple's systems"),
    2002: ("visionFeaturePrint", "a vision feature print, whose network is part of Apple's systems"),
    2003: ("soundAnalysisPreprocessing", "a sound analysis preprocessing, which is part of Apple's systems"),
    2004: ("gazetteer", "a gazetteer, whose reader is part of Apple's systems"),
    2005: ("wordEmbedding", "a word embedding, whose reader is part of Apple's systems"),
    2006: ("audioFeaturePrint", "an audio feature print, whose network is part of Apple's systems"),
    3000: ("serializedModel", "a serialized model, whose form Apple has not published"),
}
SENTENCES = dict(KINDS.values())

_MANIFEST = "Manifest.json"
_MAX_MANIFEST_BYTES = 1 << 20
# What protobuf itself takes at most.
_MAX_SPECIFICATION_BYTES = (1 << 31) - 1
_NEWEST_VERSION = 10


@dataclasses.dataclass(frozen=True)
class Found:
    """A specification on disk."""

    path: pathlib.Path
    kind: str
    # The folder of the weight files that an ML Program inside refers to.
    weights: pathlib.Path | None


def find(path: str | os.PathLike[str]) -> Found | None:
    """The specification of the model at `path`, or None where none can be made out: the native reader then says what is wrong."""
    place = pathlib.Path(path)
    try:
        root = _root_model(place) if place.is_dir() else place
        if root is None or not root.is_file():
            return None
        kind = _kind(root)
    except (OSError, ValueError, RecursionError):
        return None
    if kind is None:
        return None
    return Found(root, kind, root.parent / "weights" if place.is_dir() else None)


def parse(found: Found, artifact: str) -> Any:
    """The specification as coremltools' Model message.

    Raises:
        EngineError: where it is damaged, too large, of a later version, or coremltools is not installed.
    """
    size = found.path.stat().st_size
    if size > _MAX_SPECIFICATION_BYTES:
        raise refusals.exhausted(f"the specification has {size} bytes; the limit is {_MAX_SPECIFICATION_BYTES}", artifact)
    model = messages().Model()
    from google.protobuf.message import DecodeError

    try:
        model.ParseFromString(found.path.read_bytes())
    except DecodeError as error:
        raise refusals.corrupt("the specification is not a valid protobuf message, or is nested too deeply", artifact) from error
    check_version(model, artifact)
    return model


def messages() -> Any:
    """coremltools' Model_pb2. EngineError where coremltools is not installed."""
    try:
        with quiet():
            from coremltools.proto import Model_pb2
    except ImportError as error:
        raise refusals.unsupported(
            "models other than ML Programs are read with coremltools, which is not installed: pip install coremltools", str(error)
        ) from error
    return Model_pb2


def check_version(model: Any, artifact: str) -> None:
    if model.specificationVersion > _NEWEST_VERSION:
        raise refusals.too_new(
            f"the model has specification version {model.specificationVersion}; upgrade this library, which reads versions up to {_NEWEST_VERSION}",
            artifact,
        )


def _root_model(package: pathlib.Path) -> pathlib.Path | None:
    """What the package's manifest names as the model, within the package."""
    manifest = package / _MANIFEST
    if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
        return None
    content = json.loads(manifest.read_bytes())
    try:
        parts = pathlib.PurePosixPath(content["itemInfoEntries"][content["rootModelIdentifier"]]["path"])
    except (KeyError, TypeError):
        return None
    if parts.is_absolute() or ".." in parts.parts:
        return None
    root = package / "Data" / parts
    # Links could lead outside, as in the native reader.
    return root if root.resolve() == package.resolve() / "Data" / parts else None


def _kind(file: pathlib.Path) -> str | None:
    with file.open("rb") as opened, contextlib.closing(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)) as data:
        kind, position = None, 0
        while position < len(data):
            key, position = _varint(data, position)
            field, wire = key >> 3, key & 7
            if wire == 0:
                _, position = _varint(data, position)
            elif wire == 1:
                position += 8
            elif wire == 2:
                size, position = _varint(data, position)
                position += size
            elif wire == 5:
                position += 4
            else:
                return None
            # Of several, the last one counts, as protobuf has it.
            kind = KINDS[field][0] if field in KINDS else kind
        return kind if position == len(data) else None


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a damaged number")


@contextlib.contextmanager
def package_of_program(specification: bytes, weights: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """A package of a specification and the weight files of a folder, which is removed afterwards. Files are linked where they can be."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coreml_model_"))
    try:
        inner = folder / "model.mlpackage" / "Data" / "com.apple.CoreML"
        inner.mkdir(parents=True)
        (inner / "model.mlmodel").write_bytes(specification)
        if weights is not None and weights.is_dir() and not weights.is_symlink():
            (inner / "weights").mkdir()
            for file in sorted(weights.iterdir()):
                if not file.is_file() or file.is_symlink():
                    continue
                try:
                    os.link(file, inner / "weights" / file.name)
                except OSError:
                    shutil.copyfile(file, inner / "weights" / file.name)
        manifest = {
            "fileFormatVersion": "1.0.0",
            "itemInfoEntries": {
                "model": {"author": "com.apple.CoreML", "name": "model.mlmodel", "path": "com.apple.CoreML/model.mlmodel"}
            },
            "rootModelIdentifier": "model",
        }
        (folder / "model.mlpackage" / _MANIFEST).write_text(json.dumps(manifest))
        yield folder / "model.mlpackage"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
