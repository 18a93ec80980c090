"""What settings of who may ask do not go together: each rule keeps TCP from being more open than somebody meant.

A token or a client certificate opens any address; a token on a network needs TLS, as everybody on the way could read
it. Without either there is loopback only, and only where `listen_unauthenticated` says so.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from agent_sidecar.server.caller import CallerKind

_OF_TCP = ("token_file", "token", "tls", "hosts", "origins", "listen_unauthenticated")


def contradictions(given: Collection[str], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield keys and what is wrong with them, from which keys are given and those values that could be read."""
    if "listen" not in given:
        for key in _OF_TCP:
            if key in given:
                yield key, "guards nothing without listen" if key != "listen_unauthenticated" else "opens nothing"
    elif "listen" in values:
        yield from _of_listening(given, values)
    yield from _of_binds(given, values)


def _of_listening(given: Collection[str], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    address = values["listen"][0]
    is_loopback = ipaddress.ip_address(address).is_loopback
    is_proven = _has_tokens(given) or _has_certificates(given, values)
    is_open = bool(values.get("listen_unauthenticated"))
    if not is_loopback and "tls" not in given:
        yield "listen", f"{address} is no loopback address: needs [tls] (a network could read tokens and answers)"
    if not is_proven and not is_open:
        yield "listen", "needs token_file, [[token]], or client_ca in [tls] (TCP is open to every user of this machine)"
    if is_open and not is_loopback:
        yield "listen_unauthenticated", f"is for loopback addresses alone (found {address})"
    if is_open and is_proven:
        yield "listen_unauthenticated", "contradicts tokens and client certificates: leave one of them out"
    if is_open and "bind" in given:
        yield "listen_unauthenticated", "lets in callers that no [[bind]] can name"
    if is_open and "envoy" in given:
        yield "listen_unauthenticated", "lets anybody send the headers that [envoy] believes"


def _of_binds(given: Collection[str], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = {each.name for each in values.get("tokens", ())}
    if "default_token" in values:
        names.add(values["default_token"].name)
    for number, bind in enumerate(values.get("binds", ()), 1):
        if bind.kind is CallerKind.TOKEN and bind.name not in names and _has_tokens(given) == _are_read(given, values):
            yield "bind", f"{number}: there is no token {bind.name!r}"
        if bind.kind is CallerKind.CERTIFICATE and not _has_certificates(given, values):
            yield "bind", f"{number}: nobody comes with a certificate without client_ca in [tls]"


def _has_tokens(given: Collection[str]) -> bool:
    return "token_file" in given or "token" in given


def _are_read(given: Collection[str], values: Mapping[str, Any]) -> bool:
    """Tell whether all tokens that are given could be read, and there are some."""
    fields = {"token_file": "default_token", "token": "tokens"}
    return _has_tokens(given) and all(field in values for key, field in fields.items() if key in given)


def _has_certificates(given: Collection[str], values: Mapping[str, Any]) -> bool:
    """Tell whether callers may come with a certificate; so it is taken to be where [tls] cannot be read."""
    return values["tls"].client_ca is not None if "tls" in values else "tls" in given
