"""From a condition to nested Python closures: what does not depend on the request is done here, once."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from policy_core.condition import comprehensions, operators
from policy_core.condition.code import VARIES, Code, Run, constant
from policy_core.condition.grammar import ALWAYS_BOOLEAN, BINARY, CHAINS, COMPREHENSIONS, UNARY, check_condition
from policy_core.condition.paths import bound_path, follow, holder, request_path
from policy_core.condition.values import MAX_STEPS, ConditionError, LimitError, Value, timestamp
from policy_core.request import Request

_Slots = dict[str, int]
"""Names bound by the comprehensions around a node, with the slot of the frame that holds each."""


def compile_condition(node: Any, data: Mapping[str, Any]) -> Callable[[Request], bool]:
    """Return the predicate of a condition over requests; `data` is the bundle's reference data, fixed from here on.

    Raises ConditionFormatError as `check_condition` does. The predicate raises ConditionError, and nothing else, where
    CEL has an error or an evaluation goes beyond a limit.
    """
    check_condition(node)
    compiler = _Compiler(dict(data))
    run = compiler.code(node, {}).run
    if type(node) is not list or node[0] not in ALWAYS_BOOLEAN:
        run = operators.boolean(run, node)
    depth = compiler.depth
    frame = [MAX_STEPS, *[None] * depth]

    def evaluate(request: Request) -> bool:
        try:
            return run(request, frame.copy() if depth else frame)  # type: ignore[no-any-return] # see ALWAYS_BOOLEAN
        except LimitError as error:
            raise ConditionError(str(error)) from error
        except RecursionError as error:
            raise ConditionError("values nested too deeply to compare") from error

    return evaluate


class _Compiler:
    """Compiles the nodes of one condition; `depth` ends as the number of slots its frame needs."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.depth = 0

    def code(self, node: Value, slots: _Slots) -> Code:
        if type(node) is not list:
            return constant(node)
        name = node[0]
        if name == "double":
            return constant(float(node[1]))
        if name == "timestamp":
            return constant(timestamp(node[1]))
        if name == "duration":
            return constant(timedelta(microseconds=node[1]))
        if name == "var":
            return self.variable(node[1], tuple(node[2:]), slots)
        if name in COMPREHENSIONS:
            return Code(self.comprehension(node, slots))
        if name in CHAINS:
            return Code(operators.chain(name, [self.code(operand, slots).run for operand in node[1:]], node))
        if name == "?:":
            test, then, otherwise = (self.code(operand, slots).run for operand in node[1:])
            return Code(operators.conditional(test, then, otherwise, node))
        return self.operation(node, slots)

    def variable(self, name: str, fields: tuple[str, ...], slots: _Slots) -> Code:
        if name in slots:
            return Code(bound_path(slots[name], name, fields))
        if name != "data":
            return Code(request_path(name, fields))
        return _folded(lambda _r, _f: follow("data", self.data, fields))

    def comprehension(self, node: Value, slots: _Slots) -> Run:
        name, operand, bound, body = node
        slot = max(slots.values(), default=0) + 1  # len(slots) would be wrong: a name may hide one further out
        self.depth = max(self.depth, slot)
        inner = {**slots, bound: slot}
        return comprehensions.MAKERS[name](self.code(operand, slots).run, slot, self.code(body, inner).run, node)

    def operation(self, node: Value, slots: _Slots) -> Code:
        """Compile a node whose operands are all evaluated; it is a constant if they are."""
        name = node[0]
        operands = [self.code(operand, slots) for operand in (node[1:2] if name in ("select", "has") else node[1:])]
        known = all(operand.constant is not VARIES for operand in operands)
        if name in BINARY:
            left, right = (self.weighed(operand, slots) for operand in operands)
            run = operators.binary(name, left, right, node)
        elif name == "has" and (find := holder(node[1], node[2])):
            run = find
        elif name in UNARY:
            run = operators.unary(name, operands[0].run, node)
        elif name == "index":
            run = operators.index(operands[0].run, operands[1].run, node)
        elif name == "list":
            run = operators.list_literal([operand.run for operand in operands])
        else:
            run = (operators.select if name == "select" else operators.has)(operands[0].run, node[2], node)
        if slots and name in ("==", "!=", "in"):
            run = _bound_text_test(name, node[1], operands[1].constant, run, slots)
        return _folded(run) if known else Code(run)

    def weighed(self, operand: Code, slots: _Slots) -> Code:
        if not slots or operand.constant is not VARIES:
            return operand  # outside comprehensions, and for what the policy itself brings, work is bounded anyway
        return Code(comprehensions.weighed(operand.run))


def _bound_text_test(name: str, variable: Value, wanted: Value, run: Run, slots: _Slots) -> Run:
    """Return a shorter way to test a bound variable for some texts, if this is that."""
    texts = wanted if name == "in" else [wanted]
    is_bound = type(variable) is list and variable[0] == "var" and len(variable) == 2 and variable[1] in slots
    if is_bound and type(texts) is list and all(type(text) is str for text in texts):
        return comprehensions.text_test(run, slots[variable[1]], frozenset(texts), negated=name == "!=")
    return run


def _folded(run: Run) -> Code:
    """Return the constant a closure without variables gives; one that gives an error gives it at each evaluation."""
    try:
        return constant(run(_NO_REQUEST, []))
    except ConditionError:
        return Code(run)


_NO_REQUEST: Any = None
