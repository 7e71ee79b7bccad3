"""Interleaved timing of several runners of one thing, and the ratios between them.

Machines are shared and noisy, so an absolute time means little: every round calls each runner once, in an order that rotates, and the
figure is the ratio of medians, peer / ours (above 1: ours is faster) with a 95 % bootstrap interval over the rounds. Thread pools
spin for a while after a call, on cores that the next runner needs: it waits until they sleep.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Peer time / our time with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"

    def misses(self, goal: float) -> bool:
        """A goal is missed only when the whole interval lies below it."""
        return self.high < goal


def interleave(
    runners: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 3,
    pause: float = 0.1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds per call, float64 [rounds], of each runner, by `clock`.

    Before a timed call come `pause` seconds, in which the threads of the runner before fall asleep, and an untimed call, after which
    threads and caches are the runner's own again.
    """
    names = list(runners)
    for name in names:
        for _ in range(warmup):
            runners[name]()
    seconds = {name: np.empty(rounds) for name in names}
    for index in range(rounds):
        shift = index % len(names)
        for name in names[shift:] + names[:shift]:
            call = runners[name]
            time.sleep(pause)
            call()
            began = clock()
            call()
            seconds[name][index] = clock() - began
    return seconds


def ratio(peer: np.ndarray, ours: np.ndarray, *, seed: int = 0, resamples: int = 2000) -> Ratio:
    """The ratio of the medians; rounds are resampled together, as what disturbs a round disturbs both."""
    generator = np.random.default_rng(seed)
    index = generator.integers(0, len(ours), (resamples, len(ours)))
    values = np.median(peer[index], axis=1) / np.median(ours[index], axis=1)
    low, high = np.quantile(values, [0.025, 0.975])
    return Ratio(float(np.median(peer) / np.median(ours)), float(low), float(high))


def geometric_mean(values: Sequence[float]) -> float:
    """exp(mean(log(values)))."""
    return math.exp(sum(map(math.log, values)) / len(values))
