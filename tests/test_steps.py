"""Several steps of the diffusion: of a training's checkpoint by torch, exact tiles as ever; refused in a line elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import edgesr_, error_of
from pictures import difference, photograph
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from edgesr import Upscaler
from edgesr.errors import UsageError
from edgesr.evaluate.systems import Place, parse
from edgesr.model import build, checkpoint
from edgesr.presets import get_preset, weights_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint of `tiny` whose every layer is at work."""
    folder = tmp_path_factory.mktemp("trained") / "checkpoint"
    model = build(get_preset("tiny"))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        deviation = 0.6 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.05
        parameter.data = deviation * torch.randn(parameter.shape, generator=generator)
    tensors = {f"ema.edge.{name}": tensor for name, tensor in model.state_dict().items()}
    state = {"preset": "tiny", "stage": "end-to-end", "step": 7, "seconds": 1.0, "variant": vars(model.variant)}
    checkpoint.save(folder, tensors, state)
    return folder


def test_a_checkpoint_is_what_its_export_is(trained, tmp_path):
    from edgesr.export.onnx import export_onnx
    from edgesr.model.loading import load_averaged

    export_onnx(*load_averaged(trained)[:1], tmp_path / "tiny.onnx", load_averaged(trained)[1])
    picture = photograph(40, 52)
    exported = Upscaler(weights=tmp_path / "tiny.onnx", threads=1)(picture)
    upscaler = Upscaler(weights=trained, threads=1)
    assert upscaler.engine.startswith("torch (")
    assert difference(upscaler(picture), exported) <= 1


def test_steps_change_the_picture_and_one_does_not(trained):
    picture = photograph(40, 52)
    one, named, two, three = (
        Upscaler(weights=trained, threads=1, **options)(picture) for options in ({}, {"steps": 1}, {"steps": 2}, {"steps": 3})
    )
    assert np.array_equal(one, named)
    assert difference(one, two) > 2
    assert difference(two, three) > 2


@pytest.mark.parametrize(("steps", "tile"), [(2, 64), (3, 100)])
def test_the_tile_size_changes_no_byte_in_several_steps(trained, steps, tile):
    picture = photograph(320, 320)[100:140]  # wider than the halo of so many steps
    whole, tiled = (Upscaler(weights=trained, steps=steps, threads=1, tile=side) for side in ("auto", tile))
    assert len(whole._windows.plan(40, 320)) == 1
    assert len(tiled._windows.plan(40, 320)) > 1
    assert np.array_equal(tiled(picture), whole(picture))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 2}, r"--steps 2: .*tiny\.onnx: supports one step; more need a checkpoint folder"),
        ({"steps": 2, "engine": "torch"}, "supports one step"),
        ({"steps": 2, "fidelity": 0.5}, "supports one step"),
        ({"steps": 4, "weights": weights_path("tiny")}, "supports one step"),
        ({"steps": 0}, "--steps 0: give a whole number of at least 1"),
        ({"steps": 1.5}, r"--steps 1\.5: give a whole number"),
    ],
)
def test_weights_that_know_one_step_alone_say_which_know_more(options, said):
    with pytest.raises(UsageError, match=said) as caught:
        Upscaler(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_that_cannot_read_a_checkpoint_names_the_one_that_can(trained, engine):
    with pytest.raises(UsageError, match="add --engine torch"):
        Upscaler(weights=trained, engine=engine)


def test_a_folder_that_holds_no_checkpoint_and_another_models_are_refused(trained, tmp_path):
    with pytest.raises(UsageError, match="no checkpoint there"):
        Upscaler(weights=tmp_path)
    with pytest.raises(UsageError, match="contains the model 'tiny', not 'small'"):
        Upscaler("small", weights=trained)


def test_the_command_line_takes_steps_and_says_so(trained, tmp_path):
    Image.fromarray(photograph(12, 16)).save(tmp_path / "a.png")
    words = ["upscale", str(tmp_path / "a.png"), "--threads", "1"]
    done = edgesr_(*words, "--weights", str(trained), "--steps", "2", "--json", "-o", str(tmp_path / "b.png"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), Upscaler(weights=trained, steps=2)(photograph(12, 16)))
    assert "supports one step" in error_of(*words, "--steps", "2")


def test_the_benchmark_evaluates_a_checkpoint_in_steps(trained):
    picture, place = photograph(16, 20), Place("suite", "a.png")
    one, two = (parse(f"edgesr:tiny:weights={trained}{steps}").system for steps in ("", ":steps=2"))
    assert np.array_equal(two.load(1)(picture, place), Upscaler(weights=trained, steps=2, threads=1)(picture, sharpness=0))
    assert one.facts().fingerprint != two.facts().fingerprint
    assert two.facts().gflops - one.facts().gflops == pytest.approx(get_preset("tiny").gflops.unet, abs=1e-3)
    assert f"{trained}, 2 steps (torch " in two.facts().description
