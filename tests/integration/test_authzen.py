"""A sidecar as the certification scenario of AuthZEN 1.0 asks of a decision point, all 56 cases of it, over HTTPS.

`authzen/` holds the policy repository, whose `data/directory` is what searches are among, and the scenario's requests:
``certification.jsonl``. What a case expects is a status; a decision, or a list of them (null: any); results, all or at
least some of them; headers of the reply; members of the metadata. Whatever the metadata names is asked where it says.
"""

import http.client
import json
import os
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from running_host import TOKEN, RunningHost, running_host

SCENARIO = Path(__file__).parent / "authzen"
EVALUATION, EVALUATIONS, SEARCH = "/access/v1/evaluation", "/access/v1/evaluations", "/access/v1/search/"
METADATA = "/.well-known/authzen-configuration"
JSON = {"Content-Type": "application/json"}
TIMEOUT_S = 10
CASES = [json.loads(line) for line in (SCENARIO / "certification.jsonl").read_text(encoding="utf-8").splitlines()]
BODY = {case["case"]: case.get("body") for case in CASES}
MEMBER = {
    EVALUATION: "access_evaluation_endpoint",
    EVALUATIONS: "access_evaluations_endpoint",
    **{f"{SEARCH}{kind}": f"search_{kind}_endpoint" for kind in ("subject", "resource", "action")},
}
Ask = Callable[..., tuple[int, Any, Any]]


@pytest.fixture(scope="module")
def base() -> str:
    """Where the sidecar is: it is told before it listens. Nobody is given a port of this range unasked."""
    return f"https://127.0.0.1:{20_000 + os.getpid() % 10_000}"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def host(base: str, authority: Authority) -> Iterator[RunningHost]:
    certificate, key = authority.server()
    settings = f'''
        listen = "{base.removeprefix("https://")}"
        token_file = "token"
        tls = {{certificate = "{certificate}", key = "{key}"}}
        authzen_url = "{base}"
        authzen_search = true
    '''
    with running_host(policies=SCENARIO, configuration=settings) as running:
        yield running


@pytest.fixture(scope="module")
def ask(host: RunningHost, base: str, authority: Authority) -> Ask:
    """Ask over TLS, whose certificate is checked."""
    trusting = ssl.create_default_context(cafile=str(authority.file))

    def over_tls(
        url: str, body: object = None, *, method: str = "POST", headers: dict[str, str] = JSON, token: str = TOKEN
    ) -> Any:
        assert url.startswith(base)
        connection = http.client.HTTPSConnection(base.removeprefix("https://"), context=trusting, timeout=TIMEOUT_S)
        raw = body if body is None or isinstance(body, str) else json.dumps(body)
        given = {**JSON, "Authorization": f"Bearer {token}", **headers, "Connection": "close"}
        connection.request(method, url.removeprefix(base), raw, given)
        reply = connection.getresponse()
        found = reply.status, json.load(reply), reply.headers
        connection.close()
        return found

    return over_tls


def test_whoever_does_not_trust_the_authority_learns_nothing(host: RunningHost, base: str) -> None:
    connection = http.client.HTTPSConnection(base.removeprefix("https://"), timeout=TIMEOUT_S)

    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", METADATA)


@pytest.fixture(scope="module")
def metadata(ask: Ask, base: str) -> dict[str, str]:
    found: dict[str, str] = ask(base + METADATA, method="GET")[1]
    return found


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_a_case_of_the_certification_scenario(
    ask: Ask, base: str, metadata: dict[str, str], case: dict[str, Any]
) -> None:
    path = case["path"]
    url = metadata[MEMBER[path]] if path in MEMBER else base + path

    for _ in range(case.get("repeat", 1)):
        status, reply, headers = ask(url, case.get("body"), method=case["method"], headers=case.get("headers", {}))

        assert headers["Content-Type"] == "application/json"
        assert unmet(case["expect"], status, reply, headers) == []


def unmet(expect: dict[str, Any], status: int, reply: Any, headers: Any) -> list[str]:
    """Return what is expected and was not found."""
    found = [] if status == expect["status"] else [f"status {status}"]
    for name, wanted in expect.items():
        if name == "decision":
            met = reply["decision"] is wanted
        elif name == "decisions":
            made = [each["decision"] for each in reply["evaluations"]]
            met = len(made) == len(wanted) and all(
                type(got) is bool and want in (None, got) for got, want in zip(made, wanted, strict=True)
            )
        elif name == "results_equal":
            met = reply["results"] == wanted
        elif name == "results_include":
            met = all(any(want.items() <= got.items() for got in reply["results"]) for want in wanted)
        elif name == "results_at_most":
            met = len(reply["results"]) <= wanted and type(reply["page"]["next_token"]) is str
        elif name == "headers":
            met = all(headers[header] == value for header, value in wanted.items())
        elif name == "json_has":
            met = all(reply[member].startswith("https://") for member in wanted)
        else:
            met = name == "status" or (name == "content_type" and headers["Content-Type"] == wanted)
        found += [] if met else [name]
    return found


def test_all_cases_of_the_scenario_are_here_and_each_says_what_it_expects() -> None:
    assert Counter(case["case"].split("-")[1] for case in CASES) == {"2": 25, "3": 10, "4": 20, "6": 1}
    assert all(case["expect"].keys() > {"status"} or case["expect"]["status"] == 400 for case in CASES)


@pytest.mark.parametrize(
    ("expect", "reply"),
    [
        ({"decision": True}, {"decision": False}),
        ({"decision": False}, {"decision": None}),
        ({"decisions": [None]}, {"evaluations": [{"decision": 1}]}),
        ({"decisions": [True, None]}, {"evaluations": [{"decision": True}]}),
        ({"results_include": [{"type": "user", "id": "bob"}]}, {"results": [{"type": "user", "id": "alice"}]}),
        ({"results_equal": []}, {"results": [{"name": "read"}]}),
        ({"results_at_most": 1}, {"results": [1, 2], "page": {"next_token": ""}}),
        ({"headers": {"X-Request-ID": "a"}}, {}),
        ({"json_has": ["policy_decision_point"]}, {"policy_decision_point": "http://pdp"}),
        ({"something_else": 1}, {}),
    ],
)
def test_a_reply_that_is_not_as_expected_is_noticed(expect: dict[str, Any], reply: Any) -> None:
    assert unmet({"status": 200, **expect}, 200, reply, {"X-Request-ID": "b"}) == [next(iter(expect))]


def test_metadata_names_where_everything_is(metadata: dict[str, str], base: str) -> None:
    assert metadata == {"policy_decision_point": base} | {name: base + path for path, name in MEMBER.items()}


def test_a_page_after_the_first_goes_on_where_that_one_ended(ask: Ask, base: str) -> None:
    search = BODY["c-4-5-1.1"]
    url = f"{base}{SEARCH}subject"

    first = ask(url, search)[1]
    second = ask(url, {**search, "page": {"token": first["page"]["next_token"]}})[1]

    assert [each["id"] for each in first["results"] + second["results"]] == ["alice", "bob"]
    assert second["page"]["next_token"] == ""


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ({"token": "A" * 32}, 400),
        ({"token": "forged"}, 400),
        ({"token": "\x00" * 1000}, 400),
        ({"token": 1}, 400),
        ({"limit": -1}, 400),
        ({"limit": "all"}, 400),
        ([], 400),
        ({"limit": 10**30}, 200),
        ({"limit": 0, "sort": {"by": "id"}}, 200),
    ],
)
def test_a_page_that_is_made_up_is_refused_and_a_huge_one_is_not_larger(
    ask: Ask, base: str, page: object, status: int
) -> None:
    assert ask(f"{base}{SEARCH}subject", {**BODY["c-4-2-1.1"], "page": page})[0] == status


def test_a_page_token_is_of_one_search_only(ask: Ask, base: str) -> None:
    search = BODY["c-4-5-1.1"]
    token = {"token": ask(f"{base}{SEARCH}subject", search)[1]["page"]["next_token"]}

    assert token["token"]
    for path, other in (("subject", {**search, "context": {"a": 1}}), ("resource", BODY["c-4-3-1.1"])):
        status, message, _ = ask(base + SEARCH + path, {**other, "page": token})
        assert (status, "begin without one" in message) == (400, True)


def test_a_search_is_a_post_of_bounded_depth(ask: Ask, base: str) -> None:
    deep = '{"a":' * 100_000 + "1" + "}" * 100_000

    for method in ("GET", "PUT", "DELETE"):
        status, _, headers = ask(f"{base}{SEARCH}action", method=method)
        assert (status, headers["Allow"]) == (405, "POST")
    assert ask(f"{base}{SEARCH}action", deep)[0] == 400


def test_whoever_a_search_finds_may_when_asking_alone(ask: Ask, base: str) -> None:
    for case in CASES:
        if case["path"].startswith(SEARCH) and case["expect"]["status"] == 200:
            kind = case["path"].removeprefix(SEARCH)
            for found in ask(base + case["path"], case["body"])[1]["results"]:
                assert ask(base + EVALUATION, {**case["body"], kind: found})[1]["decision"] is True


@pytest.mark.parametrize("path", [EVALUATION, EVALUATIONS, f"{SEARCH}subject"])
def test_a_request_id_comes_back_and_none_is_made_up(ask: Ask, base: str, path: str) -> None:
    name = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    body = {"evaluations": [BODY["c-2-2-1.1"]]} if path == EVALUATIONS else BODY["c-2-2-1.1"]

    assert ask(base + path, body, headers={"X-Request-ID": name})[2]["X-Request-ID"] == name
    assert ask(base + path, body)[2]["X-Request-ID"] is None


def test_metadata_does_not_follow_the_host_that_a_client_claims(ask: Ask, base: str) -> None:
    claims = {"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"}

    assert "evil" not in str(ask(base + METADATA, method="GET", headers=claims)[1])
    assert ask(base + METADATA, method="GET", headers={"Host": "evil.example"})[0] == 421


@pytest.mark.parametrize("path", [EVALUATIONS, f"{SEARCH}action", METADATA])
def test_on_tcp_everything_needs_the_token(ask: Ask, base: str, path: str) -> None:
    method = "GET" if path == METADATA else "POST"

    assert ask(base + path, BODY["c-2-2-1.1"], method=method, token="another-one-of-enough-length")[0] == 401
    assert ask(base + path, BODY["c-2-2-1.1"], method=method)[0] == 200


def test_unless_searches_are_switched_on_there_are_none() -> None:
    with running_host(policies=SCENARIO, configuration='authzen_url = "https://pdp.example.com"\n') as host:
        connection = http.client.HTTPConnection("writ", timeout=TIMEOUT_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(host.socket))
        for path in (f"{SEARCH}{kind}" for kind in ("subject", "resource", "action")):
            connection.request("POST", path, json.dumps(BODY["c-4-2-1.1"]), JSON)
            reply = connection.getresponse()
            assert (reply.status, b"results" in reply.read()) == (404, False)
        connection.request("GET", METADATA)
        assert not any(name.startswith("search") for name in json.load(connection.getresponse()))
        connection.close()
