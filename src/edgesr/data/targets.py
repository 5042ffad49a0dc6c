"""A teacher's targets, stored on disk: the degraded LR of crops of photographs, and the results of a larger upscaler for them.

A teacher costs a hundred times as much as a student, so it runs once, beforehand. A folder of targets holds `targets.json` and parts of
PART pairs each. A part stores the LR uncompressed and the teacher's result as JPEG without chroma subsampling; the HR crop is cut again
from the photographs, whose hashes are stored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from edgesr.atomic import write_whole
from edgesr.data.bank import CropConfig, ImageBank
from edgesr.data.degradation import degrade
from edgesr.data.mixture import FolderConfig, Mixture
from edgesr.data.plan import DegradationConfig, LastRoundConfig, RoundConfig
from edgesr.data.seeds import step_generator
from edgesr.errors import EdgesrError, UsageError, one_line
from edgesr.presets import SCALE

FORMAT = "edgesr targets 2"  # increase the number when an older reader would fail
PART = 64  # pairs per file
QUALITY = 95  # of the JPEG, 4:4:4: 42 dB or more to the teacher's result, which is at 25 to 30 dB from the ground truth
THUMB = 8  # px a side of the reduced HR crop, to check that the photographs are unchanged
THUMB_LEVELS = 3  # of 255, tolerance for it: processors round differently
BAND = 8  # HR px: coarser structure comes from the ground truth, finer detail from the teacher
INVENTED = 4.0  # relative to the truth's local variance; above it the teacher invents detail, and the truth is the target
FAINT = (4 / 255) ** 2  # variance below which invented detail is invisible


@dataclass(frozen=True)
class Source:
    """The parameters of the pairs: the same source gives the same pairs."""

    hr_size: int  # HR px a side
    crop: CropConfig
    degradation: DegradationConfig
    folders: tuple[FolderConfig, ...]  # in addition to the photographs; without their paths
    seed: int


@dataclass(frozen=True)
class Manifest:
    """The content of `targets.json`."""

    teacher: str
    licence: str
    sha256: str  # of the teacher's weights
    pairs: int
    source: dict[str, Any]  # of Source
    pictures: list[dict[str, str]]  # one dict per folder: name -> SHA-256 of the pixels; the photographs come first

    @property
    def parts(self) -> int:
        """The number of files with pairs."""
        return -(-self.pairs // PART)


def without_path(folder: FolderConfig) -> FolderConfig:
    """The settings of a folder that determine which crops are drawn."""
    return dataclasses.replace(folder, path="")


def picture_hashes(mixture: Mixture) -> list[dict[str, str]]:
    """SHA-256 of the pixels of every picture of every folder, by name."""
    return [
        {photo.name: hashlib.sha256(bank.image(i).numpy().tobytes()).hexdigest() for i, photo in enumerate(bank.photos)}
        for bank in mixture.banks()
    ]


def hr_crops(mixture: Mixture, source: Source, part: int, count: int) -> torch.Tensor:
    """The first `count` HR crops of a part, (count, 3, S, S) float32 in [0, 1]."""
    return mixture.crops(PART, source.hr_size, step_generator(source.seed, "targets", part))[:count]


def lr_crops(hr: torch.Tensor, source: Source, part: int) -> torch.Tensor:
    """The degraded LR of a part's HR crops, (B, 3, S/4, S/4) float32 in [0, 1]."""
    generator = step_generator(source.seed, "targets' degradation", part)
    chunks = [degrade(chunk, scale=SCALE, generator=generator, config=source.degradation) for chunk in hr.split(16)]
    return torch.cat(chunks)


def begin(folder: Path, manifest: Manifest) -> list[int]:
    """Create `folder` with its manifest, or continue one with the same manifest; return the missing parts.

    Raises UsageError if the folder holds other targets or other files; EdgesrError if it cannot be written.
    """
    path, text = folder / "targets.json", json.dumps({"format": FORMAT, **dataclasses.asdict(manifest)}, indent=1)
    if path.exists():
        there = _load_manifest(folder)
        if dataclasses.replace(there, pairs=0) != dataclasses.replace(_as_read_back(manifest), pairs=0):
            raise UsageError(
                f"{folder}: holds targets of another teacher, recipe, seed or other photographs; choose another folder"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder}: holds other files; choose a new or an empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, text.encode())
    except OSError as error:
        raise EdgesrError(f"{folder}: cannot write there: {one_line(error)}") from None
    return [part for part in range(manifest.parts) if _pairs_in(folder / _name(part)) < _count(manifest, part)]


def _as_read_back(manifest: Manifest) -> Manifest:
    """The manifest after a JSON round trip, where tuples become lists."""
    return Manifest(**json.loads(json.dumps(dataclasses.asdict(manifest))))


def write_part(folder: Path, part: int, hr: torch.Tensor, lr: torch.Tensor, result: torch.Tensor) -> None:
    """Write pairs: hr and result (N, 3, S, S), lr (N, 3, S/4, S/4), all in [0, 1]; the file is written atomically.

    Raises EdgesrError if it cannot be written.
    """
    coded = [_encoded(picture) for picture in _bytes(result)]
    arrays = {
        "lr": _bytes(lr),
        "thumbs": _bytes(_thumbs(hr)),
        "ends": np.cumsum([len(code) for code in coded]),
        "jpeg": np.frombuffer(b"".join(coded), np.uint8),
    }
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    try:
        write_whole(folder / _name(part), stream.getvalue())
    except OSError as error:
        raise EdgesrError(f"{folder}: cannot write there: {one_line(error)}; make room, then run the same again") from None


class Targets:
    """The pairs of a folder, with their HR crops from the pictures of `mixture`, whose shares may have changed."""

    def __init__(self, folder: Path, mixture: Mixture) -> None:
        """Raise UsageError if the folder is missing, incomplete, damaged, or was made from other pictures."""
        self.folder = folder
        self.manifest = _load_manifest(folder)
        self.source = _source(self.manifest.source, folder)
        if len(self.source.folders) != len(mixture.others):
            raise UsageError(
                f"{folder}: was made with {len(self.source.folders)} 'data.folders' beside the photographs; name the same"
            )
        others = [(bank, config) for (bank, _), config in zip(mixture.others, self.source.folders, strict=True)]
        self.mixture = Mixture(mixture.photographs, self.source.crop, others)
        missing = [p for p in range(self.manifest.parts) if not (folder / _name(p)).is_file()]
        if missing:
            raise UsageError(
                f"{folder}: {len(missing)} of {self.manifest.parts} parts are missing; run `edgesr data teach` again, or lower --pairs"
            )
        for bank, wanted in zip(self.mixture.banks(), self.manifest.pictures, strict=True):
            self._check_pictures(bank, wanted)

    def __len__(self) -> int:
        return self.manifest.pairs

    def _check_pictures(self, bank: ImageBank, wanted: dict[str, str]) -> None:
        names = [photo.name for photo in bank.photos]
        if list(wanted) != names:
            strange = sorted(set(wanted) ^ set(names))
            what = f"'{strange[0]}' is missing on one side" if strange else "their order differs"
            raise UsageError(
                f"{self.folder}: was made from photographs other than the training set ({what}); make the targets again"
            )
        for index in {
            0,
            len(names) // 2,
            len(names) - 1,
        }:  # hashing all would read everything from disk; every crop is also checked on its own
            found = hashlib.sha256(bank.image(index).numpy().tobytes()).hexdigest()
            if found != wanted[names[index]]:
                raise UsageError(f"{self.folder}: the photograph '{names[index]}' has changed since; make the targets again")

    def part(self, part: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The pairs of a part: hr (N, 3, S, S), lr (N, 3, S/4, S/4) and target (N, 3, S, S), float32 in [0, 1], on the pictures' device.

        Raises UsageError if its file is damaged or does not match the photographs.
        """
        arrays = _read_part(self.folder / _name(part))
        hr = hr_crops(self.mixture, self.source, part, len(arrays["lr"]))
        self._check_crops(hr, arrays["thumbs"], part)
        codes = np.split(arrays["jpeg"], arrays["ends"][:-1])
        result = torch.stack([_decoded(code.tobytes()) for code in codes]).to(hr.device)
        lr = torch.from_numpy(arrays["lr"]).to(hr.device).float().div(255)
        return hr, lr, unless_worse(composed(result, hr), lr, hr)

    def _check_crops(self, hr: torch.Tensor, thumbs: np.ndarray, part: int) -> None:
        difference = (_thumbs(hr).cpu() * 255 - torch.from_numpy(thumbs)).abs().amax(dim=(1, 2, 3))
        if (difference > THUMB_LEVELS).any():
            raise UsageError(
                f"{self.folder / _name(part)}: its targets do not match the photographs: a photograph has changed, or this version "
                "draws crops otherwise; make the targets again"
            )


def composed(result: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """The student's target, (B, 3, S, S) in [0, 1]: the high band of the teacher's result and the low band of the ground truth hr.

    Where the teacher's local variance is far above the truth's, it invents detail, and the truth is the target. Sides are multiples
    of BAND.
    """
    high = result - _low(result)
    variances = (F.avg_pool2d((picture - _low(picture)).square().mean(1, keepdim=True), BAND) for picture in (result, hr))
    taught, true = variances
    invents = F.interpolate((taught > INVENTED * true + FAINT).to(hr), scale_factor=BAND, mode="bilinear", align_corners=False)
    return ((_low(hr) + high).lerp(hr, invents)).clamp(0, 1)


def unless_worse(target: torch.Tensor, lr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """The targets (B, 3, S, S), with hr instead of those that are further from hr than the bicubic enlargement of lr.

    Teachers alter clean pictures too, for which the ground truth is a feasible target.
    """
    bicubic = F.interpolate(lr, scale_factor=SCALE, mode="bicubic", align_corners=False).clamp(0, 1)
    taught, plain = ((picture - hr).square().mean(dim=(1, 2, 3), keepdim=True) for picture in (target, bicubic))
    return torch.where(taught > plain, hr, target)


def _low(picture: torch.Tensor) -> torch.Tensor:
    """The structure coarser than BAND px."""
    return F.interpolate(F.avg_pool2d(picture, BAND), scale_factor=BAND, mode="bilinear", align_corners=False)


def _thumbs(hr: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(hr, THUMB)


def _bytes(pictures: torch.Tensor) -> np.ndarray:
    return (pictures * 255).round().byte().cpu().numpy()


def _encoded(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture.transpose(1, 2, 0)).save(stream, "JPEG", quality=QUALITY, subsampling=0)
    return stream.getvalue()


def _decoded(code: bytes) -> torch.Tensor:
    pixels = np.array(Image.open(io.BytesIO(code)))
    return torch.from_numpy(pixels).permute(2, 0, 1).float().div_(255)


def _name(part: int) -> str:
    return f"part-{part:05d}.npz"


def _count(manifest: Manifest, part: int) -> int:
    return min(PART, manifest.pairs - part * PART)


def _pairs_in(path: Path) -> int:
    """The number of pairs in a part; 0 if it is missing or damaged."""
    try:
        with np.load(path) as arrays:
            return len(arrays["lr"]) if len(arrays["ends"]) == len(arrays["lr"]) else 0
    except Exception:  # numpy and zipfile raise many types
        return 0


def _read_part(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in ("lr", "thumbs", "ends", "jpeg")}
    except Exception as error:  # numpy and zipfile raise many types
        raise UsageError(f"{path}: damaged ({one_line(error, 100)}); run `edgesr data teach` again") from None


def _load_manifest(folder: Path) -> Manifest:
    path = folder / "targets.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table.pop("format") != FORMAT:
            raise UsageError(f"{path}: of another version of this format; make the targets again")
        return Manifest(**table)
    except OSError:
        raise UsageError(f"{folder}: no targets there; make them with `edgesr data teach`") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(f"{path}: damaged; make the targets again") from None


def _source(table: dict[str, Any], folder: Path) -> Source:
    try:
        degradation = _tuples(table["degradation"])
        for name, kind in (("first", RoundConfig), ("second", RoundConfig), ("last", LastRoundConfig)):
            degradation[name] = kind(**_tuples(degradation[name]))
        return Source(
            table["hr_size"],
            CropConfig(**table["crop"]),
            DegradationConfig(**degradation),
            tuple(FolderConfig(**folder) for folder in table["folders"]),
            table["seed"],
        )
    except (KeyError, TypeError):
        raise UsageError(f"{folder / 'targets.json'}: of another version of this program; make the targets again") from None


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
