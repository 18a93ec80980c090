"""The OpenAPI documents in docs/reference are those of a sidecar that has everything on. UPDATE=1 rewrites them."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_sidecar.configuration import Configuration
from agent_sidecar.decision_log.log import NoLog
from agent_sidecar.ext_authz import TrustedHeaders
from agent_sidecar.server.administration import AdminApi
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.front import admin_service, decision_services
from agent_sidecar.server.gatekeeper import Gatekeeper
from agent_sidecar.server.insights import InsightApi
from agent_sidecar.server.openapi.administration import ADMINISTRATION
from agent_sidecar.server.openapi.decisions import DECISIONS
from agent_sidecar.server.openapi.document import Volume
from agent_sidecar.server.service import ANY, Routes

REFERENCE = Path(__file__).parents[2] / "docs/reference"
NOBODY: Any = None
EVERYTHING = Configuration(
    store="file:///store",
    channel="prod",
    trusted_root=b"",
    state=Path("/state"),
    socket=Path("/socket"),
    authzen_url="https://pdp.example.com",
    authzen_search=True,
    envoy=TrustedHeaders(subject="x-forwarded-user"),
)

GATEKEEPER = Gatekeeper(EVERYTHING, now=lambda: 0.0)


def decisions() -> Routes:
    memory: Any = SimpleNamespace(audience="")
    api = DecisionApi(
        in_force=NOBODY, clock=NOBODY, memory=memory, status=NOBODY, health=NOBODY, metrics=NOBODY, log=NoLog()
    )
    return decision_services(EVERYTHING, api, status=NOBODY, health=NOBODY, gatekeeper=GATEKEEPER)[0].routes


def administration() -> Routes:
    orders = AdminApi(enforcement=NOBODY, poller=NOBODY, history=NOBODY, status=NOBODY)
    return admin_service(
        orders, InsightApi(enforcement=NOBODY, clock=NOBODY, memory=NOBODY), gatekeeper=GATEKEEPER
    ).routes


SERVICES = [("openapi.json", DECISIONS, decisions()), ("openapi-admin.json", ADMINISTRATION, administration())]


@pytest.mark.parametrize(("file", "volume", "routes"), SERVICES, ids=["decisions", "admin"])
def test_the_file_is_the_document_of_the_service(file: str, volume: Volume, routes: Routes) -> None:
    rendered = json.dumps(volume.document(routes), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("UPDATE"):
        (REFERENCE / file).write_text(rendered, encoding="utf-8")

    assert (REFERENCE / file).read_text(encoding="utf-8") == rendered


@pytest.mark.parametrize(("file", "volume", "routes"), SERVICES, ids=["decisions", "admin"])
def test_every_route_is_told_of_with_its_method_and_nothing_else_is(file: str, volume: Volume, routes: Routes) -> None:
    told = {(each.key, each.method.encode()) for each in volume.operations}

    assert {key for key, _ in told} == routes.keys()
    for key, (method, _) in routes.items():
        methods = {each for path, each in told if path == key}
        assert methods if method == ANY else methods == {method}


def test_a_route_that_nothing_is_told_of_is_noticed() -> None:
    with pytest.raises(LookupError, match=r"no operation tells of .*/new"):
        ADMINISTRATION.document({**administration(), b"/new": (b"GET", NOBODY)})


def test_what_is_not_there_is_not_told_of() -> None:
    routes = {path: route for path, route in decisions().items() if b"search" not in path}

    assert not [path for path in DECISIONS.document(routes)["paths"] if "search" in path]
