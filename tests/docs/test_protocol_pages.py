"""The curl lines on the pages of protocols, run against a sidecar, get the replies shown below them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_host import RunningHost, running_host

REFERENCE = Path(__file__).parents[2] / "docs/reference"
PAGES = ["authzen.md", "envoy.md", "kubernetes.md", "opa.md", "sidecar-api.md"]
CONFIGURATION = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^```sh\n(curl .*?)^```\n\n```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
POLICY = re.compile(r"^```yaml\n# ((?:policies|data)/\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SOCKET = "/run/writ/decision.sock"
CURL_TIMEOUT_S = 30


def text(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")


def configuration() -> str:
    return "".join(part for page in PAGES for part in CONFIGURATION.findall(text(page)))


def curl(command: str, host: RunningHost) -> str:
    assert SOCKET in command
    here = ["sh", "-c", command.replace(SOCKET, str(host.socket))]
    return subprocess.run(here, capture_output=True, text=True, check=True, timeout=CURL_TIMEOUT_S).stdout


@pytest.fixture(scope="module")
def host() -> Iterator[RunningHost]:
    with running_host(configuration=configuration()) as running:
        yield running


@pytest.fixture(scope="module")
def host_of_the_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHost]:
    """A sidecar that enforces the policies shown on the pages, and no others."""
    folder = tmp_path_factory.mktemp("shown")
    for page in PAGES:
        for path, policy in POLICY.findall(text(page)):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(policy, encoding="utf-8")
    with running_host(policies=folder, configuration=configuration()) as running:
        yield running


def is_as_shown(found: Any, shown: Any) -> bool:
    """Tell whether a reply has all that is shown of it; "…" stands for any value, as a key for any more."""
    if shown == "…":
        return True
    if isinstance(shown, dict) and isinstance(found, dict):
        named = shown.keys() - {"…"}
        complete = named <= found.keys() if "…" in shown else named == found.keys()
        return complete and all(is_as_shown(found[key], shown[key]) for key in named)
    if isinstance(shown, list) and isinstance(found, list):
        return len(found) == len(shown) and all(map(is_as_shown, found, shown))
    return bool(found == shown)


@pytest.mark.parametrize("page", PAGES)
def test_each_curl_line_gets_the_reply_shown_below_it(
    host: RunningHost, host_of_the_pages: RunningHost, page: str
) -> None:
    shown = SHOWN.findall(text(page))
    assert shown

    for command, reply in shown:
        found = curl(command, host_of_the_pages if "/search/" in command else host)
        assert is_as_shown(json.loads(found), json.loads(reply)), found


def test_with_the_policies_shown_the_requests_shown_may_pass(host_of_the_pages: RunningHost) -> None:
    ((review, _),) = SHOWN.findall(text("kubernetes.md"))
    ((check, _),) = SHOWN.findall(text("envoy.md"))

    assert json.loads(curl(review, host_of_the_pages))["response"]["allowed"] is True
    assert curl(check.rstrip() + " --write-out '%{http_code}'", host_of_the_pages) == "200"


@pytest.mark.parametrize("found", [{"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 2}, {"a": 1, "b": {}}])
def test_a_reply_that_differs_is_noticed(found: object) -> None:
    assert not is_as_shown(found, {"a": 1, "b": 2})
    assert not is_as_shown([found], [{"a": 1, "b": 2}])
    assert not is_as_shown([{"a": 1, "b": 2}, found], [{"a": 1, "b": 2}])
