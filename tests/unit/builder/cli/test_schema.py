"""``writ schema``: schemas for editors, listed, printed and written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builder.editing import KINDS

Writ = Callable[..., Any]
HOW_TO = Path(__file__).parents[4] / "docs/how-to/lint-as-you-write.md"


def test_kinds_are_listed_with_the_files_they_are_for(writ: Writ) -> None:
    run = writ("schema")

    assert (run.code, run.err) == (0, "")
    assert [line.split() for line in run.out.splitlines()] == [[kind.name, kind.files] for kind in KINDS.values()]


def test_the_schema_of_a_kind_is_printed(writ: Writ) -> None:
    run = writ("schema", "policy")

    assert (run.code, run.json) == (0, KINDS["policy"].schema())


def test_all_schemas_are_written_below_where_the_command_runs(writ: Writ, policies: Any) -> None:
    run = writ("schema", "--into", ".vscode/writ")

    folder = policies.path / ".vscode/writ"
    assert (run.code, run.out) == (0, f"{len(KINDS)} schemas in .vscode/writ\n")
    assert {file.stem: json.loads(file.read_text()) for file in folder.iterdir()} == {
        name: kind.schema() for name, kind in KINDS.items()
    }


def test_an_unknown_kind_is_a_usage_error(writ: Writ) -> None:
    run = writ("schema", "policies")

    assert (run.code, run.out) == (2, "")
    assert run.err == "error: no kind of file 'policies'\nhint: did you mean 'policy'?\n"


def test_a_folder_that_cannot_be_made_is_a_usage_error(writ: Writ, policies: Any) -> None:
    (policies.path / "file").touch()

    run = writ("schema", "--into", "file/deeper")

    assert run.code == 2
    assert "cannot be written" in run.err


def test_a_kind_and_a_folder_do_not_go_together(writ: Writ) -> None:
    assert writ("schema", "policy", "--into", "x").code == 2


def test_the_settings_shown_for_an_editor_name_every_kind() -> None:
    text = HOW_TO.read_text()
    shown = json.loads(text.split("```json\n")[1].split("```")[0])["yaml.schemas"]

    wanted = {Path(schema).stem: files[0] if isinstance(files, list) else files for schema, files in shown.items()}
    assert wanted == {name: kind.files for name, kind in KINDS.items()}
