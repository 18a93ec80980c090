"""``writ library``, as its users call it: what it prints, what it writes, and what it leaves alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.cli.main import main

Writ = Callable[..., Any]
IDENTITY = [
    "classify/primitives/identity-binding.yaml", "data/identity.yaml", "policies/primitives/identity-binding.yaml",
    "tests/primitives/identity-binding.yaml",
]  # fmt: skip


def test_each_primitive_is_listed_by_name_with_its_question(writ: Writ) -> None:
    run = writ("library", "list")

    assert run.code == 0
    assert "identity-binding    Who acts, and for whom?\n" in run.out
    assert len(run.out.splitlines()) == 12


def test_the_list_for_machines(writ: Writ) -> None:
    listed = writ("library", "list", "--format", "json").json

    assert [set(item) for item in listed] == [{"name", "title", "intent"}] * 12
    assert all(all(item.values()) for item in listed)


def test_the_list_needs_no_repository(tmp_path: Path) -> None:
    assert main(["-C", str(tmp_path), "library", "list"]) == 0


def test_adding_copies_policies_tests_and_data_and_names_them(writ: Writ, policies: Any) -> None:
    run = writ("library", "add", "identity-binding")

    assert run.code == 0
    assert run.out.splitlines()[:4] == IDENTITY
    assert all((policies.path / path).is_file() for path in IDENTITY)


def test_what_was_added_passes_its_tests(writ: Writ) -> None:
    writ("library", "add", "identity-binding", "blast-radius")

    assert writ("lint").code == 0
    assert writ("test").code == 0


def test_files_land_at_the_top_of_the_repository_wherever_one_stands(writ: Writ, policies: Any) -> None:
    assert writ("library", "add", "identity-binding", at=policies.path / "policies").code == 0

    assert (policies.path / IDENTITY[0]).is_file()


def test_adding_twice_is_nothing_to_do(writ: Writ) -> None:
    writ("library", "add", "identity-binding")

    assert writ("library", "add", "identity-binding") == (0, "all files are there already, nothing to do\n", "")


def test_what_was_written_for_machines(writ: Writ) -> None:
    assert writ("library", "add", "identity-binding", "--format", "json").json == {"written": IDENTITY, "settings": ""}
    assert writ("library", "add", "identity-binding", "--format", "json").json["written"] == []


def test_what_writ_yaml_needs_is_printed_and_left_to_the_author(writ: Writ, policies: Any) -> None:
    before = (policies.path / "writ.yaml").read_bytes()

    run = writ("library", "add", "quorum-approval")

    assert "\nAdd to writ.yaml, with people of your own:\n" in run.out
    assert "\napprovers:\n  ana: {key: " in run.out
    assert (policies.path / "writ.yaml").read_bytes() == before


def test_a_file_of_ones_own_is_not_overwritten_and_nothing_is_written(writ: Writ, policies: Any) -> None:
    policies.write({"data/identity.yaml": "agents: {}\n"})

    run = writ("library", "add", "blast-radius", "identity-binding")

    assert run.code == 2
    assert run.err.startswith("error: data/identity.yaml: there already, with other content\nhint: nothing was written")
    assert (policies.path / "data/identity.yaml").read_text() == "agents: {}\n"
    assert not (policies.path / "policies/primitives").exists()


def test_an_unknown_name_writes_nothing(writ: Writ, policies: Any) -> None:
    run = writ("library", "add", "identity-binding", "blast-radios")

    assert (run.code, run.err) == (2, "error: no such primitive: blast-radios\nhint: did you mean blast-radius?\n")
    assert not (policies.path / "policies/primitives").exists()


def test_at_least_one_name_is_asked_for(writ: Writ) -> None:
    run = writ("library", "add")

    assert run.code == 2
    assert run.err == "error: missing argument 'NAME...'\nhint: see `writ library add --help`\n"


def test_outside_of_a_repository_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-C", str(tmp_path), "library", "add", "identity-binding"]) == 2

    assert "no git repository here or above" in capsys.readouterr().err


def test_a_bare_repository_has_no_files(writ: Writ, policies: Any, tmp_path: Path) -> None:
    policies.clone(tmp_path / "bare.git", "--bare")

    run = writ("library", "add", "identity-binding", at=tmp_path / "bare.git")

    assert run.code == 2
    assert "a bare repository has no files" in run.err
