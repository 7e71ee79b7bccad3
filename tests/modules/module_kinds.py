"""The words of the campaign: configurations, and what can become of a case in one."""

from __future__ import annotations

import dataclasses

# Name -> deployment target and precision. The first is what a user gets who says nothing.
CONFIGURATIONS = {
    "ios15-float16": ("iOS15", "float16"),
    "ios15-float32": ("iOS15", "float32"),
    "ios18-float16": ("iOS18", "float16"),
    "ios18-float32": ("iOS18", "float32"),
}
# In place of a configuration: without Core ML.
ALONE = "alone"

KINDS = {
    "whole": "right, everything in Core ML",
    "part": "right, some operations outside",
    "outside": "right, nothing in Core ML",
    "inconclusive": "rounding alone makes other results",
    "refused": "refused with a sentence of this project",
    "executorch": "fails, or is wrong, in ExecuTorch without Core ML, too",
    "unexported": "torch.export does not take it, or it is no program of dense real tensors",
    "wrong": "other results than torch's",
    "raised": "an exception, or a program that does not load or run",
    "died": "the process ended",
    "hung": "no answer in time",
}
FINDINGS = ("wrong", "raised", "died", "hung")


@dataclasses.dataclass
class Outcome:
    """call: the arguments in words. text: what is wrong, or the sentence. reasons: of what stayed outside, `op: reason [code]`, each once.

    delegated, left: call nodes that Core ML has and has not. partitions: calls of the delegate. difference: the largest l2-relative difference
    of a result of floats from torch's in float64, where something was compared. seconds: of processor time, for lowering.
    """

    case: str
    configuration: str
    kind: str
    call: str = ""
    text: str = ""
    reasons: list[str] = dataclasses.field(default_factory=list)
    delegated: int = 0
    left: int = 0
    partitions: int = 0
    difference: float | None = None
    seconds: float = 0.0

    @property
    def family(self) -> str:
        return self.case.rpartition("/")[0]


@dataclasses.dataclass(frozen=True)
class Job:
    """A case, by name, to run in some configurations."""

    case: str
    configurations: tuple[str, ...]
