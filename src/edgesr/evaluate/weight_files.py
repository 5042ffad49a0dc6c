"""Weights of published metrics: from a folder given by the user, or downloaded by the metric's own library."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgesr.evaluate.unavailable import Unavailable, brief, need

# As torchvision and torch-fidelity publish them; the end of each name is the start of its SHA-256.
ALEXNET, VGG16 = "alexnet-owt-7be5be79.pth", "vgg16-397923af.pth"
SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"
INCEPTION = "weights-inception-2015-12-05-6726825d.pth"
SQUEEZENET_ARCHIVE = "squeezenet1_1_features.npz"  # the convolutions alone, in Caffe's convention: see sqd.py


def find(weights: Path, name: str) -> Path:
    """Return the file `name` in the folder `weights`; raises Unavailable if it is missing, or its checksum is not that of its name."""
    path = weights / name
    if not path.is_file():
        raise Unavailable(f"{weights}: weights not found: {name}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = path.stem.rpartition("-")[2]
    if not found.startswith(wanted):
        raise Unavailable(f"{path}: its SHA-256 starts with {found[: len(wanted)]}, not {wanted}: download it again")
    return path


@contextlib.contextmanager
def fetched_from(weights: Path | None, name: str) -> Iterator[None]:
    """Inside the block, torch.hub takes the file `name` from the folder `weights` instead of downloading it.

    Without a folder torch.hub uses its cache or the network. Any failure inside becomes Unavailable. Output inside goes to standard
    error, because torch.hub reports downloads on standard output, where the tables belong.
    """
    hub = need("torch.hub", "evaluate")
    before = hub.get_dir()
    with tempfile.TemporaryDirectory(prefix="edgesr-") as folder:
        if weights is not None:
            checkpoints = Path(folder, "checkpoints")
            checkpoints.mkdir()
            _link(find(weights, name), checkpoints / name)
            hub.set_dir(folder)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield
        except Exception as error:  # no network, a damaged file, a library that does not fit
            raise Unavailable(
                f"the weights {name} cannot be loaded ({brief(error)}); give a folder that has them: --weights DIR"
            ) from error
        finally:
            hub.set_dir(before)


def _link(file: Path, name: Path) -> None:
    try:
        name.symlink_to(file.resolve())
    except OSError:  # Windows lets few make links
        shutil.copyfile(file, name)
