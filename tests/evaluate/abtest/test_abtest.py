"""The blind test without a browser: what is counted, what is kept, what is hidden, and who may ask."""

from __future__ import annotations

import copy
import http.client
import json
import random
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from itertools import pairwise

import pytest
from command_line import ENVIRONMENT
from PIL import Image, PngImagePlugin
from scipy.stats import binomtest

from edgesr.errors import InputError, UsageError
from edgesr.evaluate.abtest import serve_ab, votes_file
from edgesr.evaluate.abtest.tally import Tally, wilson
from edgesr.evaluate.abtest.trials import Pair, Session, comparable
from edgesr.evaluate.abtest.votes import Contest, Votes

A, B = "edgesr:tiny", "bicubic"


def session_of(result, path, seed=0):
    contest, pairs = comparable(result, "photos", A, B)
    return Session(contest, pairs, Votes(path, contest), random.Random(seed))


@contextmanager
def serving(result, path):
    """A running test: yields its port, and a list that holds the tally once it is over."""
    ready, addresses, tallies = threading.Event(), [], []

    def announce(url):
        addresses.append(url)
        ready.set()

    thread = threading.Thread(
        target=lambda: tallies.append(serve_ab(result, "photos", A, B, votes=path, announce=announce)), daemon=True
    )
    thread.start()
    assert ready.wait(10)
    port = int(addresses[0].split(":")[2].rstrip("/"))
    yield port, tallies
    while thread.is_alive():
        with suppress(OSError, ValueError):  # it has just stopped
            vote(port, "same")


def ask(port, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.headers


def trial(port):
    return json.loads(ask(port, "GET", "/trial")[1])


def vote(port, choice, **headers):
    body = json.dumps({"pair": trial(port).get("pair"), "choice": choice})
    own = {"Origin": f"http://127.0.0.1:{port}", "Content_Type": "application/json"} | headers
    return ask(port, "POST", "/vote", body, **{name: value for name, value in own.items() if value})[0]


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("wins", "decided"), [(0, 1), (1, 1), (7, 11), (50, 100), (499, 500)])
def test_the_interval_is_wilsons(wins, decided) -> None:
    expected = binomtest(wins, decided).proportion_ci(0.95, "wilson")
    assert wilson(wins, decided) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_votes_for_no_difference_are_counted_beside_the_rate() -> None:
    assert Tally("a", "b", 3, 1, 6, 10).win_rate == 0.75
    assert "a wins 75 % of the decided" in str(Tally("a", "b", 3, 1, 6, 10))
    assert Tally("a", "b", 0, 0, 2, 10).interval is None
    assert "no win rate yet" in str(Tally("a", "b", 0, 0, 2, 10))


def test_sides_and_order_are_random_over_many_pairs(tmp_path) -> None:
    contest = Contest("many", "a", "b", {})
    pairs = [Pair(f"{i:03}.png", 8, 8, tmp_path, {"a": tmp_path, "b": tmp_path}) for i in range(200)]
    session = Session(contest, pairs, Votes(tmp_path / "votes.jsonl", contest), random.Random(5))
    seen = []
    while session.trial:
        seen.append((session.trial.pair.image, session.trial.sides["left"]))
        assert set(session.trial.sides.values()) == {"a", "b"}
        assert session.vote(session.trial.token, "left")
    names = [name for name, _ in seen]
    assert sorted(names) == [pair.image for pair in pairs]
    lefts = [left == "a" for _, left in seen]
    assert binomtest(sum(lefts), 200).pvalue > 0.001
    assert binomtest(sum(x != y for x, y in pairwise(lefts)), 199).pvalue > 0.001  # no pattern in turn
    assert binomtest(sum(x < y for x, y in pairwise(names)), 199).pvalue > 0.001  # no order by name


def test_votes_go_to_the_system_that_stood_on_the_side(benchmark, tmp_path) -> None:
    session, wins = session_of(benchmark, tmp_path / "v.jsonl"), {A: 0, B: 0}
    for choice in ("left", "right", "right", "same", "left"):
        if choice != "same":
            wins[session.trial.sides[choice]] += 1
        assert session.vote(session.trial.token, choice)
    tally = session.tally()
    assert (tally.wins_a, tally.wins_b, tally.same, tally.pictures) == (wins[A], wins[B], 1, 7)


def test_a_vote_is_in_the_file_before_the_next_pair_and_a_session_goes_on_where_it_stopped(benchmark, tmp_path) -> None:
    path = tmp_path / "v.jsonl"
    first, judged = session_of(benchmark, path), []
    for number in range(1, 4):
        judged.append(first.trial.pair.image)
        first.vote(first.trial.token, "left")
        assert [line["image"] for line in lines_of(path)] == judged
        assert len(lines_of(path)) == number
    second = session_of(benchmark, path, seed=1)
    assert second.tally() == first.tally()
    rest = []
    while second.trial:
        rest.append(second.trial.pair.image)
        second.vote(second.trial.token, "same")
    assert sorted(judged + rest) == sorted(benchmark["images"]["photos"])
    assert serve_ab(benchmark, "photos", A, B, votes=path, announce=pytest.fail) == second.tally()  # nothing left to ask


def test_a_vote_for_a_pair_that_no_longer_waits_or_that_is_none_does_not_count(benchmark, tmp_path) -> None:
    session = session_of(benchmark, tmp_path / "v.jsonl")
    token = session.trial.token
    assert session.vote(token, "left")
    for pair, choice in ((token, "left"), ("", "left"), (session.trial.token, "upper")):
        assert not session.vote(pair, choice)
    assert session.tally().votes == 1


def test_a_line_cut_off_by_a_crash_is_passed_over_and_the_file_goes_on(benchmark, tmp_path) -> None:
    path = tmp_path / "v.jsonl"
    session = session_of(benchmark, path)
    session.vote(session.trial.token, "left")
    whole = path.read_bytes()
    for end in (1, 5, 40, len(whole) - 2):
        path.write_bytes(whole + whole[:end])
        session = session_of(benchmark, path)
        assert session.tally().votes == 1
        session.vote(session.trial.token, "left")
        assert session_of(benchmark, path).tally().votes == 2
        assert path.read_bytes().startswith(whole + whole[:end])
    path.write_bytes(whole.rstrip(b"\n"))  # whole but for its end
    session = session_of(benchmark, path)
    assert session.tally().votes == 1
    session.vote(session.trial.token, "left")
    assert (session_of(benchmark, path).tally().votes, len(lines_of(path))) == (2, 2)


def test_two_tests_on_one_file_keep_each_others_votes(benchmark, tmp_path) -> None:
    path = tmp_path / "v.jsonl"
    sessions = [session_of(benchmark, path, seed) for seed in (0, 0)]
    for _ in range(3):
        for session in sessions:
            session.vote(session.trial.token, "left")
    assert len(lines_of(path)) == 6


def test_votes_on_other_outputs_systems_or_suites_stay_and_do_not_count(benchmark, tmp_path) -> None:
    path = tmp_path / "v.jsonl"
    session = session_of(benchmark, path)
    session.vote(session.trial.token, "left")
    trained = copy.deepcopy(benchmark)
    trained["systems"][A]["fingerprint"] = "newer weights"
    assert session_of(trained, path).tally().votes == 0
    contest, pairs = comparable(benchmark, "photos", A, "nearest")
    assert Session(contest, pairs, Votes(path, contest), random.Random()).tally().votes == 0
    assert len(lines_of(path)) == 1


def test_a_file_that_holds_something_else_is_refused_and_kept(benchmark, tmp_path) -> None:
    path = tmp_path / "diary.txt"
    path.write_text("dear diary")
    with pytest.raises(UsageError, match=r"diary\.txt: line 1 is not a vote"):
        session_of(benchmark, path)
    assert path.read_text() == "dear diary"
    with pytest.raises(UsageError, match="votes cannot be stored there"):
        session_of(benchmark, tmp_path)


def test_what_cannot_be_compared_is_refused_with_its_reason(benchmark) -> None:
    with pytest.raises(UsageError, match="is named twice"):
        comparable(benchmark, "photos", A, A)
    with pytest.raises(UsageError, match="there are photos, wild"):
        comparable(benchmark, "nowhere", A, B)
    with pytest.raises(UsageError, match="lanczos: cannot be in a blind test: it was not evaluated"):
        comparable(benchmark, "photos", A, "lanczos")
    result = copy.deepcopy(benchmark)
    for image in result["images"]["wild"].values():
        del image["systems"][B]
    with pytest.raises(InputError, match="have no picture of the right size in common"):
        comparable(result, "wild", A, B)
    result["images"]["photos"]["img_0.png"]["width"] += 4  # so that its size would tell the systems apart
    assert len(comparable(result, "photos", A, B)[1]) == 6


def test_nothing_the_page_gets_tells_the_systems_apart(benchmark, tmp_path) -> None:
    result = copy.deepcopy(benchmark)
    for image, entry in result["images"]["photos"].items():
        for number, system in enumerate((A, B)):
            note = PngImagePlugin.PngInfo()
            note.add_text("Software", f"made by {system}")
            path = tmp_path / f"{number}-{image}"
            Image.open(entry["systems"][system]["output"]).save(path, pnginfo=note)
            entry["systems"][system]["output"] = str(path)
    with serving(result, tmp_path / "v.jsonl") as (port, _):
        state = trial(port)
        assert state == trial(port)  # a reload does not deal anew
        heard = [json.dumps(state).encode()]
        for place in ("left", "right", "input"):
            status, body, headers = ask(port, "GET", state[place])
            assert (status, body[:4]) == (200, b"\x89PNG")
            assert {name.lower() for name in headers}.isdisjoint({"etag", "last-modified", "content-disposition"})
            heard += [body, str(headers).encode()]
        for text in heard:
            assert not any(word in text for word in (b"tiny", b"bicubic", b"img_", b"Software"))
        assert vote(port, "left") == 200
        assert ask(port, "GET", state["left"])[0] == 404  # of the pair that waits alone
        assert {state[place] for place in ("left", "right", "input")}.isdisjoint(trial(port).values())


def test_only_the_own_page_is_answered(benchmark, tmp_path) -> None:
    path = tmp_path / "v.jsonl"
    with serving(benchmark, path) as (port, _):
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", ""):
            assert ask(port, "GET", "/trial", Host=host)[0] == 403
        assert ask(port, "GET", "/", Host=f"localhost:{port}")[0] == 200
        foreign = f"http://evil.example:{port}"
        for name, value in (
            ("Origin", foreign),
            ("Origin", ""),
            ("Origin", "null"),
            ("Content_Type", "text/plain"),
            ("Host", "evil"),
        ):
            assert vote(port, "left", **{name: value}) == 403
        own = {"Origin": f"http://127.0.0.1:{port}", "Content_Type": "application/json"}
        for body in ("", "[]", "{", '{"pair": 1}', "9" * 5000):
            assert ask(port, "POST", "/vote", body, **own)[0] == 400
        assert ask(port, "POST", "/else", json.dumps({"pair": trial(port)["pair"], "choice": "left"}), **own)[0] == 409
        for wrong in ("/../votes.py", "/picture/", "/picture/../../etc/passwd", "/page.html", "/v.jsonl"):
            assert ask(port, "GET", wrong)[0] == 404
        assert path.read_text() == ""
        policy = ask(port, "GET", "/")[2]["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_a_port_in_use_is_named(benchmark, tmp_path) -> None:
    with serving(benchmark, tmp_path / "v.jsonl") as (port, _), pytest.raises(UsageError, match=f"port {port} of 127.0.0.1"):
        serve_ab(benchmark, "photos", A, B, votes=tmp_path / "w.jsonl", port=port, announce=pytest.fail)


def test_the_last_vote_ends_the_server_and_gives_the_tally(benchmark, tmp_path) -> None:
    with serving(benchmark, tmp_path / "v.jsonl") as (port, tallies):
        assert [vote(port, "right") for _ in range(7)] == [200] * 7
    wins = sum(line["right"] == A for line in lines_of(tmp_path / "v.jsonl"))
    assert tallies == [Tally(A, B, wins, 7 - wins, 0, 7)]


def test_ctrl_c_loses_no_vote(benchmark, tmp_path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(benchmark))
    program = (
        "import json, sys; from pathlib import Path; from edgesr.evaluate.abtest import serve_ab\n"
        "result = json.loads(Path(sys.argv[1]).read_text())\n"
        f"print(serve_ab(result, 'photos', {A!r}, {B!r}, votes=Path(sys.argv[2]), announce=lambda url: print(url, flush=True)))"
    )
    path = tmp_path / "v.jsonl"
    command = [sys.executable, "-c", program, str(tmp_path / "result.json"), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True) as process:
        port = int(process.stdout.readline().split(":")[2].rstrip("/\n"))
        assert [vote(port, "left") for _ in range(3)] == [200] * 3
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert out.startswith("3 of 7 pictures judged")
    assert len(lines_of(path)) == 3


def test_the_file_of_votes_is_named_after_what_is_compared() -> None:
    assert str(votes_file("Set14", "edgesr:tiny@onnx", "folder:/tmp/x y")) == "ab-Set14-edgesr-tiny@onnx-folder-tmp-x-y.jsonl"
