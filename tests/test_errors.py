"""The command that a message names installs the extra: from where this program came, not from an index that may not have it."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

from edgesr.errors import install_command

CLONE = Path(__file__).parents[1].resolve()


@pytest.mark.parametrize(
    ("record", "command"),
    [
        (None, "pip install 'edgesr[heic]'"),
        ({"url": CLONE.as_uri(), "dir_info": {}}, f"pip install '{CLONE}[heic]'"),
        ({"url": CLONE.as_uri(), "dir_info": {"editable": True}}, f"pip install -e '{CLONE}[heic]'"),
        (
            {"url": "file:///home/me/edgesr-0.1.0.whl", "archive_info": {}},
            "pip install 'edgesr[heic] @ file:///home/me/edgesr-0.1.0.whl'",
        ),
        (
            {"url": "https://example.org/edgesr", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}},
            "pip install 'edgesr[heic] @ git+https://example.org/edgesr@0123abc'",
        ),
    ],
)
def test_an_extra_comes_from_where_the_program_came(monkeypatch, tmp_path, record, command):
    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return record and json.dumps(record)

    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed())
    monkeypatch.chdir(tmp_path)
    assert install_command("heic") == command
    monkeypatch.chdir(CLONE)
    assert install_command("heic") == command.replace(f"'{CLONE}[", "'.[")
    (tmp_path / "pipx_metadata.json").touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_command("heic") == command.replace("pip install", "pipx runpip edgesr install")


def test_without_a_record_of_the_installation_it_comes_from_the_index(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert install_command("heic") == "pip install 'edgesr[heic]'"
