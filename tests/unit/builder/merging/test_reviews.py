"""The file of reviews is read strictly, with the place of everything that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from builder.merging.reviews import MAX_COVERED, MAX_REVIEWS, ReviewRecord, ReviewsError, load_reviews, read_reviews
from policy_core.errors import report

A, B = "a" * 40, "b" * 40
COVERS = f"1:132 covers: expected a list of at most {MAX_COVERED} commit ids, each once"


def content(*reviews: Any, **more: Any) -> bytes:
    return json.dumps({"schema": 1, "reviews": list(reviews), **more}).encode()


def entry(**changes: Any) -> dict[str, Any]:
    return {"commit": A, "reviewer": "ana", "state": "approved", **changes}


def problems(data: bytes) -> list[str]:
    with pytest.raises(ReviewsError) as caught:
        read_reviews(data, name="reviews.json")
    assert caught.value.exit_code == 2
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in caught.value.problems]


def test_reviews_are_read_in_their_order() -> None:
    found = read_reviews(content(entry(covers=[A, B]), entry(reviewer="bo[bot]", state="dismissed")), name="r")

    assert found == (ReviewRecord(A, "ana", "approved", frozenset({A, B})), ReviewRecord(A, "bo[bot]", "dismissed"))


def test_there_may_be_none() -> None:
    assert read_reviews(content(), name="r") == ()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", ["1:1 not valid JSON: expecting value"]),
        (b"[]", ["1:1 expected an object"]),
        (b"{}", ["1:1 there is no schema, reviews"]),
        (b'{"schema": 1, "reviews": [], "reviews": []}', ["1:30 duplicate key 'reviews' (first in line 1)"]),
        (b'{"schema": 2, "reviews": []}', ["1:12 schema: expected 1"]),
        (b'{"schema": true, "reviews": []}', ["1:12 schema: expected 1"]),
        (content(more=1), ["1:30 unknown key 'more'"]),
        (b'{"schema": 1, "reviews": {}}', [f"1:26 reviews: expected a list of at most {MAX_REVIEWS}"]),
        (content(5), ["1:27 expected an object"]),
        (content({"commit": A}), ["1:27 there is no reviewer, state"]),
        (content(entry(by="bo")), ["1:122 unknown key 'by'"]),
        (content(entry(commit=A[:12])), ["1:38 commit: expected the 40 lower-case hex digits of a commit id"]),
        (content(entry(commit=A.upper())), ["1:38 commit: expected the 40 lower-case hex digits of a commit id"]),
        (content(entry(reviewer="")), ["1:94 reviewer: expected a name of at most 200 characters"]),
        (content(entry(reviewer=["ana"])), ["1:94 reviewer: expected a name of at most 200 characters"]),
        (content(entry(state="APPROVED")), ["1:110 state: expected one of approved, changes_requested, dismissed"]),
        (content(entry(state=["approved"])), ["1:110 state: expected one of approved, changes_requested, dismissed"]),
        (content(entry(covers=A)), [COVERS]),
        (content(entry(covers=[A, A])), [COVERS]),
        (content(entry(covers=[[A]])), [COVERS]),
        (b'{"schema": 1,\n "reviews": [{"commit": "\\u202e"}]}', ["2:25 forbidden character U+202E"]),
    ],
)  # fmt: skip
def test_what_is_wrong_has_its_place(data: bytes, expected: list[str]) -> None:
    assert problems(data) == expected


def test_a_duplicate_key_in_a_record_is_refused() -> None:
    data = content(entry()).replace(b'"state": "approved"', b'"state": "dismissed", "state": "approved"')

    assert problems(data) == ["1:123 duplicate key 'state' (first in line 1)"]


def test_numbers_of_everything_are_bounded() -> None:
    many = [f"{number:040x}" for number in range(MAX_COVERED + 1)]

    assert read_reviews(content(entry(covers=many[1:])), name="r")
    assert len(problems(content(entry(covers=many)))) == 1
    assert len(problems(content(*[entry()] * (MAX_REVIEWS + 1)))) == 1
    assert len(problems(content(*[5] * 1_000))) == 101
    assert problems(b'"' + b"x" * 2**23 + b'"') == ["0:0 file is too large (8388610 bytes, limit 8388608)"]


def test_people_read_where_and_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "reviews.json"
    file.write_bytes(content(entry(state="ok")))

    with pytest.raises(ReviewsError) as caught:
        load_reviews(file, name="reviews.json")

    assert report(caught.value) == [
        "reviews.json:1:110: state: expected one of approved, changes_requested, dismissed [E100]",
        "    hint: leave mere comments out",
        "error: reviews.json: is no file of reviews (1 problem)",
        'hint: write {"schema": 1, "reviews": [{"commit": "<40 hex digits>", "reviewer": "ana", "state": "approved"}]}',
    ]


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ReviewsError, match=r"^missing\.json: cannot be read \(No such file or directory\)$"):
        load_reviews(tmp_path / "missing.json", name="missing.json")
