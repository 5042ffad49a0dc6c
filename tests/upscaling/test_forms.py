"""Between two forms of a network: each end is what was trained, the way is straight, and files that do not fit are told."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from edgesr.errors import EdgesrError
from edgesr.upscaling.engines import load_engine
from edgesr.upscaling.forms import interpolate

onnx = pytest.importorskip("onnx")
from two_forms import half_precision, make, weights


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    return make(tmp_path_factory.mktemp("forms"))


def refusal(model, difference):
    with pytest.raises(EdgesrError) as caught:
        interpolate(model, difference, 0.5)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_default_form_is_the_file_itself(forms):
    assert interpolate(forms.crisp, forms.difference, 0.0) == forms.crisp.read_bytes()


@pytest.mark.parametrize("fidelity", [1e-3, 0.25, 0.5, 1.0])
def test_the_way_between_the_forms_is_straight(forms, fidelity):
    crisp, true = weights(onnx.load(forms.crisp)), weights(onnx.load(forms.true))
    got = weights(onnx.load_model_from_string(interpolate(forms.crisp, forms.difference, fidelity)))
    assert got.keys() == crisp.keys()
    for name, before in crisp.items():
        change = true[name] - before
        assert (np.abs(got[name] - (before + fidelity * change)) <= half_precision(fidelity * change)).all(), name


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_the_fidelity_form_computes_what_its_own_file_does(forms, name):
    pytest.importorskip(name)
    rng = np.random.default_rng(0)
    tile = rng.random((1, 3, 48, 64), np.float32), rng.standard_normal((1, 16, 24, 32), np.float32)
    own, crisp = (load_engine(name, path, 1)(*tile) for path in (forms.true, forms.crisp))
    got = load_engine(name, interpolate(forms.crisp, forms.difference, 1.0), 1)(*tile)
    assert np.abs(own - crisp).max() > 0.02, "nothing to tell the forms apart by"
    assert np.abs(got - own).max() <= 1e-3


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "torch"])
def test_damaged_bytes_are_one_line(forms, name):
    pytest.importorskip(name)
    for data in (forms.crisp.read_bytes()[:100_000], b"not a model", b""):
        with pytest.raises(EdgesrError, match=r"cannot (load the|be read as a) model|not a model file") as caught:
            load_engine(name, data, 1)
        assert "\n" not in str(caught.value)


def test_nothing_but_weights_changes(forms):
    crisp, got = (onnx.load_model_from_string(interpolate(forms.crisp, forms.difference, fidelity)) for fidelity in (0.0, 0.7))
    for proto in (crisp, got):
        for tensor in proto.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                tensor.ClearField("raw_data")
    assert got == crisp
    assert {entry.key for entry in got.metadata_props} >= {"preset", "licence"}


def test_the_files_stay_as_they_are(forms):
    before = [path.read_bytes() for path in forms]
    interpolate(forms.crisp, forms.difference, 0.5)
    assert [path.read_bytes() for path in forms] == before


def test_it_takes_less_memory_than_three_times_the_file(forms):
    tracemalloc.start()
    interpolate(forms.crisp, forms.difference, 0.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * forms.crisp.stat().st_size


def test_files_that_do_not_belong_together_are_both_named(forms):
    message = refusal(forms.true, forms.difference)
    assert str(forms.difference) in message
    assert str(forms.true) in message


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "missing", "flipped"])
def test_a_damaged_difference_is_named(forms, tmp_path, damage):
    data, path = forms.difference.read_bytes(), tmp_path / "tiny-fidelity.npz"
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    if damage != "missing":
        path.write_bytes({"cut": data[:100_000], "text": b"not an archive", "empty": b"", "flipped": flipped}[damage])
    assert str(path) in refusal(forms.crisp, path)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": np.array([[2**40, 10]])},
        {"blocks": np.array([[-8, 10]])},
        {"blocks": np.array([[0, 10]])},
        {"blocks": np.array([0, 10])},
        {"values": np.zeros(10, np.float64)},
        {"values": np.zeros(0, np.float16)},
        {"values": np.array([None])},
    ],
    ids=lambda change: "-".join(f"{key}{value.dtype}{value.tolist()[:1]}" for key, value in change.items()),
)
def test_a_difference_whose_parts_do_not_fit_is_named(forms, tmp_path, change):
    path = tmp_path / "tiny-fidelity.npz"
    with np.load(forms.difference) as archive:
        np.savez(path, **{**archive, **change})
    assert str(path) in refusal(forms.crisp, path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_model_is_named(forms, tmp_path, damage):
    data, path = bytearray(forms.crisp.read_bytes()), tmp_path / "tiny.onnx"
    data[len(data) // 2] ^= 1
    if damage != "missing":
        path.write_bytes(data[:-1000] if damage == "cut" else data)
    assert str(path) in refusal(path, forms.difference)
