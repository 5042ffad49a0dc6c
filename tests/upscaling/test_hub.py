"""Model folders, and the Hugging Face Hub: offline, and where it cannot be reached. No test uploads or downloads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, ENVIRONMENT, edgesr_
from PIL import Image

from edgesr import Upscaler
from edgesr.errors import EdgesrError, InputError, UsageError
from edgesr.presets import WEIGHTS

ROOT = Path(__file__).parents[2]
LR = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
EXACT = {"engine": "onnxruntime", "precision": "fp32"}
AWAY = {**ENVIRONMENT, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_ETAG_TIMEOUT": "1"}  # a port where nobody listens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Upscaler(**EXACT).save_pretrained(tmp_path_factory.mktemp("models") / "edgesr-tiny")


@pytest.mark.parametrize("fidelity", [0, 0.5, 1])
def test_a_saved_folder_gives_what_the_packages_weights_give(folder: Path, fidelity: float) -> None:
    expected = Upscaler(fidelity=fidelity, **EXACT)
    for model in (folder, str(folder)):
        loaded = Upscaler.from_pretrained(model, fidelity=fidelity, **EXACT)
        assert loaded.model == "tiny"
        assert np.array_equal(loaded(LR), expected(LR))


def test_a_saved_folder_has_the_files_in_8_bits(folder: Path) -> None:
    options = {"engine": "onnxruntime", "precision": "int8"}
    assert np.array_equal(Upscaler.from_pretrained(folder, **options)(LR), Upscaler(**options)(LR))


def test_the_command_takes_the_folder(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(LR).save(tmp_path / "a.png")
    done = edgesr_("upscale", "a.png", "--weights", str(folder), "--fidelity", "1", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(tmp_path / "a_4x.png") as picture:
        assert picture.size == (96, 80)


@pytest.mark.parametrize("name", ["tiny.onnx", "tiny-fidelity.npz", "tiny-int8.onnx"])
def test_a_damaged_or_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(EdgesrError, match=f"{name}: damaged: .*download it again"):
        Upscaler.from_pretrained(copy, **EXACT)
    (copy / name).unlink()
    with pytest.raises(EdgesrError, match=f"{name} is missing"):
        Upscaler.from_pretrained(copy, **EXACT)


def test_the_card_says_licence_and_figures_and_links_nowhere_that_is_not_there(folder: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard.load(folder / "README.md")
    assert card.data.license == "apache-2.0"
    assert card.data.library_name == "edgesr"
    assert {"super-resolution", "onnx"} <= set(card.data.tags)
    assert "](.." not in card.content and "](training" not in card.content
    measured = json.loads((ROOT / "docs" / "results.json").read_text())
    figures = {each.dataset_name: each.metric_value for each in card.data.eval_results}
    assert figures == {suite: round(measured[suite]["edgesr:tiny"]["psnr"], 2) for suite in figures}
    assert len(figures) == 4


def test_own_weights_are_saved_as_they_are(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(WEIGHTS.joinpath("tiny.onnx").read_bytes())
    saved = Upscaler(weights=own, **EXACT).save_pretrained(tmp_path / "model")
    assert sorted(path.name for path in saved.iterdir()) == ["README.md", "SHA256SUMS", "config.json", "tiny.onnx"]
    assert np.array_equal(Upscaler.from_pretrained(saved, **EXACT)(LR), Upscaler(**EXACT)(LR))
    with pytest.raises(UsageError, match="one form only"):
        Upscaler.from_pretrained(saved, fidelity=1, **EXACT)


def test_what_is_no_model_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder, and no name of a model"):
        Upscaler.from_pretrained("nowhere")
    with pytest.raises(UsageError, match="has no model file"):
        Upscaler.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="is not empty"):
        Upscaler(**EXACT).save_pretrained(folder)
    with pytest.raises(UsageError, match="name it as on the Hugging Face Hub"):
        Upscaler(**EXACT).push_to_hub("edgesr-tiny")


def test_without_network_one_line_says_so(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    environment = {**AWAY, "HF_HOME": str(tmp_path)}
    script = (
        "from edgesr import Upscaler\nfrom edgesr.errors import EdgesrError\n"
        "for call in (lambda: Upscaler.from_pretrained('name/edgesr-tiny'), lambda: Upscaler().push_to_hub('a/b', token='hf_x')):\n"
        "    try:\n        call()\n    except EdgesrError as error:\n        print(error)\n"
    )
    done = run(script, environment, tmp_path)
    assert [line.partition(": ")[2].partition(";")[0] for line in done] == ["the Hugging Face Hub cannot be reached"] * 2
    command = edgesr_with(environment, "models", "--download", "name/edgesr-tiny", "-o", str(tmp_path / "new"))
    assert command.startswith("edgesr: name/edgesr-tiny: the Hugging Face Hub cannot be reached")


def run(script: str, environment: dict[str, str], place: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=place, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.splitlines()


def edgesr_with(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run([*COMMAND, *words], env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    return line


def test_o_needs_download() -> None:
    assert b"-o needs --download" in edgesr_("models", "-o", "x").stderr
    assert not os.path.lexists("x")
