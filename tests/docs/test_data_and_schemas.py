"""The pages on schemas: their files fit together, and each wrong one gives just what the page says."""

import datetime
import re
from pathlib import Path

import pytest

from builder.compiling import compile_tree
from builder.language import jsonfile, yamlfile
from builder.linting import lint_tree
from builder.scanning import MAX_FINDINGS
from builder.schemas import checking, declarations, keywords, validating
from builder.source import PolicyTree
from policy_core.attributes import MAX_REGEX_CHARS
from policy_core.errors import InvalidPolicyError, report

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "reference/data-and-schemas.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to/declare-attributes.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```yaml\n(# (\S+)\n.*?)^```\n(?:\n```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
TODAY = datetime.date(2026, 11, 1)
SETTINGS = "# writ.yaml\nname: demo\nstore: file:///srv/demo\nchannels: [prod]\n"
BLOCKS = [(path, text, findings) for text, path, findings in BLOCK.findall(PAGE)]
SOUND = {"writ.yaml": SETTINGS} | {
    path: text for path, text, findings in BLOCKS if not findings and path != "writ.yaml"
}
WRONG = [(path, text, findings) for path, text, findings in BLOCKS if findings]


def tree(files: dict[str, str]) -> PolicyTree:
    return PolicyTree("1" * 40, True, {path: text.encode() for path, text in sorted(files.items())})


def test_the_files_of_the_page_are_sound() -> None:
    result = lint_tree(tree(SOUND), today=TODAY)

    assert result.problems == ()
    assert [warning for warning in result.warnings if warning.code in ("W120", "W121", "W122")] == []


@pytest.mark.parametrize(("path", "text", "findings"), WRONG, ids=[path for path, _, _ in WRONG])
def test_a_wrong_file_gives_what_the_page_says(path: str, text: str, findings: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        compile_tree(tree({**SOUND, path: text}), today=TODAY)

    lines = [line for line in report(caught.value)[:-1] if not line.startswith("    hint: see schemas/")]
    assert lines == findings.splitlines()


def test_the_rule_of_the_how_to_gives_what_the_page_says() -> None:
    (path, text, _), (wrong, rule, findings) = [(path, text, said) for text, path, said in BLOCK.findall(HOW_TO)]

    with pytest.raises(InvalidPolicyError) as caught:
        compile_tree(tree({"writ.yaml": SETTINGS, path: text, wrong: rule}), today=TODAY)

    assert report(caught.value)[:-1] == findings.splitlines()


def test_the_digest_of_the_page_permits_its_example() -> None:
    settings = next(text for path, text, _ in BLOCKS if path == "writ.yaml")
    leaking = next(text for path, text, _ in WRONG if path == "data/wiki.yaml")

    assert compile_tree(tree({**SOUND, "writ.yaml": settings, "data/wiki.yaml": leaking}), today=TODAY).warnings == ()


def test_the_page_lists_every_keyword() -> None:
    table = PAGE[PAGE.index("### What a schema may use") : PAGE.index("- Another keyword")]

    assert set(re.findall(r"`([^`]+)`", table)) == keywords.KEYWORDS


def test_the_page_names_what_is_always_declared() -> None:
    sentence = PAGE[PAGE.index("in `context` what Writ gives") :].split("\n- ")[0]

    assert set(re.findall(r"`(\w+)`", sentence)) - {"context"} == set(declarations._BUILT_IN["context"]["properties"])


@pytest.mark.parametrize(
    "row",
    [
        f"a YAML file | {yamlfile.MAX_YAML_BYTES >> 20} MiB, {yamlfile.MAX_DEPTH} levels",
        f"a JSON file | {jsonfile.MAX_JSON_BYTES >> 20} MiB, {yamlfile.MAX_DEPTH} levels",
        f"a schema | {declarations.MAX_SCHEMA_BYTES >> 10} KiB, {checking.MAX_SCHEMAS:,} schemas within",
        f"{checking.MAX_STEPS_IN_PLACE} that follow each other for the same value",
        f"a pattern | {MAX_REGEX_CHARS:,} characters",
        f"{validating.MAX_STEPS:,} keywords looked at; the first {validating.MAX_FINDINGS} findings",
        f"secrets reported of a file | the first {MAX_FINDINGS}",
    ],
)
def test_the_limits_are_those_of_the_code(row: str) -> None:
    assert row.replace(",000", " 000") in PAGE


def test_the_formats_are_those_that_are_checked() -> None:
    sentence = next(line for line in PAGE.splitlines() if line.startswith("- `format` is checked"))

    assert set(re.findall(r"`(\w+)`", sentence)) - {"format"} == keywords.FORMATS
