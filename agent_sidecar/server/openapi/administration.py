"""The operations of the admin service."""

from typing import Any

from agent_sidecar.history import HistoryEvent
from agent_sidecar.server.insights import Circumstances, Which
from agent_sidecar.server.openapi import forms
from agent_sidecar.server.openapi.decisions import REQUEST
from agent_sidecar.server.openapi.document import Operation, Parameter, Volume
from agent_sidecar.status import Status

_NOW = Circumstances.__annotations__["now"]
_OPERATIONS = (
    Operation(
        method="POST",
        path="/rollback",
        summary="Enforce the previous snapshot",
        takes=(forms.Reason,),
        replies={200: (Status,), 409: (forms.ErrorReply,)},
    ),
    Operation(
        method="POST",
        path="/resume",
        summary="Enforce the current snapshot again",
        takes=(forms.MayReason,),
        replies={200: (Status,), 409: (forms.ErrorReply,)},
    ),
    Operation(
        method="POST",
        path="/refresh",
        summary="Poll now",
        replies={200: (forms.RefreshReply,), 504: (forms.ErrorReply,)},
    ),
    Operation(method="GET", path="/status", summary="What is enforced, and how fresh it is", replies={200: (Status,)}),
    Operation(
        method="GET", path="/history", summary="The newest events, oldest first", replies={200: (list[HistoryEvent],)}
    ),
    *(
        Operation(
            method=method,
            path="/log-level",
            summary="The least level that is logged: how it is, or from now on",
            takes=(forms.Level,) if method == "POST" else (),
            replies={200: (forms.Level,)},
        )
        for method in ("GET", "POST")
    ),
    Operation(
        method="POST",
        path="/api/v1/policy/explain",
        summary="Say why a request is answered as it is, and what would lead to another decision",
        takes=REQUEST,
        replies={200: (forms.ExplanationReply,), 504: (forms.ErrorReply,)},
    ),
    Operation(
        method="POST",
        path="/api/v1/policy/simulate",
        summary="Say how a request would be answered: by another snapshot, at another time",
        takes=REQUEST,
        parameters=(
            Parameter(name="snapshot", types=(Which,), about="The policy to ask; without it the one in force."),
            Parameter(name="now", types=(_NOW,), about="Suppose it is then; without it host time."),
        ),
        replies={200: (forms.SimulatedAnswer,), 409: (forms.ErrorReply,)},
    ),
    Operation(
        method="GET",
        path="/api/v1/policy/snapshots",
        summary="The snapshots of this host, and which of them it enforces",
        replies={200: (forms.SnapshotsReply,)},
    ),
    Operation(method="GET", path="/openapi.json", summary="This document", replies={200: (dict[str, Any],)}),
)
ADMINISTRATION = Volume(
    title="Writ sidecar: administration",
    about="Orders, and what tells whoever probes a policy too much: on a Unix socket that only its owner can open.",
    operations=_OPERATIONS,
)
