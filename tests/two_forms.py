"""Two forms of one network: the released file, and a copy with every weight moved a little, as a further training would."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from edgesr.presets import weights_path

onnx = pytest.importorskip("onnx")

CHANGE = 0.1  # of each tensor's own deviation: moves a result by about a tenth of its range
RELEASED = weights_path("tiny").read_bytes()


class TwoForms(NamedTuple):
    """Files of a folder that the package can take for its own weights."""

    crisp: Path  # the model file
    true: Path  # the other form, whole
    difference: Path  # what leads there


def weights(proto):
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}


def half_precision(change):
    """How far a change of a weight may be off: 11 bits or the smallest step, then added to a weight below 8 in single precision."""
    return 2**-11 * np.abs(change) + 2**-24 + 2**-22


def moved(proto, change=CHANGE):
    """A copy of a model with other weights; the bicubic kernel and single numbers are constants of the graph."""
    rng = np.random.default_rng(0)
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for tensor in copy.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim and "bicubic" not in tensor.name:
            noise = change * max(values.std(), 0.01) * rng.standard_normal(values.shape)
            tensor.raw_data = (values + noise).astype("<f4").tobytes()
    return copy


def make(folder: Path) -> TwoForms:
    from edgesr.export.difference import write_difference

    forms = TwoForms(folder / "tiny.onnx", folder / "true.onnx", folder / "tiny-fidelity.npz")
    forms.crisp.write_bytes(RELEASED)
    forms.true.write_bytes(moved(onnx.load_model_from_string(RELEASED)).SerializeToString())
    write_difference(forms.crisp, forms.true, forms.difference)
    return forms
