"""`edgesr data`, as people run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import ENVIRONMENT, edgesr_here, error_of
from PIL import Image

from edgesr.data.sheet import GAP, TITLE
from edgesr.errors import install_command

WITHOUT = "import sys; sys.modules.update(dict.fromkeys({missing})); from edgesr.cli import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def photos() -> Path:
    """Two photographs of noise, 0.75 MB each, and a file that is none."""
    Path("photos").mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (500, 500, 3), np.uint8)
        Image.fromarray(pixels).save(f"photos/{index}.png")
    Path("photos/notes.txt").write_text("no picture")
    return Path("photos")


def without(missing: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command where some packages are not installed."""
    command = [sys.executable, "-c", WITHOUT.format(missing=missing), *words]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_pictures_travel_in_shards_that_need_neither_torch_nor_tifffile(photos):
    packages = ["torch", "tifffile", "onnxruntime", "safetensors"]
    packed = without(packages, "data", "pack", "photos", "shards", "--shard-mb", "1")
    assert packed.returncode == 0
    assert packed.stdout.splitlines() == [
        f"{Path('shards/photos-1-of-2.tar')}: 0.8 MB",
        f"{Path('shards/photos-2-of-2.tar')}: 0.8 MB",
        "2 pictures in 2 shards",
    ]
    assert packed.stderr == "skipped 1 unreadable files: notes.txt\n"
    unpacked = without(packages, "data", "unpack", "shards/photos-2-of-2.tar", "back")
    assert (unpacked.returncode, unpacked.stderr) == (0, "")
    assert unpacked.stdout.splitlines() == ["back: 1 of 2 pictures", "missing shards: 1 of 2"]
    both = edgesr_here("data", "unpack", "shards/photos-2-of-2.tar", "shards/photos-1-of-2.tar", "back")
    assert both.stdout.decode().splitlines() == ["back: 2 of 2 pictures"]
    for index in range(2):
        assert Path(f"back/{index}.png").read_bytes() == Path(f"photos/{index}.png").read_bytes()


def test_a_bad_shard_is_named_and_the_others_are_unpacked(photos):
    edgesr_here("data", "pack", "photos", "shards", "--shard-mb", "1")
    Path("shards/photos-1-of-2.tar").write_bytes(b"<html>404</html>")
    done = edgesr_here("data", "unpack", "shards/photos-1-of-2.tar", "shards/photos-2-of-2.tar", "back")
    assert done.returncode == 1
    (message,) = done.stderr.decode().splitlines()
    assert message.startswith("edgesr: " + str(Path("shards/photos-1-of-2.tar")))
    assert done.stdout.decode().splitlines() == ["back: 1 of 2 pictures", "missing shards: 1 of 2"]


def test_a_sheet_of_photographs(photos):
    words = ("data", "sheet", "photos", "--rows", "2", "--columns", "1")
    assert edgesr_here(*words, "-o", "a.png").returncode == 0
    with Image.open("a.png") as picture:
        width, height = picture.size
    assert 2 * 192 < width < 2 * 192 + 30
    assert height > 2 * 192
    whole = Path("a.png").read_bytes()
    assert "a.png: exists already" in error_of(*words, "-o", "a.png", here=True)
    assert Path("a.png").read_bytes() == whole
    edgesr_here(*words, "-o", "a.png", "--overwrite", "--seed", "1")
    assert Path("a.png").read_bytes() != whole
    edgesr_here(*words, "-o", "a.png", "--overwrite")
    assert Path("a.png").read_bytes() == whole
    assert sorted(path.name for path in Path().iterdir()) == ["a.png", "photos"]


def test_a_sheet_follows_the_recipe(photos):
    """Of gently degraded crops half are Pillow's bicubic reductions, the others noisy."""
    Path("r.toml").write_text('stage = "end-to-end"\n[data]\nhr_size = 96\n')
    words = ("data", "sheet", "photos", "--rows", "1", "--columns", "8", "--recipe", "r.toml")
    edgesr_here(*words, "--set", "data.degradation.light_probability=1.0", "-o", "a.png")
    with Image.open("a.png") as picture:
        lefts = range(GAP, picture.width, 96 + GAP)
        hr, *degraded = (picture.convert("RGB").crop((left, TITLE, left + 96, TITLE + 96)) for left in lefts)
    assert len(degraded) == 8
    small = [cell.reduce(4) for cell in degraded]
    assert all(
        a.resize((96, 96), Image.Resampling.NEAREST).tobytes() == b.tobytes() for a, b in zip(small, degraded, strict=True)
    )
    want = np.asarray(hr.resize((24, 24), Image.Resampling.BICUBIC)).astype(int)
    errors = [np.abs(np.asarray(lr).astype(int) - want).mean() for lr in small]  # Pillow clips between its two passes
    assert 1 <= sum(error < 0.5 for error in errors) < 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sheet", "-o", "a.png"], "FOLDER"),
        (["sheet", "nowhere", "-o", "a.png"], "nowhere: no such folder"),
        (["sheet", ".", "-o", "a.jpg"], "a.jpg: a sheet is a PNG file"),
        (["sheet", ".", "-o", "no/a.png"], "the folder no does not exist"),
        (["sheet", ".", "-o", "a.png", "--set", "data.hr_size=96"], "name it with --recipe"),
        (["sheet", ".", "-o", "a.png", "--recipe", "gone.toml"], "gone.toml: cannot read the recipe"),
        (["pack", "nowhere", "out"], "nowhere: no such folder"),
        (["pack", ".", "out", "--shard-mb", "0"], "0"),
        (["unpack", "one"], "OUT"),
        ([], "ACTION"),
    ],
)
def test_mistakes_are_named_in_one_line(words, message):
    assert message in error_of("data", *words, here=True)


def test_sheets_without_torch_name_the_extra():
    done = without(["torch"], "data", "sheet", ".", "-o", "a.png")
    assert done.returncode == 2
    assert done.stderr == f"edgesr: drawing contact sheets needs the package 'torch': {install_command('train')}\n"
