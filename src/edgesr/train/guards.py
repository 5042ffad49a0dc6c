"""Checks on a run: whether its pictures drift away from held-out ones, and whether the discriminator has won."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from edgesr.train.losses import LATTICE_PERIOD, colour_shift
from edgesr.train.recipe import LogConfig

logger = logging.getLogger("edgesr.train")

COLOUR, LATTICE = "colour_shift", "lattice"  # names of the drift metrics
SAID = {  # description, the field with the limit, and the loss term against it
    COLOUR: ("the colours of held-out pictures are off", "log.greatest_colour_shift", "loss.colour"),
    LATTICE: ("patterns of the network's grids stand out of held-out pictures", "log.greatest_lattice", "loss.lattice"),
}
WINDOW = 128  # HR px a side; the spectra of these windows are averaged. A multiple of the lattice's period


def drift_figures(out: Tensor, hr: Tensor) -> dict[str, float]:
    """Return the drift of pictures out from hr, both (B, 3, H, W) in [0, 1], 16 px a side or more, in levels of 255.

    "colour_shift" is the mean absolute difference of the means of 16 px cells; "lattice" is `grid_lines` of out.
    """
    return {COLOUR: 255 * float(colour_shift(out, hr)), LATTICE: 255 * grid_lines(out)}


def grid_lines(pictures: Tensor) -> float:
    """Root mean square of the peaks in the pictures' spectrum at the multiples of 1/16 px^-1, except the lowest.

    The pictures are (B, 3, H, W) in [0, 1]. The spectrum of their grey values is averaged over all of them: textures have no common
    period, but the network's grids do. Sharp photographs give 1 or 2 levels of 255, enlarged ones a tenth of that.
    """
    grey = pictures.float().mean(dim=1)
    side = min(WINDOW, min(grey.shape[-2:]) // LATTICE_PERIOD * LATTICE_PERIOD)
    spacing = side // LATTICE_PERIOD  # between the peaks, in bins
    windows = grey.unfold(1, side, side // 2).unfold(2, side, side // 2).flatten(0, 2)  # (N, side, side)
    taper = torch.hann_window(side, periodic=False, device=grey.device)
    taper = taper[:, None] * taper
    windows = (windows - windows.mean(dim=(1, 2), keepdim=True)) * (taper / taper.sum())
    power = torch.view_as_real(torch.fft.fft2(windows)).square().sum(dim=-1).mean(dim=0)
    halfway = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
    around = torch.stack([power.roll((spacing // 2 * y, spacing // 2 * x), (0, 1)) for y, x in halfway]).mean(dim=0)
    lines = (power - around).clamp_min(0)[::spacing, ::spacing].roll((1, 1), (0, 1))
    lines[:3, :3] = 0  # the mean and the lowest frequencies
    return float(lines.sum().sqrt())


class DriftGuard:
    """Detects when a run's pictures exceed the recipe's drift limits after having been within them: a run from scratch starts outside
    the limits."""

    def __init__(self, config: LogConfig) -> None:
        self.limits = {COLOUR: config.greatest_colour_shift, LATTICE: config.greatest_lattice}
        self.reached: set[str] = set()  # metrics that have been within their limits

    def judge(self, figures: dict[str, float], step: int) -> str:
        """Return a one-line description of the drift that a validation's metrics show; "" if there is none."""
        for name, limit in self.limits.items():
            if figures[name] <= limit:
                self.reached.add(name)
            elif name in self.reached:  # NaN is a drift too
                what, field, term = SAID[name]
                return (
                    f"step {step}: {what} by {figures[name]:.2f} levels, more than {field} = {limit:g}: the run drifts, and its last "
                    f"checkpoint is kept: lower the weights of loss.perceptual and loss.adversarial, or raise {term}"
                )
        return ""


class AccuracyWatch:
    """Logs a warning when the discriminator's accuracy, averaged over a window of steps, shows that it has won."""

    def __init__(self, config: LogConfig) -> None:
        self.config = config
        self._restart()

    def _restart(self) -> None:
        self.steps, self.count = 0, 0
        self.total: float | Tensor = 0.0

    def add(self, step: int, accuracy: float | Tensor | None) -> None:
        """Count one step of the adversary and its discriminator's accuracy (0 to 1), None if it had no update.

        A GPU tensor is not synchronised before the end of the window.
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
