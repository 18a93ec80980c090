"""docs/how-to/import-a-job-policy.md shows what the command prints, the reference lists the very table it works by.

UPDATE=1 rewrites both.
"""

import os
import re
from itertools import groupby
from pathlib import Path

import pygit2
import pytest

from builder.cli.main import main
from builder.importing.fields import FIELDS, Field

ROOT = Path(__file__).parents[2]
HOW_TO = ROOT / "docs/how-to/import-a-job-policy.md"
REFERENCE = ROOT / "docs/reference/import.md"
SOURCES = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BEGIN, END = "<!-- fields -->\n", "<!-- end of fields -->\n"


def block(kind: str) -> re.Pattern[str]:
    return re.compile(rf"(^```text {kind}\n)(.*?)(^```)", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "sources", "code"), [("output", 1, 4), ("refused", 2, 3)])
def test_the_how_to_shows_what_the_command_prints(
    kind: str, sources: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = HOW_TO.read_text(encoding="utf-8")
    (tmp_path / "safety.yaml").write_text("".join(SOURCES.findall(page)[:sources]))

    ended = main(["-C", str(tmp_path), "import", "safety.yaml"])

    printed = capsys.readouterr().out
    if os.environ.get("UPDATE"):
        page = block(kind).sub(lambda found: found[1] + printed + found[3], page)
        HOW_TO.write_text(page, encoding="utf-8")
    assert ended == code
    assert [found[1] for found in block(kind).findall(page)] == [printed]


def test_the_policy_of_the_how_to_passes_lint(tmp_path: Path) -> None:
    pygit2.init_repository(tmp_path)
    (tmp_path / "writ.yaml").write_text("version: v1\nname: a\nstore: file:///srv/store\nchannels: [prod]\n")
    (tmp_path / "safety.yaml").write_text(SOURCES.findall(HOW_TO.read_text(encoding="utf-8"))[0])

    main(["-C", str(tmp_path), "import", "safety.yaml", "-o", "policies/"])

    assert main(["-C", str(tmp_path), "lint"]) == 0


def table() -> str:
    """Return the tables of the page: a row for each mapped field, one for refused fields that share their reason."""
    lines = ["| field | becomes | what changes in meaning, or is worth a look |", "|---|---|---|"]
    lines += [f"| `{field.path}` | {field.ours} | {field.says} |" for field in FIELDS.values() if not field.refused]
    lines += ["", "Refused, with all that is in them:", "", "| field | why | instead |", "|---|---|---|"]

    def shared(field: Field) -> tuple[str, str, str]:
        return field.path.rpartition(".")[0], field.says, field.hint

    for (parent, says, hint), found in groupby((field for field in FIELDS.values() if field.refused), shared):
        names = ", ".join(f"`{field.path.rpartition('.')[2]}`" for field in found)
        lines.append(f"| `{parent}`: {names} | {says} | {hint} |")
    return "\n".join(lines) + "\n"


def test_the_reference_lists_every_field_and_what_becomes_of_it() -> None:
    before, _, rest = REFERENCE.read_text(encoding="utf-8").partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("UPDATE"):
        shown = table()
        REFERENCE.write_text(before + BEGIN + shown + END + after, encoding="utf-8")

    assert shown == table()
