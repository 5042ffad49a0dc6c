"""A checkpoint of other networks is refused by the name of what differs, though its tensors may have the same shapes."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from photographs import make_folder, write_recipe

from edgesr.errors import UsageError
from edgesr.model import checkpoint
from edgesr.presets import get_preset
from edgesr.train import run
from edgesr.train.identity import check_init, check_resumed, identity
from edgesr.train.networks import ModelConfig, Networks
from edgesr.train.recipe import Recipe

WHERE = Path("runs/before/checkpoint")


@pytest.fixture(scope="module")
def nets():
    return Networks(get_preset("tiny"), 0)


def ours(stage="end-to-end", **model):
    return Recipe(stage, model=ModelConfig(**model))


def refusal(check, state, recipe, nets):
    with pytest.raises(UsageError) as caught:
        check(state, recipe, nets, WHERE)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{WHERE}: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"preset": "small"}, "preset 'small', and the recipe 'tiny'"),
        ({"latent_channels": 4}, "latent channels 4, and the recipe 16"),
        ({"hr_encoder": "a/vae"}, "model.hr_encoder 'a/vae', and the recipe ''"),
        (
            {"variant": {"conditioning": "bidirectional", "variance": "learned", "lr_skip": False}},
            "model.lr_skip false, and the",
        ),
        ({"variant": {"conditioning": "standard", "variance": "learned", "lr_skip": True}}, "model.conditioning 'standard'"),
        ({"variant": {"conditioning": "bidirectional", "variance": "zero", "lr_skip": True}}, "model.variance 'zero'"),
    ],
)
@pytest.mark.parametrize("check", [check_init, check_resumed])
def test_what_differs_is_named(nets, check, there, said):
    recipe = ours()
    assert said in refusal(check, {**identity(recipe, nets), **there}, recipe, nets)


def test_what_a_stage_before_may_have_otherwise(nets):
    recipe = ours(lr_encoder="frozen", variance="zero")
    before = identity(ours("autoencoder"), nets)
    check_init(before, recipe, nets, WHERE)
    assert "model.variance 'learned'" in refusal(check_init, {**before, "stage": "student-x4"}, recipe, nets)


def test_a_checkpoint_of_the_first_release_is_of_the_default_variant(nets):
    old = {"preset": "tiny", "stage": "end-to-end", "step": 7, "seconds": 1.0}
    check_init(old, ours(), nets, WHERE)
    assert "model.lr_skip true, and the recipe false" in refusal(check_init, old, ours(lr_skip=False), nets)


def test_a_network_may_begin_to_smooth_and_not_stop_to(nets):
    before = identity(ours(smoothing=False), nets)
    check_init(before, ours(), nets, WHERE)
    assert "model.smoothing false, and the recipe true" in refusal(check_resumed, before, ours(), nets)
    after = identity(ours(), nets)
    assert "model.smoothing true, and the recipe false" in refusal(check_init, after, ours(smoothing=False), nets)


def test_a_network_that_begins_to_smooth_computes_what_it_did():
    before, after = (
        Networks(get_preset("tiny"), seed, config=ModelConfig(smoothing=on)) for seed, on in ((0, False), (1, True))
    )
    torch.nn.init.normal_(before.edge.decoder.conv_out.weight, std=0.05)
    after.load(before.kept(), WHERE)
    lr, eps = torch.rand(1, 3, 16, 24), torch.randn(1, 16, 8, 12)
    with torch.no_grad():
        assert torch.equal(after.edge(lr, eps), before.edge(lr, eps))


@pytest.mark.parametrize("check", [check_init, check_resumed])
def test_an_hr_encoder_of_others_is_known_by_its_weights_and_not_by_its_place(nets, monkeypatch, check):
    monkeypatch.setattr(nets, "hr_encoder_sha256", "aa")
    recipe = ours(hr_encoder="here/vae")
    state = identity(recipe, nets)
    check({**state, "hr_encoder": "there/vae"}, recipe, nets, WHERE)
    assert "'here/vae (bb)'" in refusal(check, {**state, "hr_encoder_sha256": "bb"}, recipe, nets)
    unknown = {name: value for name, value in state.items() if name != "hr_encoder_sha256"}
    assert "'there/vae'" in refusal(check, {**unknown, "hr_encoder": "there/vae"}, recipe, nets)


def test_a_training_refuses_such_a_start_before_its_first_step(nets, tmp_path):
    folder, recipe = make_folder(tmp_path), ours(variance="one")
    tensors = {f"net.{name}": tensor for name, tensor in nets.state_dict().items()}
    checkpoint.save(folder / "before", tensors, {**identity(recipe, nets), "step": 1, "seconds": 0.0})
    with pytest.raises(UsageError, match=r"before: the checkpoint has model\.variance 'one', and the recipe 'learned'; set it"):
        run.train(write_recipe(folder, "end-to-end", folder / "before"), tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoint").exists()
