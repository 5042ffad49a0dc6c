"""Folders of model files, and the Hugging Face Hub, which keeps such folders (the extra `hub`)."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgesr import __version__
from edgesr.errors import EdgesrError, InputError, UsageError, needs_extra, one_line
from edgesr.presets import PRESETS, WEIGHTS, difference_path, int8_path, weights_path, weights_version
from edgesr.upscaling import checksums

_FILES = ["*.onnx", "*.npz", checksums.LIST, "config.json", "README.md"]
_ID = re.compile(r"[\w.-]+/[\w.-]+")
_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)[^)]*\)")
_CARD = """\
---
license: {licence}
library_name: edgesr
pipeline_tag: image-to-image
tags: [super-resolution, image-upscaling, onnx]
---
# Edge-SD-SR `{name}`

Weights of the model `{name}` of edgesr, for 4x super-resolution.
"""


def folder_of(model: str | Path, *, revision: str | None = None) -> Path:
    """Return the folder of a model: `model` itself, or a copy of the Hub's in its cache. Raises EdgesrError as `from_pretrained`."""
    folder = Path(model)
    if folder.is_dir():
        checksums.check_all(folder)
        return folder
    if not isinstance(model, str) or not _ID.fullmatch(model):
        raise UsageError(f"{model}: no such folder, and no name of a model on the Hugging Face Hub such as name/edgesr-tiny")
    return download(model, None, revision=revision)


def download(repo_id: str, folder: Path | None, *, revision: str | None = None) -> Path:
    """Download a model of the Hub into `folder`, or the Hub's cache, and return where it is; its checksums are verified."""
    with needs_extra("hub", "the Hugging Face Hub"):
        from huggingface_hub import snapshot_download
    with _told(repo_id):
        found = Path(
            snapshot_download(
                repo_id,
                revision=revision,
                local_dir=folder,
                allow_patterns=_FILES,
                library_name="edgesr",
                library_version=__version__,
            )
        )
    checksums.check_all(found)
    preset_of(found)
    return found


def preset_of(folder: Path) -> str:
    """Return the model whose files a folder has. Raises UsageError if there is not exactly one."""
    found = [name for name in PRESETS if weights_path(name, folder).is_file()]
    if len(found) != 1:
        wanted = " or ".join(f"{name}.onnx" for name in PRESETS)
        what = "has no model file" if not found else f"has {len(found)} models: {', '.join(found)}"
        raise UsageError(f"{folder}: {what}; it needs exactly one of {wanted}")
    return found[0]


def save(model: str, weights: str | Path | None, folder: Path) -> Path:
    """Write the weights of an upscaler as a folder; see `Upscaler.save_pretrained`."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: is not empty: name a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        own = None if weights is None else Path(weights)
        if own is not None and not own.is_dir():
            shutil.copyfile(own, folder / f"{model}.onnx")
        elif own is not None and not weights_path(model, own).is_file():
            raise UsageError(
                f"{own}: is a checkpoint: export it by `edgesr export {own} --format onnx` and load the file as weights"
            )
        else:
            for path in (
                weights_path(model, own),
                difference_path(model, own),
                int8_path(model, own, fidelity=False),
                int8_path(model, own, fidelity=True),
            ):
                if path.is_file():
                    (folder / path.name).write_bytes(path.read_bytes())
        checksums.write(folder)
        config = {"library": "edgesr", "edgesr": __version__, "model": model, "version": weights_version(model, folder)}
        (folder / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        (folder / "README.md").write_text(_card(model, own), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {one_line(error)}") from error
    return folder


def push(model: str, weights: str | Path | None, repo_id: str, *, private: bool, token: str | None) -> str:
    """Upload what `save` writes; see `Upscaler.push_to_hub`."""
    if not _ID.fullmatch(repo_id):
        raise UsageError(f"{repo_id}: name it as on the Hugging Face Hub: name/edgesr-tiny")
    with needs_extra("hub", "the Hugging Face Hub"):
        from huggingface_hub import HfApi
    with tempfile.TemporaryDirectory() as place:
        folder = save(model, weights, Path(place, "model"))
        with _told(repo_id):
            api = HfApi(token=token, library_name="edgesr", library_version=__version__)
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=f"edgesr {__version__}: {model}")
            return str(commit.commit_url)


def _card(model: str, own: Path | None) -> str:
    """The model card: that of the folder or the package, without links to files that are not beside it; a short one for others."""
    if own is None:
        card = WEIGHTS.joinpath(f"{model}.md").read_text(encoding="utf-8")
        return _RELATIVE_LINK.sub(r"\1", card)
    if (own / "README.md").is_file():
        return (own / "README.md").read_text(encoding="utf-8")
    return _CARD.format(name=model, licence="unknown")


@contextmanager
def _told(repo_id: str) -> Iterator[None]:
    """Turn the errors of the Hub's library into one line."""
    from huggingface_hub import errors

    try:
        yield
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.GatedRepoError) as error:
        raise EdgesrError(
            f"{repo_id}: not on the Hugging Face Hub, or not for you: check the name, or `hf auth login`"
        ) from error
    except errors.HFValidationError as error:
        raise UsageError(f"{repo_id}: {one_line(error)}") from error
    except errors.HfHubHTTPError as error:
        raise EdgesrError(f"{repo_id}: the Hugging Face Hub refuses: {one_line(error)}") from error
    except Exception as error:  # those of the HTTP library, which is not always the same
        raise EdgesrError(
            f"{repo_id}: the Hugging Face Hub cannot be reached; without network, give the folder of a model downloaded before"
        ) from error
