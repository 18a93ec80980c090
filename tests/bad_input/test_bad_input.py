"""Golden cases of bad input: a policy tree, and every line that is said about it.

``cases/TOPIC.yaml`` maps the name of a case to files (and shorthands, see `files_of`); ``expected/TOPIC.txt`` has what
`writ lint` and the reading of the corpus say. UPDATE=1 rewrites the latter: read the difference before you commit it.
"""

import datetime
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.compiling import compile_tree
from builder.simulating.thresholds import check_corpus
from builder.source import PolicyTree
from policy_core.errors import InvalidPolicyError, Problem

HERE = Path(__file__).parent
TODAY = datetime.date(2026, 11, 1)
MAX_SECONDS = 5.0
"""Of processor time for any case: none of them may hang, and the machine may be slow."""

BASE = {
    "writ.yaml": "name: demo\nstore: file:///srv/demo\nchannels: [prod]\n",
    "policies/ok.yaml": "version: v1\nrules:\n  - {id: ok, match: {actions: [x]}, decision: allow}\n",
}
TOPICS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("cases/*.yaml"))}


def files_of(case: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a case: paths to contents, and the shorthands `when`, `rule` and `suite`."""
    files: dict[str, bytes] = {path: text.encode() for path, text in BASE.items()}
    for name, value in case.items():
        if name == "when":
            quoted = value.replace("'", "''")
            rule = f"version: v1\nrules:\n  - id: r\n    decision: deny\n    when: '{quoted}'\n"
            files["policies/a.yaml"] = rule.encode()
        elif name == "rule":
            files["policies/a.yaml"] = f"version: v1\nrules:\n  - id: r\n    {value}\n".encode()
        elif name == "suite":
            files["tests/a.yaml"] = value.encode()
        else:
            files[name] = content_of(value)
    return dict(sorted((path, content) for path, content in files.items() if content != b"ABSENT"))


def content_of(value: Any) -> bytes:
    """Return what a case writes as text, as the bytes of Latin-1, or as repetition: {before, repeat, times, after}."""
    if isinstance(value, str):
        return value.encode()
    if "latin1" in value:
        return str(value["latin1"]).encode("latin-1")
    return (value.get("before", "") + value["repeat"] * value["times"] + value.get("after", "")).encode()


def said_about(files: Mapping[str, bytes]) -> list[Problem]:
    tree = PolicyTree("1" * 40, dirty=True, files=files)
    try:
        compile_tree(tree, today=TODAY)
        check_corpus(tree)
    except InvalidPolicyError as error:
        return list(error.problems)
    return []


def described(problems: list[Problem]) -> str:
    lines = []
    for problem in problems:
        lines.append(f"{problem.where}: {problem.code or 'corpus'}: {problem.message}")
        if problem.hint:
            lines.append(f"    hint: {problem.hint}")
    return "".join(f"{line}\n" for line in lines)


def expected(topic: str) -> dict[str, str]:
    text = (HERE / f"expected/{topic}.txt").read_text(encoding="utf-8")
    parts = re.split(r"^== (.*)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


CASES = [pytest.param(topic, name, id=f"{topic}: {name}") for topic, cases in TOPICS.items() for name in cases]


@pytest.mark.parametrize(("topic", "name"), CASES)
def test_everything_wrong_is_said_in_its_place(topic: str, name: str) -> None:
    started = time.process_time()
    problems = said_about(files_of(TOPICS[topic][name]))
    seconds = time.process_time() - started

    assert problems
    assert described(problems).isprintable() or "\n" in described(problems)
    assert seconds < MAX_SECONDS
    if not os.environ.get("UPDATE"):
        assert described(problems) == expected(topic)[name]


@pytest.mark.parametrize("topic", TOPICS)
def test_no_expectation_is_left_over(topic: str) -> None:
    if os.environ.get("UPDATE"):
        said = [f"== {name}\n{described(said_about(files_of(case)))}" for name, case in TOPICS[topic].items()]
        (HERE / "expected").mkdir(exist_ok=True)
        (HERE / f"expected/{topic}.txt").write_text("".join(said), encoding="utf-8")

    assert list(expected(topic)) == list(TOPICS[topic])
