"""From a training's checkpoint to what others get."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import release
from release import main

from edgesr import onnx_metadata
from edgesr.errors import UsageError
from edgesr.export import int8
from edgesr.model import checkpoint
from edgesr.model.conditioning import Variant
from edgesr.model.loading import load_averaged
from edgesr.presets import WEIGHTS, get_preset
from edgesr.train.networks import ModelConfig, Networks

STATE = {"preset": "tiny", "stage": "end-to-end", "step": 7, "seconds": 1.0, "variant": vars(Variant())}


@pytest.fixture
def trained(tmp_path):
    """A checkpoint whose averaged weights differ from the last ones."""
    nets, average = Networks(get_preset("tiny"), 0).state_dict(), Networks(get_preset("tiny"), 1).state_dict()
    tensors = {f"net.{k}": v for k, v in nets.items()} | {f"ema.{k}": v for k, v in average.items()}
    checkpoint.save(tmp_path / "run", tensors, STATE)
    return tmp_path / "run", average


def test_the_averaged_weights_are_what_is_released(trained):
    folder, average = trained
    model, metadata = load_averaged(folder)
    assert metadata["preset"] == "tiny"
    assert metadata["steps"] == "7"
    assert all(torch.equal(value, average[f"edge.{name}"]) for name, value in model.state_dict().items())


def test_averaged_weights_alone_start_another_training(trained, tmp_path, monkeypatch):
    folder, average = trained
    monkeypatch.setattr(sys, "argv", ["release.py", str(folder), str(tmp_path / "averaged")])
    assert main() == 0
    tensors, state = checkpoint.load(tmp_path / "averaged")
    assert state["step"] == 7
    nets = Networks(get_preset("tiny"), 2)
    nets.load(checkpoint.averaged(tensors), tmp_path / "averaged")
    assert all(torch.equal(value, average[name]) for name, value in nets.state_dict().items())
    assert len(tensors) == len(average)


def test_no_checkpoint_is_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(UsageError, match="no checkpoint there"):
        load_averaged(tmp_path / "nothing")
    monkeypatch.setattr(sys, "argv", ["release.py", str(tmp_path / "nothing"), "tiny.onnx"])
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_released_file_says_its_version_and_mixture(trained, tmp_path, monkeypatch, capsys):
    folder, _ = trained
    (tmp_path / "weights").mkdir()
    target = tmp_path / "weights" / "tiny.onnx"
    (tmp_path / "weights" / "SHA256SUMS").write_text("0  tiny.onnx\n")
    command = ["release.py", str(folder), str(target)]
    monkeypatch.setattr(sys, "argv", command)
    assert main() == 2
    assert "needs --version, such as tiny-2026.11" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", [*command, "--version", "small-2026.12"])
    assert main() == 2
    assert "begin with the model's name" in capsys.readouterr().err
    assert not target.exists()

    for name in ("tiny-fidelity.npz", "tiny-int8.onnx"):  # of a release before
        target.with_name(name).touch()
    monkeypatch.setattr(sys, "argv", [*command, "--version", "tiny-2026.12", "--mixture", "a and b"])
    assert main() == 0
    assert capsys.readouterr().err.count("belongs to the previous file") == 2
    said = onnx_metadata.read(target.read_bytes())
    assert (said["version"], said["mixture"], said["halo"], said["colour_space"]) == ("tiny-2026.12", "a and b", "56", "sRGB")
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert (tmp_path / "weights" / "SHA256SUMS").read_text() == f"{digest}  tiny.onnx\n"

    difference = target.with_name("tiny-fidelity.npz")
    command = ["release.py", str(folder), str(difference), "--beside", str(target), "--version", "tiny-2026.12"]
    monkeypatch.setattr(sys, "argv", [*command, "--mix", f"{folder}=0.5"])
    assert main() == 0
    with np.load(difference) as arrays:
        assert json.loads(str(arrays["metadata"]))["mixture"] == "0.5 of run and 0.5 of run"


def test_a_checkpoint_keeps_its_version(trained, tmp_path, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(sys, "argv", ["release.py", str(folder), str(tmp_path / "averaged"), "--version", "tiny-2026.12"])
    assert main() == 0
    _, metadata = load_averaged(tmp_path / "averaged")
    assert (metadata["version"], metadata["mixture"]) == ("tiny-2026.12", "none")


def test_a_mixture_lies_between_its_checkpoints(trained, tmp_path, monkeypatch, capsys):
    folder, average = trained
    other = Networks(get_preset("tiny"), 2).state_dict()
    checkpoint.save(tmp_path / "other", {f"ema.{k}": v for k, v in other.items()}, {**STATE, "step": 9})
    command = ["release.py", str(folder), str(tmp_path / "mixed"), "--mix"]
    monkeypatch.setattr(sys, "argv", [*command, f"{tmp_path / 'other'}=0.25"])
    assert main() == 0
    tensors, _ = checkpoint.load(tmp_path / "mixed")
    for name, value in checkpoint.averaged(tensors).items():
        assert torch.allclose(value, 0.75 * average[name].float() + 0.25 * other[name].float(), atol=1e-6)
    twice = [*command, f"{tmp_path / 'other'}=0.25", "--mix"]
    monkeypatch.setattr(sys, "argv", [*twice, f"{tmp_path / 'mixed'}=0.4"])
    assert main() == 0
    tensors, _ = checkpoint.load(tmp_path / "mixed")
    for name, value in checkpoint.averaged(tensors).items():
        assert torch.allclose(value, 0.65 * average[name].float() + 0.35 * other[name].float(), atol=1e-6)
    monkeypatch.setattr(sys, "argv", [*twice, f"{tmp_path / 'mixed'}=0.8"])
    assert main() == 2
    assert "shares sum to more than 1" in capsys.readouterr().err
    for wrong in (f"{tmp_path / 'other'}=2", str(tmp_path / "other")):
        monkeypatch.setattr(sys, "argv", [*command, wrong])
        with pytest.raises(SystemExit):
            main()
        assert "is not FOLDER=SHARE" in capsys.readouterr().err


def test_what_a_training_changed_is_added_to_other_weights_which_may_have_no_smoothing(trained, tmp_path, monkeypatch):
    folder, average = trained
    plain = Variant(smoothing=False)
    before, base = (Networks(get_preset("tiny"), seed, config=ModelConfig(smoothing=False)).state_dict() for seed in (2, 3))
    for name, tensors in (("before", before), ("base", base)):
        checkpoint.save(tmp_path / name, {f"ema.{k}": v for k, v in tensors.items()}, {**STATE, "variant": vars(plain)})
    command = ["release.py", str(folder), str(tmp_path / "sum"), "--mix"]
    monkeypatch.setattr(sys, "argv", [*command, f"{tmp_path / 'base'}=1", "--mix", f"{tmp_path / 'before'}=-0.5"])
    assert main() == 0
    model, _ = load_averaged(tmp_path / "sum")
    assert model.variant.smoothing
    for name, value in model.state_dict().items():
        old, new, whole = (tensors.get(f"edge.{name}", torch.zeros(())) for tensors in (before, average, base))
        assert torch.allclose(value, whole + 0.5 * (new - old), atol=1e-6), name


def test_both_forms_are_made_in_8_bits_by_one_command(tmp_path, monkeypatch, capsys):
    data = pytest.importorskip("skimage.data")
    for name in ("tiny.onnx", "tiny-fidelity.npz", "SHA256SUMS"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    (tmp_path / "photos").mkdir()
    for name in ("astronaut", "coffee", "chelsea", "rocket"):
        Image.fromarray(getattr(data, name)()).save(tmp_path / "photos" / f"{name}.png")
    command = ["release.py", str(tmp_path / "tiny.onnx"), str(tmp_path / "tiny-int8.onnx"), "--calibrate"]
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "nowhere")])
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1

    for module, name, value in ((release, "TILE", (64, 64)), (release, "PHOTOS", 4), (release, "SATURATED", 1)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(int8, "_SEARCHED", 1)
    monkeypatch.setattr(int8, "MIN_PSNR", 40)  # for so few photographs
    monkeypatch.setattr(sys, "argv", [*command, str(tmp_path / "photos")])
    assert main() == 0
    assert capsys.readouterr().out.count(" dB, worst ") == 2
    sums = (tmp_path / "SHA256SUMS").read_text()
    for name in ("tiny-int8.onnx", "tiny-fidelity-int8.onnx"):
        made = (tmp_path / name).read_bytes()
        assert f"{hashlib.sha256(made).hexdigest()}  {name}\n" in sums
        assert onnx_metadata.read(made)["version"] == onnx_metadata.read((tmp_path / "tiny.onnx").read_bytes())["version"]
