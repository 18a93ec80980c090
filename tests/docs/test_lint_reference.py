"""docs/reference/lint.md is made of the pages of the lint codes. UPDATE=1 rewrites it."""

import os
from pathlib import Path
from textwrap import fill

from builder.linting.pages import PAGES, Page

PAGE = Path(__file__).parents[2] / "docs/reference/lint.md"
HEAD = """\
# Findings of `writ lint`

`writ lint` prints every finding at once, each with file, line, column and code. A code never changes its meaning.
**Errors** (`E…`) make a repository unusable: nothing can be built, tested or published from it, and lint exits with 3.
**Warnings** (`W…`) stop nothing; with `--strict` lint exits with 3 for them as well. A warning says only what is
certain from the text of the policies.

`writ lint --explain W101` shows a page of this reference in the terminal. `--format json` is for programs, `--format
sarif` for forges that show findings at the lines of a pull request. `--fix` puts right what can be put right without
changing a decision: see [in the editor and before each commit](../how-to/lint-as-you-write.md).

A test keeps this reference and the command together, and proves that each example has just the finding it stands for.

"""


def wrapped(text: str) -> str:
    return fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(pages: list[Page]) -> str:
    rows = [f"| [`{page.code}`](#{page.code.lower()}-{page.name}) | {page.name.replace('-', ' ')} |" for page in pages]
    return "\n".join(["| code | finding |", "|---|---|", *rows])


def section(page: Page) -> str:
    parts = [f"### {page.title}", wrapped(page.why), wrapped(f"**What to do:** {page.fix}")]
    for files in (page.before, page.after):
        parts += ["Better:"] if files is page.after else []
        parts += [f"```yaml\n# {path}\n{content}```" for path, content in files.items()]
    return "\n\n".join(parts)


def chapter(title: str, *, errors: bool) -> str:
    pages = [page for page in PAGES.values() if page.code.is_error is errors]
    return "\n\n".join([f"## {title}", table(pages), *map(section, pages)])


def rendered() -> str:
    return f"{HEAD}{chapter('Errors', errors=True)}\n\n{chapter('Warnings', errors=False)}\n"


def test_the_reference_is_made_of_the_pages() -> None:
    if os.environ.get("UPDATE"):
        PAGE.write_text(rendered(), encoding="utf-8")

    assert PAGE.read_text(encoding="utf-8") == rendered()
