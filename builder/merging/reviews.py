"""Review records, exported by a forge: who said what about which commits, in the order it was said.

They are as good as whoever writes the file: the pipeline that runs the publisher gives it, the repository never does.
A record is about the commit that was reviewed and the commits it `covers`, as far as it descends from them: those that
the reviewer was shown. What else came before it may have been looked at by nobody.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.language.codes import Code
from builder.language.jsonfile import MAX_JSON_BYTES, read_json
from builder.language.locating import locate
from builder.language.nodes import Report
from policy_core.errors import Problem, UsageError

SCHEMA = 1
MAX_REVIEWS = 10_000
MAX_COVERED = 1_000
MAX_REVIEWER_CHARS = 200
APPROVED = "approved"
STATES = (APPROVED, "changes_requested", "dismissed")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HINT = '{"schema": 1, "reviews": [{"commit": "<40 hex digits>", "reviewer": "ana", "state": "approved"}]}'


class ReviewsError(UsageError):
    """The file of reviews is not one; `problems` says where and why."""

    default_hint = f"write {_HINT}"

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


@dataclass(frozen=True, slots=True)
class ReviewRecord:
    """What one reviewer said about `commit`, shown as the changes `covers` (commits, it may be among them)."""

    commit: str
    reviewer: str
    state: str
    covers: frozenset[str] = frozenset()


def load_reviews(file: Path, *, name: str) -> tuple[ReviewRecord, ...]:
    """Read a file of reviews, called `name` in messages. Raises ReviewsError."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise ReviewsError(f"{name}: cannot be read ({error.strerror})") from error
    return read_reviews(content, name=name)


def read_reviews(content: bytes, *, name: str) -> tuple[ReviewRecord, ...]:
    """Return the reviews in a file called `name`, in its order. Raises ReviewsError with all that is wrong."""
    report = Report(name, code=Code.INVALID_VALUE)
    found = read_json(content, report)
    reader = _Reader(report, content)
    reviews = () if report.problems else tuple(reader.reviews(found))
    if report.problems:
        count = len(report.problems)
        raise ReviewsError(
            f"{name}: is no file of reviews ({count} problem{'' if count == 1 else 's'})",
            tuple(sorted(report.problems)),
        )
    return reviews


@dataclass(frozen=True, slots=True)
class _Reader:
    report: Report
    content: bytes

    def reviews(self, value: Any) -> Iterator[ReviewRecord]:
        if not self._is_object(value, (), required=("schema", "reviews")):
            return
        if type(value["schema"]) is not int or value["schema"] != SCHEMA:
            self._note(("schema",), f"schema: expected {SCHEMA}", "take the writ that knows this form of the file")
        entries = value["reviews"]
        if type(entries) is not list or len(entries) > MAX_REVIEWS:
            self._note(("reviews",), f"reviews: expected a list of at most {MAX_REVIEWS}")
            return
        for index, entry in enumerate(entries):
            if self.report.is_full:
                return
            if review := self._review(entry, ("reviews", index)):
                yield review

    def _review(self, entry: Any, path: tuple[str | int, ...]) -> ReviewRecord | None:
        if not self._is_object(entry, path, required=("commit", "reviewer", "state"), optional=("covers",)):
            return None
        before = len(self.report.problems)
        commit, reviewer, state, covers = (entry.get(key) for key in ("commit", "reviewer", "state", "covers"))
        if not _is_commit(commit):
            self._note((*path, "commit"), "commit: expected the 40 lower-case hex digits of a commit id")
        if type(reviewer) is not str or not 0 < len(reviewer) <= MAX_REVIEWER_CHARS:
            self._note((*path, "reviewer"), f"reviewer: expected a name of at most {MAX_REVIEWER_CHARS} characters")
        if state not in STATES:
            self._note((*path, "state"), f"state: expected one of {', '.join(STATES)}", "leave mere comments out")
        if "covers" in entry and not _are_commits(covers):
            self._note((*path, "covers"), f"covers: expected a list of at most {MAX_COVERED} commit ids, each once")
        if len(self.report.problems) > before:
            return None
        return ReviewRecord(commit, reviewer, state, frozenset(covers or ()))

    def _is_object(
        self, value: Any, path: tuple[str | int, ...], *, required: tuple[str, ...], optional: tuple[str, ...] = ()
    ) -> bool:
        if type(value) is not dict:
            self._note(path, "expected an object", _HINT)
            return False
        for key in value.keys() - {*required, *optional}:
            known = f"known keys: {', '.join((*required, *optional))}"
            self._note((*path, key), f"unknown key {key[:40]!r}", known, at_key=True)
        missing = [key for key in required if key not in value]
        if missing:
            self._note(path, f"there is no {', '.join(missing)}", _HINT)
        return not missing

    def _note(self, path: tuple[str | int, ...], message: str, hint: str = "", *, at_key: bool = False) -> None:
        self.report.at(locate("reviews.json", self.content, path, at_key=at_key), message, hint)


def _is_commit(value: object) -> bool:
    return type(value) is str and _COMMIT.fullmatch(value) is not None


def _are_commits(value: object) -> bool:
    return (
        type(value) is list
        and len(value) <= MAX_COVERED
        and all(map(_is_commit, value))
        and len(set(value)) == len(value)
    )
