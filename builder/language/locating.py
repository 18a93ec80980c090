"""Where in a YAML or JSON file the value at a path stands: looked up only for what is wrong with it."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache

from builder.language.nodes import BrokenNode, ListNode, MapNode, Node, Place, Report
from builder.language.yamlfile import read_yaml

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def locate(file: str, content: bytes, path: Sequence[str | int], *, at_key: bool = False) -> Place:
    """Return where the value at a path of a file that could be read begins, or (`at_key`) the last key of the path.

    Where the path leads nowhere, it is the place of what it reaches.
    """
    if file.endswith(".json"):
        return _in_json(content.decode(), path, at_key=at_key)
    node = _root(content)
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
def _root(content: bytes) -> Node | None:
    """Return the root of a file; the last one is remembered, as a file with one problem may have thousands."""
    return read_yaml(content, Report(""))


def _in_json(text: str, path: Sequence[str | int], *, at_key: bool) -> Place:
    """Follow the path through the tokens, skipping whatever it does not lead into."""
    tokens = list(_JSON_TOKEN.finditer(text))
    at = key_at = 0
    for step in path:
        opening, at_next, index = tokens[at][0], at + 1, 0
        while opening in "{[" and tokens[at_next][0] not in "}]":
            start = at_next + 2 if opening == "{" else at_next  # behind key and colon
            if step == (json.loads(tokens[at_next][0]) if opening == "{" else index):
                at, key_at = start, at_next
                break
            at_next = _behind(tokens, start)
            at_next += tokens[at_next][0] == ","
            index += 1
        else:
            break
    offset = tokens[key_at if at_key else at].start()
    return BrokenNode(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _behind(tokens: Sequence[re.Match[str]], at: int) -> int:
    """Return the index of the token behind the value that begins at a token."""
    depth = 0
    while True:
        depth += (tokens[at][0] in "{[") - (tokens[at][0] in "}]")
        at += 1
        if depth == 0:
            return at
