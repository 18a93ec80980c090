"""A folder where approvers find what is asked, and grants are found."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from granting import asking_request

from agent_sidecar.client import Answer, Asked, GrantFolder
from policy_core.decision import Ask
from policy_core.model import Decision

ASK = Ask(("p/ask",), "sha256:r", "sha256:q", {"security": 1}, 3600, "host-1")
ANSWER = Answer(decision=Decision.REQUIRE_APPROVAL, allowed=False, reason_code="matched_rule", approval=ASK)
ASKED = Asked(asking_request(), ANSWER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of what is asked, asked once."""
    source = GrantFolder(tmp_path / "grants")
    assert source(ASKED) == []
    return source.folder(ASK)


def look(folder: Path) -> list[str]:
    return GrantFolder(folder.parent)(ASKED)


def test_approvers_find_request_and_answer(folder: Path) -> None:
    assert json.loads((folder / "request.json").read_text()) == asking_request()
    answer: dict[str, Any] = json.loads((folder / "answer.json").read_text())
    assert answer["approval"]["request_digest"] == "sha256:q"


def test_what_differs_is_asked_in_another_folder(folder: Path) -> None:
    source = GrantFolder(folder.parent)

    others = {source.folder(Ask(("p/ask",), *parts, {}, 1, who)) for *parts, who in ("rqx", "rxq", "xqr")}

    assert len({folder, *others}) == 4


def test_grants_are_found_newest_first_whatever_is_printed_around_them(folder: Path) -> None:
    (folder / "ana.grant").write_text("id: 12\nwrit1.a.b\n")
    (folder / "bo.grant").write_text("  writ1.c.d writ1.e.f")
    (folder / "notes.txt").write_text("writ1.no.no")
    os.utime(folder / "ana.grant", (1, 1))

    assert look(folder) == ["writ1.c.d", "writ1.e.f", "writ1.a.b"]


def test_what_is_no_file_of_grants_is_as_if_it_were_not_there(folder: Path) -> None:
    os.mkfifo(folder / "pipe.grant")
    (folder / "folder.grant").mkdir()
    (folder / "gone.grant").symlink_to("nowhere")
    (folder / "large.grant").write_bytes(b"writ1." + b"x" * 100_000)
    (folder / "bytes.grant").write_bytes(b"\xff\xfe\0")

    assert look(folder) == []


def test_more_grants_than_a_request_takes_are_not_sent(folder: Path) -> None:
    (folder / "many.grant").write_text("\n".join(f"writ1.{number}.x" for number in range(40)))

    assert len(look(folder)) == 16
