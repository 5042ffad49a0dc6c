"""The networks of a training stage: which are trained or frozen, how they start from another stage's checkpoint, and which of them a
checkpoint stores."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from edgesr.errors import UsageError
from edgesr.model import checkpoint
from edgesr.model.conditioning import Variant
from edgesr.model.decoder import at_rest
from edgesr.model.edge import EdgeSR, LatentDiffusion
from edgesr.model.encoder import HREncoder
from edgesr.model.unet import StableDiffusionUNet
from edgesr.presets import Preset

if TYPE_CHECKING:
    from edgesr.pretrained.stable_diffusion import DiffusersEncoder

TEACHER_SCALE = 2


@dataclass(frozen=True)
class ModelConfig(Variant):
    """Options of the network in addition to its preset: the ablations' switches, and the sources of third-party networks."""

    lr_encoder: Literal["joint", "frozen"] = "joint"  # E_L is trained with the UNet, or frozen after stage 0
    hr_encoder: str = ""  # "": ours; else frozen: a checkpoint's, or Stable Diffusion's autoencoder (folder or hub id)
    unet: str = ""  # Stable Diffusion's UNet to initialise `paper`'s, from the first channels of each layer; "": random

    @property
    def variant(self) -> Variant:
        """The options that determine the architecture."""
        return Variant(**{field.name: getattr(self, field.name) for field in fields(Variant)})


class Networks(nn.Module):
    """The inference network, the frozen HR encoder and, in the scale distillation stages, the x2 teacher.

    The HR encoder determines the number of latent channels; the preset has that of our own encoder.
    """

    def __init__(self, preset: Preset, seed: int, config: ModelConfig | None = None, *, with_teacher: bool = False) -> None:
        super().__init__()
        config = config or ModelConfig()
        with torch.random.fork_rng():
            foreign = _foreign_encoder(config.hr_encoder) if config.hr_encoder else None
            if foreign is not None:
                preset = preset.with_latent_channels(foreign.latent_channels)
            torch.manual_seed(seed)
            self.edge = EdgeSR(preset, config.variant)
            torch.manual_seed(seed)
            self.owns_hr_encoder = (
                foreign is None
            )  # a third-party encoder is loaded from its source every time, and never written to a checkpoint
            self.hr_encoder = HREncoder(preset.latent_channels) if foreign is None else foreign
            self.teacher = LatentDiffusion(preset, config.variant, TEACHER_SCALE) if with_teacher else None
        self.hr_encoder_sha256 = "" if foreign is None else _digest(foreign)  # the first digits; "" for our own
        if config.unet:
            self._start_unet(config.unet)

    def _start_unet(self, source: str) -> None:
        from edgesr.pretrained.stable_diffusion import start_from_unet

        started = self.edge if self.teacher is None else self.teacher
        if not isinstance(started.unet, StableDiffusionUNet):
            raise UsageError("recipe: the field 'model.unet' is for presets with Stable Diffusion's UNet, like 'paper'")
        start_from_unet(started.unet, source)

    def kept(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint stores, by name."""
        state = self.state_dict()
        return state if self.owns_hr_encoder else {k: v for k, v in state.items() if not k.startswith("hr_encoder.")}

    def load(self, own: dict[str, Tensor], where: Path, *, needs_teacher: bool = False) -> None:
        """Load the networks' tensors from a checkpoint at `where`, of this stage or an earlier one.

        If only one side has a teacher, it is left as it is, unless it is needed. Raises UsageError if the networks differ.
        """
        has_teacher = any(name.startswith("teacher.") for name in own)
        if needs_teacher and not has_teacher:
            raise UsageError(f"{where}: holds no x2 teacher; start this stage from a checkpoint of the stage 'teacher-x2'")
        if self.teacher is None or not has_teacher:
            own = {name: tensor for name, tensor in own.items() if not name.startswith("teacher.")}
            own |= {name: tensor for name, tensor in self.state_dict().items() if name.startswith("teacher.")}
        if not self.owns_hr_encoder:
            own |= {name: tensor for name, tensor in self.state_dict().items() if name.startswith("hr_encoder.")}
        checkpoint.load_into(self, at_rest(self.state_dict()) | own, "", where)  # one without smoothing begins to smooth

    def average_of(self) -> Networks:
        """A copy that shares the frozen modules, which need no averaging and no second copy."""
        still = [m for m in self.modules() if not any(p.requires_grad for p in m.parameters())]
        return copy.deepcopy(self, {id(m): m for m in still}).requires_grad_(False)


def _foreign_encoder(source: str) -> DiffusersEncoder | HREncoder:
    if (Path(source) / "state.json").is_file():
        return _encoder_of(Path(source))
    from edgesr.pretrained.stable_diffusion import load_hr_encoder

    return load_hr_encoder(source)


def _encoder_of(folder: Path) -> HREncoder:
    """E_H of one of our checkpoints, of any preset: the architecture is the same, so presets can share a latent space."""
    own = checkpoint.part(checkpoint.averaged(checkpoint.load(folder)[0]), "hr_encoder.")
    if not own:
        raise UsageError(f"{folder}: holds no HR encoder; name the one that it was trained with in model.hr_encoder")
    encoder = HREncoder(len(own["mean"]))
    checkpoint.load_into(encoder, own, "", folder)
    return encoder.eval().requires_grad_(False)


def _digest(module: nn.Module) -> str:
    """The first digits of the SHA-256 of a module's weights, which identify it independently of its path."""
    total = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        total.update(name.encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
