"""Batches, and the noise and times that go with them, as pure functions of (seed, step): nothing of the data needs saving for a
run to be resumed bit for bit, and several processes see together what one would see alone.

On a GPU nothing here waits for it: its queue of work must never run empty."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from edgesr.data.bank import ImageBank
from edgesr.data.degradation import DegradationConfig, degrade, device_generator
from edgesr.data.rendered import rendered_crops
from edgesr.data.seeds import step_generator
from edgesr.data.targets import PART, Targets
from edgesr.errors import UsageError
from edgesr.model.diffusion import T
from edgesr.presets import SCALE
from edgesr.train.networks import TEACHER_SCALE
from edgesr.train.processes import Processes
from edgesr.train.recipe import DataConfig, LossConfig

CHUNK = 16  # crops degraded at once: more take memory, and no less time on a CPU


class Batch(NamedTuple):
    """Crops of one step, float32 in [0, 1]."""

    hr: Tensor  # (B, 3, S, S)
    lr: Tensor  # (B, 3, S/4, S/4)
    finer: Tensor  # (B, 3, S/2, S/2), the x2 teacher's less degraded LR of the same crops; (B, 3, 0, 0) where none is wanted
    target: Tensor  # (B, 3, S, S), what pictures are compared with, where it is not hr: `data.targets`; else (B, 3, 0, 0)

    @property
    def wanted(self) -> Tensor:
        """What pictures are compared with, (B, 3, S, S)."""
        return self.target if self.target.numel() else self.hr


class Times(NamedTuple):
    """The times of a batch."""

    t: Tensor  # (B,) in [0, T]; the first `terminal` are T
    terminal: int  # of this process
    weight: float  # of a mean over them, so that the processes' mean is the global batch's


class Draws:
    """What is random in a step beside the data, drawn for the global batch; a process takes its rows."""

    def __init__(
        self, generator: torch.Generator, total: int, processes: Processes | None = None, device: torch.device | None = None
    ) -> None:
        self.generator, self.total = generator, total  # the generator is of the CPU
        self.processes = processes or Processes()
        self.device = device or torch.device("cpu")  # where times are wanted

    def normal(self, like: Tensor) -> Tensor:
        """N(0, I) of `like`'s shape, made where `like` is: a million numbers a step would keep a GPU waiting for the processor.

        A seed therefore means other numbers on another kind of device.
        """
        generator = self.generator if like.device.type == "cpu" else device_generator(like.device, self.generator)
        drawn = torch.randn((self.total, *like.shape[1:]), generator=generator, device=like.device)
        return self.processes.rows(drawn).to(like.dtype)

    def times(self, config: LossConfig, progress: float) -> Times:
        """Uniform t, but for a growing share of the batch at T (docs/method.md); `progress` in [0, 1]."""
        t = torch.rand(self.total, generator=self.generator)
        share = config.terminal_start + (config.terminal_end - config.terminal_start) * progress
        count = max(1, round(share * self.total))
        t[:count] = T
        terminal = int(self.processes.rows(torch.arange(self.total) < count).sum())
        return Times(sent(self.processes.rows(t), self.device), terminal, terminal * self.processes.world / count)

    def shift(self, below: int) -> tuple[int, int]:
        """Rows and columns, each less than `below`, by which a step's pictures are shifted."""
        down, right = torch.randint(below, (2,), generator=self.generator).tolist()
        return down, right

    def window(self, side: int, height: int, width: int) -> tuple[int, int]:
        """The first row and column of a window of `side` px in pictures of height x width px."""
        down, right = (int(torch.randint(length - side + 1, (), generator=self.generator)) for length in (height, width))
        return down, right

    def move(self, unit: int) -> tuple[int, int]:
        """Rows and columns, each below `unit` and not both 0, by which a step's pictures are moved."""
        return divmod(int(torch.randint(1, unit * unit, (), generator=self.generator)), unit)

    def gather(self, tensor: Tensor) -> Tensor:
        """The rows of all processes."""
        return self.processes.gather(tensor)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on `device`; from pinned memory, without which the processor would wait for a GPU's work before it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Batches:
    """Crops and their degraded LR; a block of steps is made at once, and each pair serves `uses` times.

    On the bank's device. With `ahead` the next block is made by a thread while the steps of this one run: for a GPU, whose
    networks leave the processor idle. There it has a stream of its own, so that its many small copies do not wait for the steps.
    """

    def __init__(
        self,
        bank: ImageBank,
        config: DataConfig,
        seed: int,
        *,
        finer: bool = False,
        processes: Processes | None = None,
        ahead: bool = False,
    ) -> None:
        self.bank, self.config, self.seed, self.finer = bank, config, seed, finer
        self.processes = processes or Processes()
        self.targets = [_load_targets(target.folder, bank, config) for target in config.targets]
        self._block, self._pairs, self._order = -1, Batch(*[torch.empty(0)] * len(Batch._fields)), torch.empty(0)
        self._pool = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[tuple[Batch, Tensor]]] | None = None
        device = bank.pixels.device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, step: int) -> Batch:
        """Return this process' rows of the step's batch."""
        config = self.config
        block, within = divmod(step, config.block)
        if block != self._block:
            self._pairs, self._order = self._made(block)
            self._block = block
            for part in self._pairs if self._stream is not None else ():
                part.record_stream(torch.cuda.current_stream())  # its memory is free when the steps are done with it
        chosen = self.processes.rows(self._order[within * config.batch : (within + 1) * config.batch])
        turns = torch.randint(8, (config.batch,), generator=step_generator(self.seed, "turns", step))
        turns = self.processes.rows(turns)
        return Batch(*(_turned(part, chosen, turns) for part in self._pairs))

    def _made(self, block: int) -> tuple[Batch, Tensor]:
        """The block, from the thread if it was made ahead, whose next task is the block after it."""
        if self._pool is None:
            return self._make(block)
        ready = self._next[1] if self._next is not None and self._next[0] == block else None
        made = ready.result() if ready else self._make(block)
        self._next = block + 1, self._pool.submit(self._make, block + 1)
        return made

    def _make(self, block: int) -> tuple[Batch, Tensor]:
        """The block's pairs and the order of their uses; ready to be used on the main stream when this returns."""
        if self._stream is None:
            return self._drawn(block)
        with torch.cuda.stream(self._stream):
            pairs, order = self._drawn(block)
            self._stream.synchronize()
        return pairs, order

    def _drawn(self, block: int) -> tuple[Batch, Tensor]:
        config = self.config
        generator = step_generator(self.seed, "block", block)
        count = -(-config.block * config.batch // config.uses)
        chunks = self._taught(block, count)
        left = count - sum(len(chunk.hr) for chunk in chunks)
        chunks += [self._chunk(min(CHUNK, left - start), generator) for start in range(0, left, CHUNK)]
        # Every pass over the pairs is a permutation of its own: uses of one pair are spread over the block.
        order = torch.cat([torch.randperm(count, generator=generator) for _ in range(config.uses)])
        return Batch(*(torch.cat(parts) for parts in zip(*chunks, strict=True))), order

    def _taught(self, block: int, count: int) -> list[Batch]:
        """The pairs of the block that teachers have made targets for, uint8: whole parts, every one as often as the others."""
        chunks = []
        for number, (targets, config) in enumerate(zip(self.targets, self.config.targets, strict=True)):
            wanted, at = round(config.share * count), block * -(-round(config.share * count) // PART)
            while wanted > 0:
                turn, place = divmod(at, targets.manifest.parts)
                order = torch.randperm(targets.manifest.parts, generator=step_generator(self.seed, f"targets {number}", turn))
                hr, lr, target = (_bytes(part[:wanted]) for part in targets.part(int(order[place])))
                chunks.append(Batch(hr, lr, lr.new_empty(len(lr), 3, 0, 0), target))
                wanted, at = wanted - len(lr), at + 1
        return chunks

    def _chunk(self, count: int, generator: torch.Generator) -> Batch:
        """Fresh crops and their LR, uint8."""
        config = self.config
        hr = self.bank.crops(count, config.hr_size, generator, config.crop)
        rendered = int((torch.rand(count, generator=generator) < config.rendered.probability).sum())
        if rendered:  # in place of the first ones; the block is shuffled anyway
            hr[:rendered] = rendered_crops(rendered, config.hr_size, generator, config.rendered).to(hr.device)
        chunk = Batch(*(_bytes(part) for part in degraded(hr, generator, config.degradation, finer=self.finer)))
        return chunk._replace(target=chunk.hr) if self.targets else chunk


def _load_targets(folder: str, bank: ImageBank, config: DataConfig) -> Targets:
    targets = Targets(Path(folder), bank)
    if targets.source.hr_size != config.hr_size:
        raise UsageError(
            f"{folder}: holds crops of {targets.source.hr_size} px, and the field 'data.hr_size' wants {config.hr_size}"
        )
    return targets


def _bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().byte()


def degraded(hr: Tensor, generator: torch.Generator, config: DegradationConfig, *, finer: bool) -> Batch:
    """hr (B, 3, S, S) in [0, 1] with its LR and, where `finer`, that of x2: the same blurs, noises and qualities at twice the size."""
    drawn = generator.get_state()
    lr = degrade(hr, scale=SCALE, generator=generator, config=config)
    none = lr.new_empty(len(hr), 3, 0, 0)
    if not finer:
        return Batch(hr, lr, none, none)
    again = torch.Generator()
    again.set_state(drawn)
    return Batch(hr, lr, degrade(hr, scale=TEACHER_SCALE, generator=again, config=config), none)


def _turned(images: Tensor, chosen: Tensor, turns: Tensor) -> Tensor:
    """Those `chosen` of uint8 (N, C, S, S), each by its own of the eight flips and quarter turns: float32 in [0, 1].

    On a CPU one at a time, each copied once: gathering the rows of a turn and putting them back takes twice the time.
    """
    if images.device.type != "cpu":
        return _turned_together(images, chosen, turns)
    turned = torch.empty(len(chosen), *images.shape[1:], device=images.device)
    for row, index, turn in zip(turned, chosen.tolist(), turns.tolist(), strict=True):
        image = images[index].flip(-1) if turn >= 4 else images[index]
        row.copy_(torch.rot90(image, turn % 4, dims=(-2, -1)))
    return turned.div_(255)


def _turned_together(images: Tensor, chosen: Tensor, turns: Tensor) -> Tensor:
    """The same, all of a turn at once: few operations for a GPU to start."""
    order = turns.argsort(stable=True)
    groups = images[sent(chosen[order], images.device)].split(torch.bincount(turns, minlength=8).tolist())
    turned = [torch.rot90(group.flip(-1) if turn >= 4 else group, turn % 4, dims=(-2, -1)) for turn, group in enumerate(groups)]
    return torch.cat(turned)[sent(order.argsort(), images.device)].float().div_(255)
