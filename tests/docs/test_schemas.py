"""docs/reference/schemas/*.json are what `writ schema` prints. UPDATE=1 rewrites them."""

import os
from pathlib import Path

import msgspec
import pytest

from builder.editing import KINDS, FileKind

FOLDER = Path(__file__).parents[2] / "docs/reference/schemas"


def printed(kind: FileKind) -> str:
    return msgspec.json.format(msgspec.json.encode(kind.schema()), indent=2).decode() + "\n"


@pytest.mark.parametrize("name", KINDS)
def test_a_schema_says_what_the_model_says(name: str) -> None:
    file = FOLDER / f"{name}.json"
    if os.environ.get("UPDATE"):
        file.write_text(printed(KINDS[name]), encoding="utf-8")

    assert file.read_text(encoding="utf-8") == printed(KINDS[name])


def test_there_are_no_others() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(KINDS)
