"""The services put together: what is asked for decisions on one table of routes, what operators ask on another."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent_sidecar.configuration import Configuration
from agent_sidecar.ext_authz import PREFIX
from agent_sidecar.server.administration import AdminApi
from agent_sidecar.server.authzen import KEPT_HEADERS, NO_SEARCHES, AuthZenApi
from agent_sidecar.server.decisions import DecisionApi
from agent_sidecar.server.describing import described
from agent_sidecar.server.envoy import EnvoyApi
from agent_sidecar.server.gatekeeper import Gatekeeper
from agent_sidecar.server.insights import InsightApi
from agent_sidecar.server.kubernetes import KubernetesApi
from agent_sidecar.server.opa import OpaApi
from agent_sidecar.server.searches import SearchApi
from agent_sidecar.server.service import Service
from agent_sidecar.status import Health, Status

if TYPE_CHECKING:
    from agent_sidecar.server.openapi.document import Volume


def decision_services(
    configuration: Configuration,
    decisions: DecisionApi,
    *,
    status: Callable[[], Status],
    health: Callable[[], Health],
    gatekeeper: Gatekeeper,
) -> tuple[Service, Service]:
    """Return the service behind the decision socket and the one on TCP."""
    searches = SearchApi(decisions) if configuration.authzen_search else None
    authzen = AuthZenApi(
        decisions, url=configuration.authzen_url, searches=searches.endpoints if searches else NO_SEARCHES
    )
    opa = OpaApi(decisions, default=configuration.opa_default, status=status, health=health)
    routes = {**decisions.routes, **authzen.routes, **opa.routes, **KubernetesApi(decisions).routes}
    kept = KEPT_HEADERS | {b"traceparent"}
    if searches:
        routes |= searches.routes
    if configuration.envoy:
        routes |= EnvoyApi(decisions, configuration.envoy).routes
        kept |= configuration.envoy.names
    routes = described(routes, _decisions)
    about_others = (PREFIX + b"/",) if configuration.envoy else ()
    local, tcp = (
        Service(routes, entrance, tls, kept_headers=kept, about_others=about_others, limits=gatekeeper.limits)
        for entrance, tls in ((gatekeeper.decision, None), (gatekeeper.tcp, gatekeeper.tls))
    )
    gatekeeper.services += [local, tcp]
    return local, tcp


def admin_service(orders: AdminApi, insights: InsightApi, *, gatekeeper: Gatekeeper) -> Service:
    """Return the service behind the admin socket."""
    routes = described({**orders.routes, **insights.routes}, _administration)
    admin = Service(routes, gatekeeper.admin, limits=gatekeeper.admin_limits)
    gatekeeper.services.append(admin)
    return admin


def _decisions() -> "Volume":
    from agent_sidecar.server.openapi.decisions import DECISIONS

    return DECISIONS


def _administration() -> "Volume":
    from agent_sidecar.server.openapi.administration import ADMINISTRATION

    return ADMINISTRATION
