"""What the tests of the report and of the blind test share: a page that must not misbehave, and a small benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from chromium import watched
from pictures import photograph
from PIL import Image, ImageFilter

from edgesr.evaluate.direction import merit
from edgesr.evaluate.metrics import psnr_y, ssim_y
from edgesr.evaluate.statistics import interval, win_rates

SYSTEMS = {
    "edgesr:tiny": lambda lr, size: lr.resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.UnsharpMask(2, 60, 2)),
    "bicubic": lambda lr, size: lr.resize(size, Image.Resampling.BICUBIC),
    "nearest": lambda lr, size: lr.resize(size, Image.Resampling.NEAREST),
}
COSTS = {  # seconds a megapixel, parameters, GFLOPs, peak MB
    "edgesr:tiny": (1.0, 1_286_368, 5.8, 210.0),
    "bicubic": (0.1, None, None, 90.0),
    "nearest": (0.01, None, None, 80.0),
}
METRICS = {
    "psnr": {"title": "PSNR-Y", "unit": "dB", "better": "higher", "needs_reference": True, "source": "ours", "note": ""},
    "ssim": {"title": "SSIM-Y", "unit": "", "better": "higher", "needs_reference": True, "source": "Wang 2004", "note": ""},
    "contrast": {"title": "Contrast", "unit": "", "better": "lower", "needs_reference": False, "source": "ours", "note": ""},
    "lpips": {"title": "LPIPS", "unit": "", "better": "lower", "needs_reference": True, "source": "Zhang 2018", "note": ""},
}
PUBLISHED = {
    "system": "OSEDiff",
    "suite": "DIV2K-Val",
    "protocol": "128 to 512",
    "source": "a paper",
    "reported_in": "another paper, table 17",
    "figures": {"psnr": 23.72},
}


@pytest.fixture
def open_page(browser):
    """Open a page in a window of its own; the test fails if the page throws, logs an error or asks any other host."""
    with watched(browser) as window:

        def opened(url, *, width=1280, height=900, **options):
            allowed = (url.rsplit("/", 1)[0], "data:")
            page, troubles = window(allowed, viewport={"width": width, "height": height}, **options)
            page.set_default_timeout(10_000)
            page.on("dialog", lambda dialog: troubles.append(dialog.message))
            page.goto(url)
            return page

        yield opened


@pytest.fixture(scope="session")
def benchmark_of(tmp_path_factory):
    """A function that makes the result dict of a benchmark: `suites` is a name -> (image names, whether there is an HR)."""

    def result(suites, systems=None):
        folder = tmp_path_factory.mktemp("benchmark")
        systems = systems or SYSTEMS
        costs = {name: COSTS.get(name, (0.5, None, None, None)) for name in systems}
        made = {
            "version": 1,
            "created": "2026-01-31T12:00:00+00:00",
            "command": "edgesr evaluate photos",
            "machine": {"cpu": "a CPU", "cores": 2, "threads": 1, "os": "Linux", "python": "3.11"},
            "metrics": METRICS,
            "systems": {
                name: {
                    "description": f"{name} by Pillow",
                    "parameters": parameters,
                    "gflops": gflops,
                    "peak_rss_mb": memory,
                    "seconds_per_megapixel": seconds,
                    "fingerprint": f"{number:016x}",
                }
                for number, (name, (seconds, parameters, gflops, memory)) in enumerate(costs.items())
            },
            "times_mixed": False,
            "problems": {},
            "published": [PUBLISHED],
            "suite_info": {name: {"pictures": len(images), "as_known": None} for name, (images, _) in suites.items()},
            "images": {},
            "suites": {},
            "win_rates": {},
        }
        for suite, (images, with_hr) in suites.items():
            place = folder / f"suite-{len(made['images'])}"
            made["images"][suite] = {
                image: _image(place / f"{number}", number, with_hr, systems) for number, image in enumerate(images)
            }
            _summarise(made, suite, systems)
        return made

    return result


@pytest.fixture(scope="session")
def benchmark(benchmark_of):
    """Two suites: seven pictures with a reference and two without."""
    return benchmark_of({"photos": ([f"img_{i}.png" for i in range(7)], True), "wild": (["a.png", "b.png"], False)})


def _image(place: Path, number: int, with_hr: bool, systems) -> dict:
    place.mkdir(parents=True)
    hr = Image.fromarray(photograph(96, 128 + 4 * number)).rotate(7 * number)
    hr.resize((hr.width // 4, hr.height // 4), Image.Resampling.BICUBIC).save(place / "lr.png")
    hr.save(place / "hr.png")
    entry = {"width": hr.width, "height": hr.height, "lr": str(place / "lr.png"), "hr": None, "systems": {}}
    if with_hr:
        entry["hr"] = str(place / "hr.png")
    for index, (system, upscale) in enumerate(systems.items()):
        output = upscale(Image.open(place / "lr.png"), hr.size)
        output.save(place / f"{index}.png")
        pixels = np.asarray(output)
        metrics = {"contrast": float(np.abs(np.diff(pixels.astype(float), axis=1)).mean())}
        if with_hr:
            metrics |= {"psnr": psnr_y(pixels, np.asarray(hr)), "ssim": ssim_y(pixels, np.asarray(hr))}
        entry["systems"][system] = {"metrics": metrics, "seconds": 0.1, "output": str(place / f"{index}.png")}
    return entry


def _summarise(made: dict, suite: str, systems) -> None:
    images = made["images"][suite]
    found = [name for name in METRICS if all(name in image["systems"]["bicubic"]["metrics"] for image in images.values())]

    def of(system: str, metric: str) -> dict[str, float]:
        return {name: image["systems"][system]["metrics"][metric] for name, image in images.items()}

    scores = {metric: {system: of(system, metric) for system in systems} for metric in found}
    made["win_rates"][suite] = {
        name: win_rates(scores[name], lambda value, name=name: merit(value, METRICS[name])) for name in found
    }
    made["suites"][suite] = {
        system: {
            **{name: float(np.mean(list(scores[name][system].values()))) for name in found},
            "seconds": 0.1,
            "n": len(images),
            "intervals": {name: list(interval(list(scores[name][system].values()))) for name in found},
            "unavailable": {"lpips": "the package lpips is not installed"},
            "failed": {},
        }
        for system in systems
    }
