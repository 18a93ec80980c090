"""Logs: one JSON object per line, the same keys, and readable on a terminal."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from agent_sidecar import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], level = before
    root.setLevel(level)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_one_json_object_with_its_fields() -> None:
    stream = io.StringIO()
    logs.configure(stream)

    logs.info("activated", release=3, reason="a\nb")

    found = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert (found["level"], found["event"], found["release"], found["reason"]) == ("info", "activated", 3, "a\nb")
    assert found["time"].endswith("Z")


def test_a_bug_has_its_traceback() -> None:
    stream = io.StringIO()
    logs.configure(stream)

    logs.bug("poll_failed", ZeroDivisionError())

    assert "ZeroDivisionError" in json.loads(stream.getvalue())["traceback"]


def test_libraries_log_in_the_same_form_from_warnings_up() -> None:
    stream = io.StringIO()
    logs.configure(stream)

    logging.getLogger("tuf").info("chatter")
    logging.getLogger("tuf").warning("root is old")

    assert json.loads(stream.getvalue())["logger"] == "tuf"


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    logs.configure(stream)

    logs.warning("rejected", reason="bad digest")

    assert "warning rejected  reason=bad digest" in stream.getvalue()
