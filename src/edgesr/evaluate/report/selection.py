"""Choose the pictures of a suite for the report: all of a small suite, else the worst, the most different, and typical ones."""

from __future__ import annotations

import numpy as np

from edgesr.evaluate.direction import merit

WORST, DIFFERENT, TYPICAL, ALL = "worst", "different", "typical", "all"


def subject(systems: list[str]) -> str | None:
    """The system whose worst pictures are chosen: the first of this project, else the first."""
    return next((name for name in systems if name.startswith("edgesr:")), systems[0] if systems else None)


def choose(images: dict[str, dict], systems: list[str], metrics: dict[str, dict], limit: int) -> dict[str, str]:
    """At most `limit` pictures of a suite, each with the reason why it was chosen, in the suite's order.

    `images` and `metrics` are those of the result dict. If not all fit, take in turn the worst picture of the subject, the
    one on which the systems differ most, and the most typical of the subject (nearest to its median).
    """
    if len(images) <= limit:
        return dict.fromkeys(images, ALL)
    quality = _quality(images, systems, metrics)  # (images, systems)
    of_subject = quality[:, systems.index(subject(systems) or "")] if systems else np.zeros(len(images))
    orders = {
        WORST: np.argsort(of_subject, kind="stable"),
        DIFFERENT: np.argsort(quality.min(axis=1) - quality.max(axis=1), kind="stable"),
        TYPICAL: np.argsort(np.abs(of_subject - np.median(of_subject)), kind="stable"),
    }
    names = list(images)
    chosen: dict[str, str] = {}
    while len(chosen) < limit:
        for reason, order in orders.items():
            best = next(names[index] for index in order if names[index] not in chosen)
            if len(chosen) < limit:
                chosen[best] = reason
    return {name: chosen[name] for name in names if name in chosen}


def _quality(images: dict[str, dict], systems: list[str], metrics: dict[str, dict]) -> np.ndarray:
    """Quality of each picture by each system, (images, systems): the mean over the metrics of the standard scores of their merit;
    0, the average, where there is no figure."""
    scores = []
    for name, metric in metrics.items():
        rows = [[merit(_value(image, system, name), metric) for system in systems] for image in images.values()]
        values = np.array(rows, dtype=float)
        finite = np.isfinite(values)
        spread = float(values[finite].std()) if finite.any() else 0.0
        if spread:
            scores.append(np.where(finite, (values - values[finite].mean()) / spread, 0.0))
    return np.mean(scores, axis=0) if scores else np.zeros((len(images), max(1, len(systems))))


def _value(image: dict, system: str, metric: str) -> float:
    value = image["systems"].get(system, {}).get("metrics", {}).get(metric)
    return float("nan") if value is None else value
