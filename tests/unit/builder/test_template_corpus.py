"""The corpus that ``writ init`` ships: made by its script, realistic enough to meet every rule."""

import subprocess
import sys
from collections import Counter
from datetime import date

import pytest

from builder.simulating.corpus import Corpus
from builder.simulating.replaying import load_side, simulate
from builder.source import POLICY_PATHS, PolicyTree
from builder.templating import TemplateValues, find_template, render

TEMPLATE = find_template()
FILES = render(TEMPLATE, TemplateValues(name="agents", store="s3://bucket/prefix", today=date(2026, 11, 20)))
TREE = PolicyTree("0" * 40, False, {p: text for p, text in FILES.items() if p.split("/")[0] in POLICY_PATHS})
CORPUS = Corpus(TREE)
SIDE = load_side("template", TREE)
ANSWERS = [SIDE.matcher.decide(recorded.request) for recorded in CORPUS]


def test_the_script_makes_exactly_the_shipped_file() -> None:
    script = TEMPLATE / "corpus/generate.py"

    made = subprocess.run([sys.executable, "-I", script], capture_output=True, check=True).stdout

    assert made == FILES["corpus/agents.jsonl"]


def test_it_is_large_enough_to_mean_something_and_small_enough_to_ship() -> None:
    assert sum(CORPUS.counts) >= 2_000
    assert len(ANSWERS) >= 2_000
    assert sum(len(text) for path, text in FILES.items() if path.startswith("corpus/")) < 1_000_000


def test_both_forms_and_envelopes_occur() -> None:
    lines = FILES["corpus/agents.jsonl"].decode().splitlines()
    starts = Counter(line[:10] for line in lines)

    assert set(starts) == {'{"subject"', '{"tenant_i', '{"request"'}
    assert min(starts.values()) >= 50


@pytest.mark.parametrize("rule", [rule.name for rule in SIDE.matcher.rules])
def test_every_rule_applies_somewhere(rule: str) -> None:
    assert any(rule in answer.applied_rules for answer in ANSWERS)


def test_errors_and_denials_without_a_rule_occur() -> None:
    assert {"matched_rule", "no_matching_rule", "evaluation_error"} <= {answer.reason_code for answer in ANSWERS}


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith("policies/")])
def test_leaving_out_any_policy_flips_something(path: str) -> None:
    files = {name: text for name, text in TREE.files.items() if name != path and not name.startswith("tests/")}
    rest = PolicyTree("0" * 40, False, files)

    assert simulate(CORPUS, SIDE, load_side("rest", rest)).count() > 0
