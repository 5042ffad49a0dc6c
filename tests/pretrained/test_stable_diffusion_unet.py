"""Stable Diffusion's UNet, small and with random weights but saved and read as the real one is, fills ours."""

from __future__ import annotations

import copy
import logging

import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from edgesr.errors import UsageError
from edgesr.model.unet import StableDiffusionUNet
from edgesr.presets import StableDiffusionUNetConfig
from edgesr.pretrained.stable_diffusion import start_from_unet


def source_unet(widths=(16, 32, 32), *, blocks=2, silent_attention=False, **options):
    """Stable Diffusion's UNet in small: attention on all levels but the coarsest, and in the middle."""
    torch.manual_seed(1)
    attended = len(widths) - 1
    network = diffusers.UNet2DConditionModel(
        block_out_channels=widths,
        layers_per_block=blocks,
        down_block_types=("CrossAttnDownBlock2D",) * attended + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attended,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=4,
        **options,
    ).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" in name:  # or all are 1 and 0, and a mistake in their order goes unseen
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
            if silent_attention and "proj_out" in name:  # then attention adds nothing to its input
                parameter.zero_()
    return network


def our_unet(widths=(8, 16, 16), *, time_width=None, channels=4):
    torch.manual_seed(2)
    config = StableDiffusionUNetConfig(widths, blocks=2, groups=4, time_width=time_width or 4 * widths[0])
    return StableDiffusionUNet(config, channels, channels).eval()


def unconditional_unet():
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    return diffusers.UNet2DModel(block_out_channels=(8, 8), norm_num_groups=4, **blocks)


def test_a_unet_of_the_same_widths_computes_the_same(tmp_path):
    """Proves the mapping, the order of the skips, the norms and the time embedding; attention, which we leave out, is silent."""
    widths = (8, 16, 32, 32)
    source = source_unet(widths, silent_attention=True)
    source.save_pretrained(tmp_path)
    ours = our_unet(widths)
    assert start_from_unet(ours, str(tmp_path)) == sum(p.numel() for p in ours.parameters())
    z_t, text = torch.randn(3, 4, 16, 24), torch.randn(3, 5, 8)
    t = torch.tensor([0.0, 0.25, 0.999])
    with torch.no_grad():
        want = source(z_t, 1000 * t, text).sample
        torch.testing.assert_close(ours(z_t, t), want, atol=1e-4, rtol=1e-4)
    assert want.std() > 0.1


def test_a_wider_unet_gives_the_first_channels_of_every_layer(tmp_path):
    source = source_unet((16, 32, 32))
    source.save_pretrained(tmp_path / "unet")
    theirs, ours = source.state_dict(), our_unet((8, 16, 16))
    assert start_from_unet(ours, str(tmp_path)) == sum(p.numel() for p in ours.parameters())
    mine = ours.state_dict()

    def taken(name, layer, rows, columns=None):
        for kind in ("weight", "bias"):
            want = theirs[f"{layer}.{kind}"][rows]
            want = want[:, columns] if kind == "weight" and columns is not None else want
            assert torch.equal(mine[f"{name}.{kind}"], want), name

    first8, first16 = list(range(8)), list(range(16))
    taken("conv_in", "conv_in", first8, range(4))
    taken("time.linear2", "time_embedding.linear_2", list(range(32)), list(range(32)))
    taken("down.1.0.norm1", "down_blocks.1.resnets.0.norm1", first8)
    taken("down.1.0.conv1", "down_blocks.1.resnets.0.conv1", first16, first8)
    taken("down.1.0.time", "down_blocks.1.resnets.0.time_emb_proj", first16, list(range(32)))
    taken("down.1.0.shortcut", "down_blocks.1.resnets.0.conv_shortcut", first16, first8)
    taken("downsample.1", "down_blocks.1.downsamplers.0.conv", first16, first16)
    taken("middle.1.conv2", "mid_block.resnets.1.conv2", first16, first16)
    taken("upsample.0", "up_blocks.0.upsamplers.0.conv", first16, first16)
    taken("norm_out", "conv_norm_out", first8)
    taken("conv_out", "conv_out", range(4), first8)
    halves = {  # concat(x, skip): the first of x, then the first of skip, which starts behind all of their x
        "up.0.0": [*first16, *range(32, 48)],  # 32 + 32 channels there, 16 + 16 here
        "up.1.2": [*first16, *range(32, 40)],  # 32 + 16, 16 + 8
        "up.2.0": [*first16, *range(32, 40)],  # 32 + 16, 16 + 8
        "up.2.1": [*first8, *range(16, 24)],  # 16 + 16, 8 + 8
    }
    for name, channels in halves.items():
        _, level, block = name.split(".")
        layer, rows = f"up_blocks.{level}.resnets.{block}", first8 if level == "2" else first16
        taken(f"{name}.norm1", f"{layer}.norm1", channels)
        taken(f"{name}.conv1", f"{layer}.conv1", rows, channels)
        taken(f"{name}.shortcut", f"{layer}.conv_shortcut", rows, channels)


def test_where_the_latent_is_another_its_layers_start_afresh_and_the_rest_is_taken(tmp_path, caplog):
    source_unet((8, 16, 16)).save_pretrained(tmp_path)
    ours, theirs = our_unet(channels=16), our_unet(channels=4)
    before = copy.deepcopy(ours.state_dict())
    with caplog.at_level(logging.INFO):
        taken = start_from_unet(ours, str(tmp_path))
    assert "conv_in and conv_out start afresh" in caplog.text
    start_from_unet(theirs, str(tmp_path))
    want, fresh = theirs.state_dict(), ("conv_in.", "conv_out.")
    for name, value in ours.state_dict().items():
        assert torch.equal(value, before[name] if name.startswith(fresh) else want[name]), name
    kept = [parameter for name, parameter in ours.named_parameters() if not name.startswith(fresh)]
    assert taken == sum(parameter.numel() for parameter in kept)


def test_fewer_sinusoids_say_of_the_time_nearly_what_all_of_them_said(tmp_path):
    """Where the weight is on the slower half of the frequencies, as what is smooth in t must have it."""
    source = source_unet((160, 16))
    with torch.no_grad():
        source.time_embedding.linear_1.weight.unflatten(1, (2, 80))[:, :, :40] = 0
    source.save_pretrained(tmp_path)
    ours = our_unet((80, 16), time_width=640)
    start_from_unet(ours, str(tmp_path))
    heard = []
    ours.time.linear1.register_forward_hook(lambda layer, args, out: heard.append(out))
    t = torch.linspace(0, 1, 50)
    with torch.no_grad():
        ours.time(t)
        want = source.time_embedding.linear_1(source.time_proj(1000 * t))
    assert (heard[0] - want).square().mean() < 0.01 * want.var(dim=0).mean()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (lambda: source_unet((16, 8, 8)), r"layer down_blocks\.1\.\S+ is \(8,"),
        (lambda: source_unet(blocks=1), r"no layer down_blocks\.0\.resnets\.1\."),
        (lambda: source_unet(blocks=3), r"layer down_blocks\.0\.resnets\.2\.\S+ has no place"),
        (lambda: source_unet((16, 32)), r"no layer down_blocks\.1\.downsamplers"),
        (lambda: source_unet((16, 32, 48)), r"layer down_blocks\.2\.resnets\.0\.conv_shortcut has no place"),
        (lambda: source_unet(mid_block_type="UNetMidBlock2D"), r"no layer mid_block\.resnets\.1\."),
        (lambda: source_unet(conv_in_kernel=5), r"conv_in is \(16, 4, 5, 5\)"),
        (lambda: source_unet(flip_sin_to_cos=False), "flip_sin_to_cos = False"),
        (unconditional_unet, "'UNet2DModel'"),
    ],
)
def test_a_unet_that_does_not_fit_is_refused_and_ours_stays_as_it_was(tmp_path, source, said):
    source().save_pretrained(tmp_path)
    ours = our_unet()
    before = copy.deepcopy(ours.state_dict())
    with pytest.raises(UsageError, match=said) as caught:
        start_from_unet(ours, str(tmp_path))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_a_unet_whose_time_is_folded_cannot_start_from_another(tmp_path):
    ours = our_unet()
    ours.fold_time(torch.ones(1))
    with pytest.raises(ValueError, match="folded"):
        start_from_unet(ours, str(tmp_path))
