"""Make targets: draw and degrade crops as in a recipe, and store a teacher's results, with one process per core."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from edgesr.data.bank import ImageBank
from edgesr.data.mixture import FolderConfig, Mixture
from edgesr.data.targets import PART, Manifest, Source, begin, hr_crops, lr_crops, picture_hashes, write_part
from edgesr.pretrained.teachers import Teacher, load_teacher, taught

CHUNK = 4  # crops per call of the teacher: more take memory and save no time on a CPU


@dataclass(frozen=True)
class Lesson:
    """Everything a process needs to make a part."""

    teacher: str
    weights: Path | None
    photographs: Path
    cache: Path
    held_out: int
    folders: tuple[FolderConfig, ...]  # in addition to the photographs
    source: Source
    pairs: int
    out: Path
    bfloat16: bool
    device: str


def teach(lesson: Lesson, processes: int) -> tuple[int, Iterator[int]]:
    """Check everything, then return the number of missing pairs and an iterator that makes them and yields the pairs of each part.

    Raises what `load_teacher`, `ImageBank.load` and `targets.begin` raise.
    """
    teacher = load_teacher(lesson.teacher, lesson.weights)
    mixture = _mixture(lesson)
    source, hashes = asdict(lesson.source), picture_hashes(mixture)
    manifest = Manifest(teacher.name, teacher.licence, teacher.sha256, lesson.pairs, source, hashes)
    missing = begin(lesson.out, manifest)
    left = sum(min(PART, lesson.pairs - part * PART) for part in missing)
    if processes == 1:
        return left, (_make(lesson, teacher, mixture, part) for part in missing)
    return left, _shared_out(lesson, missing, processes)


def _shared_out(lesson: Lesson, missing: list[int], processes: int) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")  # a fork would share torch's threads
    with ProcessPoolExecutor(processes, context, _begin_process, (lesson,)) as pool:
        try:
            yield from pool.map(_make_here, missing)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_here: list[tuple[Lesson, Teacher, Mixture]] = []  # the state of a pool process


def _begin_process(lesson: Lesson) -> None:
    torch.set_num_threads(1)
    _here.append((lesson, load_teacher(lesson.teacher, lesson.weights), _mixture(lesson)))


def _make_here(part: int) -> int:
    lesson, teacher, mixture = _here[0]
    return _make(lesson, teacher, mixture, part)


def _mixture(lesson: Lesson) -> Mixture:
    photographs = ImageBank.load(lesson.photographs, cache=lesson.cache).split(lesson.held_out)[0]
    return Mixture.load(photographs, lesson.source.crop, lesson.folders, cache=lesson.cache)


def _make(lesson: Lesson, teacher: Teacher, mixture: Mixture, part: int) -> int:
    """Make and write a part; return its number of pairs."""
    teacher.network.to(lesson.device)
    hr = hr_crops(mixture, lesson.source, part, min(PART, lesson.pairs - part * PART))
    lr = lr_crops(hr, lesson.source, part)
    result = torch.cat([taught(teacher, chunk.to(lesson.device), bfloat16=lesson.bfloat16).cpu() for chunk in lr.split(CHUNK)])
    write_part(lesson.out, part, hr, lr, result)
    return len(hr)
