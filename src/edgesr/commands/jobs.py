"""Which images to upscale and where each result goes: planned from names alone, before an image is opened.

Inputs (files, folders, patterns, "-") become jobs. No two jobs share a target, no target is an input, and the same inputs give
the same names again, so that a second run can tell what the first one has done.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesr import images
from edgesr.errors import UsageError, one_line


@dataclass
class Job:
    """One image to upscale."""

    source: Path | None  # None: standard input
    target: Path | None  # None: standard output; unused if `problem` is set
    problem: str | None = None  # why it fails before it is tried
    skip: str | None = None  # why it is skipped


def plan(
    inputs: Sequence[str],
    *,
    out: str | None = None,
    suffix: str = "_4x",
    format: str | None = None,
    recursive: bool = False,
) -> list[Job]:
    """Return one job per image, in the order of `inputs` (sorted inside a folder or pattern); no two share a target.

    Without `out`, the result of a file is written beside it and those of a folder to a sibling folder, both named with `suffix`.
    `format` is a name such as "JPEG"; None keeps that of each source. Raises UsageError if the arguments contradict
    each other or there is nothing to do.
    """
    if "" in inputs or out == "":  # such as an unset variable in a script; it must not mean the current folder
        raise UsageError("INPUT or OUT is empty: name a file or folder")
    if "-" in inputs or out == "-":
        return [_plan_pipe(inputs, out, format)]
    if out is not None and len(inputs) == 1 and _names_file(inputs[0]) and not _names_folder(out):
        return [_plan_file(Path(inputs[0]), Path(out), format)]
    folder = None if out is None else _target_folder(out)

    sources: dict[object, tuple[Path, Path]] = {}  # image and the folder of its result; the first mention counts
    failures: list[Job] = []
    unusable: list[Job] = []
    for text in inputs:
        found, problems = _found(text, folder, suffix, recursive)
        for picture, place in found:
            problem = _problem(picture, regular=picture != Path(text))  # a pipe has to be named, not matched
            if problem is None:
                sources.setdefault(_entry(picture), (picture, place))
            else:
                unusable.append(Job(picture, None, problem))
        failures += problems
    if not (sources or unusable) and not any(_names_file(text) for text in inputs):
        raise UsageError("; ".join(f"{job.source}: {job.problem}" for job in failures))
    jobs = _named([*sources.values()], suffix, format)
    _protect_inputs(jobs)
    return jobs + unusable + failures


def _found(text: str, folder: Path | None, suffix: str, recursive: bool) -> tuple[list[tuple[Path, Path]], list[Job]]:
    """Return the images that one input names, each with the folder of its result, and the failures."""
    path = Path(text)
    if _problem(path) is None and path.is_dir():
        pictures, problems = _pictures_in(path, recursive, folder)
        root = folder or _sibling(path, suffix)
        return [(picture, root / picture.parent.relative_to(path)) for picture in pictures], problems
    pictures, problems = _files(text)
    return [(picture, folder or picture.parent) for picture in pictures], problems


def _plan_pipe(inputs: Sequence[str], out: str | None, format: str | None) -> Job:
    if len(inputs) > 1:
        raise UsageError("'-' (standard input or output) takes one image: give one input")
    source = None if inputs[0] == "-" else Path(inputs[0])
    if source is not None and _problem(source) is None and source.is_dir():
        raise UsageError(f"{source} is a folder: -o - takes one image")
    if out in (None, "-"):
        return Job(source, None, None if source is None else _problem(source))
    if _names_folder(out):
        raise UsageError(f"-o {out}: an image from standard input has no name: name a file, such as result.png")
    return _plan_file(None, Path(out), format)


def _plan_file(source: Path | None, target: Path, format: str | None) -> Job:
    by_name = images.format_for(str(target))
    if format not in (None, by_name):
        raise UsageError(
            f"-o {target} and --format disagree: omit --format, or use the extension {images.extension_for(format)}"
        )
    if source is not None and _problem(target) is _problem(source) is None and target.samefile(source):
        raise UsageError(f"-o {target} is the input itself: inputs are never overwritten; give another name")
    _check_reachable(target.parent)
    return Job(source, target, None if source is None else _problem(source))


def _names_file(text: str) -> bool:
    path = Path(text)
    return not path.is_dir() if _problem(path) is None else not glob.has_magic(text)


def _names_folder(out: str) -> bool:
    return out.endswith(("/", os.sep)) or Path(out).is_dir() or not Path(out).suffix


def _target_folder(out: str) -> Path:
    folder = Path(out)
    if not _names_folder(out) and images.is_picture_name(folder):
        raise UsageError(
            f"-o {out} names one file, but there may be several inputs: name a folder ({out}/ for one of that name)"
        )
    _check_reachable(folder)
    return folder


def _check_reachable(folder: Path) -> None:
    """Raise UsageError if `folder` cannot be created; creates nothing."""
    existing = folder
    while _problem(existing) is not None and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"-o: {existing} is a file, not a folder: name another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"-o: no permission to write into {existing}: name another folder")


def _sibling(folder: Path, suffix: str) -> Path:
    named = folder if folder.name not in ("", "..") else folder.resolve()
    if not named.name:
        raise UsageError(f"{folder}: name a folder for the results with -o")
    return named.with_name(named.name + suffix)


def _pictures_in(folder: Path, recursive: bool, out: Path | None) -> tuple[list[Path], list[Job]]:
    """List the images in a folder by extension, except hidden ones and those in the output folder."""
    unreadable: list[OSError] = []
    out_path = None if out is None else os.path.realpath(out)
    pictures: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=unreadable.append):
        visible = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in visible if os.path.realpath(Path(place, name)) != out_path] if recursive else []
        pictures += [Path(place, name) for name in sorted(files) if _is_visible_picture(Path(name))]
    problems = [Job(Path(error.filename), None, f"cannot list this folder: {one_line(error)}") for error in unreadable]
    if not pictures and not problems:
        hint = "" if recursive else " (use --recursive to include subfolders)"
        problems = [Job(folder, None, f"no images in this folder{hint}")]
    return pictures, problems


def _files(text: str) -> tuple[list[Path], list[Job]]:
    """Return the file called `text`, else the images that match it as a pattern (the shell of Windows does not expand patterns)."""
    path = Path(text)
    problem = _problem(path)
    if problem is None:
        return [path], []
    if not glob.has_magic(text):
        return [], [Job(path, None, problem)]
    matches = [Path(match) for match in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 (absolute patterns too)
    pictures = [match for match in matches if _is_visible_picture(match) and match.is_file()]
    return pictures, [] if pictures else [Job(path, None, "no image matches this pattern")]


def _is_visible_picture(path: Path) -> bool:
    return not path.name.startswith(".") and images.is_picture_name(path)


def _problem(path: Path, *, regular: bool = False) -> str | None:
    """Return why `path` cannot be used, None if it can; with `regular`, a special file such as a pipe cannot."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            return f"broken link to {path.readlink()}"
        return "no such file or folder"
    except OSError as error:
        return error.strerror
    return "not a regular file" if regular and not stat.S_ISREG(mode) else None


def _identity(path: Path) -> tuple[object, ...]:
    """Return a key of the file itself: the same for links to it and for other spellings of its name."""
    try:
        status = path.stat()
    except OSError:  # it has vanished; opening it will fail
        return (str(path),)
    return status.st_dev, status.st_ino


def _entry(path: Path) -> tuple[object, ...]:
    """Return a key of the folder entry: two links to one file are two entries, `a.png` and `./a.png` are one."""
    return _identity(path.parent), path.name.casefold(), _identity(path)


def _named(sources: list[tuple[Path, Path]], suffix: str, format: str | None) -> list[Job]:
    """Give every result a unique name that depends on the set of inputs but not on their order.

    Results that would share a name get the source's extension added, then the folder's name, its parent's...
    """
    levels = [0] * len(sources)
    while True:
        targets = [
            place / f"{_stem(source, level)}{suffix}{images.result_extension(source.suffix, format)}"
            for (source, place), level in zip(sources, levels, strict=True)
        ]
        keys = [str(Path(os.path.realpath(target.parent), target.name)).casefold() for target in targets]
        uses = Counter(keys)
        if len(uses) == len(keys):
            return [Job(source, target) for (source, _), target in zip(sources, targets, strict=True)]
        levels = [level + (uses[key] > 1) for level, key in zip(levels, keys, strict=True)]


def _stem(source: Path, level: int) -> str:
    path = source.parent.resolve() / source.name  # the link itself, not what it points to
    depth, with_extension = divmod(level, 2)
    folders = path.parent.parts[1:]
    if depth > len(folders):  # "a_b/c" and "a/b_c" join to the same name
        return f"{source.stem}_{hashlib.sha256(f'{path}{level}'.encode(errors='surrogateescape')).hexdigest()[:12]}"
    words = [*folders[len(folders) - depth :], source.stem]
    return "_".join([*words, source.suffix[1:]] if with_extension and source.suffix else words)


def _protect_inputs(jobs: list[Job]) -> None:
    """Fail the jobs that would overwrite an input; skip inputs that are earlier results of these jobs."""
    by_entry = {_entry(job.source): job for job in jobs if job.source is not None}
    inputs = {_identity(job.source): job.source for job in jobs if job.source is not None}
    for job in jobs:
        if job.target is None or _problem(job.target) is not None:
            continue
        earlier = by_entry.get(_entry(job.target))
        if earlier is not None:
            earlier.skip = f"looks like the result of {job.source}; upscale it in a separate run if you want to"
        victim = inputs.get(_identity(job.target))
        if victim is not None:
            job.problem = (
                f"its result {job.target} would overwrite the input {victim}: choose another OUT, or use --skip-existing"
            )
