"""LPIPS (Zhang et al. 2018) and DISTS (Ding et al. 2020), both by torchmetrics, with networks and weights of torchvision; NIQE, MUSIQ
and CLIP-IQA by pyiqa, whose licence forbids commercial use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgesr.evaluate.unavailable import Unavailable, brief, need
from edgesr.evaluate.weight_files import ALEXNET, VGG16, fetched_from

Distance = Callable[[np.ndarray, np.ndarray], float]  # of two pictures (h, w, 3) uint8


def lpips(network: str, weights: Path | None) -> Distance:
    """LPIPS on `network`, "alex" or "vgg"; raises Unavailable. Pictures of fewer than 64 px a side are too small for it."""
    need("torchvision", "metrics")
    module = need("torchmetrics.image.lpip", "metrics")
    with fetched_from(weights, {"alex": ALEXNET, "vgg": VGG16}[network]):
        metric = module.LearnedPerceptualImagePatchSimilarity(net_type=network, normalize=True).eval()
    return _distance(metric.net, lambda image: 2 * image - 1)


def dists(weights: Path | None) -> Distance:
    """DISTS; raises Unavailable."""
    need("torchvision", "metrics")
    module = need("torchmetrics.functional.image.dists", "metrics")
    with fetched_from(weights, VGG16):
        network = module.DISTSNetwork().eval()
    return _distance(network, lambda image: image)


def no_reference(name: str) -> Callable[[np.ndarray], float]:
    """A metric of pyiqa, such as "musiq", of one picture (h, w, 3) uint8; raises Unavailable.

    pyiqa downloads its weights into a cache of its own.
    """
    torch, pyiqa = need("torch", "evaluate"), need("pyiqa", "pyiqa")
    try:
        metric = pyiqa.create_metric(name, device=torch.device("cpu"))
    except Exception as error:  # no network, a damaged file
        raise Unavailable(f"pyiqa cannot load its weights ({brief(error)})") from error

    def score(pixels: np.ndarray) -> float:
        with torch.inference_mode():
            return float(metric(_tensor(pixels)))

    return score


def _distance(network: Any, prepare: Callable[[Any], Any]) -> Distance:
    torch = need("torch", "evaluate")

    def score(result: np.ndarray, reference: np.ndarray) -> float:
        with torch.inference_mode():
            return float(network(prepare(_tensor(result)), prepare(_tensor(reference))).squeeze())

    return score


def _tensor(pixels: np.ndarray) -> Any:
    """(h, w, 3) uint8 -> (1, 3, h, w) in [0, 1]."""
    torch = need("torch", "evaluate")
    return torch.tensor(pixels).permute(2, 0, 1)[None] / 255
