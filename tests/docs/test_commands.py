"""Every command line that the documentation shows exists, with all its options."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
import pytest
from command_lines import PROGRAMS, check

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "policy-repo-template/README.md.j2"]
CODE = re.compile(r"^```(?:sh|text)?\n(.*?)^```|^(?: {4}.*\n)+", re.MULTILINE | re.DOTALL)
ENDS = re.compile(r"[|&;<>()]+")


def command_lines(text: str) -> Iterator[list[str]]:
    """Yield the words of each command in code blocks, without what the shell would take."""
    for block in CODE.finditer(text):
        for line in block[0].replace("\\\n", " ").splitlines():
            if not re.match(r"\s*(?:until )?writ(-sidecar)? [a-z-]", line) or line.count('"') % 2:
                continue
            lexer = shlex.shlex(line.strip().removeprefix("until "), posix=True, punctuation_chars=True)
            lexer.whitespace_split = True  # a colon does not end a word
            words: list[str] = []
            for word, after in pairwise([*lexer, "|", ""]):
                if not ENDS.fullmatch(word) and not (word == "2" and after.startswith(">")):
                    words.append(word)
                    continue
                if words and words[0] in PROGRAMS:
                    yield words
                words = []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_shown_exist_with_their_options(page: Path) -> None:
    for words in command_lines(page.read_text(encoding="utf-8")):
        try:
            check(words)
        except click.UsageError as error:
            pytest.fail(f"{shlex.join(words)}: {error.format_message()}")


def test_commands_are_found_in_the_pages() -> None:
    found = [words for page in PAGES for words in command_lines(page.read_text(encoding="utf-8"))]

    assert len(found) > 50
    assert {"init", "publish", "rollback", "live", "run", "status"} <= {words[1] for words in found}


@pytest.mark.parametrize(
    "line", ["writ publish --no-such-option", "writ nothing", "writ keys forge", "writ-sidecar run --bad"]
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    (words,) = command_lines(f"```sh\n{line}\n```\n")

    with pytest.raises((click.UsageError, AssertionError)):
        check(words)
