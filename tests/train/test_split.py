"""What splitting a checkpoint promises: parts within the limits, every bit back, nothing lost in transfer or at the target."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from awkward_tensors import awkward_tensors, bits

from edgesr.errors import UsageError
from edgesr.model import build, checkpoint
from edgesr.presets import get_preset
from edgesr.train.split import pack, unpack

MB = 1_000_000
PART_MB = 16


def state_of(step, **more):
    return {"preset": "tiny", "stage": "end-to-end", "step": step, "seconds": 0.1 + 0.2, **more}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkpoint of 38 MB with everything a training leaves: networks, their average, moments, counts."""
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "net.edge.large": torch.randn(600, 700, 3, 3, generator=generator),
        "ema.edge.large": torch.randn(600, 700, 3, 3, generator=generator),
        "net.hr_encoder.stem": torch.randn(50_000, 10, generator=generator),
        "optimizer.0.exp_avg": torch.randn(600, 2500, generator=generator),
        "optimizer.0.step": torch.tensor(19_001.0),
    }
    folder = tmp_path_factory.mktemp("source") / "checkpoint"
    checkpoint.save(folder, tensors | {f"net.{k}": v for k, v in awkward_tensors().items()}, state_of(200))
    return folder


@pytest.fixture(scope="module")
def packed(source, tmp_path_factory):
    return pack(source, tmp_path_factory.mktemp("packed"), part_mb=PART_MB)


@pytest.fixture
def parts(packed, tmp_path):  # free to be damaged
    return [shutil.copytree(part, tmp_path / "arrived" / part.name) for part in packed]


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def assert_same(folder, source):
    (got, got_state), (want, want_state) = checkpoint.load(folder), checkpoint.load(source)
    assert got_state == want_state
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        assert got[name].dtype == tensor.dtype
        assert got[name].shape == tensor.shape
        assert torch.equal(bits(got[name]), bits(tensor)), name


def test_every_bit_comes_back_whatever_the_order(packed, source, tmp_path):
    state = unpack([*reversed(packed), packed[0]], tmp_path / "home" / "checkpoint")
    assert state["step"] == 200
    assert_same(tmp_path / "home" / "checkpoint", source)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("part_mb", [1, 20, 62, 105])
def test_parts_keep_the_limits_and_go_full(source, tmp_path, part_mb):
    made = pack(source, tmp_path / "parts", part_mb=part_mb)
    assert [part.name for part in made] == [f"part-{i:02d}" for i in range(len(made))]
    sizes = [[path.stat().st_size for path in part.iterdir()] for part in made]
    assert all(len(files) <= 8 and max(files) <= 15 * MB and sum(files) <= part_mb * MB for files in sizes)
    assert all(sum(files) > 0.99 * part_mb * MB for files in sizes[:-1])
    unpack(made, tmp_path / "checkpoint")
    assert_same(tmp_path / "checkpoint", source)


def test_each_part_describes_itself(packed):
    tables = [json.loads((part / "part.json").read_text()) for part in packed]
    assert [(table["index"], table["count"]) for table in tables] == [(i, len(packed)) for i in range(len(packed))]
    assert len({table["checkpoint"] for table in tables}) == 1
    for part, table in zip(packed, tables, strict=True):
        assert sorted([*table["files"], "part.json"]) == tree(part)
        for name, digest in table["files"].items():
            assert hashlib.sha256((part / name).read_bytes()).hexdigest() == digest


def test_a_lost_part_can_be_packed_again(packed, source, tmp_path):
    again = pack(source, tmp_path, part_mb=PART_MB)
    unpack([packed[0], *again[1:]], tmp_path / "checkpoint")
    assert_same(tmp_path / "checkpoint", source)


def test_missing_parts_are_named(parts, tmp_path):
    with pytest.raises(UsageError, match="step 200 was split into 3 parts, and these are missing: part-00, part-02;") as caught:
        unpack([parts[1]], tmp_path / "checkpoint")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ("a bit", "part-01/002.piece: damaged in transfer; copy this part again"),
        ("half a file", "part-01/002.piece: damaged"),
        ("no file", "part-01/002.piece: No such file"),
        ("half a manifest", "part-01/part.json: damaged"),
        ("no field", "part-01/part.json: damaged"),
        ("a field of another kind", "part-01/part.json: damaged"),
        ("a file outside", "part-01/part.json: damaged"),
        ("no part", "part-01: holds no part.json"),
        ("another checkpoint", "part-01: is of another checkpoint (step 300) than"),
    ],
)
def test_a_damaged_part_is_one_line_that_names_it(parts, tmp_path, damage, word):
    part, manifest = parts[1] / "002.piece", parts[1] / "part.json"
    table = json.loads(manifest.read_text())
    match damage:
        case "a bit":
            data = bytearray(part.read_bytes())
            data[1234] ^= 4
            part.write_bytes(data)
        case "half a file":
            part.write_bytes(part.read_bytes()[: 5 * MB])
        case "no file":
            part.unlink()
        case "half a manifest":
            manifest.write_text(manifest.read_text()[:200])
        case "no field":
            manifest.write_text(json.dumps({**table, "index": 1, "files": None}))
        case "a field of another kind":
            manifest.write_text(json.dumps({**table, "state": ["step", 200]}))
        case "a file outside":
            manifest.write_text(json.dumps({**table, "layout": {"../../evil": 3}}))
        case "no part":
            shutil.rmtree(parts[1])
        case "another checkpoint":
            checkpoint.save(tmp_path / "other", {"ema.a": torch.rand(3)}, state_of(300))
            shutil.rmtree(parts[1])
            (other,) = pack(tmp_path / "other", tmp_path / "others")
            other.rename(parts[1])
    checkpoint.save(tmp_path / "home" / "checkpoint", {"ema.a": torch.zeros(1)}, state_of(100))
    with pytest.raises(UsageError) as caught:
        unpack(parts, tmp_path / "home" / "checkpoint")
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert checkpoint.load(tmp_path / "home" / "checkpoint")[1]["step"] == 100
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["checkpoint"]


def test_only_ema_takes_every_network_as_averaged_or_frozen_and_nothing_else(source, tmp_path):
    (part,) = pack(source, tmp_path, only_ema=True, part_mb=60)
    unpack([part], tmp_path / "checkpoint")
    (got, state), (want, _) = checkpoint.load(tmp_path / "checkpoint"), checkpoint.load(source)
    assert set(got) == {f"ema.{name}" for name in checkpoint.part(want, "net.")}
    assert torch.equal(got["ema.edge.large"], want["ema.edge.large"])
    assert torch.equal(got["ema.hr_encoder.stem"], want["net.hr_encoder.stem"])  # frozen: there is no other
    assert state == state_of(200, reduced=["only ema"])


def test_only_ema_takes_a_teacher_where_it_was_trained_and_not_where_it_taught(tmp_path):
    taught = {"net.edge.a": torch.rand(2), "ema.edge.a": torch.rand(2), "net.teacher.a": torch.rand(2)}
    for name, tensors in {"teacher": taught | {"ema.teacher.a": torch.rand(2)}, "student": taught}.items():
        checkpoint.save(tmp_path / name, tensors, state_of(1))
        unpack(pack(tmp_path / name, tmp_path / f"{name}-parts", only_ema=True), tmp_path / f"{name}-home")
    assert set(checkpoint.load(tmp_path / "teacher-home")[0]) == {"ema.edge.a", "ema.teacher.a"}
    assert set(checkpoint.load(tmp_path / "student-home")[0]) == {"ema.edge.a"}


def test_a_checkpoint_without_networks_is_refused_for_only_ema(tmp_path):
    checkpoint.save(tmp_path / "checkpoint", {"optimizer.0.step": torch.tensor(1.0)}, state_of(1))
    with pytest.raises(UsageError, match="no averaged weights"):
        pack(tmp_path / "checkpoint", tmp_path / "parts", only_ema=True)


def test_half_rounds_the_weights_and_nothing_else(source, tmp_path):
    unpack(pack(source, tmp_path / "parts", half=True), tmp_path / "checkpoint")
    (got, state), (want, _) = checkpoint.load(tmp_path / "checkpoint"), checkpoint.load(source)
    assert got.keys() == want.keys()
    for name, tensor in want.items():
        rounded = tensor.dtype == torch.float32 and tensor.dim() >= 2
        assert torch.equal(bits(got[name]), bits(tensor.bfloat16() if rounded else tensor)), name
    assert got["optimizer.0.step"] == 19_001  # in bfloat16 it would be 18944
    assert state["reduced"] == ["half"]


def test_a_release_packed_small_loads_into_the_network_and_makes_nearly_the_same_picture(tmp_path):
    model, loaded = build(get_preset("tiny"), seed=1), build(get_preset("tiny"), seed=2)
    averaged = {f"ema.{name}": tensor for name, tensor in model.state_dict().items()}
    averaged["ema.decoder.conv_out.weight"] = torch.randn_like(averaged["ema.decoder.conv_out.weight"]) / 50  # not from zero
    model.load_state_dict(checkpoint.part(averaged, "ema."))
    checkpoint.save(tmp_path / "run", averaged | {"optimizer.0.exp_avg": torch.rand(9)}, state_of(1))
    (part,) = pack(tmp_path / "run", tmp_path / "parts", only_ema=True, half=True)
    whole = sum(tensor.nbytes for tensor in averaged.values())
    assert sum(path.stat().st_size for path in part.iterdir()) < 0.52 * whole
    unpack([part], tmp_path / "home")
    checkpoint.load_into(loaded, checkpoint.load(tmp_path / "home")[0], "ema.", tmp_path / "home")
    lr, noise = torch.rand(1, 3, 32, 32), torch.randn(1, 16, 16, 16)
    with torch.no_grad():
        difference = (loaded(lr, noise) - model(lr, noise)).abs().max()
    assert 0 < difference < 0.05
    with pytest.raises(UsageError, match="cannot be resumed"):
        checkpoint.load_into(loaded, checkpoint.load(tmp_path / "home")[0], "net.", tmp_path / "home")


def make(folder, step, *, reduced=(), stage="end-to-end"):
    state = state_of(step, stage=stage) | ({"reduced": list(reduced)} if reduced else {})
    checkpoint.save(folder, {"ema.a": torch.full((3, 3), float(step))}, state)


@pytest.mark.parametrize(
    ("there", "arriving", "refusal"),
    [
        ({"step": 100}, {"step": 200}, None),
        ({"step": 200}, {"step": 200}, None),
        ({"step": 300}, {"step": 200}, "has step 300, later than step 200 of the parts"),
        ({"step": 100, "stage": "decoder"}, {"step": 200}, "is of another run (tiny decoder)"),
        ({"step": 100}, {"step": 200, "reduced": ["half"]}, "holds more than the parts (packed with: half)"),
        ({"step": 100, "reduced": ["half"]}, {"step": 200, "reduced": ["half"]}, None),
        ({"step": 100, "reduced": ["half", "only ema"]}, {"step": 200}, None),
    ],
)
def test_only_an_earlier_checkpoint_of_the_same_run_is_replaced_unless_asked(tmp_path, there, arriving, refusal):
    home, sent = tmp_path / "home" / "checkpoint", tmp_path / "sent"
    make(home, **there)
    make(sent, **arriving)
    parts = pack(sent, tmp_path / "parts")
    if refusal:
        with pytest.raises(UsageError) as caught:
            unpack(parts, home)
        assert refusal in str(caught.value)
        assert "--overwrite" in str(caught.value)
        assert checkpoint.load(home)[1]["step"] == there["step"]
        unpack(parts, home, overwrite=True)
    else:
        unpack(parts, home)
    assert_same(home, sent)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_no_checkpoint_is_never_replaced(packed, tmp_path, what):
    precious = tmp_path / "runs"
    if what == "folder":
        precious.mkdir()
        (precious / "photo.png").write_text("mine")
    else:
        precious.write_text("mine")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="is not a checkpoint"):
        unpack(packed, precious, overwrite=True)
    assert tree(tmp_path) == before


def test_parts_are_never_mixed_with_earlier_ones(packed, source):
    before = tree(packed[0].parent)
    with pytest.raises(UsageError, match="holds parts already"):
        pack(source, packed[0].parent)
    assert tree(packed[0].parent) == before


# A limit on the size of files stands in for a full disk: the system refuses the write in the same place.
LIMITED = """
import resource, sys
from pathlib import Path
from edgesr.errors import EdgesrError
from edgesr.train.split import pack, unpack
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000_000, 9_000_000))
verb, target, *sources = sys.argv[1:]
try:
    pack(Path(sources[0]), Path(target)) if verb == "pack" else unpack(list(map(Path, sources)), Path(target))
except EdgesrError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits as POSIX has them")
@pytest.mark.parametrize(("verb", "word"), [("pack", "cannot write the parts"), ("unpack", "cannot write the checkpoint")])
def test_a_full_disk_is_one_line_and_loses_nothing(packed, source, tmp_path, verb, word):
    make(tmp_path / "home", 100)
    target, sources = (tmp_path / "parts", [source]) if verb == "pack" else (tmp_path / "home", packed)
    command = [sys.executable, "-c", LIMITED, verb, target, *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert word in done.stdout
    assert done.stdout.count("\n") == 1
    assert checkpoint.load(tmp_path / "home")[1]["step"] == 100
    assert tree(tmp_path) == ["home", "home/000.safetensors", "home/state.json", *(["parts"] if verb == "pack" else [])]
