"""For schemathesis: what no schema can say. A page token is only worth something where a sidecar has given it."""

from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Leave out tokens that are made up, which are refused: tests/unit/policy_core/test_searching.py forges them."""
    page = body.get("page") if isinstance(body, dict) else None
    if isinstance(page, dict) and isinstance(page.get("token"), str):
        return {**body, "page": {key: value for key, value in page.items() if key != "token"}}
    return body
