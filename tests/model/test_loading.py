"""Networks from files: a checkpoint's average, and the released file read back into a network that computes the same."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from edgesr.errors import EdgesrError
from edgesr.model import build, checkpoint
from edgesr.model.conditioning import Variant
from edgesr.model.loading import described, load_averaged, read_back
from edgesr.presets import get_preset, weights_path


@pytest.fixture(scope="module")
def released():
    return onnx.load_model_from_string(weights_path("tiny").read_bytes())


def draws():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 3, 32, 48, generator=generator), torch.randn(1, 16, 16, 24, generator=generator)


def test_a_checkpoint_gives_its_averaged_network_and_what_a_file_needs_to_know(tmp_path):
    variant = Variant(variance="one", lr_skip=False)
    last, average = (build(get_preset("tiny"), seed=seed, variant=variant).state_dict() for seed in (1, 2))
    tensors = {f"net.edge.{name}": tensor for name, tensor in last.items()}
    tensors |= {f"ema.edge.{name}": tensor for name, tensor in average.items() if name.startswith("unet.")}
    state = {"preset": "tiny", "stage": "decoder", "step": 7, "variant": vars(variant), "version": "tiny-1", "seconds": 1.0}
    checkpoint.save(tmp_path / "checkpoint", tensors, state)
    model, metadata = load_averaged(tmp_path / "checkpoint")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, (average if name.startswith("unet.") else last)[name]), name
    assert model.variant == variant
    assert metadata == {
        "preset": "tiny",
        "latent_channels": "16",
        "colour_space": "sRGB",
        "multiple": "4",
        "halo": str(get_preset("tiny").halo),
        "variant": '{"conditioning": "bidirectional", "variance": "one", "lr_skip": false, "smoothing": true}',
        "stage": "decoder",
        "steps": "7",
        "licence": "Apache-2.0",
        "version": "tiny-1",
    }


@torch.no_grad()
def test_the_released_file_read_back_computes_what_onnxruntime_does(released):
    import onnxruntime

    data = released.SerializeToString()
    model, metadata = read_back(data, "tiny.onnx")
    assert metadata.items() >= described(model).items()
    lr, eps = draws()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    [want] = session.run(None, dict(zip(names, (lr.numpy(), eps.numpy()), strict=True)))
    assert torch.allclose(model(lr, eps), torch.from_numpy(want), atol=1e-4)


@torch.no_grad()
def test_files_of_the_first_release_negate_the_latent_by_a_node_and_name_the_stem_otherwise(released):
    old = onnx.ModelProto.FromString(released.SerializeToString())
    for tensor in old.graph.initializer:
        if tensor.name == "encoder.stem.weight":
            tensor.name = "pixel_shuffle"
        if tensor.name.startswith("unet.conv_out."):
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))
    kept = [item for item in old.metadata_props if item.key not in ("variant", "latent_channels")]
    del old.metadata_props[:]
    old.metadata_props.extend(kept)
    old.graph.node.append(onnx.helper.make_node("Neg", ["v"], ["z0"]))
    new, first = (read_back(data, "f.onnx")[0] for data in (changed(released, variant="{}"), old.SerializeToString()))
    assert torch.equal(new(*draws()), first(*draws()))


def test_biases_that_are_left_out_are_zero(released):
    without = onnx.ModelProto.FromString(released.SerializeToString())
    [bias] = [tensor for tensor in without.graph.initializer if tensor.name == "unet.conv_out.bias"]
    without.graph.initializer.remove(bias)
    model, _ = read_back(without.SerializeToString(), "f.onnx")
    assert not model.state_dict()["unet.conv_out.bias"].any()


def changed(released, **metadata):
    proto = onnx.ModelProto.FromString(released.SerializeToString())
    kept = {item.key: item.value for item in proto.metadata_props} | metadata
    del proto.metadata_props[:]
    for key, value in kept.items():
        proto.metadata_props.add(key=key, value=value)
    return proto.SerializeToString()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"preset": "other"}, "names no preset"),
        ({"preset": "small"}, "do not match 'small'"),
        ({"latent_channels": "8"}, "do not match 'tiny'"),
        ({"latent_channels": "many"}, "do not match 'tiny'"),
        ({"variant": '{"conditioning": "standard"}'}, "do not match 'tiny'"),
        ({"variant": '{"unknown": 1}'}, "do not match 'tiny'"),
    ],
)
def test_what_does_not_fit_is_named(released, metadata, words):
    with pytest.raises(EdgesrError, match=rf"f\.onnx: .*{words}"):
        read_back(changed(released, **metadata), "f.onnx")


def test_what_is_no_model_is_named():
    with pytest.raises(EdgesrError, match=r"f\.onnx: cannot be read as a model file"):
        read_back(b"nonsense", "f.onnx")
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    with pytest.raises(EdgesrError, match="names no preset"):
        read_back(empty.SerializeToString(), "f.onnx")
