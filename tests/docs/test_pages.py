"""Pages say what is so: links lead to files and functions, and the figures of the README are those that their sources have."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgesr.cli import _parsed
from edgesr.errors import UsageError
from edgesr.presets import PRESETS

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file(page):
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def _commands(page):
    """Yield each command of a page, without comments and pipes, and whether it is in a block, complete, not just named in the text."""
    fenced = False
    for line in page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield from ((part.strip(), True) for part in re.split(r"&&|\||;", re.sub(r"(^|\s)#.*", "", line)))
        else:
            yield from ((part, False) for part in re.findall(r"`([^`]+)`", line))


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_the_command_takes_every_line_of_the_pages(page, capsys):
    for text, complete in _commands(page):
        found = re.search(r"(?:^|[\s/])edgesr (?=[a-z/*\[-])(?!import )(.*?)(?:\s\d?[<>]|$)", text)
        if not found or "$" in found[1]:  # a variable of a script
            continue
        try:
            _parsed(shlex.split(found[1]))
        except SystemExit:  # --help, --version
            pass
        except UsageError as error:
            # what is named in the text may lack arguments, or have N for a number
            assert not complete and re.search("required|expected|'[A-Z]+' is no", str(error)), f"{text}: {error}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_scripts_that_the_pages_name_are_there_and_have_their_flags(page):
    for text, _ in _commands(page):
        found = re.search(
            r"(?:^|\s)(?:python |bash |sudo )?((?:tools|benchmarks|fuzz|deploy|examples)/[\w./-]+\.(?:py|sh))(.*)", text
        )
        if found:
            script = ROOT / found[1]
            assert script.is_file(), text
            missing = [
                flag
                for flag in re.findall(r"(?<!\S)--[a-z][a-z-]+", found[2])
                if flag not in script.read_text(encoding="utf-8")
            ]
            assert not missing, f"{text}: {missing}"


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize(
    "path", [*PAGES, *WORKFLOWS, ROOT / "Dockerfile", ROOT / "tools/lowest.sh"], ids=lambda path: path.name
)
def test_extras_that_are_named_exist(path):
    extras = (
        (ROOT / "pyproject.toml")
        .read_text(encoding="utf-8")
        .partition("[project.optional-dependencies]")[2]
        .partition("\n[")[0]
    )
    known = set(re.findall(r"^([a-z0-9-]+) = \[", extras, re.MULTILINE))
    for names in re.findall(r"(?:[./]|\.whl|edgesr)\[([a-z0-9,-]+)\]", path.read_text(encoding="utf-8")):
        assert set(names.split(",")) <= known, names


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_files_that_exist(path):
    yaml = pytest.importorskip("yaml", reason="the package pyyaml is not installed")
    for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values():
        for step in job["steps"]:
            for script in re.findall(r"(?:^|\s)((?:tools|fuzz|deploy|\.ci|examples)/[\w./-]+)", step.get("run", "")):
                assert (ROOT / script).is_file(), script


def test_files_for_other_services_follow_their_schemas():
    yaml = pytest.importorskip("yaml", reason="the package pyyaml is not installed")
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas", reason="the package check-jsonschema is not installed")
    validator_for = pytest.importorskip("jsonschema.validators").validator_for
    files = dict.fromkeys(WORKFLOWS, "github-workflows")
    files |= {ROOT / ".github/dependabot.yml": "dependabot", ROOT / "deploy/compose.yaml": "compose-spec"}
    for path, name in files.items():
        schema = schemas.get_builtin_schema(f"vendor.{name}")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if True in content:  # YAML 1.1 reads `on` as true
            content["on"] = content.pop(True)
        assert [f"{path.name}: {error.message}" for error in validator_for(schema)(schema).iter_errors(content)] == []


def test_every_supported_python_and_system_is_tested_by_the_workflow():
    yaml = pytest.importorskip("yaml", reason="the package pyyaml is not installed")
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]["core"]["strategy"][
        "matrix"
    ]
    metadata = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert matrix["python"] == re.findall(r"Python :: (3\.\d+)", metadata)
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_the_readmes_results_are_those_of_the_judge():
    done = subprocess.run([sys.executable, ROOT / "tools" / "results.py", "--check"], check=False)
    assert done.returncode == 0, "run python tools/results.py"


def test_each_equation_leads_to_its_function():
    page = ROOT / "docs" / "method.md"
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "link_lines.py", "--check", page], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    equations = re.findall(r"^\| (\d) \|.*$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert equations == ["1", "2", "3", "4", "5", "6"]
    for line in page.read_text(encoding="utf-8").splitlines():
        if re.match(r"\| \d \| (?!`)", line) and "equation" not in line:
            assert "#L" in line, line


def test_the_readmes_presets_are_those_of_the_table():
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d.]+) M \| ([\d.]+) \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [name for name, _, _ in rows] == list(PRESETS)
    for name, millions, gflops in rows:
        preset = PRESETS[name]
        digits = len(millions.partition(".")[2])
        assert float(millions) == round(preset.parameters.total / 1e6, digits), name
        assert float(gflops) == round(preset.gflops.total, 1), name


def test_the_readmes_speed_is_that_of_the_page_on_performance():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    table = {(row[0], row[1]): row[2:] for row in (line.strip("| ").split(" | ") for line in page.splitlines()) if len(row) > 4}
    times = {name: float(table[name, "2"][2]) for name in ("Real-ESRGAN x4plus, ncnn", "General_x4_v3, ncnn")}
    tile, x4plus, general = re.search(
        r"takes ([\d.]+) s for 128x128 -> 512x512: (\d+) times less than Real-ESRGAN x4plus and (\d+) times less than General",
        readme,
    ).groups()
    assert float(tile) == round(float(table["`tiny`, onnxruntime", "2"][0]) / 1e3, 2)
    assert (int(x4plus), int(general)) == tuple(map(round, times.values()))
    square, picture, gigabytes = re.search(
        r"2048x2048 takes ([\d.]+) s, and a 1000x750 JPEG becomes one of 4000x3000 in ([\d.]+) s and ([\d.]+) GB", readme
    ).groups()
    figures = dict(re.findall(r"^\| (.*?, whole process) \| (.*?) \|$", page, re.MULTILINE))
    seconds, memory = re.findall(r"[\d.]+", figures["1000x750 -> 4000x3000, JPEG to JPEG, whole process"])
    assert float(picture) == float(seconds)
    assert float(gigabytes) == pytest.approx(float(memory) / 1e3, abs=0.01)
    assert float(square) == round(float(figures["512x512 -> 2048x2048, PNG to PNG, whole process"].split()[0]), 1)
