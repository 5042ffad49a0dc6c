"""Stable Diffusion's networks as starting points for training: its autoencoder as the frozen E_H, and its UNet
cut to the widths of `paper` (the cut is ours). Both are read with diffusers, an extra, from a folder or from the hub; the weights
must be safetensors, which cannot contain code."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError, needs_extra, one_line
from edgesr.model.blocks import GroupNormResBlock
from edgesr.model.encoder import LATENT_STRIDE_HR
from edgesr.model.unet import StableDiffusionUNet
from edgesr.pretrained.log_level import log_level

logger = logging.getLogger(__name__)

AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
UNETS = ("UNet2DConditionModel",)
FILES = ("config.json", "diffusion_pytorch_model.safetensors*", "diffusion_pytorch_model-*.safetensors")  # whole, or in shards
MAPPED_LAYER = re.compile(r"conv_\w+|time_embedding\.linear_\d|.+\.(resnets\.\d+\.\w+|(down|up)samplers\.0\.conv)")
UNET_SETTINGS = {  # of Stable Diffusion 1 and 2; other settings are incompatible with the weights
    "act_fn": "silu",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
}


class DiffusersEncoder(nn.Module):
    """Stable Diffusion's encoder as E_H: hr -> z_h, scaled to about unit variance; frozen, without its decoder."""

    mean: Tensor
    std: Tensor

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        config = autoencoder.config
        self.latent_channels: int = config["latent_channels"]
        self.encoder: nn.Module = autoencoder.encoder
        self.quant_conv: nn.Module = getattr(autoencoder, "quant_conv", None) or nn.Identity()
        # Pipelines use (z - shift) * scale, or (z - mean) * scale / std for the few autoencoders with per-channel statistics.
        mean = torch.tensor(config.get("latents_mean") or config.get("shift_factor") or 0.0)
        std = torch.tensor(config.get("latents_std") or 1.0) / config["scaling_factor"]
        self.register_buffer("mean", mean.expand(self.latent_channels).clone())
        self.register_buffer("std", std.expand(self.latent_channels).clone())
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> DiffusersEncoder:
        """Stay in evaluation mode: this network is never trained."""
        return super().train(False)

    def forward(self, hr: Tensor) -> Tensor:
        """Map hr (B, 3, H, W) in [0, 1], sides multiples of 8, to z_h (B, C, H/8, W/8): the mean of the posterior Gaussian."""
        moments = self.quant_conv(self.encoder(2 * hr - 1))  # (B, 2C, ...), mean and log variance; the tiny one's (B, C, ...)
        z = moments[:, : self.latent_channels]
        return (z - self.mean[:, None, None]) / self.std[:, None, None]


def load_hr_encoder(source: str) -> DiffusersEncoder:
    """Return the frozen encoder half of an AutoencoderKL or AutoencoderTiny, in float32.

    `source` is a folder in diffusers' format, of the autoencoder or of a pipeline with a `vae` subfolder (no network access),
    or a hub id, "owner/name" or "owner/name:subfolder". Raises UsageError if it does not exist, cannot be downloaded or read, is
    not an image autoencoder that reduces sides by 8, or if diffusers is not installed.
    """
    autoencoder = _load(source, "vae", AUTOENCODERS)
    config = autoencoder.config
    if config["latent_channels"] % 2:  # the noise field is generated in pairs
        raise UsageError(f"{source}: has {config['latent_channels']} latent channels; name an autoencoder with an even number")
    levels = config.get("encoder_block_out_channels") or config["block_out_channels"]
    if 2 ** (len(levels) - 1) != LATENT_STRIDE_HR or config["in_channels"] != 3:
        raise UsageError(
            f"{source}: this autoencoder reduces {config['in_channels']} channels {2 ** (len(levels) - 1)} times; "
            f"name one that reduces RGB {LATENT_STRIDE_HR} times, as Stable Diffusion's do"
        )
    return DiffusersEncoder(autoencoder)


def start_from_unet(unet: StableDiffusionUNet, source: str) -> int:
    """Initialise `unet` with the first channels of every layer of a Stable Diffusion UNet; return the number of parameters copied.

    `source` is as for `load_hr_encoder`, of a UNet2DConditionModel or of a pipeline with a `unet` subfolder. Where a layer takes
    concat(x, skip), the first channels of x and the first of skip are kept, so that channels correspond everywhere. Attention and
    text are dropped. If the latents have different numbers of channels, `conv_in` and `conv_out` are not changed, since another
    autoencoder's channels have another meaning. The columns of the first layer of the time embedding are interpolated: a narrower
    `unet` has fewer sinusoids over the same range of frequencies, so each column is split between the two nearest of them.

    Training has to correct the remaining differences. Stable Diffusion 1 predicts eps, not v. v = (eps_hat - sigma_t z_t) / alpha_t
    has no limit at T, where alpha_T = 0 and eps_hat equals z_t and carries no information on z_0, so no change of the last layer
    can convert one into the other. Stable Diffusion 2 predicts v with the same sign as ours. Both have other noise levels at the
    same t.

    Raises UsageError as `load_hr_encoder` does, and, naming the layer, if one is missing, unexpected or too narrow; `unet` is then
    unchanged. Raises ValueError if the time of `unet` is folded.
    """
    if unet.time is None:
        raise ValueError("the time is folded already")
    network = _load(source, "unet", UNETS)
    for field, value in UNET_SETTINGS.items():
        if (other := network.config[field]) != value:
            raise UsageError(f"{source}: its config.json has {field} = {other!r}, not {value!r} as Stable Diffusion has")
    state = network.state_dict()
    layers = list(_layers(unet))
    _check_same_layers(source, {layer.name for layer in layers}, state)
    first = "time_embedding.linear_1.weight"
    state[first] = _merge_frequencies(state[first], unet.time.sinusoids)
    fresh = _other_latents(unet, network.config)
    if fresh:
        logger.info("%s: another number of latent channels than ours; %s start afresh", source, " and ".join(fresh))
    kept = [pair for layer in layers if layer.name not in fresh for pair in _cut(source, layer, state)]
    with torch.no_grad():
        for parameter, values in kept:
            parameter.copy_(values)
    return sum(parameter.numel() for parameter, _ in kept)


def _other_latents(unet: StableDiffusionUNet, config: Mapping[str, Any]) -> list[str]:
    """The layers next to the latent whose numbers of channels differ from the source's."""
    here, there = (unet.conv_in.in_channels, unet.conv_out.out_channels), (config["in_channels"], config["out_channels"])
    return [name for name, ours, theirs in zip(("conv_in", "conv_out"), here, there, strict=True) if ours != theirs]


class _Layer(NamedTuple):
    ours: nn.Module
    name: str  # of the corresponding layer in diffusers' UNet
    x: tuple[int, str] | None = None  # for concat(x, skip): our channels of x, and the source layer of x


def _layers(unet: StableDiffusionUNet) -> Iterator[_Layer]:
    """Every layer of `unet` with its name in diffusers."""
    assert unet.time is not None
    yield _Layer(unet.time.linear1, "time_embedding.linear_1")
    yield _Layer(unet.time.linear2, "time_embedding.linear_2")
    yield _Layer(unet.conv_in, "conv_in")
    for i, level in enumerate(unet.down):
        for block, name in _blocks(level, f"down_blocks.{i}"):
            yield from _block(block, name)
    for i, layer in enumerate(unet.downsample):
        yield _Layer(layer, f"down_blocks.{i}.downsamplers.0.conv")
    for block, name in _blocks(unet.middle, "mid_block"):
        yield from _block(block, name)
        x = block.conv2.out_channels, f"{name}.conv2"
    for i, level in enumerate(unet.up):
        for block, name in _blocks(level, f"up_blocks.{i}"):
            yield from _block(block, name, x)
            x = block.conv2.out_channels, f"{name}.conv2"
    for i, layer in enumerate(unet.upsample):
        yield _Layer(layer, f"up_blocks.{i}.upsamplers.0.conv")
    yield _Layer(unet.norm_out, "conv_norm_out")
    yield _Layer(unet.conv_out, "conv_out")


def _blocks(level: nn.Module, name: str) -> list[tuple[GroupNormResBlock, str]]:
    blocks = [block for block in level.children() if isinstance(block, GroupNormResBlock)]
    return [(block, f"{name}.resnets.{i}") for i, block in enumerate(blocks)]


def _block(block: GroupNormResBlock, name: str, x: tuple[int, str] | None = None) -> Iterator[_Layer]:
    assert block.time is not None
    yield _Layer(block.norm1, f"{name}.norm1", x)
    yield _Layer(block.conv1, f"{name}.conv1", x)
    yield _Layer(block.time, f"{name}.time_emb_proj")
    yield _Layer(block.norm2, f"{name}.norm2")
    yield _Layer(block.conv2, f"{name}.conv2")
    if not isinstance(block.shortcut, nn.Identity):
        yield _Layer(block.shortcut, f"{name}.conv_shortcut", x)


def _check_same_layers(source: str, ours: set[str], state: Mapping[str, Tensor]) -> None:
    """Raise UsageError unless the source has our layers and, apart from attention and text, no others."""
    names = {key.rpartition(".")[0] for key in state}
    theirs = {name for name in names if MAPPED_LAYER.fullmatch(name)}
    advice = "name a UNet with the levels and blocks of Stable Diffusion's"
    if missing := sorted(ours - theirs):
        raise UsageError(f"{source}: has no layer {missing[0]}; {advice}")
    if extra := sorted(theirs - ours):
        raise UsageError(f"{source}: its layer {extra[0]} has no place in ours; {advice}")


def _merge_frequencies(weight: Tensor, sinusoids: int) -> Tensor:
    """Reduce a weight (width, S) on S sinusoids, cosines then sines of 10000^(-j / (S/2)), to fewer of them, (width, sinusoids).

    Uses linear interpolation: a sinusoid is nearly the mean of its two neighbours in frequency while their phases are similar, so
    the layer's response to low frequencies is preserved. Dropping columns would also change the scale of its output.
    """
    theirs, ours = weight.shape[1] // 2, sinusoids // 2
    position = (torch.arange(theirs) * (ours / theirs)).clamp(max=ours - 1)  # of each source frequency among ours
    share = (1 - (position[:, None] - torch.arange(ours)).abs()).clamp_min(0)  # (theirs, ours)
    return (weight.unflatten(1, (2, theirs)) @ share).flatten(1)


def _cut(source: str, layer: _Layer, state: Mapping[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Each parameter of a layer with the values copied from the source; raises UsageError if the source's is too narrow."""
    input_axis = 0 if isinstance(layer.ours, nn.GroupNorm) else 1
    for kind, parameter in layer.ours.named_parameters():
        values = state[f"{layer.name}.{kind}"]
        for axis, size in enumerate(parameter.shape):
            channels = torch.arange(size)
            if axis == input_axis and layer.x is not None:
                width, maker = layer.x
                channels[width:] += state[f"{maker}.weight"].shape[0] - width  # skip starts where the source's x ends
            if channels[-1] >= values.shape[axis] or (axis > 1 and size != values.shape[axis]):
                raise UsageError(
                    f"{source}: the {kind} of its layer {layer.name} is {tuple(state[f'{layer.name}.{kind}'].shape)}, "
                    f"too small for ours, {tuple(parameter.shape)}; name a UNet at least as wide"
                )
            values = values.index_select(axis, channels)
        yield parameter, values


def _load(source: str, part: str, classes: tuple[str, ...]) -> Any:
    """Return diffusers' model of `source`, of one of `classes`, in float32; `part` is its subfolder in a pipeline."""
    with needs_extra("diffusers", "loading Stable Diffusion's networks"):
        import diffusers
    folder = _find(Path(source) if Path(source).is_dir() else _download(source, part), source, part)
    name = _class_name(folder)
    if name not in classes:
        raise UsageError(f"{folder}: its config.json is of the class {name!r}; name a folder of {' or '.join(classes)}")
    try:
        with log_level("diffusers", logging.CRITICAL):
            model, info = getattr(diffusers, name).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, output_loading_info=True
            )
    except Exception as error:  # diffusers, safetensors and torch raise many types for a damaged file
        advice = "download it again, with its safetensors weights"
        raise UsageError(f"{folder}: cannot be loaded ({one_line(error)}); {advice}") from None
    if info["missing_keys"]:  # diffusers leaves these uninitialised
        raise UsageError(f"{folder}: its weights lack {', '.join(sorted(info['missing_keys'])[:3])}; download it again")
    return model.float()


def _find(root: Path, source: str, part: str) -> Path:
    for folder in (root / part, root):
        if (folder / "config.json").is_file():
            return folder
    raise UsageError(f"{source}: holds neither config.json nor {part}/config.json; name a model or pipeline saved by diffusers")


def _download(source: str, part: str) -> Path:
    """Return the folder in the hub's cache that holds `source`, "owner/name" or "owner/name:subfolder", downloaded if necessary."""
    from huggingface_hub import snapshot_download

    name, _, subfolder = source.partition(":")
    parts = (f"{subfolder}/",) if subfolder else ("", f"{part}/")
    try:
        root = snapshot_download(name, allow_patterns=[p + file for p in parts for file in FILES])
    except Exception as error:  # an invalid id, or an error of the network, the hub or the disk
        raise UsageError(
            f"{source}: no such folder, and the hub does not give it ({one_line(error)}); download it where there is a network, "
            "and name the folder"
        ) from None
    return Path(root) / subfolder


def _class_name(folder: Path) -> str:
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{folder / 'config.json'}: not the configuration of a diffusers model; download it again") from None
