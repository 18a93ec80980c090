"""Where in a YAML or JSON file the value at a path stands: looked up only for what is wrong with it."""

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report, ScalarNode
from builder.language.yamlfile import read_yaml

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^\s{}\[\],:"]+')


def locate(file: str, content: bytes, path: Sequence[str | int], *, at_key: bool = False) -> Place:
    """Return where the value at a path of a file that could be read begins, or (`at_key`) the last key of the path.

    Where the path leads nowhere, it is the place of what it reaches.
    """
    node = _root(content, is_json=file.endswith(".json"))
    place: Place = node or BrokenNode(0, 0)
    for step in path:
        if type(node) is MapNode and (entry := node.entries.get(str(step))):
            key, node = entry
            place = key if at_key and step is path[-1] else node
        elif type(node) is ListNode and isinstance(step, int) and step < len(node.items):
            place = node = node.items[step]
        else:
            break
    return place


@lru_cache(maxsize=1)
def _root(content: bytes, *, is_json: bool) -> Node | None:
    """Return the root of a file; the last one is remembered, as a file with one problem may have thousands."""
    return _json_root(content.decode()) if is_json else read_yaml(content, Report(""))


def _json_root(text: str) -> Node:
    """Return the nodes of JSON that could be read; of values that hold no others only the places count."""
    tokens = _JSON_TOKEN.finditer(text)
    line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(token: re.Match[str]) -> tuple[int, int]:
        line = bisect_right(line_starts, token.start())
        return line, token.start() - line_starts[line - 1] + 1

    def value(token: re.Match[str]) -> Node:
        if token[0] == "{":
            entries: dict[str, tuple[ScalarNode, Node]] = {}
            while (key := next(tokens))[0] != "}":
                name = json.loads(key[0])
                entries[name] = ScalarNode(name, *place(key), '"', *key.span()), value(next(tokens))
            return MapNode(entries, *place(token))
        if token[0] == "[":
            items: list[Node] = []
            while (item := next(tokens))[0] != "]":
                items.append(value(item))
            return ListNode(items, *place(token))
        return BrokenNode(*place(token))

    return value(next(tokens))
