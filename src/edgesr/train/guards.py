"""What watches over a run (ours): whether its pictures drift from the held-out ones, and whether the discriminator has won."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from edgesr.train.losses import LATTICE_PERIOD, colour_shift
from edgesr.train.recipe import LogConfig

logger = logging.getLogger("edgesr.train")

COLOUR, LATTICE = "colour_shift", "lattice"  # the names of the figures that tell a drift
SAID = {  # what is wrong, the field with the limit, and the term against it
    COLOUR: ("the colours of held-out pictures are off", "log.greatest_colour_shift", "loss.colour"),
    LATTICE: ("patterns of the network's grids stand out of held-out pictures", "log.greatest_lattice", "loss.lattice"),
}
WINDOW = 128  # HR px a side, whose spectra are averaged: a multiple of the lattice's period


def drift_figures(out: Tensor, hr: Tensor) -> dict[str, float]:
    """Return what tells a drift of pictures out from hr, both (B, 3, H, W) in [0, 1], 16 px a side or more; in levels of 255.

    "colour_shift" is the mean absolute difference of the means of 16 px cells; "lattice" what `grid_lines` finds in out.
    """
    return {COLOUR: 255 * float(colour_shift(out, hr)), LATTICE: 255 * grid_lines(out)}


def grid_lines(pictures: Tensor) -> float:
    """Root mean square of the lines that stand out of the pictures' spectrum at the multiples of 1/16 px^-1, but for the lowest.

    The pictures are (B, 3, H, W) in [0, 1], and one spectrum, that of their grey, is averaged over all of them: texture has no period
    in common, the network's grids have. Photographs that are sharp come to 1 or 2 levels of 255, enlarged ones to a tenth.
    """
    grey = pictures.float().mean(dim=1)
    side = min(WINDOW, min(grey.shape[-2:]) // LATTICE_PERIOD * LATTICE_PERIOD)
    spacing = side // LATTICE_PERIOD  # of the lines, in bins
    windows = grey.unfold(1, side, side // 2).unfold(2, side, side // 2).flatten(0, 2)  # (N, side, side)
    taper = torch.hann_window(side, periodic=False, device=grey.device)
    taper = taper[:, None] * taper
    windows = (windows - windows.mean(dim=(1, 2), keepdim=True)) * (taper / taper.sum())
    power = torch.view_as_real(torch.fft.fft2(windows)).square().sum(dim=-1).mean(dim=0)
    halfway = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    around = torch.stack([power.roll((spacing // 2 * y, spacing // 2 * x), (0, 1)) for y, x in halfway]).mean(dim=0)
    lines = (power - around).clamp_min(0)[::spacing, ::spacing].roll((1, 1), (0, 1))
    lines[:3, :3] = 0  # the mean and the shades around it
    return float(lines.sum().sqrt())


class DriftGuard:
    """Tells when the pictures of a run are further off than its recipe allows, having been within it before: one that starts from
    scratch is far off at first."""

    def __init__(self, config: LogConfig) -> None:
        self.limits = {COLOUR: config.greatest_colour_shift, LATTICE: config.greatest_lattice}
        self.reached: set[str] = set()  # the figures that have been within their limits

    def judge(self, figures: dict[str, float], step: int) -> str:
        """Return what is wrong with the pictures that a validation gave these figures, one line; "" where nothing is."""
        for name, limit in self.limits.items():
            if figures[name] <= limit:
                self.reached.add(name)
            elif name in self.reached:  # not a number is wrong as well
                what, field, term = SAID[name]
                return (
                    f"step {step}: {what} by {figures[name]:.2f} levels, more than {field} = {limit:g}: the run drifts, and its last "
                    f"checkpoint is kept: lower the weights of loss.perceptual and loss.adversarial, or raise {term}"
                )
        return ""


class AccuracyWatch:
    """Warns in the log when the discriminator's accuracy, averaged over a window of steps, says that it has won."""

    def __init__(self, config: LogConfig) -> None:
        self.config = config
        self._restart()

    def _restart(self) -> None:
        self.steps, self.count = 0, 0
        self.total: float | Tensor = 0.0

    def add(self, step: int, accuracy: float | Tensor | None) -> None:
        """Count one step of the adversary, and its discriminator's accuracy (0 to 1) unless it had no update.

        A tensor of a GPU is not waited for before the window ends.
        """
        self.steps += 1
        if accuracy is not None:
            self.total, self.count = self.total + accuracy, self.count + 1
        if self.steps < self.config.accuracy_steps:
            return
        if self.count and (mean := float(self.total) / self.count) > self.config.greatest_accuracy:
            logger.warning(
                "step %d: accuracy %.3f over %d steps: the discriminator has won: lower loss.adversarial.learning_rate or raise "
                "update_every",
                step,
                mean,
                self.steps,
            )
        self._restart()
