"""The operations of the decision service."""

from typing import Annotated, Any

import msgspec

from agent_sidecar.admission import Review
from agent_sidecar.server.opa import Result
from agent_sidecar.server.openapi import forms
from agent_sidecar.server.openapi.document import Operation, Parameter, Types, Volume
from agent_sidecar.server.searches import SearchResults
from agent_sidecar.status import Health, Status
from policy_core.decision import Answer

REQUEST: Types = (forms.EvaluationRequest, forms.JobRequest)
_ANY_METHOD = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH")
_SWITCH = Annotated[str, msgspec.Meta(examples=["true", "false"])]
_INPUT = Parameter(name="input", types=REQUEST, about="A request in either form.", is_json=True)
_PRETTY = Parameter(name="pretty", types=(_SWITCH,), about="Indent the reply.")
_SEGMENT = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9]+$", max_length=100)]

AUTHZEN = (
    Operation(
        method="POST",
        path="/access/v1/evaluation",
        summary="AuthZEN: decide about one request",
        takes=REQUEST,
        replies={200: (forms.EvaluationReply,), 400: (str,)},
    ),
    Operation(
        method="POST",
        path="/access/v1/evaluations",
        summary="AuthZEN: decide about several requests, or about one",
        takes=(forms.BatchRequest, *REQUEST),
        replies={200: (forms.BatchReply, forms.EvaluationReply), 400: (str,), 503: (str,)},
    ),
    *(
        Operation(
            method="POST",
            path=f"/access/v1/search/{kind}",
            summary=f"AuthZEN: find {kind}s among those in the bundle's data",
            takes=(taken,),
            replies={200: (SearchResults,), 400: (str,), 500: (str,), 503: (str,)},
        )
        for kind, taken in (
            ("subject", forms.SubjectSearch),
            ("resource", forms.ResourceSearch),
            ("action", forms.ActionSearch),
        )
    ),
    Operation(
        method="GET",
        path="/.well-known/authzen-configuration",
        summary="AuthZEN: where each of its APIs is",
        replies={200: (forms.AuthZenMetadata,)},
    ),
)
OPA = (
    Operation(
        method="POST",
        path="/",
        summary="Open Policy Agent: the default document, for the input that is the body",
        takes=REQUEST,
        replies={200: (bool, Answer), 400: (forms.OpaError,)},
    ),
    *(
        Operation(
            method="POST",
            path=f"/v0/data{path}",
            route="/v0/",
            summary="Open Policy Agent: a document alone, for the input that is the body",
            takes=REQUEST,
            replies={200: (document,), 400: (forms.OpaError,), 404: (forms.OpaError,)},
        )
        for path, document in (("/writ/allow", bool), ("/writ/answer", Answer), ("/writ", dict[str, Any]))
    ),
    *(
        Operation(
            method=method,
            path=f"/v1/data{path}",
            route="/v1/",
            summary="Open Policy Agent: a document for an input; without input it is undefined",
            takes=(forms.EvaluationInput, forms.JobInput) if method == "POST" else (),
            needs_body=False,
            parameters=(_PRETTY,) if method == "POST" else (_INPUT, _PRETTY),
            replies={200: (Result,), 400: (forms.OpaError,)},
        )
        for path in ("", "/writ", "/writ/allow", "/writ/answer")
        for method in ("GET", "POST")
    ),
    Operation(
        method="GET",
        path="/v1/policies",
        route="/v1/",
        summary="Open Policy Agent: its modules, of which there are none here",
        replies={200: (forms.OpaPolicies,)},
    ),
    Operation(
        method="GET",
        path="/v1/status",
        route="/v1/",
        summary="Open Policy Agent: the state of the bundle",
        replies={200: (forms.OpaStatus,)},
    ),
    Operation(
        method="GET",
        path="/health",
        summary="Open Policy Agent: whether the process answers or, asked about bundles, a policy is enforced",
        parameters=tuple(
            Parameter(name=name, types=(_SWITCH,), about="Ask about the policy too.") for name in ("bundles", "plugins")
        ),
        replies={200: (forms.Empty,), 500: (dict[str, str],)},
    ),
)
OTHERS = (
    Operation(
        method="POST",
        path="/api/v1/policy/evaluate",
        summary="Decide about one request, answered in the job form",
        takes=REQUEST,
        replies={200: (forms.JobAnswer,)},
    ),
    Operation(
        method="POST",
        path="/kubernetes/admission",
        summary="Kubernetes: review an admission",
        takes=(Review,),
        replies={200: (forms.AdmissionReply,)},
    ),
    *(
        Operation(
            method=method,
            path="/envoy/{path}",
            route="/envoy/",
            summary="Envoy: check the request that waits in the proxy, whose method, path and headers these are",
            parameters=(Parameter(name="path", types=(_SEGMENT,), about="The path, slashes included."),),
            replies={200: (), 400: (forms.EnvoyRefusal,), 403: (forms.EnvoyRefusal,), 429: (forms.EnvoyRefusal,)},
        )
        for method in _ANY_METHOD
    ),
    Operation(method="GET", path="/status", summary="What is enforced, and how fresh it is", replies={200: (Status,)}),
    Operation(method="GET", path="/metrics", summary="Metrics for Prometheus", replies={200: (forms.Prometheus,)}),
    Operation(method="GET", path="/health/live", summary="Whether the process answers", replies={200: (forms.Live,)}),
    Operation(
        method="GET",
        path="/health/ready",
        summary="Whether a policy is enforced that is not too stale to answer from",
        replies={200: (Health,), 503: (Health,)},
    ),
    Operation(method="GET", path="/openapi.json", summary="This document", replies={200: (dict[str, Any],)}),
)
DECISIONS = Volume(
    title="Writ sidecar: decisions",
    about="Ask what may be done now: on a Unix socket, or on TCP with a token. A deny is status 200. Treat every other "
    "status, and no reply, as a deny.",
    operations=AUTHZEN + OPA + OTHERS,
)
