import re
from datetime import date
from pathlib import Path

import jinja2
import pytest
import yaml

from builder.compiling import compile_tree
from builder.linting import lint_tree
from builder.policytest import check_mutants, measure_coverage, run_suites
from builder.source import POLICY_PATHS, PolicyTree
from builder.templating import TemplateValues, find_template, render

VALUES = TemplateValues(name="agents", store="s3://bucket/prefix", today=date(2026, 11, 20))
FILES = render(find_template(), VALUES)
POLICIES = [path for path in FILES if path.startswith("policies/")]


def test_everything_a_new_repository_needs_is_there() -> None:
    expected = {"writ.yaml", "README.md", "CODEOWNERS", ".gitignore", ".github/workflows/pull-request.yml"}

    assert expected <= set(FILES)
    assert len(POLICIES) >= 6


def test_no_template_file_is_left_unrendered() -> None:
    assert not [path for path in FILES if path.endswith(".j2")]
    left = re.compile(rb"(?<!\$)\{\{|\{%")  # ${{ … }} is the forge's
    assert not [path for path, content in FILES.items() if left.search(content)]


def test_an_unknown_variable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file.j2").write_text("{{ nobody }}")

    with pytest.raises(jinja2.UndefinedError):
        render(tmp_path, VALUES)


def test_values_are_quoted_for_yaml() -> None:
    store = 's3://bucket/"#: {'

    files = render(find_template(), TemplateValues(name="agents", store=store, today=date(2026, 11, 20)))

    assert yaml.safe_load(files["writ.yaml"])["store"] == store


@pytest.mark.parametrize("path", POLICIES)
def test_every_policy_is_owned_reviewed_and_expires_in_a_year(path: str) -> None:
    metadata = yaml.safe_load(FILES[path])["metadata"]

    assert {"title", "intent", "severity", "controls"} <= set(metadata)
    assert set(metadata["owners"]) == {"security", "platform", "app"}
    assert metadata["review"]["last_reviewed"] == date(2026, 11, 20)
    assert metadata["expires"] == date(2027, 11, 20)


def test_a_leap_day_has_a_day_a_year_later() -> None:
    variables = TemplateValues(name="a", store="b", today=date(2028, 2, 29)).variables()

    assert variables["in_a_year"] == "2029-02-28"


def test_the_same_values_give_the_same_files() -> None:
    assert render(find_template(), VALUES) == FILES


TREE = PolicyTree("0" * 40, False, {path: text for path, text in FILES.items() if path.split("/")[0] in POLICY_PATHS})
COMPILED = compile_tree(TREE, today=VALUES.today)
REPORT = run_suites(COMPILED)


def test_the_policies_have_neither_problems_nor_warnings_and_pass_their_tests() -> None:
    REPORT.require_passed()

    assert lint_tree(TREE, today=VALUES.today).warnings == ()


def test_the_tests_cover_every_rule_and_clause() -> None:
    assert {what: tally.percent for what, tally in measure_coverage(COMPILED, REPORT).tallies().items()} == {
        "rules": 100.0,
        "clauses": 100.0,
    }


def test_the_tests_notice_every_change_to_a_rule() -> None:
    mutation = check_mutants(COMPILED, REPORT)

    assert mutation.survivors == ()
    assert mutation.tried > 60


def test_the_tests_see_every_kind_of_answer_and_errors() -> None:
    answers = [case.answer for suite in REPORT.suites for case in suite.cases if case.answer]

    assert {answer.decision for answer in answers} == {"allow", "allow_with_constraints", "require_approval", "deny"}
    assert {"matched_rule", "no_matching_rule", "evaluation_error"} <= {answer.reason_code for answer in answers}
