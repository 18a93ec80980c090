"""The rights that ``writ render access`` gives are enough for everybody's work, and for nothing beyond it.

The commands run against a server that lets through what the rendered policies allow (tests/s3_fence.py), each with the
access key of the principal whose work it is.
"""

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from polled_host import Host
from s3_fence import Asked, Fence, serving
from tuf.api.metadata import Metadata
from written_logs import LogWriter

from builder.cli.main import main
from bundle_store.delivering import deliver
from bundle_store.opening import open_records

EVERYBODY = {"publisher", "refresher", "approver", "oncall", "keeper", "auditor", "sidecar-staging", "sidecar-prod"}


@dataclass
class Fenced:
    """A policy repository with two channels, whose store is behind the fence."""

    folder: Any
    bucket: str
    fence: Fence
    tmp_path: Path

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/policies"

    @property
    def root(self) -> bytes:
        return (self.folder.path / "trust/root.json").read_bytes()

    def run(self, who: str, *command: str) -> int:
        os.environ["AWS_ACCESS_KEY_ID"] = who
        return main(["-C", str(self.folder.path), *command])

    def client(self, who: str) -> Any:
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        session = boto3.session.Session(aws_access_key_id=who, aws_secret_access_key="any")
        return session.client("s3", config=config)

    def refused(self) -> list[Asked]:
        return [asked for _, asked, allowed in self.fence.seen if not allowed]


@pytest.fixture
def fenced(
    policy_repository: Callable[..., Any], bucket: str, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Fenced]:
    folder = policy_repository(f"s3://{bucket}/policies", channels="staging, prod")
    assert main(["-C", str(folder.path), "render", "access", "--format", "policies", "-o", str(tmp_path / "iam")]) == 0
    policies = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "iam").iterdir()}
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")  # put back at the end
    with serving(Fence(behind=aws, bucket_policy=policies.pop("bucket"), identity=policies)) as fence:
        monkeypatch.setenv("AWS_ENDPOINT_URL", fence.url)
        made = Fenced(folder, bucket, fence, tmp_path)
        assert made.run("keeper", "keys", "init", "--dev") == 0
        yield made


@pytest.fixture
def published(fenced: Fenced) -> Fenced:
    """Two releases of both channels."""
    for reason in ("one", "two"):
        fenced.folder.commit_policy(reason)
        for channel in ("staging", "prod"):
            assert fenced.run("publisher", "publish", "--channel", channel) == 0
    return fenced


def test_everybody_has_a_policy(fenced: Fenced) -> None:
    assert set(fenced.fence.identity) == EVERYBODY


def test_a_publisher_publishes_and_rolls_back_without_being_refused_anything(published: Fenced) -> None:
    assert published.run("publisher", "rollback", "--channel", "prod", "--reason", "broken") == 0

    assert published.refused() == []


def test_a_refresher_refreshes_without_being_refused_anything(published: Fenced) -> None:
    assert published.run("refresher", "refresh") == 0

    assert published.refused() == []


def test_an_auditor_verifies_rebuilds_and_reads_history_without_being_refused_anything(published: Fenced) -> None:
    assert published.run("auditor", "verify", "--channel", "prod", "--rebuild") == 0
    assert published.run("auditor", "live", "--channel", "staging", "--verify") == 0

    assert published.refused() == []


def test_a_host_polls_activates_and_finds_no_newer_root_without_being_refused_anything(published: Fenced) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "sidecar-prod"
    host = Host(published.tmp_path / "host", published).start()

    host.poll()
    host.poll()

    assert host.release == 2
    assert published.refused() == []
    assert any(asked.resource.endswith("/2.root.json") for who, asked, _ in published.fence.seen if "sidecar" in who)
    host.stop()


def test_a_host_of_another_channel_gets_nothing(published: Fenced) -> None:
    os.environ["AWS_ACCESS_KEY_ID"] = "sidecar-staging"
    host = Host(published.tmp_path / "host", published).start()

    host.poll()

    assert host.release == 0
    assert published.refused() != []
    host.stop()


def test_nobody_but_a_publisher_publishes(published: Fenced) -> None:
    published.folder.commit_policy("three")

    codes = {who: published.run(who, "publish", "--channel", "prod") for who in EVERYBODY - {"publisher"}}

    assert set(codes.values()) == {6}


def test_a_missing_object_of_another_channel_is_forbidden_and_not_missing(published: Fenced) -> None:
    client = published.client("sidecar-prod")

    def status(name: str) -> int:
        with pytest.raises(ClientError) as refused:
            client.get_object(Bucket=published.bucket, Key=f"policies/{name}")
        return int(refused.value.response["ResponseMetadata"]["HTTPStatusCode"])

    assert status("metadata/99.prod.json") == 404
    assert status("targets/prod/none") == 404
    assert status("metadata/99.staging.json") == 403
    assert status("targets/staging/none") == 403
    assert status("pending/prod/99.json") == 403


def test_a_host_lists_its_own_channel_and_no_other(published: Fenced) -> None:
    client = published.client("sidecar-prod")

    assert client.list_objects_v2(Bucket=published.bucket, Prefix="policies/targets/prod/")["KeyCount"] > 0
    for prefix in ("policies/targets/staging/", "policies/pending/", "policies/", "policies/metadata/", ""):
        with pytest.raises(ClientError, match="AccessDenied"):
            client.list_objects_v2(Bucket=published.bucket, Prefix=prefix)


@pytest.fixture
def peopled(published: Fenced, monkeypatch: pytest.MonkeyPatch) -> Fenced:
    """Prod takes two people's signatures, and di is on call: made by a keeper, with keys of theirs in `tmp_path`."""
    for person in ("ana", "bo", "di"):
        path = published.tmp_path / person
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    ana, bo, di = (f"{published.tmp_path}/{person}.pub" for person in ("ana", "bo", "di"))
    ceremony = str(published.tmp_path / "prod.ceremony")
    two = ("--key", ana, "--owner", "ana", "--key", bo, "--owner", "bo", "--threshold", "2")
    assert published.run("keeper", "keys", "add", "prod", *two, "-o", ceremony, "--yes") == 0
    signer = f"file:{published.tmp_path}/ana"
    assert published.run("keeper", "keys", "sign", ceremony, "--signer", signer, "--yes") == 0
    assert published.run("keeper", "keys", "apply", ceremony, "--yes") == 0
    with monkeypatch.context() as ceremonies:
        ceremonies.setenv("WRIT_SIGNER_PROD_ONCALL", f"file:{published.tmp_path}/di")
        assert published.run("keeper", "keys", "add", "prod.oncall", "--key", di, "--owner", "di", "--yes") == 0
    return published


def waiting(fenced: Fenced) -> str:
    """Return the digest of the one document that waits, as people compare it."""
    client = fenced.client("approver")
    listed = client.list_objects_v2(Bucket=fenced.bucket, Prefix="policies/pending/")["Contents"]
    content = client.get_object(Bucket=fenced.bucket, Key=listed[-1]["Key"])["Body"].read()
    role = Metadata.from_dict(json.loads(content)["roles"]["prod"])
    return hashlib.sha256(role.signed_bytes).hexdigest()


def test_a_keeper_changes_keys_without_being_refused_anything(peopled: Fenced) -> None:
    di = f"{peopled.tmp_path}/di.pub"
    assert peopled.run("keeper", "keys", "rotate-root", "--key", di, "--owner", "di", "--yes") == 0
    assert peopled.run("keeper", "keys", "revoke", "prod", "bo", "--threshold", "1", "--yes") == 0
    assert peopled.run("keeper", "maintain") == 0

    assert peopled.refused() == []


def test_two_people_approve_what_a_publisher_promotes_without_being_refused_anything(
    peopled: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    peopled.folder.commit_policy("three")
    assert peopled.run("publisher", "publish", "--channel", "staging") == 0
    assert peopled.run("publisher", "promote", "--to", "prod") == 0
    document = waiting(peopled)
    with monkeypatch.context() as desk:
        desk.setenv("XDG_CONFIG_HOME", str(peopled.tmp_path / "desk"))  # people have no keys but their own
        for person in ("ana", "bo"):
            signer = f"file:{peopled.tmp_path}/{person}"
            command = ("approve", "--channel", "prod", "--yes", "--expect", document, "--signer", signer)
            assert peopled.run("approver", *command) == 0

    assert peopled.run("publisher", "approve", "--channel", "prod", "--complete") == 0

    assert peopled.refused() == []


def test_one_person_on_call_rolls_back_and_denies_without_being_refused_anything(
    peopled: Fenced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRIT_SIGNER_PROD_ONCALL", f"file:{peopled.tmp_path}/di")

    assert peopled.run("oncall", "rollback", "--channel", "prod", "--reason", "broken") == 0
    deny = ("emergency", "deny", "actions: [service.restart]")
    assert peopled.run("oncall", *deny, "--channel", "prod", "--reason", "loop", "--expires", "1h") == 0

    assert peopled.refused() == []
    written = {asked.resource.partition("/metadata/")[2] for who, asked, _ in peopled.fence.seen
               if who == "oncall" and asked.action == "s3:PutObject" and "/metadata/" in asked.resource}  # fmt: skip
    assert {name.partition(".")[2] for name in written} == {"json", "snapshot.json", "prod.oncall.json"}


def test_a_host_ships_its_log_and_enrols_and_an_auditor_proves_it_without_being_refused_anything(
    fenced: Fenced, capsys: pytest.CaptureFixture[str]
) -> None:
    logs, fleet, writer = f"{fenced.url}/logs", f"{fenced.url}/fleet", LogWriter()
    written = [writer.write(f'"n":{number}') for number in range(2)]
    os.environ["AWS_ACCESS_KEY_ID"] = "sidecar-prod"
    for _ in range(2):  # as after a crash between shipping and deleting
        for segment in written:
            deliver(open_records(logs), segment.name, segment.shipped, notes={"sha256": segment.digest.hex()})
        deliver(open_records(fleet), *writer.enrolment())

    assert fenced.run("auditor", "logs", "verify", logs, "--keys", fleet) == 0
    assert fenced.refused() == []


def test_a_host_neither_lists_nor_replaces_nor_removes_what_hosts_have_recorded(fenced: Fenced) -> None:
    logs, fleet, writer = f"{fenced.url}/logs", f"{fenced.url}/fleet", LogWriter()
    segment = writer.write('"n":1')
    enrolment, content = writer.enrolment()
    os.environ["AWS_ACCESS_KEY_ID"] = "sidecar-prod"
    deliver(open_records(logs), segment.name, segment.shipped)
    deliver(open_records(fleet), enrolment, content)
    host = fenced.client("sidecar-prod")

    for key in (f"policies/logs/{segment.name}", f"policies/fleet/{enrolment}"):
        for act in (host.put_object, host.delete_object):
            with pytest.raises(ClientError, match="AccessDenied"):
                act(Bucket=fenced.bucket, Key=key)
    for prefix in ("policies/logs/", "policies/fleet/hosts/", f"policies/logs/{segment.name[:20]}"):
        with pytest.raises(ClientError, match="AccessDenied"):
            host.list_objects_v2(Bucket=fenced.bucket, Prefix=prefix)
    with pytest.raises(ClientError, match="AccessDenied"):
        host.get_object(Bucket=fenced.bucket, Key=f"policies/logs/{segment.name.replace('web-1', 'web-2')}")
    with pytest.raises(ClientError, match="AccessDenied"):
        host.put_object(Bucket=fenced.bucket, Key="policies/fleet/reports/staging/x.json", IfNoneMatch="*")
