"""Weights of other people's metrics: from a folder that the user names, or as the metric's own library fetches them (ours)."""

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
        raise Unavailable(f"{weights} does not hold its weights, {name}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = path.stem.rpartition("-")[2]
    if not found.startswith(wanted):
        raise Unavailable(f"{path}: its SHA-256 starts with {found[: len(wanted)]}, not {wanted}: fetch it again")
    return path


@contextlib.contextmanager
def fetched_from(weights: Path | None, name: str) -> Iterator[None]:
    """Have what is built inside take the file `name` from the folder `weights`, where torch.hub would fetch it.

    Without a folder torch.hub takes it from its cache or from the network. Whatever fails inside becomes Unavailable. What is
    printed inside goes to standard error: torch.hub tells of downloads on standard output, where the tables belong.
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
                f"its weights, {name}, cannot be loaded ({brief(error)}); a folder with them: --weights DIR"
            ) from error
        finally:
            hub.set_dir(before)


def _link(file: Path, name: Path) -> None:
    try:
        name.symlink_to(file.resolve())
    except OSError:  # Windows lets few make links
        shutil.copyfile(file, name)
