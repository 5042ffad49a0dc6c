"""What `Upscaler` promises of pixels: the same bytes on every run and with every tile, clean transparency, true colours."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import difference, gradient, photograph
from PIL import Image

import edgesr
from edgesr import Upscaler, upscale
from edgesr.images import from_pil
from edgesr.upscaling.network import BLENDED_OVERLAP, BLENDED_TILE
from edgesr.upscaling.planes import to_grey


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler(threads=1)


def test_every_run_thread_count_and_instance_give_the_same_bytes(upscaler):
    picture = photograph(50, 62)
    want = upscaler(picture)
    assert np.array_equal(upscaler(picture), want)
    for other in (Upscaler(threads=1), Upscaler(threads=2), Upscaler(threads=3, tile=32)):
        assert np.array_equal(other(picture), want)
    assert np.array_equal(upscale(picture), want)


def test_another_process_gives_the_same_bytes(upscaler, tmp_path):
    np.save(tmp_path / "picture.npy", gradient(20, 23, np.uint16))
    code = (
        "import hashlib, sys, numpy, edgesr;"
        "print(hashlib.sha256(edgesr.Upscaler()(numpy.load(sys.argv[1])).tobytes()).hexdigest())"
    )
    source = str(Path(edgesr.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {source!r}); {code}", tmp_path / "picture.npy"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    want = upscaler(gradient(20, 23, np.uint16))
    assert done.stdout.strip() == hashlib.sha256(want.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def tiled(upscaler):
    """Pictures larger than the halo both ways, and what one window makes of them."""
    height, width = 117, 133  # no multiples of 4
    pictures = {
        "photograph": photograph(height, width),
        "deep gradient": gradient(height, width, np.uint16),
        "deep grey photograph": photograph(height, width)[:, :, 0].astype(np.uint16) * 257,
        "gradient before rounding": gradient(height, width, np.float32),
        "photograph before rounding": photograph(height, width).astype(np.float32) / 255,
    }
    assert len(upscaler._windows.plan(120, 136)) == 1
    return {name: (picture, upscaler(picture)) for name, picture in pictures.items()}


@pytest.mark.parametrize("tile", [100, 64, 37])
def test_the_tile_size_changes_no_bit(tiled, tile):
    other = Upscaler(threads=1, tile=tile)
    assert len(other._windows.plan(120, 136)) > 1
    for name, (picture, want) in tiled.items():
        assert difference(other(picture), want) == 0, name


def test_the_smallest_tile_changes_no_bit(tiled):
    picture, want = tiled["photograph before rounding"]
    assert difference(Upscaler(threads=1, tile=16)(picture), want) == 0


def test_the_automatic_tiles_of_a_large_picture_change_no_bit(upscaler, monkeypatch):
    """Larger pictures are cut by a limit on the window; here the limit is lowered instead."""
    picture = photograph(300, 300)[100:200]
    want = upscaler(picture)
    monkeypatch.setattr("edgesr.upscaling.memory.WINDOW_PIXELS", 144 * 144)
    assert len(upscaler._windows.plan(100, 300)) > 1
    assert difference(upscaler(picture), want) == 0


def test_alpha_changes_no_bit_with_the_tile_size_either():
    picture = np.concatenate([photograph(70, 90), photograph(90, 90)[20:, ::-1, :1]], axis=2)
    assert difference(Upscaler(threads=1, tile=32)(picture), Upscaler(threads=1)(picture)) == 0


def test_a_seed_names_the_noise_and_not_the_picture(upscaler):
    picture = photograph(32, 40)
    one, again = (Upscaler(threads=1, seed=7)(picture) for _ in range(2))
    assert np.array_equal(one, again)
    assert np.abs(one.astype(float) - upscaler(picture)).mean() < 2


def test_progress_rises_to_one(upscaler):
    seen = []
    alpha = photograph(90, 90)[20:, :, :1]
    picture = from_pil(Image.fromarray(np.concatenate([photograph(70, 90), alpha], axis=2)))
    Upscaler(threads=1, tile=40).upscale_picture(picture, progress=seen.append)
    assert len(seen) == 2 * 2 * 3  # colour and alpha
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.2
    assert seen[-1] == 1


def disc(side=40, colour=(30, 160, 40), hidden=(30, 160, 40)):
    """A soft-edged disc of one colour on fully transparent ground whose own colour nobody should ever see."""
    rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
    alpha = np.rint(255 * np.clip(side / 3 - np.hypot(rows, columns) + 0.5, 0, 1)).astype(np.uint8)
    pixels = np.empty((side, side, 4), np.uint8)
    pixels[:, :, :3] = np.where(alpha[:, :, None] == 0, hidden, colour)
    pixels[:, :, 3] = alpha
    return pixels


@pytest.mark.parametrize("scale", [2.5, 4])
def test_hidden_colours_never_bleed_into_visible_pixels(upscaler, scale):
    garish, plain = (upscaler(disc(hidden=hidden), scale=scale) for hidden in ((255, 0, 255), (30, 160, 40)))
    visible = garish[:, :, 3] > 0
    assert visible.any()
    assert difference(garish[visible], plain[visible]) <= 1
    assert difference(garish[visible][:, :3], np.array([30, 160, 40])) <= 6


def test_transparent_stays_transparent_and_opaque_opaque(upscaler):
    out = upscaler(disc())[:, :, 3]
    assert (out[:16, :16] == 0).all()
    assert (out[70:90, 70:90] == 255).all()


@pytest.mark.parametrize("alpha", [255, 128, 0])
@pytest.mark.parametrize("scale", [1, 2.5, 4])
def test_constant_alpha_stays_exactly_what_it_is(upscaler, alpha, scale):
    picture = np.dstack([photograph(9, 11), np.full((9, 11), alpha, np.uint8)])
    out = upscaler(picture, scale=scale)
    assert (out[:, :, 3] == alpha).all()
    assert np.array_equal(out[:, :, :3], upscaler(picture[:, :, :3], scale=scale))


def test_the_edge_of_alpha_goes_through_the_model(upscaler):
    """It is as sharp as the colours beside it, not a bilinear ramp."""
    picture = disc()
    out = upscaler(picture)[:, :, 3]  # never sharpened
    bilinear = np.asarray(Image.fromarray(picture[:, :, 3]).resize((160, 160), Image.Resampling.BILINEAR))
    assert difference(out, bilinear) > 8
    plain = upscaler(picture[:, :, 3], sharpness=0)
    edge = (out > 0) & (out < 255)
    assert edge.sum() > 400
    assert np.mean(out[edge] == plain[edge]) > 0.8  # the rest is held within the range of its neighbours


def test_grey_stays_grey_and_is_the_luma_of_what_colour_gives(upscaler):
    grey = photograph(24, 30)[:, :, 1]
    out = upscaler(grey, sharpness=0)
    assert out.shape == (96, 120)
    colour = upscaler(np.repeat(grey[:, :, None], 3, axis=2), sharpness=0)
    assert difference(out, to_grey(colour.transpose(2, 0, 1).astype(np.float32))[0]) <= 1


def test_a_flat_picture_stays_flat_up_to_its_edges(upscaler):
    """Zero padding in the convolutions tends to darken the rim of a picture."""
    for level in (0, 40, 128, 200, 255):
        out = upscaler(np.full((40, 36, 3), level, np.uint8)).astype(float)
        inside = out[16:-16, 16:-16]
        assert abs(inside.mean() - level) <= 2
        for rim in (out[:2], out[-2:], out[:, :2], out[:, -2:]):
            assert abs(rim.mean() - inside.mean()) <= 2
        assert np.abs(out - level).max() <= 6


def test_the_result_is_the_picture_itself_larger(upscaler):
    picture = photograph(64, 64)
    back = np.asarray(Image.fromarray(upscaler(picture)).resize((64, 64), Image.Resampling.BOX))
    for channel in range(3):
        ours, given = back[:, :, channel].ravel(), picture[:, :, channel].ravel()
        assert np.corrcoef(ours, given)[0, 1] > 0.97
        assert abs(ours.mean() - given.mean()) < 3


@pytest.mark.parametrize("picture", [gradient(128, 224), photograph(128, 224)], ids=["gradient", "photograph"])
def test_blended_tiles_show_no_seam(picture):
    """A model without a bounded receptive field is tiled as in the paper; forced upon this one, it must hardly show."""
    exact = Upscaler(threads=1)
    blended = Upscaler(threads=1)
    network = blended._windows.network
    unbounded = network._replace(preset=replace(network.preset, halo=None))
    blended._windows = replace(blended._windows, network=unbounded)
    plan = blended._windows.plan(*picture.shape[:2])
    assert [(span.start, span.stop) for span in plan.columns] == [(0, BLENDED_TILE), (BLENDED_TILE - BLENDED_OVERLAP, 224)]
    apart = blended(picture, sharpness=0).astype(float) - exact(picture, sharpness=0)
    # A seam is a line: no row and no column may differ as one. Levels of 255.
    assert max(np.abs(apart.mean(axis=axis)).max() for axis in (0, 1)) < 0.3
    assert np.abs(apart).max() <= 4
