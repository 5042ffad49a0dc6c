"""The first minutes with the command: no words, a file without a verb, a mistyped flag, completion, sizes below the input's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_, edgesr_here, error_of
from PIL import Image

from edgesr.images.formats import FORMATS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a small and a large picture."""
    monkeypatch.chdir(tmp_path)
    for name, side in (("small.png", 12), ("large.png", 60)):
        pixels = np.random.default_rng(side).integers(0, 256, (side // 3, side // 3, 3), np.uint8)
        Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC).save(name)
    return tmp_path


def size_of(name: str) -> tuple[int, int]:
    with Image.open(name) as image:
        return image.size


def test_without_words_the_help_is_shown():
    done = edgesr_()
    assert done.returncode == 0
    assert done.stdout == edgesr_("--help").stdout
    assert b"edgesr upscale photo.jpg" in done.stdout


@pytest.mark.parametrize(
    "words",
    [["small.png"], ["small.png", "-s", "2", "-o", "small_4x.png"], ["-s", "2", "-o", "small_4x.png", "small.png"], ["."]],
)
def test_a_file_without_a_verb_is_upscaled(words, tmp_path):
    assert edgesr_here(*words).returncode == 0
    where = tmp_path.with_name(f"{tmp_path.name}_4x") if words == ["."] else tmp_path
    assert size_of(str(where / "small_4x.png")) == ((24, 24) if "-s" in words else (48, 48))


def test_a_file_that_does_not_exist_is_named_as_one():
    assert b"gone.jpg: no such file" in edgesr_here("gone.jpg").stderr
    assert "unknown verb upscal: did you mean upscale? (see edgesr --help)" in error_of("upscal", "small.png", here=True)
    assert "invalid choice: 'zzz'" in error_of("zzz", here=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["upscale", "small.png", "--scal", "2"],
            "unrecognized argument --scal: did you mean --scale? (see edgesr upscale --help)",
        ),
        (["upscale", "--overwrit", "small.png"], "did you mean --overwrite?"),
        (["upscale", "small.png", "--fidelty=1"], "did you mean --fidelity?"),
        (
            ["data", "sheet", ".", "-o", "a.png", "--row", "3"],
            "unrecognized argument --row: did you mean --rows? (see edgesr data sheet --help)",
        ),
        (["models", "--zzz"], "unrecognized argument --zzz (see edgesr models --help)"),
    ],
)
def test_an_unknown_flag_names_the_nearest_one_and_the_help(words, message):
    assert message in error_of(*words, here=True)
    assert sorted(path.name for path in Path().iterdir()) == ["large.png", "small.png"], "nothing was done"


def test_the_help_states_the_default_qualities():
    text = " ".join(edgesr_("upscale", "--help").stdout.decode().split())
    stated = text.partition("quality of lossy formats, 1 to 100 (default: ")[2].partition(")")[0]
    found = {name.strip(): int(quality) for name, quality in re.findall(r"([A-Z][A-Za-z ]*) (\d+)", stated)}
    assert found == {each.title: each.quality for each in FORMATS.values() if each.quality}


def test_recursion_has_a_short_flag():
    (Path("album") / "deep").mkdir(parents=True)
    shutil.copy("small.png", "album/deep/a.png")
    assert edgesr_here("upscale", "album", "-r").returncode == 0
    assert size_of("album_4x/deep/a_4x.png") == (48, 48)


def test_a_target_width_reduces_what_is_larger():
    done = edgesr_here("upscale", "small.png", "large.png", "--width", "30", "-o", "out/")
    assert done.returncode == 0, done.stderr
    assert size_of("out/small_30w.png") == size_of("out/large_30w.png") == (30, 30)
    want = np.asarray(Image.open("large.png").resize((30, 30), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(np.asarray(Image.open("out/large_30w.png")) - want).max() <= 1


def test_only_enlarge_copies_what_is_large_enough():
    done = edgesr_here("upscale", "small.png", "large.png", "--width", "30", "--only-enlarge", "-o", "out/", "--strip-metadata")
    assert (done.returncode, size_of("out/large_30w.png")) == (0, (60, 60))
    done = edgesr_here("upscale", "small.png", "large.png", "--width", "30", "--only-enlarge", "-o", "again/")
    assert done.returncode == 0
    assert b"already large enough: copied" in done.stderr
    assert Path("again/large_30w.png").read_bytes() == Path("large.png").read_bytes()
    assert size_of("again/small_30w.png") == (30, 30)
    assert edgesr_here("upscale", "large.png", "--width", "30", "--only-enlarge", "-o", "a.jpg").returncode == 0
    with Image.open("a.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (60, 60))
    assert "needs a target --width or --height" in error_of("upscale", "large.png", "--only-enlarge", here=True)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "I;16"])
def test_reduction_keeps_every_kind_of_pixels(mode):
    source = Image.open("large.png")
    image = Image.fromarray(np.asarray(source.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else source.convert(mode)
    image.save("kind.png")
    assert edgesr_here("upscale", "kind.png", "--width", "20", "-o", "out.png").returncode == 0
    with Image.open("out.png") as out:
        assert (out.mode, out.size) == (mode, (20, 20))


def completed(line: str) -> list[str]:
    """What argcomplete offers for a command line, by the protocol that its scripts use."""
    environment = {
        **ENVIRONMENT, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_COMP_WORDBREAKS": " ", "_ARGCOMPLETE_STDOUT_FILENAME": str(Path("offers").resolve()),
    }  # fmt: skip
    subprocess.run(COMMAND, env=environment, check=False, timeout=60)
    return [offer.strip() for offer in Path("offers").read_text().splitlines()]


def test_verbs_flags_and_files_are_completed():
    assert completed("edgesr up") == ["upscale"]
    assert completed("edgesr upscale --skip") == ["--skip-existing"]
    assert completed("edgesr upscale sma") == ["small.png"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell):
    script = edgesr_here("completion", shell).stdout.decode()
    assert "edgesr" in script
    if found := shutil.which(shell):
        checked = subprocess.run([found, "-n"], input=script, text=True, capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
    assert "'tcsh'" in error_of("completion", "tcsh", here=True)


PROGRAM = """
import io, sys, time
from edgesr.commands import progress
progress.TICK_SECONDS = 0.05
shown = io.StringIO()
bar = progress.TickingBar(2, shown)
bar.update(0.5)
before = len(shown.getvalue())
time.sleep(1.5)
during = shown.getvalue()[before:]
bar.close()
after = len(shown.getvalue())
time.sleep(0.2)
print(during.count("|"), "00:01" in during, "left" in during, len(shown.getvalue()) - after)
"""


def test_the_clock_ticks_while_nothing_is_finished():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60
    )
    drawn, clock, left, after = done.stdout.split()
    assert int(drawn) > 10
    assert (clock, left, after) == ("True", "True", "0")
