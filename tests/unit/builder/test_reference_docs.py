"""The reference pages tell the truth: their examples compile, their tests pass, their tables hold."""

import json
import re
from pathlib import Path

import pytest

from builder.compiling import compile_tree
from builder.policytest import run_suites
from builder.source import PolicyTree
from policy_core.request import from_job, normalise

REFERENCE = Path(__file__).parents[3] / "docs/reference"
BLOCK = re.compile(r"```(yaml|json)\n(.*?)```", re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall((REFERENCE / page).read_text()) if kind == language]


def test_the_examples_of_all_pages_form_a_repository_that_passes_its_tests() -> None:
    files = {}
    for page in ("policy.md", "policy-tests.md", "writ-yaml.md", "exceptions.md", "classify.md"):
        for text in blocks(page, "yaml"):
            path, _, _ = text.removeprefix("# ").partition("\n")
            files[path] = text.encode()

    compiled = compile_tree(PolicyTree("1" * 40, False, dict(sorted(files.items()))), today=None)
    report = run_suites(compiled)

    assert len(files) == 14
    assert report.passed
    assert not compiled.warnings
    assert compiled.project.channels == ("staging", "prod")


def test_the_job_form_is_mapped_as_the_page_says() -> None:
    canonical, job, mapped = (json.loads(text) for text in blocks("requests.md", "json"))

    assert from_job(job) == mapped
    normalise(canonical, now=0, host={})


@pytest.mark.parametrize(
    ("job", "part", "value"),
    [
        ({"topic": "t"}, "subject", {"type": "anonymous", "id": "anonymous"}),
        ({"topic": "t"}, "resource", {"type": "job", "id": "t"}),
        ({"topic": "t"}, "context", {"tenant": "default"}),
    ],
)
def test_what_the_job_form_leaves_out_is_filled_as_the_page_says(job: object, part: str, value: object) -> None:
    assert from_job({"job": job})[part] == value
