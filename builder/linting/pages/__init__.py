"""The lint reference: one page for every code; docs/reference/lint.md is made of them."""

from builder.language.codes import Code
from builder.linting.pages import errors, rules, schemas, upkeep
from builder.linting.pages.page import Page

PAGES: dict[Code, Page] = {
    page.code: page
    for page in sorted([*errors.PAGES, *rules.PAGES, *schemas.PAGES, *upkeep.PAGES], key=lambda page: page.code)
}

__all__ = ["PAGES", "Page"]
