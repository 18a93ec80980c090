"""Where a character of a scalar's value stands in its file, whatever quoting or folding lies between.

Quoting, folding and indentation only ever add or remove white space, line ends and escapes. So the n-th visible
character of the value is the n-th visible character of what was written.
"""

import re
from collections.abc import Iterator

from builder.language.nodes import BrokenNode, ScalarNode

_DOUBLE_QUOTED = re.compile(r"\\x..|\\u.{4}|\\U.{8}|\\.|.", re.DOTALL)
_SINGLE_QUOTED = re.compile(r"''|.", re.DOTALL)
_INVISIBLE_ESCAPES = frozenset("ntr _\n")  # those whose result is white space, and the escaped line end


def place_in(text: str, node: ScalarNode, offset: int) -> BrokenNode:
    """Return the place in `text` (line ends as line feeds) of the character at `offset` of a text node's value."""
    visible = list(_visible(text, node))
    number = sum(not character.isspace() for character in str(node.value)[:offset])
    if not visible:
        return BrokenNode(node.line, node.column)
    index = visible[number] if number < len(visible) else visible[-1] + 1
    return BrokenNode(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _visible(text: str, node: ScalarNode) -> Iterator[int]:
    """Yield the index in `text` of every visible character of the value."""
    start, end = node.start, node.end
    if node.style == '"':
        for unit in _DOUBLE_QUOTED.finditer(text, start + 1, end - 1):
            if not _is_invisible(unit[0]):
                yield unit.start()
        return
    if node.style == "'":
        for unit in _SINGLE_QUOTED.finditer(text, start + 1, end - 1):
            if not unit[0].isspace():
                yield unit.start()
        return
    if node.style:  # a block scalar: its header line is not part of the value
        start = text.find("\n", start, end) + 1 or end
    yield from (index for index in range(start, end) if not text[index].isspace())


def _is_invisible(unit: str) -> bool:
    if len(unit) > 2:
        return chr(int(f"0x{unit[2:]}", base=0)).isspace()
    return unit[1] in _INVISIBLE_ESCAPES if len(unit) == 2 else unit.isspace()
