"""Training batches as pure functions of (seed, step), so that resuming a run needs no saved data state.

On a GPU nothing here synchronises, so that its work queue never runs empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from edgesr.data.degradation import DegradationConfig, degrade
from edgesr.data.mixture import Mixture
from edgesr.data.seeds import step_generator
from edgesr.data.stream import Stream
from edgesr.data.targets import PART, Targets, composed, unless_worse
from edgesr.errors import UsageError
from edgesr.presets import SCALE
from edgesr.pretrained.teachers import Teacher, load_teacher, taught
from edgesr.train.networks import TEACHER_SCALE
from edgesr.train.processes import Processes
from edgesr.train.recipe import DataConfig
from edgesr.train.step import Batch, sent

CHUNK = 16  # crops degraded at once: more take memory and save no time on a CPU


class Batches:
    """Crops and their degraded LR; a block of steps is made at once, and each pair is used `uses` times.

    They are on the pictures' device. `streams` have shares of the crops. With `ahead` a thread makes the next block while the steps of the
    current one run; this is for a GPU, where the CPU is idle. The thread uses its own CUDA stream, so that its many small copies do not
    wait for the steps.
    """

    def __init__(
        self,
        mixture: Mixture,
        config: DataConfig,
        seed: int,
        *,
        lr_x2: bool = False,
        processes: Processes | None = None,
        streams: Sequence[tuple[Stream, float]] = (),
        ahead: bool = False,
    ) -> None:
        self.mixture, self.config, self.seed, self.lr_x2 = mixture, config, seed, lr_x2
        self.processes = processes or Processes()
        self.targets = [(_load_targets(t.folder, mixture, config), t.share) for t in config.targets if t.folder]
        self.teachers = [(_load_teacher(t.teacher, mixture.device), t.share) for t in config.targets if t.teacher]
        self.streams = list(streams)
        self._block, self._pairs, self._order = -1, Batch(*[torch.empty(0)] * len(Batch._fields)), torch.empty(0)
        self._pool = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[tuple[Batch, Tensor]]] | None = None
        device = mixture.device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, step: int) -> Batch:
        """Return this process's rows of the step's batch."""
        config = self.config
        block, within = divmod(step, config.block)
        if block != self._block:
            self._pairs, self._order = self._made(block)
            self._block = block
            for part in self._pairs if self._stream is not None else ():
                part.record_stream(torch.cuda.current_stream())  # its memory may be reused only after the steps have used it
        chosen = self._order[within]
        turns = torch.randint(8, (config.batch,), generator=step_generator(self.seed, "turns", step))
        turns = self.processes.rows(turns)
        return Batch(*(_turned(part, chosen, turns) for part in self._pairs))

    def _made(self, block: int) -> tuple[Batch, Tensor]:
        """The block, from the thread if it was made ahead; the thread then starts on the next one."""
        if self._pool is None:
            return self._make(block)
        ready = self._next[1] if self._next is not None and self._next[0] == block else None
        made = ready.result() if ready else self._make(block)
        self._next = block + 1, self._pool.submit(self._make, block + 1)
        return made

    def _make(self, block: int) -> tuple[Batch, Tensor]:
        """The block's pairs and the order of their uses; ready for the main stream on return."""
        if self._stream is None:
            return self._drawn(block)
        with torch.cuda.stream(self._stream):
            pairs, order = self._drawn(block)
            self._stream.synchronize()
        return pairs, order

    def _drawn(self, block: int) -> tuple[Batch, Tensor]:
        """This process's pairs of a block, and the index of the pair in each row of each step, (steps, rows).

        Row i of every batch takes the pairs i, i + batch, i + 2 batch and so on, whose random numbers are the row's own: so a process
        makes the pairs of its rows alone, and the batch of all processes does not depend on their number.
        """
        config, depth = self.config, -(-self.config.block // self.config.uses)
        count = depth * config.batch
        kinds = self._kinds(count)
        chunks, places, columns = [], [], []
        if taught := self._taught(block, count):
            before = torch.arange(count)[kinds < 0]
            places.append(self.processes.rows(before))
            chunks.append(Batch(*(self.processes.rows(torch.cat(parts)[: len(before)]) for parts in zip(*taught, strict=True))))
        mine = kinds[torch.arange(count) % config.batch % self.processes.world == self.processes.rank]
        streamed = [self._streamed(number, block, mine) for number in range(len(self.streams))]
        for row in self.processes.rows(torch.arange(config.batch)).tolist():
            generator = step_generator(self.seed, f"row {row}", block)
            own = torch.arange(row, count, config.batch)
            for number, source in enumerate([*(teacher for teacher, _ in self.teachers), *streamed, None]):
                drawn = own[kinds[own] == number]
                chunks += self._chunks(len(drawn), generator, source)
                places.append(drawn)
            # Each pass over the pairs has its own permutation, which spreads the uses of one pair over the block.
            turns = torch.cat([torch.randperm(depth, generator=generator) for _ in range(config.uses)])[: config.block]
            columns.append(own[turns])
        position = torch.empty(count, dtype=torch.int64)
        position[torch.cat(places)] = torch.arange(sum(map(len, places)))
        return Batch(*(torch.cat(parts) for parts in zip(*chunks, strict=True))), position[torch.stack(columns, dim=1)]

    def _kinds(self, count: int) -> Tensor:
        """For each pair of a block -1 if its target was made before training, else the number of its teacher or stream, or the next."""
        taught = sum(round(share * count) for _, share in self.targets)
        shares = [share for _, share in (*self.teachers, *self.streams)]
        kinds = [-1] * taught + [number for number, share in enumerate(shares) for _ in range(round(share * count))]
        return torch.tensor((kinds + [len(shares)] * count)[:count])

    def _streamed(self, number: int, block: int, mine: Tensor) -> Iterator[Tensor]:
        """The crops of a stream for this process's pairs of the block, one by one; `mine` are the kinds of these pairs."""
        stream, count = self.streams[number][0], int((mine == len(self.teachers) + number).sum())
        return iter(stream.crops(block * count, count) if count else ())

    def _taught(self, block: int, count: int) -> list[Batch]:
        """The block's pairs that have a teacher's target, uint8: whole parts, each used equally often."""
        chunks = []
        for number, (targets, share) in enumerate(self.targets):
            wanted, at = round(share * count), block * -(-round(share * count) // PART)
            while wanted > 0:
                turn, place = divmod(at, targets.manifest.parts)
                order = torch.randperm(targets.manifest.parts, generator=step_generator(self.seed, f"targets {number}", turn))
                hr, lr, target = (_bytes(part[:wanted]) for part in targets.part(int(order[place])))
                chunks.append(Batch(hr, lr, lr.new_empty(len(lr), 3, 0, 0), target))
                wanted, at = wanted - len(lr), at + 1
        return chunks

    def _chunks(self, count: int, generator: torch.Generator, source: Teacher | Iterator[Tensor] | None) -> list[Batch]:
        """New crops, or those of a stream, and their LR, uint8; the target is the teacher's, or the truth."""
        config, chunks = self.config, []
        for start in range(0, count, CHUNK):
            some = min(CHUNK, count - start)
            if source is None or isinstance(source, Teacher):
                hr = self.mixture.crops(some, config.hr_size, generator)
            else:
                hr = torch.stack(list(islice(source, some)))
            chunk = degraded(hr, generator, config.degradation, lr_x2=self.lr_x2)
            if isinstance(source, Teacher):
                result = taught(source, chunk.lr, bfloat16=hr.device.type == "cuda")
                chunk = chunk._replace(target=unless_worse(composed(result, hr), chunk.lr, hr))
            elif config.targets:
                chunk = chunk._replace(target=hr)
            chunks.append(Batch(*map(_bytes, chunk)))
        return chunks


def _load_targets(folder: str, mixture: Mixture, config: DataConfig) -> Targets:
    targets = Targets(Path(folder), mixture)
    if targets.source.hr_size != config.hr_size:
        raise UsageError(
            f"{folder}: holds crops of {targets.source.hr_size} px, and the field 'data.hr_size' is {config.hr_size}"
        )
    return targets


def _load_teacher(name: str, device: torch.device) -> Teacher:
    teacher = load_teacher(name)
    teacher.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return teacher


def _bytes(pictures: Tensor) -> Tensor:
    return (pictures * 255).round().byte()


def degraded(hr: Tensor, generator: torch.Generator, config: DegradationConfig, *, lr_x2: bool) -> Batch:
    """hr (B, 3, S, S) in [0, 1] with its LR and, if `lr_x2`, the LR at x2: the same blurs, noises and qualities at twice the size."""
    drawn = generator.get_state()
    lr = degrade(hr, scale=SCALE, generator=generator, config=config)
    none = lr.new_empty(len(hr), 3, 0, 0)
    if not lr_x2:
        return Batch(hr, lr, none, none)
    again = torch.Generator()
    again.set_state(drawn)
    return Batch(hr, lr, degrade(hr, scale=TEACHER_SCALE, generator=again, config=config), none)


def _turned(images: Tensor, chosen: Tensor, turns: Tensor) -> Tensor:
    """The `chosen` rows of uint8 (N, C, S, S), each in one of the eight flips and quarter turns, as float32 in [0, 1].

    On a CPU they are processed one at a time, with one copy each: gathering and scattering the rows of each turn takes twice the time.
    """
    if images.device.type != "cpu":
        return _turned_together(images, chosen, turns)
    turned = torch.empty(len(chosen), *images.shape[1:], device=images.device)
    for row, index, turn in zip(turned, chosen.tolist(), turns.tolist(), strict=True):
        image = images[index].flip(-1) if turn >= 4 else images[index]
        row.copy_(torch.rot90(image, turn % 4, dims=(-2, -1)))
    return turned.div_(255)


def _turned_together(images: Tensor, chosen: Tensor, turns: Tensor) -> Tensor:
    """The same, grouped by turn: few kernel launches on a GPU."""
    order = turns.argsort(stable=True)
    groups = images[sent(chosen[order], images.device)].split(torch.bincount(turns, minlength=8).tolist())
    turned = [torch.rot90(group.flip(-1) if turn >= 4 else group, turn % 4, dims=(-2, -1)) for turn, group in enumerate(groups)]
    return torch.cat(turned)[sent(order.argsort(), images.device)].float().div_(255)
