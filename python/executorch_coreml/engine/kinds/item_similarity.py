"""Recommendations by the similarity of items."""

from __future__ import annotations

from typing import Any

from executorch_coreml.engine import refusals
from executorch_coreml.engine.kinds import evaluator


class ItemSimilarity(evaluator.KindModel):
    """itemSimilarityRecommender: the score of item k is the sum, over the given items i, of similarity(k, i) * (score_i - shift_k). Of equal
    scores the item with the smaller number comes first."""

    def __init__(self, model: Any, context: evaluator.Context) -> None:
        super().__init__(model, context)
        parameters = model.itemSimilarityRecommender
        count = len(parameters.itemItemSimilarities)
        names: list[Any] = list(parameters.itemStringIds.vector) or list(parameters.itemInt64Ids.vector) or list(range(count))
        if len(names) != count or len(set(names)) != count:
            raise refusals.corrupt(f"there are {len(names)} names for {count} items, or one of them is there twice", self.artifact)
        self._names = names
        self._numbers = {name: number for number, name in enumerate(names)}
        self._shift = [0.0] * count
        # Of item i, the items k that are similar to it.
        self._similar: dict[int, list[tuple[int, float]]] = {}
        for item in parameters.itemItemSimilarities:
            connected = [(other.itemId, other.similarityScore) for other in item.similarItemList]
            if item.itemId >= count or any(number >= count for number, _ in connected) or item.itemId in self._similar:
                raise refusals.corrupt(f"an item's number is not among {count}, or there twice", self.artifact)
            self._similar[item.itemId] = connected
            self._shift[item.itemId] = item.itemScoreAdjustment
        self._items = self.named(parameters.itemInputFeatureName, self.inputs, "input of items").name
        self._count = parameters.numRecommendationsInputFeatureName
        self._restriction = parameters.itemRestrictionInputFeatureName
        self._exclusion = parameters.itemExclusionInputFeatureName
        self._list = parameters.recommendedItemListOutputFeatureName
        self._scores = parameters.recommendedItemScoreOutputFeatureName
        self.require_outputs({self._list, self._scores})

    def evaluate(self, values: dict[str, Any]) -> dict[str, Any]:
        given = values[self._items]
        observed = given if isinstance(given, dict) else dict.fromkeys(given, 1.0)
        scores: dict[int, float] = {}
        for name, score in observed.items():
            for number, similarity in self._similar.get(self._numbers.get(name, -1), []):
                scores[number] = scores.get(number, 0.0) + similarity * (score - self._shift[number])
        excluded = set(values.get(self._exclusion, observed))
        allowed = set(values[self._restriction]) if self._restriction in values else set(self._names)
        chosen = [(self._names[number], score) for number, score in scores.items() if self._names[number] in allowed - excluded]
        chosen.sort(key=lambda pair: (-pair[1], self._numbers[pair[0]]))
        chosen = chosen[: max(0, values.get(self._count, len(chosen)))]
        return {self._list: [name for name, _ in chosen], self._scores: dict(chosen)}
