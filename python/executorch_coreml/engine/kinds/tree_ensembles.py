"""Tree ensembles: the sum of what the leaves hold that a vector falls into.

Features are compared in double precision as they are given. A library that rounds them to float32 first (XGBoost, scikit-learn) may
take another branch where a feature lies within that rounding of a threshold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import classes, evaluator

_LEAF = 6
# By nodeBehavior.
_COMPARISONS = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
_TRANSFORMS = ("NoTransform", "Classification_SoftMax", "Regression_Logistic", "Classification_SoftMaxWithZeroClassReference")


class _Ensemble:
    """The trees as arrays over all nodes, so that all are walked at once."""

    def __init__(self, parameters: Any, artifact: str) -> None:
        self.dimensions = parameters.numPredictionDimensions
        if not 1 <= self.dimensions <= 1 << 24:
            raise refusals.corrupt(f"the trees predict {self.dimensions} dimensions", artifact)
        self._base = np.array(parameters.basePredictionValue, np.float64)
        if self._base.size != self.dimensions:
            raise refusals.corrupt(f"there are {self._base.size} base values for {self.dimensions} dimensions", artifact)
        nodes = parameters.nodes
        indices = {(node.treeId, node.nodeId): index for index, node in enumerate(nodes)}
        if len(indices) != len(nodes):
            raise refusals.corrupt("a tree has two nodes with one number", artifact)
        count = len(nodes)
        self._behavior = np.array([node.nodeBehavior for node in nodes], np.int64)
        if ((self._behavior < 0) | (self._behavior > _LEAF)).any():
            raise refusals.corrupt("a node has an unknown behavior", artifact)
        self._threshold = np.array([node.branchFeatureValue for node in nodes], np.float64)
        self._missing_is_true = np.array([node.missingValueTracksTrueChild for node in nodes], bool)
        self._feature = np.zeros(count, np.int64)
        self._children = np.zeros((2, count), np.int64)
        parents = np.zeros(count, np.int64)
        leaf_nodes, leaf_dimensions, leaf_values = [], [], []
        for index, node in enumerate(nodes):
            if node.nodeBehavior == _LEAF:
                for item in node.evaluationInfo:
                    if item.evaluationIndex >= self.dimensions:
                        raise refusals.corrupt(f"a leaf adds to dimension {item.evaluationIndex} of {self.dimensions}", artifact)
                    leaf_nodes.append(index)
                    leaf_dimensions.append(item.evaluationIndex)
                    leaf_values.append(item.evaluationValue)
                continue
            if node.branchFeatureIndex >= 1 << 31:
                raise refusals.corrupt(f"a node reads feature {node.branchFeatureIndex}", artifact)
            self._feature[index] = node.branchFeatureIndex
            for side, child in ((1, node.trueChildNodeId), (0, node.falseChildNodeId)):
                found = indices.get((node.treeId, child))
                if found is None:
                    raise refusals.corrupt(f"node {node.nodeId} of tree {node.treeId} has no child {child}", artifact)
                self._children[side, index] = found
                parents[found] += 1
        self._require_trees(nodes, parents, artifact)
        self.features = int(self._feature[self._behavior != _LEAF].max(initial=-1)) + 1
        # The values of leaf i are those from first[i] to first[i + 1]; they were collected by node.
        self._first = np.searchsorted(np.array(leaf_nodes, np.int64), np.arange(count + 1))
        self._leaf_dimensions = np.array(leaf_dimensions, np.int64)
        self._leaf_values = np.array(leaf_values, np.float64)

    def _require_trees(self, nodes: Any, parents: np.ndarray, artifact: str) -> None:
        """corrupt_data where nodes and edges are no trees: one root each, every node reached once."""
        self._roots = np.flatnonzero(parents == 0)
        trees = [nodes[index].treeId for index in self._roots]
        if len(set(trees)) != len(trees) or set(trees) != {node.treeId for node in nodes}:
            raise refusals.corrupt("a tree must have exactly one root", artifact)
        if (parents > 1).any():
            node = nodes[int(np.argmax(parents > 1))]
            raise refusals.corrupt(f"node {node.nodeId} of tree {node.treeId} is a child twice", artifact)
        reached, level = 0, self._roots
        while level.size:
            reached += level.size
            branches = level[self._behavior[level] != _LEAF]
            level = self._children[:, branches].reshape(-1)
        if reached != len(nodes):
            raise refusals.corrupt("the nodes of a tree form a cycle", artifact)

    def sums(self, features: np.ndarray) -> np.ndarray:
        """float64[dimensions] of a vector of at least `self.features`."""
        at = self._roots.copy()
        walking = np.flatnonzero(self._behavior[at] != _LEAF)
        while walking.size:
            nodes = at[walking]
            values = features[self._feature[nodes]]
            is_true = np.zeros(nodes.size, bool)
            for behavior, compare in enumerate(_COMPARISONS):
                chosen = self._behavior[nodes] == behavior
                is_true[chosen] = compare(values[chosen], self._threshold[nodes][chosen])
            is_true = np.where(np.isnan(values), self._missing_is_true[nodes], is_true)
            at[walking] = self._children[is_true.astype(np.int64), nodes]
            walking = walking[self._behavior[at[walking]] != _LEAF]
        result = self._base.copy()
        for node in at:
            chosen = slice(self._first[node], self._first[node + 1])
            np.add.at(result, self._leaf_dimensions[chosen], self._leaf_values[chosen])
        return result


def _transform(index: int, artifact: str) -> str:
    if not 0 <= index < len(_TRANSFORMS):
        raise refusals.corrupt(f"the trees have the unknown transform {index}", artifact)
    return _TRANSFORMS[index]


class _TreeModel(evaluator.KindModel):
    def __init__(self, model: Any, context: evaluator.Context, parameters: Any) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._ensemble = _Ensemble(parameters.treeEnsemble, self.artifact)
        self._transform = _transform(parameters.postEvaluationTransform, self.artifact)

    def _sums(self, values: dict[str, Any]) -> np.ndarray:
        parts = [np.asarray(values[spec.name], np.float64).reshape(-1) for spec in self.inputs if spec.name in values]
        given = np.concatenate([*parts, np.empty(0)])
        # Features behind the last one that a node asks for have no influence, so that their number is not known.
        if given.size < self._ensemble.features:
            raise refusals.invalid(
                f"the inputs have {given.size} numbers, but the trees read {self._ensemble.features}", self.artifact
            )
        return self._ensemble.sums(given)


class TreeRegressor(_TreeModel):
    """treeEnsembleRegressor."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context, model.treeEnsembleRegressor)
        if self._transform not in ("NoTransform", "Regression_Logistic"):
            raise refusals.corrupt(f"a regressor has the transform {self._transform}", self.artifact)
        self._output = model.description.predictedFeatureName
        self.require_outputs({self._output})

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        sums = self._sums(values)
        return {self._output: classes.logistic(sums) if self._transform == "Regression_Logistic" else sums}


class TreeClassifier(_TreeModel):
    """treeEnsembleClassifier."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context, model.treeEnsembleClassifier)
        labels = classes.read_classes(model.treeEnsembleClassifier, self.artifact)
        self._outputs = classes.ClassOutputs(self, model.description, labels)
        dimensions = self._ensemble.dimensions
        # Of two classes one number may be enough, the second one's.
        self._is_binary = dimensions == 1 and len(labels) == 2
        has_reference = self._transform == "Classification_SoftMaxWithZeroClassReference"
        if not self._is_binary and dimensions + has_reference != len(labels):
            raise refusals.corrupt(f"the trees compute {dimensions} numbers for {len(labels)} classes", self.artifact)
        if self._is_binary and self._transform == "Classification_SoftMax":
            raise refusals.corrupt("a softmax needs more than one number", self.artifact)

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        sums = self._sums(values)
        if self._transform == "Classification_SoftMaxWithZeroClassReference":
            return self._outputs.present(classes.softmax(np.concatenate([[0], sums])))
        if self._transform == "Classification_SoftMax":
            return self._outputs.present(classes.softmax(sums))
        if self._transform == "Regression_Logistic":
            sums = classes.logistic(sums)
        return self._outputs.present(np.array([1 - sums[0], sums[0]]) if self._is_binary else sums)
