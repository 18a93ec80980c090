"""What the policies of a store let through, request by request."""

import json
from collections.abc import Mapping

import pytest
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.iam.exceptions import MalformedPolicyDocument
from moto.iam.policy_validation import IAMPolicyDocumentValidator
from s3_fence import Asked, permits

from builder.language.project import MAX_CHANNELS
from builder.rendering.access import Place, bucket_policy, policy_of, principals

PLACE = Place("acme-policies", "agents")
EVERYBODY = {principal.name: policy_of(principal, PLACE) for principal in principals(["staging", "prod"])}
BUCKET_POLICY = bucket_policy(PLACE)
SECURE = {"aws:SecureTransport": "true"}
MAX_POLICY_CHARS = 6144  # of a managed policy, white space not counted
NEW, SAME = {"s3:if-none-match": "*"}, {"s3:if-match": '"etag"'}


def asked(verb: str, name: str, context: Mapping[str, str] | None = None) -> Asked:
    return Asked(f"s3:{verb}", f"arn:aws:s3:::acme-policies/agents/{name}", SECURE | (context or {}))


def allows(who: str, request: Asked) -> bool:
    return permits(EVERYBODY[who], BUCKET_POLICY, request)


ANY_NAME = (
    "metadata/timestamp.json",
    *(f"metadata/7.{role}.json" for role in ("root", "targets", "snapshot", "staging", "prod", "prod.oncall")),
    "targets/staging/00.demo-policies.tar.gz",
    "targets/prod/00.demo-policies.tar.gz",
    "pending/prod/7.json",
    "probe/conditional-writes",
    "logs/dt=2026-03-01/hr=12/web-1-b00700aa-0000000000000001-0a1b2c3d4e5f.jsonl.gz",
    "fleet/hosts/web-1/00.json",
    "fleet/reports/staging/2026-03-01T1410/web-1.json",
    "fleet/reports/prod/2026-03-01T1410/web-1.json",
)
RECORDS = {name for name in ANY_NAME if name.startswith(("logs/", "fleet/"))}
FLEET = {name for name in RECORDS if name.startswith("fleet/")}
MAY_WRITE = {
    "publisher": {name for name in ANY_NAME if not any(role in name for role in ("root", "7.targets", "oncall"))}
    - RECORDS,
    "refresher": {"metadata/timestamp.json"},
    "approver": {"pending/prod/7.json"},
    "oncall": {
        "metadata/timestamp.json", "metadata/7.snapshot.json", "metadata/7.prod.oncall.json", "probe/conditional-writes"
    },
    "keeper": {name for name in ANY_NAME if name.startswith(("metadata/", "probe/"))},
    "sidecar-staging": {name for name in RECORDS if "/prod/" not in name},
    "sidecar-prod": {name for name in RECORDS if "/staging/" not in name},
}  # fmt: skip
MAY_READ = {
    "sidecar-prod": {
        name for name in ANY_NAME if not name.startswith(("pending/", "probe/", "fleet/rep")) and "staging" not in name
    },
    "auditor": set(ANY_NAME) - {"probe/conditional-writes"},
    "publisher": {name for name in ANY_NAME if name.startswith(("metadata/", "targets/", "pending/"))} | FLEET,
    "refresher": {name for name in ANY_NAME if name.startswith(("metadata/", "targets/"))},
    "approver": set(ANY_NAME) - {"probe/conditional-writes"} - RECORDS,
}


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_everybody_writes_what_their_work_takes_and_nothing_else(who: str) -> None:
    written = {name for name in ANY_NAME if allows(who, asked("PutObject", name, NEW))}

    assert written == MAY_WRITE.get(who, set())


@pytest.mark.parametrize("who", sorted(MAY_READ))
def test_everybody_reads_what_their_work_takes_and_nothing_else(who: str) -> None:
    read = {name for name in ANY_NAME if allows(who, asked("GetObject", name))}

    assert read == MAY_READ[who]


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_nobody_reads_what_lies_beside_the_store(who: str) -> None:
    for key in ("reports/host-1/status.json", "other", "metadata/timestamp.json"):
        assert not allows(who, Asked("s3:GetObject", f"arn:aws:s3:::acme-policies/{key}", SECURE))


ADMINISTRATOR = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@pytest.mark.parametrize(
    ("verb", "name", "context", "allowed"),
    [
        ("PutObject", "metadata/7.prod.json", NEW, True),
        ("PutObject", "metadata/7.prod.json", SAME, False),
        ("PutObject", "metadata/7.prod.json", {}, False),
        ("PutObject", "targets/prod/00.demo-policies.tar.gz", NEW, True),
        ("PutObject", "targets/prod/00.demo-policies.tar.gz", SAME, False),
        ("PutObject", "metadata/timestamp.json", SAME, True),
        ("PutObject", "metadata/timestamp.json", NEW, True),
        ("PutObject", "metadata/timestamp.json", {}, False),
        ("PutObject", "pending/prod/7.json", SAME, True),
        ("PutObject", "pending/prod/7.json", {}, False),
        ("PutObject", "metadata/7.prod.json", NEW | {"aws:SecureTransport": "false"}, False),
        ("GetObject", "metadata/7.prod.json", {"aws:SecureTransport": "false"}, False),
        ("GetObject", "metadata/7.prod.json", {}, True),
        ("PutObject", "logs/dt=2026-03-01/hr=12/web-1.jsonl.gz", NEW, True),
        ("PutObject", "logs/dt=2026-03-01/hr=12/web-1.jsonl.gz", SAME, False),
        ("PutObject", "fleet/hosts/web-1/00.json", {}, False),
        ("DeleteObject", "logs/dt=2026-03-01/hr=12/web-1.jsonl.gz", {}, False),
        ("DeleteObjectVersion", "fleet/hosts/web-1/00.json", {}, False),
        ("DeleteObject", "metadata/7.prod.json", {}, False),
        ("DeleteObjectVersion", "metadata/timestamp.json", {}, False),
        ("DeleteObject", "targets/prod/00.demo-policies.tar.gz", {}, False),
    ],
)
def test_the_bucket_policy_holds_for_administrators_too(
    verb: str, name: str, context: dict[str, str], allowed: bool
) -> None:
    assert permits(ADMINISTRATOR, BUCKET_POLICY, asked(verb, name, context)) is allowed


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_another_judge_of_policies_says_the_same(who: str) -> None:
    """Moto's, which knows no conditions on objects: so the bucket policy is left out, and all writes have one."""
    policy = EVERYBODY[who]

    for name in ANY_NAME:
        for verb in ("GetObject", "PutObject", "DeleteObject"):
            request = asked(verb, name)
            theirs = IAMPolicy(json.dumps(policy)).is_action_permitted(request.action, request.resource)
            assert (theirs is PermissionResult.PERMITTED) is permits(policy, {"Statement": []}, request)


def test_a_host_cannot_list_what_other_hosts_have_logged() -> None:
    for folder in ("logs/", "logs/dt=2026-03-01/hr=12/", "fleet/", "fleet/hosts/"):
        context = SECURE | {"s3:prefix": f"agents/{folder}"}
        request = Asked("s3:ListBucket", "arn:aws:s3:::acme-policies", context)
        assert not allows("sidecar-prod", request)
        assert allows("auditor", request) is (folder != "logs/" and folder != "fleet/")


@pytest.mark.parametrize("channel", ["prod", "prod-eu", "oncall"])
def test_a_host_reads_no_bundle_and_no_role_of_any_other_channel(channel: str) -> None:
    others = {"prod", "prod-eu", "prod-e", "d", "oncall", "staging"} - {channel}
    (policy,) = [policy_of(p, PLACE) for p in principals([channel]) if p.name.startswith("sidecar")]

    for other in others:
        for name in (f"metadata/7.{other}.json", f"targets/{other}/00.agents.tar.gz", f"pending/{other}/7.json"):
            assert not permits(policy, BUCKET_POLICY, asked("GetObject", name))


def test_the_policies_of_many_channels_fit_into_what_iam_takes() -> None:
    channels = [f"production-{number:02}" for number in range(MAX_CHANNELS)]

    lengths = [
        len(json.dumps(policy_of(principal, PLACE), separators=(",", ":"))) for principal in principals(channels)
    ]

    assert max(lengths) <= MAX_POLICY_CHARS


def test_a_store_without_a_prefix_is_the_whole_bucket() -> None:
    (sidecar,) = [p for p in principals(["prod"]) if p.name == "sidecar-prod"]

    assert "arn:aws:s3:::acme/targets/prod/*" in policy_of(sidecar, Place("acme"))["Statement"][0]["Resource"]


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_policies_are_written_as_iam_wants_them(who: str) -> None:
    IAMPolicyDocumentValidator(json.dumps(EVERYBODY[who])).validate()


def test_a_policy_that_iam_would_refuse_is_found() -> None:
    broken = EVERYBODY["auditor"] | {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject"}]}

    with pytest.raises(MalformedPolicyDocument):
        IAMPolicyDocumentValidator(json.dumps(broken)).validate()
