"""The presets and their costs in one table: plain data, so that listing them needs neither torch nor numpy.

The widths are ours: the paper (Edge-SD-SR, CVPR 2025) only publishes totals, about 169 M parameters and 142 GFLOPs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources

from edgesr import onnx_metadata
from edgesr.errors import UsageError


@dataclass(frozen=True)
class EncoderConfig:
    """The LR encoder E_L, on the latent grid: two LR pixels per position at x4."""

    width: int  # channels of the trunk
    blocks: int  # residual blocks


@dataclass(frozen=True)
class UNetConfig:
    """A norm-free UNet with additive skips: its receptive field is bounded, so that tiles can be exact (ours)."""

    widths: tuple[int, ...]  # channels per level, from the latent grid down; each level halves the grid
    blocks: int  # residual blocks per level, on the way down and on the way up
    middle_blocks: int  # residual blocks at the coarsest level
    time_width: int = 64  # channels of the time embedding, folded into biases at export


@dataclass(frozen=True)
class StableDiffusionUNetConfig:
    """Stable Diffusion's UNet without attention and text: GroupNorm, SiLU, a concatenated skip after every layer."""

    widths: tuple[int, ...]  # channels per level, from the latent grid down
    blocks: int  # residual blocks per level on the way down; one more on the way up
    groups: int = 32  # of each GroupNorm
    time_width: int = 640  # channels of the time embedding


@dataclass(frozen=True)
class SkipDecoderConfig:
    """A decoder that also receives the LR encoder's features and adds its output to bicubic(lr) (ours)."""

    width: int  # channels on the latent grid
    blocks: int  # residual blocks on the latent grid
    lr_width: int  # channels on the LR grid, two times finer
    lr_blocks: int  # residual blocks on the LR grid


@dataclass(frozen=True)
class PyramidDecoderConfig:
    """A decoder like Stable Diffusion's: GroupNorm, and grids up to half the HR size; the LR skip is ours."""

    widths: tuple[int, ...]  # channels on the latent grid and on each grid two times finer
    blocks: tuple[int, ...]  # residual blocks on each of those grids
    groups: int = 32  # of each GroupNorm


@dataclass(frozen=True)
class Cost:
    """Costs for one 128x128 -> 512x512 evaluation; a test recomputes them with torch's counters."""

    encoder: float
    unet: float
    decoder: float

    @property
    def total(self) -> float:
        """The sum of the three parts."""
        return self.encoder + self.unet + self.decoder


@dataclass(frozen=True)
class Preset:
    """One model size."""

    name: str
    encoder: EncoderConfig
    unet: UNetConfig | StableDiffusionUNetConfig
    decoder: SkipDecoderConfig | PyramidDecoderConfig
    halo: int | None  # LR px around a pixel that can change it; None: unbounded (GroupNorm sees the whole tile)
    unet_halo: int  # LR px that each further diffusion step adds to the halo; 0 if it is unbounded
    parameters: Cost  # count
    gflops: Cost  # 2 x multiply-accumulates / 1e9
    group_norm: bool = False  # whether the network has GroupNorm, whose operators not all runtimes support
    latent_channels: int = 16  # of z, set by the HR encoder: ours 16, Stable Diffusion's 4, SD3's 16

    def with_latent_channels(self, channels: int) -> Preset:
        """Return this preset for the latents of another HR encoder; the costs are not updated."""
        return replace(self, latent_channels=channels)

    def halo_of(self, steps: int) -> int | None:
        """Return the LR px around a pixel that can change it in `steps` diffusion steps; None: the whole tile."""
        return None if self.halo is None else self.halo + (steps - 1) * self.unet_halo

    @property
    def multiple(self) -> int:
        """LR px: the sides of inputs and the positions of tiles are multiples of this."""
        return 2 ** len(self.unet.widths)


WEIGHTS = resources.files("edgesr").joinpath("weights")  # released files
SCALE = 4  # output px per input px
LATENT_STRIDE = 2  # LR px per latent position at x4

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="tiny",
            encoder=EncoderConfig(width=48, blocks=2),
            unet=UNetConfig(widths=(48, 128), blocks=1, middle_blocks=3),
            decoder=SkipDecoderConfig(width=64, blocks=1, lr_width=32, lr_blocks=2),
            halo=56,
            unet_halo=32,
            parameters=Cost(encoder=89_936, unet=1_059_232, decoder=139_801),
            gflops=Cost(encoder=0.7345, unet=2.6047, decoder=2.6323),
        ),
        Preset(
            name="small",
            encoder=EncoderConfig(width=96, blocks=2),
            unet=UNetConfig(widths=(96, 256), blocks=2, middle_blocks=4),
            decoder=SkipDecoderConfig(width=128, blocks=2, lr_width=64, lr_blocks=2),
            halo=76,
            unet_halo=48,
            parameters=Cost(encoder=345_728, unet=5_685_232, decoder=818_425),
            gflops=Cost(encoder=2.8280, unet=15.5275, decoder=11.3072),
        ),
        Preset(
            name="paper",
            encoder=EncoderConfig(width=128, blocks=4),
            unet=StableDiffusionUNetConfig(widths=(160, 320, 640, 640), blocks=2),
            decoder=PyramidDecoderConfig(widths=(128, 64, 32), blocks=(2, 2, 1)),
            halo=None,
            unet_halo=0,
            group_norm=True,
            parameters=Cost(encoder=1_198_752, unet=148_156_176, decoder=969_100),
            gflops=Cost(encoder=9.8105, unet=104.9344, decoder=14.5464),
        ),
    )
}


def get_preset(name: str) -> Preset:
    """Return the preset called `name`; raise UsageError that lists the known ones."""
    if not isinstance(name, str) or name not in PRESETS:
        raise UsageError(f"unknown model '{name}': choose one of {', '.join(PRESETS)}")
    return PRESETS[name]


def weights_path(name: str, folder: resources.abc.Traversable | None = None) -> resources.abc.Traversable:
    """Return the path of a preset's released ONNX file in a model folder, the package's by default, whether or not it exists."""
    return (folder or WEIGHTS).joinpath(f"{name}.onnx")


def difference_path(name: str, folder: resources.abc.Traversable | None = None) -> resources.abc.Traversable:
    """Return the path of the file that leads to a preset's fidelity form (`edgesr.upscaling.forms`), whether or not it exists."""
    return (folder or WEIGHTS).joinpath(f"{name}-fidelity.npz")


def int8_path(name: str, folder: resources.abc.Traversable | None = None, *, fidelity: bool) -> resources.abc.Traversable:
    """Return the path of a preset's released file in 8 bits, of the fidelity form or the default one, whether or not it exists."""
    return (folder or WEIGHTS).joinpath(f"{name}-fidelity-int8.onnx" if fidelity else f"{name}-int8.onnx")


def weights_version(name: str, folder: resources.abc.Traversable | None = None) -> str | None:
    """Return the version of a preset's weights in a model folder, such as "tiny-2026.11"; None where there are none."""
    path = weights_path(name, folder)
    try:
        return onnx_metadata.read(path.read_bytes()).get("version") if path.is_file() else None
    except ValueError:  # a damaged file is reported where it is used
        return None


def list_models() -> list[dict[str, object]]:
    """Return one record per preset: name, parameters and GFLOPs per part and in total, released weights, version, fidelity form.

    GFLOPs are 2 x multiply-accumulates for one 128x128 -> 512x512 evaluation.
    """
    return [
        {
            "name": preset.name,
            "parameters": _record(preset.parameters),
            "gflops": _record(preset.gflops),
            "weights": weights_path(preset.name).is_file(),
            "version": weights_version(preset.name),
            "fidelity": difference_path(preset.name).is_file(),
        }
        for preset in PRESETS.values()
    ]


def _record(cost: Cost) -> dict[str, float]:
    return {"encoder": cost.encoder, "unet": cost.unet, "decoder": cost.decoder, "total": round(cost.total, 3)}
