"""Planning: which pictures a command line means, and where each result goes. Nothing here opens a picture."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from edgesr.commands.jobs import Job, plan
from edgesr.errors import UsageError


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def targets(jobs: list[Job]) -> dict[str, str]:
    assert [job.problem for job in jobs] == [None] * len(jobs)
    return {str(job.source): str(job.target) for job in jobs}


@pytest.mark.parametrize(
    ("source", "format", "target"),
    [
        ("photo.jpg", None, "photo_4x.jpg"),
        ("photo.JPEG", None, "photo_4x.JPEG"),  # the spelling of the extension is the user's
        ("a.b.png", None, "a.b_4x.png"),
        ("anim.gif", None, "anim_4x.png"),  # GIF is only read
        ("photo", None, "photo_4x.png"),
        ("photo.jpg", "PNG", "photo_4x.png"),
        ("photo.jpeg", "JPEG", "photo_4x.jpeg"),
        ("photo.png", "JPEG", "photo_4x.jpg"),
        ("album/photo.jpg", None, "album/photo_4x.jpg"),
    ],
)
def test_the_result_of_a_file_lies_beside_it(source: str, format: str | None, target: str) -> None:
    touch(source)
    assert targets(plan([source], format=format)) == {source: target}


def test_a_folder_gives_its_own_pictures_sorted_into_a_sibling() -> None:
    touch("album/b.png", "album/a.JPG", "album/notes.txt", "album/.hidden.png", "album/sub/c.png")
    jobs = plan(["album"], suffix="_2x")
    assert list(targets(jobs).items()) == [
        ("album/a.JPG", "album_2x/a_2x.JPG"),
        ("album/b.png", "album_2x/b_2x.png"),
    ]


def test_recursive_keeps_the_tree() -> None:
    touch("album/a.png", "album/x/b.png", "album/x/y/c.png", "album/.cache/d.png")
    expected = {"album/a.png": "a_4x.png", "album/x/b.png": "x/b_4x.png", "album/x/y/c.png": "x/y/c_4x.png"}
    assert targets(plan(["album"], recursive=True)) == {s: f"album_4x/{t}" for s, t in expected.items()}
    assert targets(plan(["album"], recursive=True, out="big")) == {s: f"big/{t}" for s, t in expected.items()}


@pytest.mark.parametrize("text", [".", "../album", "sub/.."])
def test_a_folder_named_by_dots_still_has_a_sibling(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    touch("album/a.png", "album/sub/b.png")
    monkeypatch.chdir("album")
    (job,) = plan([text])
    assert job.target is not None
    assert job.target.resolve() == tmp_path / "album_4x" / "a_4x.png"


def test_results_inside_the_folder_of_inputs_are_not_inputs() -> None:
    touch("album/a.png", "album/big/a_4x.png")
    assert targets(plan(["album"], out="album/big", recursive=True)) == {"album/a.png": "album/big/a_4x.png"}


@pytest.mark.parametrize("out", ["out", "out/", "existing.folder"])
def test_out_is_a_folder_if_it_looks_or_is_like_one(out: str) -> None:
    touch("a.png")
    Path("existing.folder").mkdir()
    assert targets(plan(["a.png"], out=out)) == {"a.png": f"{out.rstrip('/')}/a_4x.png"}


def test_out_with_an_extension_is_the_file_of_a_single_input() -> None:
    touch("a.png")
    assert targets(plan(["a.png"], out="new/big.webp")) == {"a.png": "new/big.webp"}
    assert targets(plan(["a.png"], out="big.webp", format="WEBP")) == {"a.png": "big.webp"}


@pytest.mark.parametrize(
    ("inputs", "out", "format", "words"),
    [
        ([""], None, None, "empty"),
        (["a.png"], "", None, "empty"),
        (["a.png", "b.png"], "out.png", None, "folder"),
        (["album"], "out.png", None, "folder"),
        (["a.png"], "out.png", "JPEG", "--format"),
        (["a.png"], "out.xyz", None, "out.xyz"),
        (["a.png", "b.png"], "file", None, "file"),
        (["a.png"], "file/out.png", None, "file"),
        (["-"], "out", None, "standard input"),
        (["-", "a.png"], None, None, "one"),
        (["a.png", "b.png"], "-", None, "one"),
        (["album"], "-", None, "album is a folder"),
        (["empty"], None, None, "no images"),
        (["*.tiff"], None, None, "no image matches"),
        (["empty", "*.tiff"], "out", None, "no image matches"),
    ],
)
def test_words_that_make_no_sense_together(inputs: list[str], out: str | None, format: str | None, words: str) -> None:
    touch("a.png", "b.png", "album/a.png", "file")
    Path("empty").mkdir()
    with pytest.raises(UsageError, match=words):
        plan(inputs, out=out, format=format)
    assert not Path("out").exists()


def test_what_is_missing_fails_alone() -> None:
    touch("a.png")
    Path("empty").mkdir()
    Path("dangling.png").symlink_to("nowhere.png")
    jobs = plan(["gone.png", "a.png", "empty", "*.tiff", "dangling.png"])
    assert {str(job.source): job.problem is None for job in jobs} == {
        "a.png": True, "gone.png": False, "empty": False, "*.tiff": False, "dangling.png": False,
    }  # fmt: skip
    (job,) = plan(["gone.png"], out="big.png")
    assert job.problem == "no such file or folder"


def test_what_a_folder_cannot_show_fails_alone() -> None:
    touch("album/a.png")
    Path("album/broken.png").symlink_to("nowhere.png")
    Path("album/itself.png").symlink_to("itself.png")
    os.mkfifo("album/pipe.png")
    problems = {str(job.source): job.problem for job in plan(["album"])}
    assert problems.pop("album/a.png") is None
    assert problems == {
        "album/broken.png": "broken link to nowhere.png",
        "album/itself.png": "Too many levels of symbolic links",
        "album/pipe.png": "not a regular file",
    }
    Path("album/a.png").unlink()
    assert len(plan(["album"])) == 3


def test_a_file_that_vanishes_while_the_folder_is_read_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("album/a.png", "album/b.png", "album/c.png")

    def read(path: Path, *_: object) -> bool:
        Path("album/b.png").unlink(missing_ok=True)
        return True

    monkeypatch.setattr("edgesr.images.is_picture_name", read)
    assert {str(job.source): job.problem for job in plan(["album"])} == {
        "album/a.png": None, "album/c.png": None, "album/b.png": "no such file or folder",
    }  # fmt: skip


def test_patterns_are_expanded_and_literal_names_win() -> None:
    touch("photo1.png", "photo[1].png", "photo2.png", "photo.txt", "x/y/deep.png")
    assert list(targets(plan(["photo?.*"]))) == ["photo1.png", "photo2.png"]
    assert list(targets(plan(["photo[1].png"]))) == ["photo[1].png"]
    assert list(targets(plan(["**/deep.png"]))) == ["x/y/deep.png"]


def test_an_input_given_twice_is_done_once() -> None:
    touch("album/a.png", "album/b.png")
    Path("link").symlink_to("album")
    jobs = plan(["album/b.png", "album/../album/a.png", "album", "./album/b.png", "link/a.png"], out="out")
    assert [str(job.source) for job in jobs] == ["album/b.png", "album/../album/a.png"]
    assert [job.target for job in jobs] == [Path("out/b_4x.png"), Path("out/a_4x.png")]


def test_a_symbolic_link_is_a_picture_of_its_own() -> None:
    touch("album/a.png")
    Path("link.png").symlink_to("album/a.png")
    assert targets(plan(["link.png", "album/a.png"])) == {"link.png": "link_4x.png", "album/a.png": "album/a_4x.png"}


COLLISIONS = [
    (["a.png", "a.jpg"], {"a.png": "a_png_4x.png", "a.jpg": "a_jpg_4x.png"}),
    (["x/a.png", "y/a.png"], {"x/a.png": "x_a_4x.png", "y/a.png": "y_a_4x.png"}),
    (["x/s/a.png", "y/s/a.png"], {"x/s/a.png": "x_s_a_4x.png", "y/s/a.png": "y_s_a_4x.png"}),
    (
        ["x/a.png", "x/a.jpg", "y/a.png"],
        {"x/a.png": "x_a_4x.png", "x/a.jpg": "a_jpg_4x.png", "y/a.png": "y_a_4x.png"},
    ),
    (  # the name that a collision would give is taken already
        ["a.png", "a.jpg", "a_jpg.png"],
        {"a.png": "a_png_4x.png"},
    ),
    (["x/a.PNG", "y/A.png"], {"x/a.PNG": "x_a_4x.PNG", "y/A.png": "y_A_4x.png"}),  # one name where case is ignored
]


@pytest.mark.parametrize(("inputs", "expected"), COLLISIONS)
def test_results_never_share_a_name_whatever_the_order(inputs: list[str], expected: dict[str, str]) -> None:
    touch(*inputs)
    plans = [targets(plan(order, out="out/", format="PNG")) for order in itertools.permutations(inputs)]
    assert all(each == plans[0] for each in plans)
    assert len({target.casefold() for target in plans[0].values()}) == len(inputs)
    assert {source: plans[0][source] for source in expected} == {s: f"out/{t}" for s, t in expected.items()}


def test_folders_that_read_alike_when_joined_still_differ() -> None:
    touch("p/q_r/a.png", "p_q/r/a.png", "q/r/a.png", "r/a.png")
    names = targets(plan(["p/q_r/a.png", "p_q/r/a.png", "q/r/a.png", "r/a.png"], out="out"))
    assert len(set(names.values())) == 4


def link(kind: str, source: str, target: str) -> None:
    (os.link if kind == "hard" else os.symlink)(source, target)


@pytest.mark.parametrize("kind", ["same", "hard", "symbolic"])
def test_an_input_is_never_a_target(kind: str) -> None:
    touch("a.png", "b.png")
    target = "a.png" if kind == "same" else "other.png"
    if kind != "same":
        link(kind, "a.png", target)
    with pytest.raises(UsageError, match="is the input itself"):
        plan(["a.png"], out=target)
    if kind != "same":
        link(kind, "b.png", "a_4x.png")  # the result of one input would land on another input
        problems = {str(job.source): job.problem for job in plan(["a.png", "b.png"])}
        assert "would overwrite the input b.png" in str(problems["a.png"])
        assert problems["b.png"] is None


def test_earlier_results_among_the_inputs_are_left_alone() -> None:
    touch("album/a.png", "album/a_4x.png", "album/b.png")
    jobs = {str(job.source): job for job in plan(["album"], out="album")}
    assert "would overwrite" in str(jobs["album/a.png"].problem)
    assert "looks like the result of album/a.png" in str(jobs["album/a_4x.png"].skip)
    assert jobs["album/b.png"].problem is jobs["album/b.png"].skip is None


def test_pipes() -> None:
    touch("a.png")
    assert plan(["-"]) == plan(["-"], out="-") == [Job(None, None)]
    assert plan(["-"], out="x/a.png") == [Job(None, Path("x/a.png"))]
    assert plan(["a.png"], out="-") == [Job(Path("a.png"), None)]
    assert plan(["gone.png"], out="-")[0].problem is not None
