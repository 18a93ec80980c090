"""docs/explanation/semantics.md: every example is a policy repository that compiles, and its tests pass."""

import datetime
import re
from pathlib import Path

import pytest

from builder.compiling import compile_tree
from builder.policytest.runner import run_suites
from builder.source import PolicyTree

PAGE = (Path(__file__).parents[2] / "docs/explanation/semantics.md").read_text(encoding="utf-8")
FILE = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTINGS = b"name: example\nstore: file:///srv/policies\nchannels: [prod]\n"
EXAMPLES = {section.partition("\n")[0]: FILE.findall(section) for section in PAGE.split("\n## ")[1:]}


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_does_what_the_page_says(title: str) -> None:
    files = {"writ.yaml": SETTINGS} | {path: content.encode() for path, content in EXAMPLES[title]}
    tree = PolicyTree(revision="0" * 40, dirty=True, files=dict(sorted(files.items())))

    report = run_suites(compile_tree(tree, today=datetime.date(2026, 11, 20)))

    assert [result.differences for suite in report.suites for result in suite.cases if result.differences] == []
    assert sum(len(suite.cases) for suite in report.suites) > 0


def test_every_block_of_the_page_is_part_of_an_example() -> None:
    assert PAGE.count("```yaml") == sum(map(len, EXAMPLES.values()))
