"""An ONNX file's metadata, read without the package onnx."""

from __future__ import annotations

import time

import pytest

from edgesr import onnx_metadata
from edgesr.presets import weights_path


def test_metadata_are_what_onnxruntime_reads():
    import onnxruntime

    path = weights_path("tiny")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert onnx_metadata.read(path.read_bytes()) == session.get_modelmeta().custom_metadata_map


@pytest.mark.parametrize("damage", [b"not a model", weights_path("tiny").read_bytes()[:100_000], b"\x0a", b"\x80" * 10 + b"\1"])
def test_damage_is_an_error(damage):
    with pytest.raises(ValueError):
        onnx_metadata.read(damage)


def test_an_empty_file_has_none():
    assert onnx_metadata.read(b"") == {}


def test_what_an_entry_leaves_out_is_empty():
    assert onnx_metadata.read(b"\x72\x03\x0a\x01a" + b"\x72\x03\x12\x01b") == {"a": "", "": "b"}


def test_a_number_without_end_takes_no_time():
    """A million bytes that each announce another one took minutes."""
    began = time.monotonic()
    with pytest.raises(ValueError):
        onnx_metadata.read(b"\xff" * 10**6)
    assert time.monotonic() - began < 1
