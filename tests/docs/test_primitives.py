"""The pages about primitives show the files that ship, and name every field these read. UPDATE=1 rewrites the files."""

import os
import re
from datetime import date
from pathlib import Path

import pytest

from builder.library import Primitive, read_library
from builder.templating import find_template

PAGES = Path(__file__).parents[2] / "docs/reference/primitives"
LIBRARY = {item.name: item for item in read_library(find_template(), today=date(2026, 11, 20))}
FILES = re.compile(r"(?<=^## The files\n).*?(?=^## )", re.DOTALL | re.MULTILINE)
PARTS = re.compile(r"\b(?:context|(?:subject|resource|action)\.properties)(?:\.(?!exists\b|all\b)[a-z_]+)+")
FIELD = re.compile(r"^\| `([a-z_]+\.[a-z_.]+)` \|", re.MULTILINE)
ORDER = ("policies", "classify", "data", "exceptions", "writ.yaml")
ALWAYS_THERE = {"subject.type", "subject.id", "action.name", "resource.type", "resource.id"}

each_primitive = pytest.mark.parametrize("name", sorted(LIBRARY))


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def shown(primitive: Primitive) -> str:
    """Return the part of a page that shows the files: of policies the rules, of tests nothing."""
    files = {**primitive.files, "writ.yaml": primitive.settings.encode()}
    parts = ["\n"]
    for folder in ORDER:
        for path in (path for path in files if path.split("/")[0] == folder and files[path]):
            text = files[path].decode()
            text = text[text.index("rules:\n") :] if folder == "policies" else text
            parts.append(f"`{path}`\n\n```yaml\n{text}```\n\n")
    return "".join(parts)


def fields_read(primitive: Primitive) -> set[str]:
    """Return the attributes that the primitive's rules read, beside those every request has."""
    rules = [text.decode() for path, text in primitive.files.items() if path.startswith(("policies/", "classify/"))]
    lines = [line for text in rules for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = set(PARTS.findall("\n".join(lines)))
    return found | {"subject.properties.roles" for line in lines if "roles: [" in line}


@each_primitive
def test_a_page_shows_the_files_that_ship(name: str) -> None:
    expected = FILES.sub(lambda _: shown(LIBRARY[name]), page(name))
    if os.environ.get("UPDATE"):
        (PAGES / f"{name}.md").write_text(expected, encoding="utf-8")

    assert FILES.search(page(name))
    assert page(name) == expected


@each_primitive
def test_a_page_names_every_field_that_the_rules_read(name: str) -> None:
    listed = set(FIELD.findall(page(name).split("## What the application sends")[1].split("\n## ")[0]))

    assert listed - ALWAYS_THERE - {"context.grants"} == fields_read(LIBRARY[name])


@each_primitive
def test_a_page_begins_with_its_question_and_ends_with_what_it_cannot_do(name: str) -> None:
    headings = re.findall(r"^## (.+)$", page(name), re.MULTILINE)

    assert f"\n*{LIBRARY[name].title}*" in page(name)
    assert headings == ["What the application sends", "The files", "How to adapt it", "What it cannot do"]


def test_the_index_lists_each_with_its_question() -> None:
    rows = re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\) \| (.+?) \|", page("index"), re.MULTILINE)

    assert sorted(rows) == sorted((item.name, item.title) for item in LIBRARY.values())
    assert {path.stem for path in PAGES.glob("*.md")} == {*LIBRARY, "index"}
