import json
from collections.abc import Callable
from typing import Any

import pytest

from builder.cli.main import main


@pytest.fixture
def render(policy_repository: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    folder = policy_repository("s3://acme-policies/agents", channels="staging, prod")

    def run(*arguments: str) -> Any:
        code = main(["-C", str(folder.path), "render", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_the_list_names_every_form(render: Callable[..., Any]) -> None:
    code, out, _ = render("--list")

    assert code == 0
    assert "(cloudformation, terraform, policies)" in out


def test_one_file_is_printed_as_it_is(render: Callable[..., Any]) -> None:
    _, out, _ = render("access")

    assert json.loads(out)["AWSTemplateFormatVersion"] == "2010-09-09"


def test_files_are_written_below_the_folder_and_named(render: Callable[..., Any], tmp_path: Any) -> None:
    code, out, _ = render("access", "--format", "policies", "-o", str(tmp_path / "iam"))

    names = {path.name for path in (tmp_path / "iam").iterdir()}
    assert code == 0
    assert {"bucket.json", "sidecar-prod.json", "sidecar-staging.json", "publisher.json"} <= names
    assert len(out.splitlines()) == len(names)


def test_several_files_are_told_apart_when_printed(render: Callable[..., Any]) -> None:
    _, out, _ = render("access", "--format", "policies")

    assert "# sidecar-prod.json\n{" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "what to render was not said"),
        (("castle",), "'castle': nothing of that name can be rendered"),
        (("access", "--format", "pulumi"), "access: has no form 'pulumi'"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    render: Callable[..., Any], arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = render(*arguments)

    assert code == 2
    assert message in err
    assert "hint: " in err


def test_a_store_that_is_in_no_bucket_has_no_rights_to_give(
    policy_repository: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = policy_repository("file:///srv/store")

    assert main(["-C", str(folder.path), "render", "access"]) == 2
    assert "is in no bucket" in capsys.readouterr().err
