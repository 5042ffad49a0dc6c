"""FID (Heusel et al. 2017) and KID (Binkowski et al. 2018): distances between two sets of pictures in the features of Inception,
by torchmetrics and torch-fidelity."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgesr.data.files import read_rgb
from edgesr.evaluate.unavailable import need
from edgesr.evaluate.weight_files import INCEPTION, fetched_from

MINIMUM = 50  # pictures: with fewer, both depend on their number more than on their quality
FEATURES = 2048


class Distribution:
    """ "fid" or "kid" between the pictures in two lists of files."""

    def __init__(self, name: str, weights: Path | None) -> None:
        """Load what is needed; raises Unavailable."""
        self._name = name
        for module in ("torchvision", "torch_fidelity"):
            need(module, "metrics")
        self._module = need(f"torchmetrics.image.{name}", "metrics")
        self._inception = _inception(weights)

    def __call__(self, results: Sequence[Path], references: Sequence[Path]) -> float:
        """Return the distance, lower is better; raises ValueError for fewer pictures than MINIMUM."""
        if len(results) < MINIMUM:
            raise ValueError(f"needs {MINIMUM} pictures or more; {len(results)} were scored")
        torch = need("torch", "evaluate")
        # The features are computed once for both distances, so the metric's own network is the identity.
        already = torch.nn.Identity()
        already.num_features = FEATURES
        if self._name == "fid":
            metric = self._module.FrechetInceptionDistance(feature=already)
        else:
            metric = self._module.KernelInceptionDistance(feature=already, subsets=1, subset_size=len(results))
        for paths, real in ((references, True), (results, False)):
            metric.update(torch.cat([_features(self._inception, path) for path in paths]), real=real)
        distance = metric.compute()
        return float(distance if self._name == "fid" else distance[0])


@lru_cache(maxsize=1)
def _inception(weights: Path | None) -> Any:
    module = need("torchmetrics.image.fid", "metrics")
    with fetched_from(weights, INCEPTION):
        return module.NoTrainInceptionV3(name="inception-v3-compat", features_list=[str(FEATURES)])


@lru_cache(maxsize=20_000)  # 8 kB each; references serve every system
def _features(inception: Any, path: Path) -> Any:
    torch = need("torch", "evaluate")
    with torch.inference_mode():
        return inception(torch.tensor(read_rgb(path)).permute(2, 0, 1)[None])
