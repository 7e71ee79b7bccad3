"""Support vector machines, computed as libsvm's manuals and papers describe: C.-C. Chang and C.-J. Lin, "LIBSVM: A library for support vector
machines", 2011; pairwise probabilities as in T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability estimates for multi-class classification by
pairwise coupling", 2004, their second method.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import classes, evaluator

_MAX_FEATURES = 1 << 24
# Of a pairwise probability.
_LEAST = 1e-7
_MAX_ELEMENTS = 1 << 28


def _read_vectors(parameters: Any, artifact: str) -> np.ndarray:
    """float64[vectors, features]."""
    which = parameters.WhichOneof("supportVectors")
    if which == "denseSupportVectors":
        return evaluator.matrix([vector.values for vector in parameters.denseSupportVectors.vectors], "support vectors", artifact)
    if which is None:
        raise refusals.corrupt("there are no support vectors", artifact)
    vectors = parameters.sparseSupportVectors.vectors
    indices = [node.index for vector in vectors for node in vector.nodes]
    if not all(1 <= index <= _MAX_FEATURES for index in indices):
        raise refusals.corrupt("a support vector has an index below 1", artifact)
    width = max(indices, default=0)
    if len(vectors) * width > _MAX_ELEMENTS:
        raise refusals.exhausted(f"{len(vectors)} support vectors of {width} features", artifact)
    dense = np.zeros((len(vectors), width))
    for row, vector in enumerate(vectors):
        for node in vector.nodes:
            dense[row, node.index - 1] = node.value
    return dense


def _read_kernel(kernel: Any, artifact: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    which = kernel.WhichOneof("kernel")
    if which == "linearKernel":
        return lambda vectors, x: vectors @ x
    if which == "rbfKernel":
        gamma = kernel.rbfKernel.gamma
        return lambda vectors, x: np.exp(-gamma * ((vectors - x) ** 2).sum(1))
    if which == "polyKernel":
        poly = kernel.polyKernel
        gamma, constant, degree = poly.gamma, poly.c, poly.degree
        if degree < 0:
            raise refusals.corrupt(f"the kernel has the degree {degree}", artifact)
        return lambda vectors, x: (gamma * (vectors @ x) + constant) ** degree
    if which == "sigmoidKernel":
        gamma, constant = kernel.sigmoidKernel.gamma, kernel.sigmoidKernel.c
        return lambda vectors, x: np.tanh(gamma * (vectors @ x) + constant)
    raise refusals.corrupt("there is no kernel", artifact)


class _SupportVectorModel(evaluator.KindModel):
    def __init__(self, model: Any, context: evaluator.Context, parameters: Any) -> None:
        super().__init__(model, context)
        self.require_numbers()
        self._vectors = _read_vectors(parameters, self.artifact)
        self._is_sparse = parameters.WhichOneof("supportVectors") == "sparseSupportVectors"
        self._kernel = _read_kernel(parameters.kernel, self.artifact)

    def _kernel_values(self, values: dict[str, Any]) -> np.ndarray:
        """float64[vectors]."""
        vectors = self._vectors
        if self._is_sparse:
            # Features behind the last that a support vector names are zero in all of them.
            given = sum(np.asarray(value).size for value in values.values())
            if given > vectors.shape[1]:
                vectors = np.pad(vectors, ((0, 0), (0, given - vectors.shape[1])))
        return self._kernel(vectors, self.vector(values, vectors.shape[1]))


class SupportVectorRegressor(_SupportVectorModel):
    """supportVectorRegressor."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        parameters = model.supportVectorRegressor
        super().__init__(model, context, parameters)
        self._coefficients = np.array(parameters.coefficients.alpha, np.float64)
        if self._coefficients.size != len(self._vectors):
            raise refusals.corrupt(
                f"there are {self._coefficients.size} coefficients for {len(self._vectors)} vectors", self.artifact
            )
        self._rho = parameters.rho
        self._output = model.description.predictedFeatureName
        self.require_outputs({self._output})

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        return {self._output: self._coefficients @ self._kernel_values(values) - self._rho}


class SupportVectorClassifier(_SupportVectorModel):
    """supportVectorClassifier: a decision for each pair of classes. With probabilities, the class is the most probable; without, the one
    with the most decisions, of several the first."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        parameters = model.supportVectorClassifier
        super().__init__(model, context, parameters)
        labels = classes.read_classes(parameters, self.artifact)
        self._outputs = classes.ClassOutputs(self, model.description, labels)
        self._count = len(labels)
        pairs = self._count * (self._count - 1) // 2
        per_class = list(parameters.numberOfSupportVectorsPerClass)
        if self._count < 2 or len(per_class) != self._count or min(per_class) < 0 or sum(per_class) != len(self._vectors):
            raise refusals.corrupt(f"{len(self._vectors)} vectors do not fit {self._count} classes", self.artifact)
        self._coefficients = evaluator.matrix([row.alpha for row in parameters.coefficients], "coefficients", self.artifact)
        if self._coefficients.shape != (self._count - 1, len(self._vectors)):
            raise refusals.corrupt(f"the coefficients are {list(self._coefficients.shape)}", self.artifact)
        self._rho = np.array(parameters.rho, np.float64)
        if self._rho.size != pairs or len(parameters.probA) not in (0, pairs) or len(parameters.probB) != len(parameters.probA):
            raise refusals.corrupt(f"the constants do not fit {pairs} pairs of classes", self.artifact)
        self._slopes = np.array([parameters.probA, parameters.probB], np.float64) if parameters.probA else None
        if self._slopes is None and model.description.predictedProbabilitiesName:
            raise refusals.corrupt("the description has probabilities for which the model has no constants", self.artifact)
        ends = np.cumsum([0, *per_class])
        self._of_class = [slice(begin, end) for begin, end in itertools.pairwise(ends)]

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        kernel = self._kernel_values(values)
        decisions = np.empty(self._rho.size)
        votes = np.zeros(self._count)
        pair = 0
        for first in range(self._count):
            for second in range(first + 1, self._count):
                mine, other = self._of_class[first], self._of_class[second]
                decisions[pair] = (
                    self._coefficients[second - 1, mine] @ kernel[mine]
                    + self._coefficients[first, other] @ kernel[other]
                    - self._rho[pair]
                )
                votes[first if decisions[pair] > 0 else second] += 1
                pair += 1
        if self._slopes is None:
            return self._outputs.present(votes / votes.sum())
        of_pair = classes.logistic(-(self._slopes[0] * decisions + self._slopes[1]))
        return self._outputs.present(self._couple(of_pair))

    def _couple(self, of_pair: np.ndarray) -> np.ndarray:
        """The probabilities of the classes of those of pairs: one of the first class of each pair, in their order."""
        if self._count == 2:
            return np.array([of_pair[0], 1 - of_pair[0]])
        rates = np.zeros((self._count, self._count))
        rows, columns = np.triu_indices(self._count, 1)
        clamped = np.clip(of_pair, _LEAST, 1 - _LEAST)
        rates[rows, columns], rates[columns, rows] = clamped, 1 - clamped
        # The p that minimize sum (r_ji p_i - r_ij p_j)^2, which is p' Q p, by the paper's iteration, and as far as libsvm goes, so that the
        # numbers are its own.
        quadratic = -rates.T * rates
        np.fill_diagonal(quadratic, (rates**2).sum(0))
        p = np.full(self._count, 1 / self._count)
        for _ in range(max(100, self._count)):
            products = quadratic @ p
            total = p @ products
            if np.abs(products - total).max() < 0.005 / self._count:
                break
            for index in range(self._count):
                step = (total - products[index]) / quadratic[index, index]
                total = (total + step * (step * quadratic[index, index] + 2 * products[index])) / (1 + step) ** 2
                products = (products + step * quadratic[index]) / (1 + step)
                p[index] += step
                p /= 1 + step
        return p
