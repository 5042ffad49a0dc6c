"""The exported file: what it takes and gives, what it is made of, and that it computes what torch computes."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import edgesr.export.onnx
from edgesr.errors import EdgesrError
from edgesr.export.graph import operators
from edgesr.export.onnx import MAX_DIFFERENCE, export_onnx, to_onnx
from edgesr.model import build
from edgesr.presets import get_preset

IR_VERSION = 10  # the newest that onnxruntime 1.20, the oldest supported, reads


@pytest.fixture(scope="module")
def model():
    """Every layer with weights of its own: a fresh model is bicubic, and would agree however wrong the rest."""
    model = build(get_preset("tiny"), seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            deviation = 0.6 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.05
            parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    difference = export_onnx(model, path, {"license": "Apache-2.0"})
    assert 0 <= difference <= MAX_DIFFERENCE
    return path


@pytest.fixture(scope="module")
def session(exported):
    return onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def proto(exported):
    return onnx.load(exported)


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 4, 4), (1, 64, 40), (2, 12, 100), (1, 4, 200), (3, 32, 32)])
def test_onnxruntime_computes_what_torch_does_at_every_size(model, session, batch, height, width):
    rng = np.random.default_rng(height)
    lr = rng.random((batch, 3, height, width), np.float32)
    eps = rng.standard_normal((batch, 16, height // 2, width // 2), np.float32)
    with torch.no_grad():
        want = model(torch.from_numpy(lr), torch.from_numpy(eps)).numpy()
    got = session.run(["hr"], {"lr": lr, "eps": eps})[0]
    assert got.shape == (batch, 3, 4 * height, 4 * width)
    assert np.abs(got - want).max() <= MAX_DIFFERENCE
    assert want.std() > 0.05, "nothing to compare"


def test_names_types_and_dynamic_sides(session):
    inputs = {node.name: node for node in session.get_inputs()}
    (output,) = session.get_outputs()
    assert inputs.keys() == {"lr", "eps"}
    assert output.name == "hr"
    for node, channels in ((inputs["lr"], 3), (inputs["eps"], 16), (output, 3)):
        assert node.type == "tensor(float)"
        assert node.shape[1] == channels
        assert all(isinstance(side, str) for side in (node.shape[0], *node.shape[2:])), "a fixed side"


def thin(preset):
    """The preset with its own kinds of layers, but few channels: at full width it takes half a minute."""
    return dataclasses.replace(preset, unet=dataclasses.replace(preset.unet, widths=tuple(w // 5 for w in preset.unet.widths)))


@pytest.mark.parametrize(
    ("name", "size"), [("tiny", None), ("tiny", (128, 128)), ("paper", (128, 128))], ids=["any size", "one tile", "GroupNorm"]
)
def test_only_known_operators_on_four_axes(name, size, proto):
    preset = get_preset(name) if name == "tiny" else thin(get_preset(name))
    graph = proto.graph if size is None else onnx.load_model_from_string(to_onnx(build(preset), size)).graph
    assert {node.op_type for node in graph.node} == operators(preset)
    assert {node.domain for node in graph.node} == {""}
    computed = {name for node in graph.node if node.op_type != "Constant" for name in node.output}
    axes = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.value_info if value.name in computed}
    assert set(axes.values()) == {4}


def test_every_runtime_that_is_promised_reads_it(proto):
    onnx.checker.check_model(proto, full_check=True)
    assert proto.ir_version <= IR_VERSION


def test_the_time_is_folded_away(model, proto):
    stored = sum(np.prod(tensor.dims) for tensor in proto.graph.initializer)
    parameters = sum(p.numel() for name, p in model.named_parameters() if "time" not in name)
    constants = sum(buffer.numel() for buffer in model.decoder.buffers())  # bicubic and blurs
    assert parameters <= stored <= parameters + constants + 100


def test_nothing_of_the_exporting_machine_is_in_the_file(exported, proto):
    text = b"\n".join(re.findall(rb"[\x20-\x7e]{6,}", exported.read_bytes()))
    for trace in (b"Traceback", b'File "', b".py", b"site-packages", b"/home/", b"/root/", b"/Users/", b"C:\\", b"edgesr/"):
        assert trace not in text, trace
    assert not any(node.doc_string or node.metadata_props for node in proto.graph.node)


def test_metadata_arrives(session):
    assert session.get_modelmeta().custom_metadata_map == {"license": "Apache-2.0"}


def test_exporting_leaves_the_model_alone(model, exported):
    assert model.unet.time is not None
    assert model.training is False


def test_a_failed_parity_leaves_no_file_and_the_old_one_untouched(model, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(
        edgesr.export.onnx, "to_onnx", lambda *arguments: exported.read_bytes()
    )  # another network's, and sooner
    path = tmp_path / "tiny.onnx"
    path.write_text("the release before")
    broken = build(get_preset("tiny"))
    broken.load_state_dict(model.state_dict())
    broken.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(EdgesrError, match=r"tiny\.onnx") as caught:
        export_onnx(broken, path)
    assert "\n" not in str(caught.value)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("tiny.onnx", "the release before")]
