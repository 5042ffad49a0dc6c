"""Training on an autoencoder of others: the latent has its channels everywhere, from the first step to the exported network."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from photographs import make_folder, write_recipe

from edgesr.errors import UsageError
from edgesr.model import checkpoint
from edgesr.model.loading import load_averaged
from edgesr.presets import PRESETS
from edgesr.pretrained.stable_diffusion import start_from_unet
from edgesr.train import run
from edgesr.train.networks import ModelConfig, Networks

FEW_STEPS = ["optimizer.steps=2", "log.validate=9", "data.hr_size=128", "log.every=1"]


@pytest.fixture(autouse=True)
def thin_paper(monkeypatch):
    """`paper` with its own kinds of layers, but few channels."""
    paper = PRESETS["paper"]
    unet = dataclasses.replace(paper.unet, widths=(32, 32, 64, 64), time_width=32)
    monkeypatch.setitem(PRESETS, "paper", dataclasses.replace(paper, unet=unet))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Folders as diffusers writes them: autoencoders of 4 channels (Stable Diffusion's) and 16 (SD3's), and a UNet for 4."""
    folder, levels = tmp_path_factory.mktemp("others"), 4
    torch.manual_seed(0)
    for channels in (4, 16):
        diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=(8, 8, 16, 16),
            norm_num_groups=4,
            latent_channels=channels,
        ).save_pretrained(folder / f"vae-{channels}")
    diffusers.UNet2DConditionModel(
        block_out_channels=(32, 32, 64, 64),
        down_block_types=("DownBlock2D",) * 4,
        up_block_types=("UpBlock2D",) * 4,
        cross_attention_dim=8,
        attention_head_dim=8,
    ).save_pretrained(folder / "unet")
    return folder


@pytest.mark.parametrize("channels", [4, 16])
def test_paper_trains_resumes_and_exports_with_the_channels_of_the_autoencoder(others, tmp_path, channels):
    folder = make_folder(tmp_path)
    settings = ["preset=paper", f"model.hr_encoder={others / f'vae-{channels}'}", f"model.unet={others / 'unet'}", *FEW_STEPS]
    recipe, out = write_recipe(folder, "end-to-end"), tmp_path / "out"
    run.train(recipe, out, overrides=settings)
    tensors, state = checkpoint.load(out / "checkpoint")
    assert state["latent_channels"] == channels
    assert tensors["net.edge.encoder.head.weight"].shape[0] == 2 * channels
    assert not any("hr_encoder" in name for name in tensors)
    run.train(recipe, out, resume=True, overrides=[*settings, "optimizer.steps=3"])
    assert checkpoint.load_state(out / "checkpoint")["step"] == 3
    model, _ = load_averaged(out / "checkpoint")
    assert model.preset.latent_channels == channels
    with torch.no_grad():
        assert model(torch.rand(1, 3, 16, 16), torch.randn(1, channels, 8, 8)).shape == (1, 3, 64, 64)
    other = f"model.hr_encoder={others / f'vae-{20 - channels}'}"
    with pytest.raises(UsageError, match="hr_encoder"):
        run.train(recipe, tmp_path / "next", overrides=[*settings, other, f"init={out / 'checkpoint'}"])


@pytest.mark.parametrize("channels", [4, 16])
def test_the_unet_of_stable_diffusion_is_where_it_was_asked_for(others, channels):
    config = ModelConfig(hr_encoder=str(others / f"vae-{channels}"), unet=str(others / "unet"))
    nets, bare = Networks(PRESETS["paper"], 0, config), Networks(PRESETS["paper"], 0, dataclasses.replace(config, unet=""))
    start_from_unet(bare.edge.unet, str(others / "unet"))
    fresh, started = (each.edge.unet.state_dict() for each in (bare, nets))
    assert all(torch.equal(value, started[name]) for name, value in fresh.items())


def test_every_preset_takes_the_channels_of_the_autoencoder(others):
    for name in ("tiny", "small"):
        nets = Networks(PRESETS[name], 0, ModelConfig(hr_encoder=str(others / "vae-4")), with_teacher=True)
        assert nets.edge.preset.latent_channels == nets.teacher.preset.latent_channels == 4
        assert nets.edge.unet.conv_in.in_channels == nets.teacher.unet.conv_out.out_channels == 4
        assert PRESETS[name].latent_channels == 16


def test_an_autoencoder_whose_channels_are_no_pairs_is_refused(tmp_path):
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    diffusers.AutoencoderKL(block_out_channels=(8,) * 4, norm_num_groups=4, latent_channels=3, **blocks).save_pretrained(
        tmp_path
    )
    with pytest.raises(UsageError, match="3 latent channels"):
        Networks(PRESETS["tiny"], 0, ModelConfig(hr_encoder=str(tmp_path)))
