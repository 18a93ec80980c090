"""Policy tests against declared schemas: requests that tell of attributes, or values, that there are none of."""

from collections.abc import Iterator
from typing import Any

from builder.language.codes import Code
from builder.linting.inspection import Inspection
from builder.schemas.declarations import Declarations, Scope
from builder.schemas.findings import Complaint, never, undeclared
from policy_core.errors import Problem
from policy_core.request import Request, normalise


def find_undeclared(inspection: Inspection) -> Iterator[Problem]:
    """Yield each policy test whose request has an attribute, or a value, that no schema declares.

    A test that expects an evaluation error is left out: it tells the wrong thing on purpose. So is what a request does
    not say: what is decided then is worth a test.
    """
    declarations = inspection.compiled.declarations
    for suite in inspection.compiled.suites if declarations.requests else ():
        for case in suite.cases:
            if case.skip or case.expect.reason_code == "evaluation_error":
                continue
            for message, hint in _complaints(declarations, normalise(case.request, now=case.now, host=case.host)):
                said = f"request of {case.title!r}: {message}"
                yield Problem(suite.file, case.line, 1, said, hint, Code.REQUEST_AGAINST_SCHEMA)


def _complaints(declarations: Declarations, request: Request) -> Iterator[Complaint]:
    scope = Scope((request.subject_type,), (request.action_name,), (request.resource_type,))
    for root in ("subject", "action", "resource"):
        yield from _below(declarations, scope, (root, "properties"), getattr(request, root)["properties"])
    yield from _below(declarations, scope, ("context",), request.context)


def _below(
    declarations: Declarations, scope: Scope, path: tuple[str, ...], value: dict[str, Any]
) -> Iterator[Complaint]:
    for name, held in value.items():
        here = (*path, name)
        if complaint := undeclared(declarations, here, scope):
            yield complaint
            continue
        found = declarations.declared(here, scope)
        if found and (complaint := never(".".join(here), found, held)):
            yield complaint
        elif isinstance(held, dict):
            yield from _below(declarations, scope, here, held)
