"""The workflows of a new policy repository: what they may do, and that the commands they run exist."""

import re
import shlex
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
import yaml
from command_lines import check

from builder.publishing.keys import signer_variable
from builder.templating import TemplateValues, find_template, render

FOLDER = ".github/workflows/"
FILES = render(find_template(), TemplateValues(name="agents", store="s3://bucket/prefix", today=date(2026, 11, 20)))
WORKFLOWS: dict[str, Any] = {
    path.removeprefix(FOLDER): yaml.load(content, yaml.BaseLoader)  # noqa: S506 - texts only; `on` is no boolean there
    for path, content in FILES.items()
    if path.startswith(FOLDER)
}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"].values()]
STEPS = [(name, step) for name, job in JOBS for step in job["steps"]]


def commands() -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Yield the words of each command of ours, with the environment of its step."""
    for name, step in STEPS:
        for line in step.get("run", "").splitlines():
            if re.match(r"writ\b", line):
                yield name, shlex.split(line), step.get("env", {})


def test_each_of_them_is_there() -> None:
    assert set(WORKFLOWS) == {"pull-request.yml", "publish.yml", "approve.yml", "refresh.yml"}


@pytest.mark.parametrize("words", [words for _, words, _ in commands()], ids=shlex.join)
def test_the_commands_exist_with_their_options(words: list[str]) -> None:
    check(words)


def test_every_workflow_runs_what_it_is_for() -> None:
    run = {(name, words[1]) for name, words, _ in commands()}

    assert run == {
        ("pull-request.yml", "lint"), ("pull-request.yml", "test"), ("publish.yml", "publish"),
        ("approve.yml", "approve"), ("approve.yml", "promote"), ("refresh.yml", "refresh"),
        ("refresh.yml", "maintain"),
    }  # fmt: skip


def test_what_a_pull_request_can_change_has_no_rights_and_no_secrets() -> None:
    (job,) = WORKFLOWS["pull-request.yml"]["jobs"].values()

    assert job["permissions"] == {"contents": "read"}
    assert "secrets." not in FILES[f"{FOLDER}pull-request.yml"].decode()
    assert [name for name, workflow in WORKFLOWS.items() if "pull_request" in workflow["on"]] == ["pull-request.yml"]
    assert not [name for name, workflow in WORKFLOWS.items() if "pull_request_target" in workflow["on"]]


def test_rights_are_given_job_by_job() -> None:
    assert {str(workflow["permissions"]) for workflow in WORKFLOWS.values()} == {"{}"}
    for name, job in JOBS:
        writes = {right for right, value in job["permissions"].items() if value == "write"}
        assert writes <= {"id-token", *(["contents"] if name in {"publish.yml", "approve.yml"} else [])}


def test_nothing_that_people_can_type_becomes_part_of_a_script() -> None:
    assert not [(name, step["run"]) for name, step in STEPS if "${{" in step.get("run", "")]


def test_keys_are_given_to_the_step_that_signs_and_to_no_other() -> None:
    assert {str(workflow["env"]) for workflow in WORKFLOWS.values() if "env" in workflow} == {"{'CHANNEL': 'prod'}"}
    assert not [name for name, job in JOBS if "env" in job]
    for name, step in STEPS:
        secrets = [value for value in step.get("env", {}).values() if "secrets." in value]
        assert not secrets or step["run"].startswith("writ "), name


def test_every_signer_is_a_variable_that_holds_a_secret() -> None:
    known = {signer_variable(role) for role in ("prod", "snapshot", "timestamp")}
    for _, words, environment in commands():
        for variable, uri in environment.items():
            if variable.startswith("WRIT_SIGNER_"):
                assert variable in known, words
                assert environment[uri.removeprefix("env:")].startswith("${{ secrets."), words


def test_the_forges_token_is_given_to_what_exports_reviews_and_to_nothing_else() -> None:
    steps = [step for _, step in STEPS if "github.token" in str(step.get("env"))]

    assert [shlex.split(step["run"])[:2] for step in steps] == [["bash", ".github/export-reviews.sh"]] * 2
    assert ".github/export-reviews.sh" in FILES


def test_the_refresher_has_no_key_but_the_timestamps() -> None:
    (environment,) = (environment for _, words, environment in commands() if words[1] == "refresh")

    assert [value for value in environment.values() if "secrets." in value] == ["${{ secrets.TIMESTAMP_KEY }}"]
    assert environment["AWS_ROLE_ARN"] == "${{ vars.WRIT_REFRESHER_ROLE }}"


def test_what_writes_to_the_store_waits_for_its_turn_and_is_never_cut_short() -> None:
    for name in ("publish.yml", "approve.yml"):
        assert WORKFLOWS[name]["concurrency"] == {"group": "writ-publish", "cancel-in-progress": "false"}
    assert WORKFLOWS["refresh.yml"]["jobs"]["maintain"]["concurrency"]["group"] == "writ-publish"


def test_a_new_repository_without_roles_runs_nothing_that_signs() -> None:
    for name, job in JOBS:
        assert name == "pull-request.yml" or re.match(r"vars\.WRIT_(PUBLISHER|REFRESHER)_ROLE != ''", job["if"]), name


def test_only_the_forges_own_actions_are_used() -> None:
    assert {step["uses"].partition("@")[0] for _, step in STEPS if "uses" in step} == {
        "actions/checkout",
        "actions/setup-python",
    }


def test_every_hour_and_every_week_something_is_signed_anew() -> None:
    hourly, weekly = (entry["cron"] for entry in WORKFLOWS["refresh.yml"]["on"]["schedule"])
    jobs = WORKFLOWS["refresh.yml"]["jobs"]

    assert re.fullmatch(r"\d+ \* \* \* \*", hourly)
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", weekly)
    assert f"github.event.schedule != '{weekly}'" in jobs["refresh"]["if"]
    assert f"github.event.schedule != '{hourly}'" in jobs["maintain"]["if"]
