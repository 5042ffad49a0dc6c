"""Crops drawn by code: the seed decides them, kinds come as often as asked, letters are whole, of their size and legible."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from painter import PaintConfig, crops, fonts, paint, words
from painter.canvas import LEGIBLE, Canvas, any_colour, ink, luma, paper_colour
from painter.line_art import hatch
from PIL import Image, ImageFont

from edgesr.errors import UsageError

EVERYTHING = PaintConfig()
PROGRAM = """
import hashlib, sys, torch
from painter import PaintConfig, paint
drawn = paint(6, 96, torch.Generator().manual_seed(5), PaintConfig())
print(hashlib.sha256(drawn.numpy().tobytes()).hexdigest(), "matplotlib" in sys.modules)
"""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def embedded_font() -> bytes:
    """Pillow's own font as a file."""
    return ImageFont.load_default(20).font_bytes


def blank(unit: int, side: int = 64) -> Canvas:
    return Canvas(side, unit, random.Random(0), fonts.load_typefaces(""))


def reduced(canvas: Canvas) -> np.ndarray:
    """What a training crop would hold, (side, side) grey."""
    return np.asarray(canvas.image.reduce(canvas.unit).convert("L")).astype(int)


@pytest.mark.parametrize("size", [48, 192])
def test_crops_have_their_shape_range_and_eight_bits(size):
    drawn = paint(5, size, seeded(), EVERYTHING)
    assert drawn.shape == (5, 3, size, size)
    assert drawn.dtype == torch.float32
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert torch.equal(drawn, (drawn * 255).round() / 255)
    assert paint(0, size, seeded(), EVERYTHING).shape == (0, 3, size, size)


def test_the_seed_decides_them_and_nothing_else_is_drawn_from():
    state, torch_state = random.getstate(), torch.random.get_rng_state()
    generator = seeded(3)
    first, next_ones = paint(8, 96, generator, EVERYTHING), paint(8, 96, generator, EVERYTHING)
    assert torch.equal(first, paint(8, 96, seeded(3), EVERYTHING))
    assert not torch.equal(first, next_ones)
    assert not torch.equal(first, paint(8, 96, seeded(4), EVERYTHING))
    assert random.getstate() == state
    assert torch.equal(torch.random.get_rng_state(), torch_state)


def test_another_process_draws_the_same_bytes_without_importing_matplotlib():
    drawn = paint(6, 96, seeded(5), EVERYTHING)
    here = hashlib.sha256(drawn.numpy().tobytes()).hexdigest()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [here, "False"]


def test_no_two_are_alike_and_all_hold_hard_edges():
    drawn = paint(60, 96, seeded(), EVERYTHING)
    flat = drawn.flatten(1)
    distances = torch.cdist(flat, flat, p=1) / flat.shape[1] + torch.eye(60)
    assert distances.min() > 0.01
    steps = (drawn.diff(dim=-1).abs().amax(dim=(1, 2, 3)), drawn.diff(dim=-2).abs().amax(dim=(1, 2, 3)))
    assert (torch.maximum(*steps) > 0.2).float().mean() > 0.95


def test_kinds_come_by_their_weights_and_fill_the_crop_however_it_is_turned(monkeypatch):
    colours = {"text": (255, 0, 0), "line_art": (0, 255, 0), "screens": (0, 0, 255)}
    painters = {kind: (lambda canvas, colour=colour: canvas.fill(colour),) for kind, colour in colours.items()}
    monkeypatch.setattr(crops, "PAINTERS", painters)
    drawn = paint(1500, 40, seeded(), PaintConfig(text=3, line_art=1, screens=0))
    assert torch.equal(drawn, drawn[:, :, :1, :1].expand_as(drawn))  # a corner beyond the canvas would be black
    red, green, blue = drawn[:, :, 0, 0].mean(0).tolist()
    assert (red, green, blue) == (pytest.approx(0.75, abs=0.04), pytest.approx(0.25, abs=0.04), 0)


@pytest.mark.parametrize("painter", [p for group in crops.PAINTERS.values() for p in group], ids=lambda p: p.__name__)
def test_every_kind_draws_something_else_each_time_at_every_unit(painter):
    faces = fonts.load_typefaces("")
    pictures = set()
    for seed in range(6):
        canvas = Canvas(80, 1 + seed % 3, random.Random(seed), faces)
        painter(canvas)
        picture = canvas.image.reduce(canvas.unit)
        assert picture.size == (80, 80)
        assert len(picture.getcolors(80 * 80)) > 1
        pictures.add(picture.tobytes())
    assert len(pictures) == 6


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_capitals_are_as_high_as_asked_in_every_typeface(unit):
    for face in fonts.load_typefaces(""):
        for cap in (8, 30):
            canvas = blank(unit)
            canvas.text(8, 48, "H", face, cap, colour=(0, 0, 0))
            rows = np.flatnonzero((reduced(canvas) < 128).any(axis=1))
            assert abs(rows[-1] - rows[0] + 1 - cap) <= 1, face.name
            assert rows[-1] == pytest.approx(47, abs=1)  # on the baseline


def test_lines_of_whole_pixels_are_sharp_however_they_are_drawn():
    for unit in (1, 2, 3):
        canvas = blank(unit)
        canvas.rule(10, 20, 30, (0, 0, 0))
        canvas.rule(50, 5, 40, (0, 0, 0), upright=True, stroke=2)
        expected = np.full((64, 64), 255)
        expected[20, 10:40] = expected[5:45, 50:52] = 0
        assert np.array_equal(reduced(canvas), expected)


def test_upright_text_is_level_text_turned_by_a_quarter():
    face = fonts.load_typefaces("")[0]
    level, upright = blank(1), blank(1)
    level.text(5, 30, "Rag7", face, 12, colour=(0, 0, 0))
    upright.upright_text(30, 60, "Rag7", face, 12, colour=(0, 0, 0))

    def letters(image: Image.Image) -> np.ndarray:
        grey = image.convert("L").point(lambda value: 255 - value)
        return np.asarray(grey.crop(grey.getbbox()))

    assert np.array_equal(letters(upright.image), letters(level.image.transpose(Image.Transpose.ROTATE_90)))


def test_hatching_fills_its_box_and_ends_there():
    for angle in np.linspace(0, np.pi, 13):
        canvas = blank(1)
        hatch(canvas, (16, 20, 48, 40), angle, pitch=4, colour=(0, 0, 0), stroke=1)
        dark = reduced(canvas) < 128
        inside = dark[20:41, 16:49].copy()
        dark[19:42, 15:50] = False  # a line's thickness more
        assert not dark.any()
        assert 0.1 < inside.mean() < 0.5
        assert all(corner.any() for half in np.array_split(inside, 2) for corner in np.array_split(half, 2, axis=1))


def test_ink_can_be_read_on_its_paper():
    rng = random.Random(0)
    for paper in [paper_colour(rng) for _ in range(300)] + [any_colour(rng) for _ in range(300)]:
        assert abs(luma(ink(rng, paper)) - luma(paper)) > LEGIBLE


def test_text_holds_no_letter_that_its_typeface_lacks():
    rng = random.Random(0)
    few = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,")
    for _ in range(300):
        assert set(words.phrase(rng, few, 40)) <= few | {" "}
        assert set(words.code(rng, few)) <= few
        assert set(words.number(rng, few)) <= few | set(" :+%")


def test_all_letters_of_a_typeface_turn_up():
    rng, characters = random.Random(0), frozenset(words.ALPHABET)
    said = "".join(words.phrase(rng, characters, 60) for _ in range(3000))
    assert set(said) - {" "} == characters


def test_typefaces_come_from_a_folder_and_bad_files_are_left_out(tmp_path):
    (tmp_path / "Good.TTF").write_bytes(embedded_font())
    (tmp_path / "broken.otf").write_bytes(b"nonsense")
    (tmp_path / "notes.txt").write_text("no font")
    assert [face.name for face in fonts.load_typefaces(str(tmp_path))] == ["Aileron", "Good"]


def test_matplotlibs_fonts_of_symbols_are_left_out():
    pytest.importorskip("matplotlib")
    names = {face.name for face in fonts.load_typefaces("")}
    assert {"Aileron", "DejaVuSans", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBolIta", "cmr10", "cmtt10"} <= names
    assert not names & {"cmex10", "cmsy10", "cmmi10", "STIXSizOneSymReg", "STIXNonUni", "DejaVuSansDisplay"}
    assert {face.name for face in fonts.load_typefaces("") if face.monospaced} >= {"DejaVuSansMono", "cmtt10"}


def test_without_matplotlib_pillows_typeface_serves_and_a_warning_says_so(monkeypatch, caplog):
    monkeypatch.setattr(fonts.importlib.util, "find_spec", lambda name: None)
    fonts.load_typefaces.cache_clear()
    try:
        with caplog.at_level(logging.WARNING):
            drawn = paint(3, 64, seeded(), PaintConfig(text=1, line_art=0, screens=0))
    finally:
        fonts.load_typefaces.cache_clear()
    assert len({crop.numpy().tobytes() for crop in drawn}) == 3
    (message,) = [record.getMessage() for record in caplog.records]
    assert "matplotlib" in message


def test_a_missing_or_empty_folder_of_fonts_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="nowhere: no such folder of fonts"):
        paint(1, 64, seeded(), PaintConfig(fonts=str(tmp_path / "nowhere")))
    with pytest.raises(UsageError, match=f"{tmp_path.name}: holds no"):
        paint(1, 64, seeded(), PaintConfig(fonts=str(tmp_path)))


@pytest.mark.parametrize("weights", [{"text": 0, "line_art": 0, "screens": 0}, {"text": -1}])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(UsageError, match="weights of text, line_art, screens"):
        paint(1, 64, seeded(), PaintConfig(**weights))


def test_crops_too_small_to_draw_on_are_refused():
    with pytest.raises(UsageError, match="31 px"):
        paint(1, 31, seeded(), EVERYTHING)
