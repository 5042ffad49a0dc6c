"""The building blocks against closed forms."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F

from edgesr.model.blocks import GroupNormResBlock, ResBlock, TimeEmbedding, replicated
from edgesr.model.unet import StableDiffusionUNet, UNet
from edgesr.presets import StableDiffusionUNetConfig, UNetConfig


def opened(block):
    """Without zero-initialised layers."""
    torch.manual_seed(0)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return block


@torch.no_grad()
def test_the_time_embedding_is_sinusoids_from_a_thousandth_of_t_to_a_ten_thousandth_of_that():
    embedding = TimeEmbedding(8, 8)
    for layer in (embedding.linear1, embedding.linear2):
        layer.weight.copy_(torch.eye(8))
        layer.bias.zero_()
    t = torch.tensor([0.0, 0.0013, 0.7])
    angles = [[1000 * float(time) * 10_000 ** (-k / 4) for k in range(4)] for time in t]
    waves = torch.tensor([[*map(math.cos, each), *map(math.sin, each)] for each in angles])
    assert torch.allclose(embedding(t), F.silu(waves), atol=1e-4)


@torch.no_grad()
def test_a_block_adds_its_input_to_two_convolutions_and_the_time_between_them():
    block, x, time = opened(ResBlock(4, 6)), torch.randn(2, 4, 5, 7), torch.randn(2, 6)
    y = block.conv1(x) + block.time(time)[:, :, None, None]
    assert torch.allclose(block(x, time), x + block.conv2(y.clamp_min(0)), atol=1e-6)
    folded = block(x[:1], time[:1])
    block.fold_time(time[:1])
    assert torch.allclose(block(x[:1]), folded, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("out", [4, 8])
def test_stable_diffusions_block_norms_before_each_activation(out):
    block, x, time = opened(GroupNormResBlock(4, out, 2, 6)), torch.randn(2, 4, 5, 7), torch.randn(2, 6)

    def normed(y, norm):
        groups = y.reshape(2, 2, -1)
        groups = (groups - groups.mean(dim=2, keepdim=True)) / (groups.var(dim=2, keepdim=True, correction=0) + 1e-5).sqrt()
        return groups.reshape(y.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]

    y = block.conv1(F.silu(normed(x, block.norm1))) + block.time(F.silu(time))[:, :, None, None]
    want = block.shortcut(x) + block.conv2(F.silu(normed(y, block.norm2)))
    assert torch.allclose(block(x, time), want, atol=1e-4)
    assert isinstance(block.shortcut, torch.nn.Identity) is (out == 4)


@pytest.mark.parametrize("block", [ResBlock(4), GroupNormResBlock(4, 4, 2)])
def test_a_block_without_time_has_none_to_fold(block):
    with pytest.raises(ValueError):
        block.fold_time(torch.zeros(1, 6))


def test_a_new_block_is_the_identity():
    x = torch.randn(1, 4, 5, 7)
    assert torch.equal(ResBlock(4)(x), x)
    assert torch.equal(GroupNormResBlock(4, 4, 2)(x), x)


def test_borders_are_repeated():
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert torch.equal(replicated(x, 2), F.pad(x, [2] * 4, mode="replicate"))


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (UNet, UNetConfig(widths=(6, 8, 10), blocks=2, middle_blocks=2, time_width=12)),
        (StableDiffusionUNet, StableDiffusionUNetConfig(widths=(4, 8, 12), blocks=2, groups=2, time_width=20)),
    ],
)
def test_the_time_reaches_every_block_of_a_unet(kind, config):
    unet = opened(kind(config, 3, 5))
    unet(torch.randn(1, 3, 8, 8), torch.tensor([0.4])).square().sum().backward()
    blocks = [module for module in unet.modules() if isinstance(module, (ResBlock, GroupNormResBlock))]
    levels = len(config.widths)
    assert len(blocks) == (2 * 2 * (levels - 1) + 2 if kind is UNet else 2 * levels + 2 + 3 * levels)
    assert all(block.time.weight.grad.abs().max() > 0 for block in blocks)


def test_the_time_of_stable_diffusions_unet_begins_with_as_many_sinusoids_as_its_first_level_has_channels():
    unet = StableDiffusionUNet(StableDiffusionUNetConfig(widths=(4, 8, 12), blocks=1, groups=2, time_width=20), 3, 5)
    assert [tuple(layer.weight.shape) for layer in (unet.time.linear1, unet.time.linear2)] == [(20, 4), (20, 20)]
