from datetime import date
from pathlib import Path

import jinja2
import pytest
import yaml

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
    assert not [path for path, content in FILES.items() if b"{{" in content or b"{%" in content]


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


def test_the_workflow_can_do_nothing_but_read() -> None:
    workflow = yaml.safe_load(FILES[".github/workflows/pull-request.yml"])

    assert workflow["permissions"] == {}
    assert all(job["permissions"] == {"contents": "read"} for job in workflow["jobs"].values())


def test_the_same_values_give_the_same_files() -> None:
    assert render(find_template(), VALUES) == FILES
