"""The kinds of models that take numbers, texts and dictionaries, one by one, against their formulas."""

from __future__ import annotations

import itertools
import math
import pathlib
from typing import Any

import numpy as np
import pytest
import specs
from executorch_coreml.engine import EngineError, MLModel
from scipy import stats


@pytest.fixture
def load(tmp_path: pathlib.Path):
    numbers = itertools.count()
    return lambda message: MLModel(specs.save(message, tmp_path, f"model{next(numbers)}.mlmodel"))


def refused(load, message: Any, sentence: str) -> None:
    with pytest.raises(EngineError, match=sentence) as raised:
        load(message)
    assert raised.value.code == "corrupt_data"


# --- Trees ---

BRANCHES = {0: np.less_equal, 1: np.less, 2: np.greater_equal, 3: np.greater, 4: np.equal, 5: np.not_equal}


@pytest.mark.parametrize("behavior", BRANCHES)
@pytest.mark.parametrize("missing_is_true", [True, False])
def test_branches(load, behavior: int, missing_is_true: bool) -> None:
    message = specs.tree([(2, 1.5, 1, 2), 10.0, 20.0])
    node = message.treeEnsembleRegressor.treeEnsemble.nodes[0]
    node.nodeBehavior, node.missingValueTracksTrueChild = behavior, missing_is_true
    model = load(message)
    for value in (1.0, 1.5, np.nextafter(1.5, 2), 2.0, -math.inf, math.inf):
        expected = 10.0 if BRANCHES[behavior](value, 1.5) else 20.0
        assert model.predict({"x": [0, 0, value, 0]}) == {"y": expected}
    assert model.predict({"x": [0, 0, math.nan, 0]}) == {"y": 10.0 if missing_is_true else 20.0}


def test_leaves_add_to_dimensions(load) -> None:
    message = specs.tree([(0, 0.0, 1, 2), 1.0, 2.0], outputs=3)
    ensemble = message.treeEnsembleRegressor.treeEnsemble
    ensemble.basePredictionValue[:] = [100.0, 200.0, 300.0]
    for number, values in ((1, {0: 1.0, 2: 5.0}), (2, {1: 7.0})):
        del ensemble.nodes[number].evaluationInfo[:]
        for index, value in values.items():
            ensemble.nodes[number].evaluationInfo.add(evaluationIndex=index, evaluationValue=value)
    # A second tree, of one leaf.
    ensemble.nodes.add(treeId=7, nodeId=3, nodeBehavior=6).evaluationInfo.add(evaluationIndex=1, evaluationValue=0.5)
    model = load(message)
    assert model.predict({"x": [-1, 0, 0, 0]})["y"].tolist() == [101, 200.5, 305]
    assert model.predict({"x": [1, 0, 0, 0]})["y"].tolist() == [100, 207.5, 300]


@pytest.mark.parametrize("transform", range(4))
def test_transforms_of_classifiers(load, transform: int) -> None:
    sums = [0.25, -1.5, 2.0]
    count = len(sums) + (transform == 3)
    message = specs.model({"x": ("array", [1])}, {"label": "int64", "shares": ("dictionary", "int64")}, "label", "shares")
    parameters = message.treeEnsembleClassifier
    parameters.treeEnsemble.numPredictionDimensions = len(sums)
    parameters.treeEnsemble.basePredictionValue.extend(sums)
    parameters.postEvaluationTransform = transform
    parameters.int64ClassLabels.vector.extend(range(10, 10 + count))
    found = load(message).predict({"x": [0]})
    exponentials = np.exp(sums if transform == 1 else [0, *sums])
    expected = [sums, exponentials / exponentials.sum(), 1 / (1 + np.exp(-np.array(sums))), exponentials / exponentials.sum()][
        transform
    ]
    np.testing.assert_allclose(list(found["shares"].values()), expected, rtol=1e-15)
    assert found["label"] == 10 + int(np.argmax(expected))


def test_trees_that_are_none(load) -> None:
    refused(load, specs.tree([(0, 0.0, 1, 9), 1.0]), "node 0 of tree 0 has no child 9")
    refused(load, specs.tree([(0, 0.0, 1, 1), 1.0]), "node 1 of tree 0 is a child twice")
    refused(load, specs.tree([(0, 0.0, 1, 2), (0, 1.0, 0, 2), 1.0]), "a tree must have exactly one root")
    refused(load, specs.tree([1.0, 2.0]), "a tree must have exactly one root")
    refused(load, specs.tree([1.0, (0, 0.0, 2, 3), (0, 0.0, 1, 4), 1.0, 2.0]), "the nodes of a tree form a cycle")
    refused(load, specs.tree([(0, 0.0, 0, 1), 1.0]), "must have exactly one root")
    twice = specs.tree([1.0, 2.0])
    twice.treeEnsembleRegressor.treeEnsemble.nodes[1].nodeId = 0
    refused(load, twice, "two nodes with one number")
    beyond = specs.tree([1.0])
    beyond.treeEnsembleRegressor.treeEnsemble.nodes[0].evaluationInfo[0].evaluationIndex = 1
    refused(load, beyond, "a leaf adds to dimension 1 of 1")
    huge = specs.tree([1.0])
    huge.treeEnsembleRegressor.treeEnsemble.numPredictionDimensions = 1 << 60
    refused(load, huge, "the trees predict 1152921504606846976 dimensions")
    with pytest.raises(EngineError, match="the inputs have 4 numbers, but the trees read 6"):
        load(specs.tree([(5, 0.0, 1, 2), 1.0, 2.0])).predict({"x": [0, 0, 0, 0]})


def test_a_deep_tree(load) -> None:
    """20,000 levels: x is counted down, one a level."""
    depth = 20_000
    nodes: list[Any] = []
    for level in range(depth):
        nodes += [(0, float(level), 2 * level + 1, 2 * level + 2), float(level)]
    nodes.append(-1.0)
    model = load(specs.tree(nodes))
    for x, expected in ((0.0, 0.0), (123.5, 124.0), (depth - 1.0, depth - 1.0), (1e9, -1.0)):
        assert model.predict({"x": [x, 0, 0, 0]}) == {"y": expected}


# --- Linear models ---


@pytest.mark.parametrize(("transform", "link"), enumerate([lambda z: z, lambda z: 1 / (1 + np.exp(-z)), stats.norm.cdf]))
def test_links_of_regressors(load, transform: int, link) -> None:
    message = specs.regressor([1.5, -2.0], 0.25)
    message.glmRegressor.postEvaluationTransform = transform
    model = load(message)
    for x in ([1.0, 2.0], [-3.0, -1.0], [0.0, 0.0]):
        np.testing.assert_allclose(model.predict({"x": x})["y"], link(1.5 * x[0] - 2 * x[1] + 0.25), rtol=1e-14)


def glm_classifier(rows: list[list[float]], offsets: list[float], classes: int, **options: int) -> Any:
    message = specs.model(
        {"a": "double", "b": "double"}, {"label": "string", "shares": ("dictionary", "string")}, "label", "shares"
    )
    for row in rows:
        message.glmClassifier.weights.add().value.extend(row)
    message.glmClassifier.offset.extend(offsets)
    message.glmClassifier.stringClassLabels.vector.extend("abcdef"[:classes])
    for name, value in options.items():
        setattr(message.glmClassifier, name, value)
    return message


def test_encodings_of_classes(load) -> None:
    rows, offsets, x = [[1.0, 2.0], [-1.0, 0.5], [0.25, -3.0]], [0.1, 0.2, -0.3], np.array([0.7, -0.4])
    scores = np.array(rows) @ x + offsets
    given = {"a": x[0], "b": x[1]}
    one_vs_rest = load(glm_classifier(rows, offsets, 3, classEncoding=1)).predict(given)["shares"]
    each = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(list(one_vs_rest.values()), each / each.sum(), rtol=1e-14)
    reference = load(glm_classifier(rows, offsets, 4, classEncoding=0)).predict(given)["shares"]
    exponentials = np.exp([0, *scores])
    np.testing.assert_allclose(list(reference.values()), exponentials / exponentials.sum(), rtol=1e-14)
    probit = load(glm_classifier(rows[:1], offsets[:1], 2, postEvaluationTransform=1)).predict(given)
    np.testing.assert_allclose(probit["shares"]["b"], stats.norm.cdf(scores[0]), rtol=1e-14)
    far = load(glm_classifier(rows, [-1e4, -2e4, -3e4], 3, classEncoding=1)).predict(given)
    assert far["label"] == "a"
    assert not any(math.isnan(share) for share in far["shares"].values())


def test_classes_of_one_name(load) -> None:
    message = glm_classifier([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], [0.0, 0.0, 0.0], 3, classEncoding=1)
    message.glmClassifier.stringClassLabels.vector[2] = "a"
    found = load(message).predict({"a": 3.0, "b": 0.0})
    each = 1 / (1 + np.exp(-np.array([3.0, 0.0, -3.0])))
    assert found["label"] == "a"
    np.testing.assert_allclose([found["shares"][name] for name in "ab"], each[[2, 1]] / each.sum(), rtol=1e-14)


def test_linear_models_that_are_none(load) -> None:
    refused(load, glm_classifier([[1.0, 2.0]], [0.0], 3), "there are 1 rows of weights for 3 classes")
    refused(load, glm_classifier([[1.0, 2.0], [1.0]], [0.0, 0.0], 3), "the weights have different lengths")
    refused(load, glm_classifier([[1.0, 2.0]], [], 2), "there are 0 offsets for 1 rows")
    refused(load, glm_classifier([[1.0, 2.0]], [0.0], 0), "the classifier has no classes")
    numbers = glm_classifier([[1.0, 2.0]], [0.0], 2)
    numbers.glmClassifier.int64ClassLabels.vector.extend([1, 2])
    refused(load, numbers, "the predicted class is described as string, but the classes are int64s")
    with pytest.raises(EngineError, match="the inputs have 2 numbers, but the model takes 3"):
        load(glm_classifier([[1.0, 2.0, 3.0]], [0.0], 2)).predict({"a": 1, "b": 2})


# --- Support vectors and neighbors; the kernels and probabilities are tested with scikit-learn's models ---


def test_sparse_support_vectors(load) -> None:
    message = specs.model({"x": ("array", [4])}, {"y": "double"}, predicted="y")
    machine = message.supportVectorRegressor
    machine.kernel.linearKernel.SetInParent()
    for nodes in ({1: 2.0, 3: -1.0}, {2: 0.5}):
        vector = machine.sparseSupportVectors.vectors.add()
        for index, value in nodes.items():
            vector.nodes.add(index=index, value=value)
    machine.coefficients.alpha.extend([2.0, -4.0])
    machine.rho = 0.25
    # The fourth feature is in no support vector.
    assert load(message).predict({"x": [1.0, 2.0, 3.0, 9.0]}) == {"y": 2 * (2 - 3) - 4 * 1 - 0.25}
    machine.sparseSupportVectors.vectors[0].nodes[0].index = 0
    refused(load, message, "an index below 1")
    machine.sparseSupportVectors.vectors[0].nodes[0].index = 1 << 30
    refused(load, message, "an index below 1")
    machine.sparseSupportVectors.vectors[0].nodes[0].index = 1
    machine.coefficients.alpha.append(1.0)
    refused(load, message, "there are 3 coefficients for 2 vectors")


def neighbors(count: int, *, by_distance: bool = False) -> Any:
    message = specs.model({"x": ("array", [2])}, {"label": "string", "shares": ("dictionary", "string")}, "label", "shares")
    classifier = message.kNearestNeighborsClassifier
    classifier.nearestNeighborsIndex.numberOfDimensions = 2
    for sample, label in (([0, 0], "a"), ([1, 0], "b"), ([0, 1], "b"), ([4, 4], "c"), ([0, 3], "a")):
        classifier.nearestNeighborsIndex.floatSamples.add().vector.extend(sample)
        classifier.stringClassLabels.vector.append(label)
    classifier.numberOfNeighbors.defaultValue = count
    getattr(classifier, "inverseDistanceWeighting" if by_distance else "uniformWeighting").SetInParent()
    return message


def test_neighbors(load) -> None:
    assert load(neighbors(3)).predict({"x": [0.1, 0.1]}) == {"label": "b", "shares": {"a": 1 / 3, "b": 2 / 3, "c": 0.0}}
    # One of each: the nearest decides.
    assert load(neighbors(2)).predict({"x": [0.1, 0.1]})["label"] == "a"
    # More neighbors than samples: all of them.
    assert load(neighbors(50)).predict({"x": [3.0, 3.0]})["shares"] == {"a": 0.4, "b": 0.4, "c": 0.2}
    weighted = load(neighbors(5, by_distance=True))
    found = weighted.predict({"x": [3.0, 3.0]})
    weights = {"a": 1 / 18 + 1 / 9, "b": 2 / 13, "c": 1 / 2}
    total = sum(weights.values())
    np.testing.assert_allclose([found["shares"][k] for k in "abc"], [weights[k] / total for k in "abc"], rtol=1e-14)
    assert found["label"] == "c"
    assert weighted.predict({"x": [1.0, 0.0]})["shares"] == {"a": 0.0, "b": 1.0, "c": 0.0}
    empty = neighbors(3)
    del empty.kNearestNeighborsClassifier.nearestNeighborsIndex.floatSamples[:]
    del empty.kNearestNeighborsClassifier.stringClassLabels.vector[:]
    refused(load, empty, "there are no samples and no default class")
    empty.kNearestNeighborsClassifier.defaultStringLabel = "none"
    assert load(empty).predict({"x": [0, 0]})["label"] == "none"
    fewer = neighbors(3)
    fewer.kNearestNeighborsClassifier.stringClassLabels.vector.pop()
    refused(load, fewer, "there are 4 labels for 5 samples")


# --- Steps ---


def test_scalers(load) -> None:
    assert load(specs.scaler([1.0, 2.0], [3.0], 2)).predict({"x": [4, 5]})["y"].tolist() == [15, 21]
    message = specs.model({"x": "int64"}, {"y": "int64"})
    message.scaler.scaleValue.append(0.5)
    assert load(message).predict({"x": 6}) == {"y": 3}
    with pytest.raises(
        EngineError,
        match=r"the model does not compute the int64 that its description names: the value is an int64, which 3\.5 is not",
    ):
        load(message).predict({"x": 7})
    with pytest.raises(EngineError, match="the scaler has 3 numbers for 2 values"):
        load(specs.scaler([1.0, 2.0, 3.0], [], 2)).predict({"x": [4, 5]})


@pytest.mark.parametrize(("norm", "divisor"), [(0, 2.0), (1, 7.0), (2, math.sqrt(4 + 16 + 1))])
def test_normalizers(load, norm: int, divisor: float) -> None:
    message = specs.model({"x": ("array", [3])}, {"y": ("array", [3])})
    message.normalizer.normType = norm
    model = load(message)
    # The largest, as the format says: scikit-learn's "max" is the largest magnitude.
    np.testing.assert_allclose(model.predict({"x": [2.0, -4.0, 1.0]})["y"], np.array([2.0, -4.0, 1.0]) / divisor, rtol=1e-15)
    assert model.predict({"x": [0.0, 0.0, 0.0]})["y"].tolist() == [0, 0, 0]


def test_imputers(load) -> None:
    array = specs.model({"x": ("array", [3])}, {"y": ("array", [3])})
    array.imputer.imputedDoubleArray.vector.extend([7.0, 8.0, 9.0])
    assert load(array).predict({"x": [math.nan, 1.0, math.nan]})["y"].tolist() == [7, 1, 9]
    array.imputer.replaceDoubleValue = -1.0
    assert load(array).predict({"x": [2.0, -1.0, 3.0]})["y"].tolist() == [2, 8, 3]
    integer = specs.model({"x": "int64"}, {"y": "int64"})
    integer.imputer.imputedInt64Value, integer.imputer.replaceInt64Value = 5, 0
    assert [load(integer).predict({"x": x})["y"] for x in (0, 3)] == [5, 3]
    text = specs.model({"x": "string"}, {"y": "string"})
    text.imputer.imputedStringValue, text.imputer.replaceStringValue = "none", ""
    assert [load(text).predict({"x": x})["y"] for x in ("", "some")] == ["none", "some"]
    records = specs.model({"x": ("dictionary", "string")}, {"y": ("dictionary", "string")})
    records.imputer.imputedStringDictionary.map.update({"a": 1.0, "b": 2.0})
    assert load(records).predict({"x": {"a": math.nan, "b": 5.0}})["y"] == {"a": 1.0, "b": 5.0}
    refused(load, _with_kind(specs.model({"x": "double"}, {"y": "double"}), "imputer"), "the imputer has nothing to impute")


def _with_kind(message: Any, kind: str) -> Any:
    getattr(message, kind).SetInParent()
    return message


def test_encoders(load) -> None:
    dense = specs.model({"x": "string"}, {"y": ("array", [3])})
    dense.oneHotEncoder.stringCategories.vector.extend(["red", "green", "blue"])
    assert load(dense).predict({"x": "green"})["y"].tolist() == [0, 1, 0]
    with pytest.raises(EngineError, match="'pink' is not one of the encoder's categories"):
        load(dense).predict({"x": "pink"})
    dense.oneHotEncoder.handleUnknown = 1
    assert load(dense).predict({"x": "pink"})["y"].tolist() == [0, 0, 0]
    sparse = specs.model({"x": "int64"}, {"y": ("dictionary", "int64")})
    sparse.oneHotEncoder.int64Categories.vector.extend([5, 7])
    sparse.oneHotEncoder.outputSparse = True
    # By place, as the feature vectorizer behind it takes it.
    assert load(sparse).predict({"x": 7}) == {"y": {1: 1.0}}
    dense.oneHotEncoder.stringCategories.vector.append("red")
    refused(load, dense, "the encoder has no categories, or has one twice")


def test_vectorizers_and_extractors(load) -> None:
    records = specs.model({"x": ("dictionary", "string")}, {"y": ("array", [4])})
    records.dictVectorizer.stringToIndex.vector.extend(["a", "c", "b", "z"])
    assert load(records).predict({"x": {"a": 4, "c": 8}})["y"].tolist() == [4, 8, 0, 0]
    with pytest.raises(EngineError, match="the vectorizer has no place for the key 'q'"):
        load(records).predict({"x": {"q": 1}})
    columns = specs.model({"a": "double", "b": ("array", [2]), "c": ("dictionary", "int64")}, {"y": ("array", [6])})
    for name, size in (("b", 2), ("a", 1), ("c", 3)):
        columns.featureVectorizer.inputList.add(inputColumn=name, inputDimensions=size)
    given = {"a": 1.0, "b": [2.0, 3.0], "c": {2: 9.0}}
    assert load(columns).predict(given)["y"].tolist() == [2, 3, 1, 0, 0, 9]
    with pytest.raises(EngineError, match="a value has the place 3 of 3"):
        load(columns).predict({**given, "c": {3: 1.0}})
    with pytest.raises(EngineError, match="the input b has 3 numbers, but the vectorizer takes 2"):
        load(columns).predict({**given, "b": [1.0, 2.0, 3.0]})
    columns.featureVectorizer.inputList.add(inputColumn="d", inputDimensions=1)
    refused(load, columns, "the input 'd' is not described")
    columns.featureVectorizer.inputList[3].inputColumn = "c"
    columns.featureVectorizer.inputList[3].inputDimensions = 1 << 62
    with pytest.raises(EngineError, match="the vector has more elements than memory can hold"):
        load(columns)
    one = specs.model({"x": ("array", [3])}, {"y": "double"})
    one.arrayFeatureExtractor.extractIndex.append(2)
    assert load(one).predict({"x": [4, 5, 6]}) == {"y": 6.0}
    one.arrayFeatureExtractor.extractIndex[0] = 3
    with pytest.raises(EngineError, match="the extractor needs element 3 of 3"):
        load(one).predict({"x": [4, 5, 6]})


def test_mappings(load) -> None:
    mapping = specs.model({"x": "string"}, {"y": "int64"})
    mapping.categoricalMapping.stringToInt64Map.map.update({"a": 1, "b": 2})
    assert load(mapping).predict({"x": "b"}) == {"y": 2}
    with pytest.raises(EngineError, match="'c' is not in the mapping"):
        load(mapping).predict({"x": "c"})
    mapping.categoricalMapping.int64Value = -1
    assert load(mapping).predict({"x": "c"}) == {"y": -1}
    back = specs.model({"x": "int64"}, {"y": "string"})
    back.categoricalMapping.int64ToStringMap.map.update({1: "a"})
    back.categoricalMapping.strValue = "?"
    assert [load(back).predict({"x": x})["y"] for x in (1, 2)] == ["a", "?"]


def test_identity_and_thresholding(load) -> None:
    same = specs.model({"x": ("array", [2], specs.FLOAT32)}, {"y": ("array", [2], specs.FLOAT32)})
    model = load(_with_kind(same, "identity"))
    assert model.predict({"x": [1.5, 2]})["y"].tolist() == [1.5, 2]
    assert model.outputs[0].dtype == np.float32
    confidences = _with_kind(specs.model({"x": ("array", [3])}, {"y": ("array", [2, 3])}), "classConfidenceThresholding")
    assert load(confidences).predict({"x": [0.1, 0.2, 0.7]})["y"].tolist() == [[0.1, 0.2, 0.7], [1, 1, 1]]


def test_recommendations(load) -> None:
    message = specs.model(
        {"items": ("dictionary", "string"), "count": "int64", "only": ("sequence", "string"), "without": ("sequence", "string")},
        {"list": ("sequence", "string"), "scores": ("dictionary", "string")},
    )
    for feature in list(message.description.input)[1:]:
        feature.type.isOptional = True
    parameters = message.itemSimilarityRecommender
    parameters.itemInputFeatureName, parameters.numRecommendationsInputFeatureName = "items", "count"
    parameters.itemRestrictionInputFeatureName, parameters.itemExclusionInputFeatureName = "only", "without"
    parameters.recommendedItemListOutputFeatureName, parameters.recommendedItemScoreOutputFeatureName = "list", "scores"
    parameters.itemStringIds.vector.extend("abcd")
    similar = {0: {1: 0.5, 2: 0.25}, 1: {0: 0.5, 3: 1.0}, 2: {0: 0.25, 3: 0.5}, 3: {1: 1.0, 2: 0.5}}
    for number, others in similar.items():
        item = parameters.itemItemSimilarities.add(itemId=number, itemScoreAdjustment=number / 10)
        for other, score in others.items():
            item.similarItemList.add(itemId=other, similarityScore=score)
    model = load(message)
    # score_k = sum of similarity(k, i) * (score_i - shift_k) over the given i.
    expected = {"d": 1.0 * (3 - 0.3), "c": 0.25 * (2 - 0.2)}
    found = model.predict({"items": {"a": 2.0, "b": 3.0}})
    assert found["list"] == ["d", "c"]
    np.testing.assert_allclose([found["scores"][k] for k in "dc"], list(expected.values()), rtol=1e-15)
    assert model.predict({"items": {"a": 2.0, "b": 3.0}, "count": 1})["list"] == ["d"]
    assert model.predict({"items": {"a": 2.0, "b": 3.0}, "only": ["c"]})["list"] == ["c"]
    assert model.predict({"items": {"a": 2.0, "b": 3.0}, "without": ["d"]})["list"] == ["a", "b", "c"]
    parameters.itemItemSimilarities[0].similarItemList[0].itemId = 4
    refused(load, message, "an item's number is not among 4")


# --- What surrounds them ---


def test_kinds_that_are_not_evaluated_are_named(load, tmp_path: pathlib.Path) -> None:
    for kind, sentence in (
        ("bayesianProbitRegressor", "a Bayesian probit regressor"),
        ("customModel", "a custom model, whose code is part of an app"),
        ("linkedModel", "a link to a compiled model outside of the file"),
        ("wordTagger", "a word tagger, whose language model is part of Apple's systems"),
        ("soundAnalysisPreprocessing", "a sound analysis preprocessing, which is part of Apple's systems"),
        ("serializedModel", "a serialized model, whose form Apple has not published"),
    ):
        with pytest.raises(EngineError, match=f"the model is {sentence}; this kind cannot be evaluated here") as raised:
            load(_with_kind(specs.model({}, {}), kind))
        assert raised.value.code == "unsupported"


def test_the_table_of_kinds_is_core_mls() -> None:
    from coremltools.proto import Model_pb2
    from executorch_coreml.engine import specification

    fields = {field.number: field.name for field in Model_pb2.Model.DESCRIPTOR.oneofs_by_name["Type"].fields}
    assert {number: name for number, (name, _) in specification.KINDS.items()} == fields


def test_what_only_programs_have(load) -> None:
    model = load(specs.scaler([1.0], [2.0], 1))
    assert model.kind == "scaler"
    for call in (lambda: model.make_state(), lambda: model.inspect({"x": 1}), lambda: model.intermediate_values({"x": 1})):
        with pytest.raises(EngineError, match="the model is a scaler; only ML Programs have"):
            call()
    with pytest.raises(EngineError, match="the model is a scaler and has no functions"):
        MLModel(model.path, function_name="main")


def test_descriptions_and_metadata(load, tmp_path: pathlib.Path) -> None:
    message = specs.scaler([1.0], [2.0], 1)
    message.description.input[0].shortDescription = "a number"
    message.description.output[0].shortDescription = "twice"
    metadata = message.description.metadata
    metadata.shortDescription, metadata.author, metadata.license, metadata.versionString = "Doubles.", "Ada", "BSD", "1.2"
    metadata.userDefined["key"] = "value"
    model = load(message)
    assert model.input_description == {"x": "a number"}
    assert model.output_description == {"y": "twice"}
    assert (model.short_description, model.author, model.license, model.version) == ("Doubles.", "Ada", "BSD", "1.2")
    assert model.user_defined_metadata == {"key": "value"}
    assert model.get_spec() == message
    model.save(tmp_path / "copy.mlmodel")
    assert MLModel(tmp_path / "copy.mlmodel").predict({"x": 1.0})["y"].tolist() == [4]
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "copy.mlmodel")
    with pytest.raises(ValueError, match="is a single file, not a package"):
        model.save(tmp_path / "copy.mlpackage")


def test_features_that_are_none(load) -> None:
    named_twice = specs.scaler([1.0], [2.0], 1)
    specs.set_type(named_twice.description.input.add(), "x", "double")
    refused(load, named_twice, "an input is described twice: x")
    nameless = specs.scaler([1.0], [2.0], 1, ("", "y"))
    refused(load, nameless, "a feature is described without a name")
    typeless = specs.scaler([1.0], [2.0], 1)
    typeless.description.input[0].type.Clear()
    refused(load, typeless, "a feature is described without a type")
    negative = specs.scaler([1.0], [2.0], 1)
    negative.description.input[0].type.multiArrayType.shape[0] = -1
    refused(load, negative, "an extent is -1")
    later = specs.scaler([1.0], [2.0], 1)
    later.specificationVersion = 11
    with pytest.raises(
        EngineError, match="specification version 11; upgrade this library, which reads versions up to 10"
    ) as raised:
        load(later)
    assert raised.value.code == "version_too_new"


def test_values_of_other_types_are_refused(load) -> None:
    mapping = specs.model({"x": "string"}, {"y": "int64"})
    mapping.categoricalMapping.stringToInt64Map.map.update({"a": 1})
    with pytest.raises(ValueError, match="the input x is a text, not int"):
        load(mapping).predict({"x": 1})
    number = _with_kind(specs.model({"x": "int64"}, {"x": "int64"}), "identity")
    for value in (1.5, math.nan, 1e300, [1, 2], "a", None):
        with pytest.raises(ValueError, match=r"the input x is (one|an) int"):
            load(number).predict({"x": value})
    assert load(number).predict({"x": np.float32(3)}) == {"x": 3}
    records = _with_kind(specs.model({"x": ("dictionary", "int64")}, {"x": ("dictionary", "int64")}), "identity")
    with pytest.raises(ValueError, match="a key of the input x is one integer"):
        load(records).predict({"x": {"a": 1.0}})
    with pytest.raises(ValueError, match="the input x takes a dictionary, not list"):
        load(records).predict({"x": [1.0]})
