"""docs/how-to/guard-a-tool.md, done: its policies enforced, its Python run, its tools called by real frameworks."""

import asyncio
import contextlib
import io
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import running_host
from sidecar_bench import until

from agent_sidecar.client import ApprovalMissing, Denied, Throttled, acting_as
from builder.cli.main import main

PAGE = Path(__file__).parents[2] / "docs/how-to/guard-a-tool.md"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
POLICY = re.compile(r"^```yaml\n# (policies/\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
READING = """\
version: v1
rules:
  - {id: reading, match: {actions: [tickets.read]}, decision: allow}
  - {id: looking-up, match: {actions: [tools/call], resource: {ids: [lookup, close_ticket]}}, decision: allow}
"""


class Page:
    """What the Python of the page has defined, and the folders that it names."""

    def __init__(self, names: dict[str, Any], folder: Path, repository: Path) -> None:
        self.names = names
        self.folder = folder
        self.repository = repository

    def __getattr__(self, name: str) -> Any:
        return self.names[name]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    text, folder = PAGE.read_text(encoding="utf-8"), tmp_path_factory.mktemp("guard")
    policies = {"policies/more.yaml": READING, **dict(POLICY.findall(text))}
    for path, policy in policies.items():
        (folder / "repository" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "repository" / path).write_text(policy)
    (folder / "log").mkdir()
    with running_host(
        policies=folder / "repository", settings=_approver(folder / "ana.pem"), configuration="in_process = true"
    ) as host:
        places = {
            "/var/lib/writ": str(host.socket.parent / "state"),
            "/run/writ/decision.sock": str(host.socket),
            ', owner="writ"': "",
            "/var/spool/approvals": str(folder / "approvals"),
            "/var/log/agent": str(folder / "log"),
        }
        names: dict[str, Any] = {}
        for block in PYTHON.findall(text):
            for shown, here in places.items():
                block = block.replace(shown, here)  # noqa: PLW2901 - made ready
            exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)  # noqa: S102 - our own documentation
        until(lambda: names["policy"].in_process, names["policy"].problem)
        yield Page(names, folder, host.repository)
        for name in ("policy", "recording"):
            names[name].close()


def _approver(key: Path) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["keys", "approver", "ana", "--team", "support", "--no-passphrase", "-o", str(key)]) == 0
    return "approvers:\n" + said.getvalue().split("\n", 1)[1]


@pytest.fixture
def _ada() -> Iterator[None]:
    with acting_as("user", "ada", roles=["support"]):
        yield


@pytest.mark.usefixtures("_ada")
def test_what_is_allowed_runs(page: Page) -> None:
    assert page.close(7) == "closed 7"
    assert asyncio.run(page.close_now(7)) == "closed 7"


def test_what_is_denied_says_so_as_shown(page: Page) -> None:
    (shown,) = re.findall(r"print\(denied\)   # (.*)", PAGE.read_text())

    with acting_as("agent", "triage-bot"), pytest.raises(Denied) as caught:
        page.close(7)

    assert re.fullmatch(re.escape(shown).replace("…", ".+"), caught.value.message)


@pytest.mark.usefixtures("_ada")
def test_constraints_are_kept(page: Page) -> None:
    assert page.refund(7, 20.0) == "refunded 20.0"
    with pytest.raises(ValueError, match="at most 50 USD"):
        page.refund(7, 80.0)


@pytest.mark.usefixtures("_ada")
def test_a_throttle_is_waited_for(page: Page) -> None:
    started = time.monotonic()

    assert [page.mail(1), page.mail(1)] == ["mailed 1", "mailed 1"]

    assert time.monotonic() - started > 0.5
    impatient = page.guard(page.policy, action="tickets.mail", resource=("ticket", "1"))(lambda: None)
    with pytest.raises(Throttled):
        impatient()


def test_an_approval_is_waited_for_and_signed_by_the_command_shown(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[str] = []

    def delete() -> None:
        with acting_as("user", "ada"):
            done.append(page.delete(7))

    waiting = threading.Thread(target=delete)
    waiting.start()
    asked: Path = until(lambda: next((page.folder / "approvals").glob("*/answer.json"), None), "asked").parent
    files = [str(asked / name) for name in ("request.json", "answer.json")]
    assert main(["-C", str(page.repository), "grant", *files, "--key", str(page.folder / "ana.pem"), "--yes"]) == 0
    assert not done
    (asked / "ana.grant").write_text(capsys.readouterr().out)
    waiting.join(10)

    assert done == ["deleted 7"]


@pytest.mark.usefixtures("_ada")
def test_an_approval_that_nobody_waits_for_is_missing(page: Page) -> None:
    with pytest.raises(ApprovalMissing):
        page.guard(page.policy, action="tickets.delete", resource=("ticket", "8"))(lambda: None)()


def test_the_mcp_server_does_what_the_page_says(page: Page) -> None:
    from mcp import Client

    async def talk() -> list[Any]:
        async with Client(page.server) as client:
            with acting_as("agent", "triage-bot"):
                return [await client.call_tool(name, {"number": 7}) for name in ("read", "close_ticket")]

    read, closed = asyncio.run(talk())

    assert (read.content[0].text, read.is_error) == ("ticket 7", False)
    assert closed.is_error
    assert "Not done: tickets.close: deny: no rule grants this" in closed.content[0].text


@pytest.mark.usefixtures("_ada")
def test_the_langchain_tool_does_what_the_page_says(page: Page) -> None:
    (tool,) = page.tools

    assert tool.invoke({"number": 7}) == "ticket 7"


@pytest.mark.usefixtures("_ada")
def test_the_tools_of_the_agents_sdk_do_what_the_page_says(page: Page) -> None:
    from agents.tool_context import ToolContext

    lookup, close_it = page.agent.tools

    async def call(tool: Any) -> Any:
        context = ToolContext(context=None, tool_name=tool.name, tool_call_id="1", tool_arguments='{"number": 7}')
        return await tool.on_invoke_tool(context, '{"number": 7}')

    assert lookup.tool_input_guardrails
    assert asyncio.run(call(close_it)) == "closed 7"


@pytest.mark.usefixtures("_ada")
def test_the_record_is_written_before_the_answer(page: Page) -> None:
    page.recording.decide(
        {"subject": {"type": "a", "id": "b"}, "action": {"name": "c"}, "resource": {"type": "d", "id": "e"}}
    )

    assert b'"action":{"name":"c"}' in (page.folder / "log/decisions.jsonl").read_bytes()
