"""One page of the lint reference: what a code means, why it matters, how to get rid of it, with an example."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill, indent

from builder.language.codes import Code

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Page:
    """`before` and `after` are files by path: the first have a finding of this code and no other, the second have none.

    What is missing of a policy repository in them (``writ.yaml``, a policy) is put in by the test that proves it.
    """

    code: Code
    name: str
    why: str
    fix: str
    before: Mapping[str, str]
    after: Mapping[str, str]

    @property
    def title(self) -> str:
        """Return code and name, as headings and anchors have them."""
        return f"{self.code} {self.name}"

    def text(self) -> str:
        """Return the page for a terminal."""
        prose = (self.why, f"What to do: {self.fix}")
        parts = [self.title, *(fill(text, _WIDTH, break_on_hyphens=False) for text in prose)]
        for label, files in (("For example:", self.before), ("Better:", self.after)):
            parts.append(label)
            parts += [indent(f"# {path}\n{content}".rstrip(), "    ") for path, content in files.items()]
        return "\n\n".join(parts)


def policy(rules: str) -> str:
    """Return a policy document of these rules."""
    return f"version: v1\nrules:\n{indent(rules.strip(chr(10)), '  ')}\n"
