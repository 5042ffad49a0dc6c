"""From a training's checkpoint to what others get."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from release import main  # noqa: E402

from edgesr.errors import UsageError  # noqa: E402
from edgesr.model import checkpoint  # noqa: E402
from edgesr.model.loading import load_averaged  # noqa: E402
from edgesr.presets import get_preset  # noqa: E402
from edgesr.train.networks import Networks  # noqa: E402


@pytest.fixture
def trained(tmp_path):
    """A checkpoint whose averaged weights differ from the last ones."""
    nets, average = Networks(get_preset("tiny"), 0).state_dict(), Networks(get_preset("tiny"), 1).state_dict()
    tensors = {f"net.{k}": v for k, v in nets.items()} | {f"ema.{k}": v for k, v in average.items()}
    checkpoint.save(tmp_path / "run", tensors, {"preset": "tiny", "stage": "end-to-end", "step": 7, "seconds": 1.0})
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


def test_a_mixture_lies_between_two_checkpoints(trained, tmp_path, monkeypatch, capsys):
    folder, average = trained
    other = Networks(get_preset("tiny"), 2).state_dict()
    checkpoint.save(
        tmp_path / "other",
        {f"ema.{k}": v for k, v in other.items()},
        {"preset": "tiny", "stage": "end-to-end", "step": 9, "seconds": 1.0},
    )
    command = ["release.py", str(folder), str(tmp_path / "mixed"), "--mix"]
    monkeypatch.setattr(sys, "argv", [*command, f"{tmp_path / 'other'}=0.25"])
    assert main() == 0
    tensors, _ = checkpoint.load(tmp_path / "mixed")
    for name, value in checkpoint.averaged(tensors).items():
        assert torch.allclose(value, 0.75 * average[name].float() + 0.25 * other[name].float(), atol=1e-6)
    for wrong in (f"{tmp_path / 'other'}=2", str(tmp_path / "other")):
        monkeypatch.setattr(sys, "argv", [*command, wrong])
        with pytest.raises(SystemExit):
            main()
        assert "is not FOLDER=SHARE" in capsys.readouterr().err
