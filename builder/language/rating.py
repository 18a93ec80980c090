"""The ``rate`` of a rule: how many allowed requests of one key in which window are enough for it to apply."""

from builder.language import fields
from builder.language.nodes import BrokenNode, ListNode, Node, Report, ScalarNode
from policy_core.attributes import check_path
from policy_core.model import Rate, RateScope
from policy_core.rates import MAX_LIMIT, MAX_WINDOW_S, check_rate

_KEYS = ("limit", "window", "key", "scope")
_SCOPES = tuple(scope.value for scope in RateScope)
_HINT = "such as rate: {limit: 3, window: 1h, key: [resource.id]}"


def read_rate(report: Report, node: Node) -> Rate | None:
    """Return the rate of one rule, None if it has a problem."""
    found = fields.mapping(report, node, "rate")
    if found is None:
        return None
    before = len(report.problems)
    fields.check_keys(report, found, "rate", _KEYS)
    limit, window, key = (fields.require(report, found, name, "rate", _HINT) for name in ("limit", "window", "key"))
    scope = found.get("scope")
    rate = Rate(
        limit=(limit and fields.integer(report, limit, "rate.limit", least=1, most=MAX_LIMIT)) or 1,
        window_s=(window and fields.duration(report, window, "rate.window", most_s=MAX_WINDOW_S)) or 1,
        key=_key(report, key) if key else (),
        scope=RateScope((scope and fields.choice(report, scope, "rate.scope", _SCOPES)) or RateScope.HOST),
    )
    if len(report.problems) == before and key and (problem := check_rate(rate)):
        report.at(key, *problem)
    return rate if len(report.problems) == before else None


def _key(report: Report, node: Node) -> tuple[str, ...]:
    """Return the paths of a key: facts of the request, each a scalar."""
    if type(node) is BrokenNode:
        return ()
    paths = fields.strings(report, node, "rate.key")
    for item in node.items if type(node) is ListNode else ():
        if type(item) is ScalarNode and type(item.value) is str and item.value and (problem := check_path(item.value)):
            report.at(item, f"rate.key: {problem[0]}", problem[1])
    return paths
