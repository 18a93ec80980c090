"""Checks of Envoy as requests: who is believed, and which paths are read at all."""

from typing import Any

import pytest

from agent_sidecar.ext_authz import TrustedHeaders, request_of, trusted_headers
from policy_core.request import RequestError, normalise

TRUSTED = TrustedHeaders(subject="x-user", roles="x-groups", tenant="x-tenant")
HOST = (b"host", b"shop.example.com")


def check(target: bytes = b"/envoy/orders", *headers: tuple[bytes, bytes], method: bytes = b"GET") -> dict[str, Any]:
    found = request_of(method, target, headers or (HOST,), TRUSTED)
    normalise(found, now=0.0, host={})
    return found


def test_every_part_of_a_check_has_its_place() -> None:
    headers = HOST, (b"x-user", b"ada"), (b"x-groups", b"sre, on-call"), (b"x-tenant", b"acme")

    assert check(b"/envoy/orders/7?full=1&b=%2f", *headers, method=b"POST") == {
        "subject": {"type": "user", "id": "ada", "properties": {"roles": ["sre", "on-call"]}},
        "action": {"name": "http.post"},
        "resource": {
            "type": "http",
            "id": "/orders/7",
            "properties": {"host": "shop.example.com", "query": "full=1&b=%2f"},
        },
        "context": {"tenant": "acme"},
    }


@pytest.mark.parametrize("headers", [(), ((b"x-user", b""),), ((b"x-user", b" "),), ((b"x_user", b"ada"),)])
def test_who_is_not_named_is_anonymous_and_has_no_roles(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    found = check(b"/envoy/", HOST, *headers, (b"x-groups", b"admin"))

    assert found["subject"] == {"type": "anonymous", "id": "anonymous", "properties": {}}


@pytest.mark.parametrize("name", [b"x-user", b"x-groups", b"x-tenant", b"host"])
def test_a_header_that_is_there_twice_is_refused(name: bytes) -> None:
    with pytest.raises(RequestError, match="is there twice"):
        check(b"/envoy/", HOST, (b"x-user", b"ada"), (b"x-groups", b"a"), (b"x-tenant", b"a"), (name, b"admin"))


@pytest.mark.parametrize("value", [b"\xff", b"a\x7fb", b"a\tb", "a\u202eb".encode(), b"a" * 1025])
def test_a_header_that_is_no_plain_text_is_refused(value: bytes) -> None:
    with pytest.raises(RequestError, match="x-user is no"):
        check(b"/envoy/", HOST, (b"x-user", value))


@pytest.mark.parametrize(
    "path",
    [
        b"/a/../admin", b"/..", b"/a/..;/admin", b"/./admin", b"/.", b"//admin", b"/a//b", b"/%61dmin", b"/%2e%2e/a",
        b"/a%2Fadmin", b"/a%5cadmin", b"/a\\admin", b"/a%00", b"/a%0d%0a", b"/a%7f", b"/%zz", b"/%4", b"/a#b", b"/a b",
        b"/\xc3\xa4", b"/%c0%af", b"/%7Eada", b"", b"*", b"admin",
    ],
)  # fmt: skip
def test_a_path_that_others_might_read_differently_is_refused(path: bytes) -> None:
    with pytest.raises(RequestError, match="the path"):
        check(b"/envoy" + path)


@pytest.mark.parametrize("path", [b"/", b"/a/b.c/", b"/a%20b", b"/%C3%A4", b"/~ada/x;v=1", b"/...", b"/.well-known/x"])
def test_a_path_in_normal_form_is_the_id_as_it_was_sent(path: bytes) -> None:
    assert check(b"/envoy" + path)["resource"]["id"] == path.decode()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(b"Shop.Example.com", "shop.example.com"), (b"shop:8443", "shop"), (b"shop.", "shop"), (b"[::1]:80", "[::1]")],
)
def test_the_host_is_a_name_without_its_port(sent: bytes, expected: str) -> None:
    assert check(b"/envoy/", (b"host", sent))["resource"]["properties"]["host"] == expected


@pytest.mark.parametrize("sent", [b"", b"a b", b"a/b", b"a@b", b":80", b"a,b"])
def test_a_host_that_is_no_name_is_refused(sent: bytes) -> None:
    with pytest.raises(RequestError, match="host"):
        check(b"/envoy/", (b"host", sent))


def test_the_configuration_names_what_is_believed() -> None:
    table = {"subject_header": "x-user", "subject_type": "person", "constraints_header": "x-bounds"}

    found = trusted_headers(table)

    assert found == TrustedHeaders(subject="x-user", subject_type="person", constraints="x-bounds")
    assert found.names == {b"host", b"x-user"}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("x-user", "is a table of texts"),
        ({}, "subject_header is missing"),
        ({"subject_header": ""}, "is a table of texts"),
        ({"subject_header": 1}, "is a table of texts"),
        ({"subject_heder": "x"}, "did you mean subject_header"),
        ({"subject_header": "X-User"}, "cannot be used as a header"),
        ({"subject_header": "x-user\r\nx"}, "cannot be used as a header"),
        ({"subject_header": "authorization"}, "cannot be used as a header"),
        ({"subject_header": "host"}, "cannot be used as a header"),
        ({"subject_header": "x-user", "constraints_header": "x-writ-decision"}, "cannot be used as a header"),
        ({"subject_header": "x-user", "roles_header": "x-user"}, "two meanings"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(table: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        trusted_headers(table)
