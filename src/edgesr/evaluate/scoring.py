"""Score pictures and whole suites by the available metrics, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgesr.evaluate.cache import Cache
from edgesr.evaluate.registry import METRICS
from edgesr.evaluate.systems.base import digest
from edgesr.evaluate.unavailable import Unavailable, brief

Scores = dict[str, float]  # by metric
Reasons = dict[str, str]  # why there is none, by metric


class Compared(NamedTuple):
    """A result, its input and its reference: (h, w, 3) uint8, and a fingerprint of the pixels of all three."""

    result: np.ndarray
    lr: np.ndarray
    hr: np.ndarray | None
    key: str


class Scoring:
    """Metrics, loaded when first needed."""

    def __init__(self, metrics: Iterable[str], weights: Path | None, cache: Cache) -> None:
        self.metrics = list(metrics)
        self._weights = weights
        self._cache = cache
        self._loaded: dict[str, Callable[..., float] | Unavailable] = {}

    def picture(self, compared: Compared) -> tuple[Scores, Reasons]:
        """Score one result."""
        known = self._cache.scores(compared.key)
        scores, reasons, new = Scores(), Reasons(), False
        for name in self.metrics:
            info = METRICS[name]
            if info.picture is None or (info.needs_reference and compared.hr is None):
                continue
            key = f"{name} {info.version(self._weights)}"
            if key not in known:
                try:
                    known[key] = _finite(self._metric(name)(compared.result, compared.lr, compared.hr))
                    new = True
                except Exception as error:  # Unavailable, or whatever a library raises for a picture it cannot take
                    reasons[name] = _reason(error)
                    continue
            scores[name] = known[key]
        if new:
            self._cache.keep_scores(compared.key, known)
        return scores, reasons

    def suite(self, results: Sequence[Path], references: Sequence[Path | None], keys: Sequence[str]) -> tuple[Scores, Reasons]:
        """Score the results of a whole suite; `keys` are those of their pictures."""
        scores, reasons = Scores(), Reasons()
        together = digest(*keys)
        known = self._cache.scores(together)
        for name in self.metrics:
            info = METRICS[name]
            if info.suite is None or None in references:
                continue
            key = f"{name} {info.version(self._weights)}"
            try:
                if key not in known:
                    known[key] = _finite(self._metric(name)(results, references))
                    self._cache.keep_scores(together, known)
                scores[name] = known[key]
            except Exception as error:  # as above
                reasons[name] = _reason(error)
        return scores, reasons

    def _metric(self, name: str) -> Callable[..., float]:
        if name not in self._loaded:
            info = METRICS[name]
            load = info.picture or info.suite
            assert load is not None
            try:
                self._loaded[name] = load(self._weights)
            except Unavailable as reason:
                self._loaded[name] = reason
            except Exception as error:  # whatever a library raises: not tried again for every picture
                self._loaded[name] = Unavailable(brief(error))
        loaded = self._loaded[name]
        if isinstance(loaded, Unavailable):
            raise loaded
        return loaded


def _finite(score: float) -> float:
    if not np.isfinite(score):
        raise ValueError(f"the score is {score}")
    return score


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, Unavailable | ValueError) else brief(error)
