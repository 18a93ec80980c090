"""``writ approve`` as people and jobs run it: with and without a terminal, and read by machines."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from builder.cli.main import main

World = Any  # of ../conftest.py
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def writ(peopled: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``writ approve`` for prod, where a second release waits; Ana's key is here, and `typed` is on stdin."""
    peopled.folder.commit({"trust/root.json": peopled.trusted_root.decode()})
    peopled.folder.commit_policy("second")
    peopled.publish()
    for name, value in peopled.person("ana").ring("prod").environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        capsys.readouterr()
        code = main(["-C", str(peopled.folder.path), "approve", "--channel", "prod", *arguments])
        return code, *capsys.readouterr()

    return run


def test_who_says_yes_has_signed(writ: Run) -> None:
    code, out, _ = writ(typed="y\n")

    assert (code, out.splitlines()[-1][:31]) == (0, "signed: 1 of 2 signatures; more")


def test_who_says_no_has_not(writ: Run) -> None:
    code, _, err = writ(typed="n\n")

    assert (code, err.endswith("interrupted\n")) == (130, True)
    assert "signed by nobody yet (0 of 2)" in writ("--show")[1]


def test_where_nobody_can_answer_the_way_to_go_on_is_said(writ: Run) -> None:
    code, _, err = writ()

    assert (code, err.splitlines()[-2]) == (2, "error: approve: there is no terminal to ask on")
    assert "--expect" in err.splitlines()[-1]


def test_the_digest_that_a_machine_reads_is_the_one_to_expect(writ: Run) -> None:
    shown = json.loads(writ("--show", "--format", "json")[1])

    code, out, _ = writ("--yes", "--expect", shown["document"], "--format", "json")

    signed = json.loads(out)
    assert (code, signed["document"]) == (0, shown["document"])
    assert [key["owner"] for key in signed["signed_by"]] == ["ana"]


def test_a_question_leaves_the_json_alone(writ: Run) -> None:
    code, out, _ = writ("--format", "json", typed="y\n")

    assert (code, json.loads(out)["complete"]) == (0, False)


def test_making_live_is_left_to_a_full_clone(writ: Run, peopled: World) -> None:
    peopled.sign_pending("ana", "bo")
    head = peopled.folder.git("rev-parse", "HEAD").strip()
    (peopled.folder.path / ".git/shallow").write_text(f"{head}\n")

    code, _, err = writ("--complete")

    assert (code, peopled.seen().release.release) == (2, 1)
    assert "shallow clone" in err


def test_nothing_waits_any_more_is_no_failure(writ: Run, peopled: World) -> None:
    peopled.approve("ana", "bo")

    code, out, _ = writ("--complete", "--format", "json")

    assert (code, json.loads(out)["note"]) == (0, "prod: nothing waits for signatures")
