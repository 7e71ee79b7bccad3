"""Which class evaluates which kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from executorch_coreml.engine import program_model, refusals, specification
from executorch_coreml.engine.kinds import (
    feature_steps,
    item_similarity,
    linear_models,
    nearest_neighbors,
    non_maximum_suppression,
    pipelines,
    support_vectors,
    tree_ensembles,
)
from executorch_coreml.engine.kinds.evaluator import Context, Evaluator


def _program(model: Any, context: Context) -> Evaluator:
    with specification.package_of_program(model.SerializeToString(), context.weights) as package:
        return program_model.ProgramModel(package, **context.options)


def _network(model: Any, context: Context) -> Evaluator:
    from executorch_coreml.engine.networks import network_model

    return network_model.NetworkModel(model, context)


_KINDS: dict[str, Callable[[Any, Context], Evaluator]] = {
    specification.PROGRAM: _program,
    "arrayFeatureExtractor": feature_steps.ArrayFeatureExtractor,
    "categoricalMapping": feature_steps.CategoricalMapping,
    "classConfidenceThresholding": feature_steps.ClassConfidenceThresholding,
    "dictVectorizer": feature_steps.DictVectorizer,
    "featureVectorizer": feature_steps.FeatureVectorizer,
    "glmClassifier": linear_models.LinearClassifier,
    "glmRegressor": linear_models.LinearRegressor,
    "identity": feature_steps.Identity,
    "imputer": feature_steps.Imputer,
    "itemSimilarityRecommender": item_similarity.ItemSimilarity,
    "kNearestNeighborsClassifier": nearest_neighbors.NearestNeighbors,
    "neuralNetwork": _network,
    "neuralNetworkClassifier": _network,
    "neuralNetworkRegressor": _network,
    "nonMaximumSuppression": non_maximum_suppression.NonMaximumSuppression,
    "normalizer": feature_steps.Normalizer,
    "oneHotEncoder": feature_steps.OneHotEncoder,
    "pipeline": pipelines.Pipeline,
    "pipelineClassifier": pipelines.Pipeline,
    "pipelineRegressor": pipelines.Pipeline,
    "scaler": feature_steps.Scaler,
    "supportVectorClassifier": support_vectors.SupportVectorClassifier,
    "supportVectorRegressor": support_vectors.SupportVectorRegressor,
    "treeEnsembleClassifier": tree_ensembles.TreeClassifier,
    "treeEnsembleRegressor": tree_ensembles.TreeRegressor,
}


def load(found: specification.Found, artifact: str, options: Mapping[str, Any]) -> Evaluator:
    """The model of a specification on disk.

    Args:
        artifact: What errors call it.
        options: Of ProgramModel, for ML Programs and neural networks within.

    Raises:
        EngineError: for one that is damaged, or of a kind that is not evaluated.
    """
    return load_model(specification.parse(found, artifact), Context(artifact, found.weights, options))


def load_model(model: Any, context: Context) -> Evaluator:
    """load() of a Model message."""
    kind = model.WhichOneof("Type")
    if kind is None:
        raise refusals.corrupt("the model has no kind", context.artifact)
    specification.check_version(model, context.artifact)
    if kind not in _KINDS:
        raise refusals.unsupported(
            f"the model is {specification.SENTENCES.get(kind, kind)}; this kind cannot be evaluated here", context.artifact
        )
    return _KINDS[kind](model, context)
