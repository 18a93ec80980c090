"""The corpus is read strictly: what is no request is named with its place, and nothing is half read."""

import gzip
import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from builder.simulating import corpus as corpus_module
from builder.simulating.corpus import DEFAULT_NOW, Corpus, Recorded
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError

JOB = '{"job":{"topic":"job.run"}}'
CANONICAL = (
    '{"subject":{"type":"user","id":"ada"},"action":{"name":"service.read"},"resource":{"type":"service","id":"web"}}'
)


class Read(NamedTuple):
    requests: list[Recorded]
    counts: list[int]

    @property
    def total(self) -> int:
        return sum(self.counts)


def read(files: Mapping[str, bytes | str]) -> Read:
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    corpus = Corpus(PolicyTree("0" * 40, False, contents))
    return Read(list(corpus), corpus.counts)


def problems(content: bytes | str, path: str = "corpus/a.jsonl") -> list[str]:
    with pytest.raises(InvalidPolicyError) as caught:
        read({path: content})
    assert all(problem.hint for problem in caught.value.problems if "name:" not in problem.message)
    return [f"{problem.where}: {problem.message}" for problem in caught.value.problems]


def test_a_tree_without_corpus_has_no_requests() -> None:
    assert read({"policies/a.yaml": ""}) == Read([], [])


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_both_forms_are_read(end: str) -> None:
    found = read({"corpus/a.jsonl": f"{JOB}\n{CANONICAL}{end}"})

    assert [recorded.request.action_name for recorded in found.requests] == ["job.run", "service.read"]
    assert [recorded.place for recorded in found.requests] == ["corpus/a.jsonl:1", "corpus/a.jsonl:2"]
    assert {recorded.request.now for recorded in found.requests} == {DEFAULT_NOW}


def test_an_envelope_gives_name_time_and_host() -> None:
    line = f'{{"request":{JOB},"now":"2026-11-01T12:00:00Z","host":{{"env":"prod"}},"name":"at noon"}}'

    (recorded,) = read({"corpus/a.jsonl": line}).requests

    assert recorded.name == "at noon"
    assert recorded.request.now == 1793534400.0
    assert recorded.request.host == {"env": "prod"}
    assert recorded.raw == json.loads(JOB)


def test_equal_requests_are_kept_once_and_counted_wherever_they_stand() -> None:
    named = f'{{"request":{JOB},"name":"first"}}\n{{"request":{JOB},"name":"second"}}\n'

    found = read({"corpus/a.jsonl": f"{JOB}\n" * 3, "corpus/b/c.jsonl": f"{JOB}\n{named}"})

    assert found.total == 6
    assert [recorded.place for recorded in found.requests] == ["corpus/a.jsonl:1"]
    assert found.counts == [6]


def test_the_same_request_at_another_time_or_host_is_another() -> None:
    lines = [
        {"request": json.loads(JOB), **more}
        for more in ({}, {"now": "2026-11-01T12:00:00Z"}, {"host": {"env": "prod"}}, {"host": {"env": "dev"}})
    ]

    assert len(read({"corpus/a.jsonl": "\n".join(map(json.dumps, lines))}).requests) == 4


def test_gzip_is_read_even_of_several_members() -> None:
    content = gzip.compress(f"{JOB}\n".encode()) + gzip.compress(f"{CANONICAL}\n".encode())

    assert read({"corpus/a.jsonl.gz": content}).total == 2


@pytest.mark.parametrize("damage", ["cut", "second member cut", "bit flipped", "no gzip", "tail", "cut in the trailer"])
def test_a_damaged_gzip_is_refused_whole(damage: str) -> None:
    whole = gzip.compress((CANONICAL + "\n").encode() * 500)
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # in the checksum
    content = {
        "cut": whole[: len(whole) // 2],
        "second member cut": whole + whole[:-9],
        "bit flipped": bytes(flipped),
        "no gzip": CANONICAL.encode(),
        "tail": whole + b"tail",
        "cut in the trailer": whole[:-1],
    }[damage]

    (problem,) = problems(content, "corpus/a.jsonl.gz")

    assert problem.startswith("corpus/a.jsonl.gz: damaged gzip (")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "line is empty"),
        ("  ", "line is empty"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        (JOB[:-1], "request: is not JSON: "),
        (JOB + JOB, "request: is not JSON: "),
        ("\ufeff" + JOB, "request: is not JSON: "),
        (b'{"job":{"topic":"\xff"}}', "request: is not JSON: "),
        ('{"job":{"topic":"a","cost":NaN}}', "request: is not JSON: "),
        ("[" * 40_000 + "]" * 40_000, "request: is not JSON: "),  # each Python has a depth of its own
        ('{"job":{"topic":"a"},"job":{"topic":"b"}}', "request: a key occurs twice in one object"),
        ('{"job":{"topic":"a","topic":"b"}}', "request: a key occurs twice in one object"),
        ('{"job":{"topic":"a", "topi\\u0063":"b"}}', "request: a key occurs twice in one object"),
        ('{"job":{}}', "request: action.name is missing; resource.id is missing"),
        ('{"subject":{"type":"user","id":"ada"}}', "request: action is missing; resource is missing"),
        ('{"request":{}}', "request: subject is missing; action is missing; resource is missing"),
        ('{"request":[]}', "request: is not a JSON object"),
        (f'{{"request":{JOB},"job":{{}}}}', "a request beside 'job' in an envelope"),
        (f'{{"request":{JOB},"when":1}}', "unknown key 'when' in an envelope"),
        (f'{{"request":{JOB},"now":1}}', "now: expected a time"),
        (f'{{"request":{JOB},"now":"2026-11-01"}}', "now: expected a time"),
        (f'{{"request":{JOB},"host":["prod"]}}', "host: expected an object of texts"),
        (f'{{"request":{JOB},"host":{{"env":1}}}}', "host: expected an object of texts"),
        (f'{{"request":{JOB},"name":"a\\nb"}}', "name: expected a line of text of at most 200 characters"),
    ],
)
def test_a_line_that_is_no_request_is_refused_with_its_place(line: bytes | str, expected: str) -> None:
    text = line.encode() if isinstance(line, str) else line

    (problem,) = problems(JOB.encode() + b"\n" + text + b"\n" + CANONICAL.encode())

    assert problem.startswith(f"corpus/a.jsonl:2:1: {expected}")


def test_all_problems_are_named_up_to_a_limit() -> None:
    assert len(problems("[]\n" * 3 + f"{JOB}\n")) == 3
    assert len(problems("[]\n" * 1000)) == corpus_module.MAX_PROBLEMS


@pytest.mark.parametrize("name", ["a.json", "a.ndjson", "A.JSONL", "a.jsonl.zst", "a.gz"])
def test_a_file_that_looks_like_a_corpus_is_not_passed_over(name: str) -> None:
    assert problems(JOB, f"corpus/{name}") == [f"corpus/{name}: is not read (unknown suffix)"]


def test_other_files_beside_the_corpus_are_let_alone() -> None:
    assert read({"corpus/README.md": "x", "corpus/generate.py": "x", "corpus/a.jsonl": JOB}).total == 1


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [
        ("MAX_LINE_BYTES", 100, "corpus/a.jsonl:1:1: line is too long (112 bytes, limit 100)"),
        ("MAX_FILE_BYTES", 100, "corpus/a.jsonl: file is too large (limit 100 bytes, decompressed)"),
        ("MAX_CORPUS_BYTES", 100, "corpus/a.jsonl: the corpus is too large (limit 100 bytes, decompressed)"),
        ("MAX_REQUESTS", 1, "corpus/a.jsonl:2:1: more than 1 distinct requests"),
    ],
)
def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch, limit: str, value: int, expected: str) -> None:
    monkeypatch.setattr(corpus_module, limit, value)

    assert problems(f"{CANONICAL}\n{JOB}\n") == [expected]


def test_a_gzip_bomb_is_not_unpacked_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "MAX_FILE_BYTES", 1000)

    (problem,) = problems(gzip.compress(b" " * 10_000_000), "corpus/a.jsonl.gz")

    assert problem == "corpus/a.jsonl.gz: file is too large (limit 1000 bytes, decompressed)"


def test_reading_twice_counts_anew() -> None:
    corpus = Corpus(PolicyTree("0" * 40, False, {"corpus/a.jsonl": f"{JOB}\n{JOB}\n".encode()}))

    assert (len(list(corpus)), len(list(corpus)), corpus.counts) == (1, 1, [2])
