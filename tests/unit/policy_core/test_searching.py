"""Searches as values: what is asked, among whom, and which tokens begin a page."""

import base64
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy_core.request import RequestError
from policy_core.searching import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    DirectoryError,
    Search,
    SearchKind,
    candidates,
    position_of,
    properties_of,
    read_search,
    token_at,
)

ADA, PAGE = {"type": "user", "id": "ada"}, {"type": "page", "id": "p"}
WHO: dict[str, Any] = {"subject": {"type": "user"}, "action": {"name": "read"}, "resource": PAGE}
WHAT: dict[str, Any] = {"subject": ADA, "resource": PAGE}
END = 1_000_000
DATA = {
    "directory": {
        "subjects": {"user": {"ada": {"roles": ["sre"]}, "bob": {}, "cid": None}},
        "actions": {"read": {}, "write": {"soft": True}},
    }
}


def who(page: object = None, **more: object) -> Search:
    return read_search(SearchKind.SUBJECT, {**WHO, **more, "page": page})


def test_candidates_are_those_of_the_type_with_their_properties() -> None:
    search = who()

    found = candidates(DATA, search)

    assert [search.result(name, properties_of(search, name, entry)) for name, entry in found.items()] == [
        {"type": "user", "id": "ada", "properties": {"roles": ["sre"]}},
        {"type": "user", "id": "bob"},
        {"type": "user", "id": "cid"},
    ]


def test_what_a_candidate_would_ask_is_the_request_with_it_in_place() -> None:
    search = who(context={"tenant": "t"})

    assert search.request({"type": "user", "id": "bob"}) == {
        "subject": {"type": "user", "id": "bob"},
        "action": {"name": "read"},
        "resource": PAGE,
        "context": {"tenant": "t"},
    }


def test_actions_have_names_and_no_type() -> None:
    search = read_search(SearchKind.ACTION, WHAT)

    assert [search.result(name, entry) for name, entry in candidates(DATA, search).items()] == [
        {"name": "read"},
        {"name": "write", "properties": {"soft": True}},
    ]


@pytest.mark.parametrize("data", [{}, {"directory": {}}, {"directory": {"subjects": None}}, DATA])
def test_of_what_is_not_listed_there_are_no_candidates(data: dict[str, Any]) -> None:
    assert not candidates(data, who(subject={"type": "spaceship"}))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"directory": []}, "data.directory: is not a mapping"),
        ({"directory": {"subjects": "x"}}, "data.directory.subjects: is not a mapping"),
        ({"directory": {"subjects": {"user": ["ada"]}}}, "data.directory.subjects.user: is not a mapping"),
    ],
)
def test_a_directory_of_another_form_is_an_error_and_not_empty(data: dict[str, Any], message: str) -> None:
    with pytest.raises(DirectoryError, match=f"^{message}$"):
        candidates(data, who())


def test_so_is_a_candidate_whose_properties_are_none() -> None:
    with pytest.raises(DirectoryError, match=r"^the subject ada in data\.directory: is not a mapping$"):
        properties_of(who(), "ada", ["sre"])


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (SearchKind.SUBJECT, {**WHO, "subject": {}}, "subject.type is missing"),
        (SearchKind.SUBJECT, {**WHO, "subject": {"type": 1}}, "subject.type is not a string"),
        (SearchKind.SUBJECT, {**WHO, "subject": "ada"}, "subject is not an object"),
        (SearchKind.SUBJECT, {**WHO, "resource": {"type": "page"}}, "resource.id is missing"),
        (SearchKind.SUBJECT, {**WHO, "context": 1}, "context is not an object"),
        (
            SearchKind.SUBJECT,
            {"input": {**WHO, "subject": ADA}},
            "subject is missing; action is missing; resource is m",
        ),
        (SearchKind.SUBJECT, {"job": {"topic": "t"}}, "subject is missing; action is missing; resource is missing"),
        (SearchKind.RESOURCE, {**WHO, "resource": {"type": "page"}}, "subject.id is missing"),
        (SearchKind.RESOURCE, {**WHAT, "action": {"name": 1}}, "action.name is not a string"),
        (SearchKind.ACTION, {"subject": ADA}, "resource is missing"),
        (SearchKind.ACTION, [WHAT], "is not a JSON object"),
        (SearchKind.ACTION, {**WHAT, "page": []}, "page: Expected `object`"),
        (SearchKind.ACTION, {**WHAT, "page": ""}, "page: Expected `object`"),
        (SearchKind.ACTION, {**WHAT, "page": {"limit": -1}}, "page: Expected `int` >= 0"),
        (SearchKind.ACTION, {**WHAT, "page": {"limit": 1.5}}, "page: Expected `int`, got `float`"),
        (SearchKind.ACTION, {**WHAT, "page": {"limit": math.inf}}, "page: Expected `int`, got `float`"),
        (SearchKind.ACTION, {**WHAT, "page": {"limit": "1"}}, "page: Expected `int`, got `str`"),
        (SearchKind.ACTION, {**WHAT, "page": {"limit": True}}, "page: Expected `int`, got `bool`"),
        (SearchKind.ACTION, {**WHAT, "page": {"token": 1}}, "page: Expected `str`, got `int`"),
    ],
)
def test_a_body_that_is_no_search_is_refused_with_the_reason(kind: SearchKind, body: object, message: str) -> None:
    with pytest.raises(RequestError, match=f"^request: {message}"):
        read_search(kind, body)


def test_what_is_searched_for_needs_a_type_alone_and_the_rest_of_it_is_ignored() -> None:
    claimed = {"type": "user", "id": 7, "properties": ["admin"]}

    assert who(subject=claimed).query == who().query
    assert read_search(SearchKind.ACTION, {**WHAT, "action": 7}).query == read_search(SearchKind.ACTION, WHAT).query


@pytest.mark.parametrize(
    ("page", "limit"),
    [
        (None, DEFAULT_LIMIT),
        ({}, DEFAULT_LIMIT),
        ({"limit": 0}, 0),
        ({"limit": 7, "sort": "x"}, 7),
        ({"limit": 10**30}, MAX_LIMIT),
        ({"limit": 7.0}, 7),
    ],
)
def test_a_page_has_at_most_as_many_results_as_are_wanted_and_as_there_may_be(page: object, limit: int) -> None:
    assert who(page).limit == limit


@given(position=st.integers(0, END))
def test_a_token_leads_to_its_position(position: int) -> None:
    token = token_at(position, search=who(), bundle="sha256:a")

    assert position_of(who({"token": token, "limit": 3}), bundle="sha256:a", end=END) == position


@given(position=st.integers(END + 1, 2**64 - 1))
def test_a_token_that_somebody_has_made_properly_leads_nowhere_beyond_the_list(position: int) -> None:
    token = token_at(position, search=who(), bundle="sha256:a")

    with pytest.raises(RequestError):
        position_of(who({"token": token}), bundle="sha256:a", end=END)


def test_without_a_token_a_search_begins_at_the_beginning() -> None:
    assert position_of(who({"token": ""}), bundle="sha256:a", end=END) == 0


OF_ANOTHER = {
    "bundle": (who(), "sha256:b"),
    "context": (who(context={"tenant": "t"}), "sha256:a"),
    "resource": (who(resource={"type": "page", "id": "q"}), "sha256:a"),
    "type": (who(subject={"type": "agent"}), "sha256:a"),
    "kind": (read_search(SearchKind.RESOURCE, {**WHO, "subject": ADA}), "sha256:a"),
}


@pytest.mark.parametrize("other", OF_ANOTHER)
def test_a_token_of_another_search_or_bundle_is_refused(other: str) -> None:
    search, bundle = OF_ANOTHER[other]
    token = token_at(1, search=search, bundle=bundle)

    with pytest.raises(RequestError, match=r"page\.token is none of this search"):
        position_of(who({"token": token}), bundle="sha256:a", end=END)


@given(data=st.data())
def test_a_token_that_was_altered_is_refused(data: st.DataObject) -> None:
    content = bytearray(base64.urlsafe_b64decode(token_at(1, search=who(), bundle="sha256:a")))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(RequestError):
        position_of(who({"token": base64.urlsafe_b64encode(content).decode()}), bundle="sha256:a", end=END)


@pytest.mark.parametrize("token", ["x", "AAAA", "A" * 32, "=" * 32, "é" * 32, "A" * 100_000, "\x00"])
def test_a_token_that_is_made_up_is_refused(token: str) -> None:
    with pytest.raises(RequestError):
        position_of(who({"token": token}), bundle="sha256:a", end=END)


def test_a_search_that_is_nested_too_deeply_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}

    with pytest.raises(RequestError, match="nested too deeply"):
        who(context=deep)
