"""Places of values: the same in JSON as in YAML, and quickly found however many are asked for."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.language.locating import locate

TEXT = '{"a": [1, {"b, c": "}", "é😀": null}],\n "d": {}}'
KEYS = st.text("ab1:,{}[]", min_size=1, max_size=3)
VALUES = st.recursive(
    st.none() | st.integers(0, 9) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


def paths(value: Any) -> list[tuple[str | int, ...]]:
    """Return the paths of a value and of all in it."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((name, *below) for name, part in parts for below in paths(part))]


@pytest.mark.parametrize(
    ("path", "at_key", "expected"),
    [
        ((), False, (1, 1)),
        (("a", 1, "b, c"), False, (1, 20)),
        (("a", 1, "b, c"), True, (1, 12)),
        (("a", 1, "é😀"), True, (1, 25)),
        (("d",), True, (2, 2)),
        (("d", "e"), True, (2, 7)),
        (("a", 7), False, (1, 7)),
    ],
)
def test_a_path_leads_to_value_or_key(path: tuple[str | int, ...], at_key: bool, expected: tuple[int, int]) -> None:
    place = locate("a.json", TEXT.encode(), path, at_key=at_key)

    assert (place.line, place.column) == expected


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_json_has_the_places_it_has_as_yaml(value: Any, at_key: bool, indent: int | None) -> None:
    content = json.dumps(value, indent=indent).encode()

    for path in paths(value):
        found = [locate(file, content, path, at_key=at_key) for file in ("a.json", "a.yaml")]

        assert len({(place.line, place.column) for place in found}) == 1


@pytest.mark.parametrize("file", ["a.json", "a.yaml"])
def test_all_places_of_a_large_file_take_time_in_proportion(file: str) -> None:
    content = json.dumps({f"k{number}": [number] for number in range(10_000)}, indent=1).encode()
    started = time.process_time()

    places = [locate(file, content, (f"k{number}",), at_key=True).line for number in range(10_000)]

    assert places == list(range(2, 30_000, 3))
    assert time.process_time() - started < 10
