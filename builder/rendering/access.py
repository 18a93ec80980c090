"""Who may do what in a store on S3: the least each kind of principal needs, as policy documents. Pure.

Credentials are the outer fence: nobody without a role's keys can make a host accept anything, whatever they may write.
But they decide who can fill, block or read the store. So the right to write `root` and `targets` is nobody's but the
keeper's: a root that is not signed well would stop all hosts from updating.

Hosts ship their logs to `logs` and report to `fleet`, both beside the store's own folders. There they may only add, and
read what they can name: names of logs have a digest of the content in them, and are listed to nobody but the auditor.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bundle_store.probe import PROBE_OBJECT
from policy_core.trust.layout import TIMESTAMP

VERSION = "2012-10-17"  # of the policy language

Document = Mapping[str, Any]

_NUMBERED = "metadata/*.*.json"  # not the timestamp, which has one dot
_TARGETS = "targets/*"
_PENDING = "pending/*"
_ALL_METADATA = "metadata/*"
LOGS, FLEET = "logs", "fleet"
"""Folders of the store that hosts have as `log.ship` and as `reports`."""
_LOGGED, _ENROLLED, _REPORTED = f"{LOGS}/dt=*", f"{FLEET}/hosts/*", f"{FLEET}/reports/*"
_RECORDS = (_LOGGED, _ENROLLED, _REPORTED)
_FOLDERS = (_ALL_METADATA, _TARGETS, _PENDING, *_RECORDS, PROBE_OBJECT)
_ONCALL = "metadata/*.*.oncall.json"  # of all channels, one called `oncall` is not among them
_NO_CONDITION = {"s3:if-match": "true", "s3:if-none-match": "true"}


class Kind(StrEnum):
    """What a principal is, and hence what it takes a role from."""

    PIPELINE = "a workflow on the main branch"
    MACHINE = "a service that runs on behalf of a host"
    PERSON = "people"


@dataclass(frozen=True, slots=True)
class Principal:
    """One kind of user of the store: `reads` and `writes` are patterns of object names, in which `*` is any text.

    What it `finds` it may read only by exact name: such objects are not listed to it, and missing ones are forbidden.
    """

    name: str
    purpose: str
    kinds: tuple[Kind, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()
    finds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is: `partition` is that of AWS, or what a template calls it."""

    bucket: str
    prefix: str = ""
    partition: str = "aws"

    @property
    def bucket_arn(self) -> str:
        """Return the name of the bucket in policies."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    def arns(self, patterns: Iterable[str]) -> list[str]:
        """Return the names of objects in policies."""
        return [f"{self.bucket_arn}/{key}" for key in self.keys(patterns)]

    def keys(self, patterns: Iterable[str]) -> list[str]:
        """Return the keys of objects in the bucket."""
        return [f"{self.prefix}/{pattern}" if self.prefix else pattern for pattern in patterns]


def principals(channels: Sequence[str]) -> tuple[Principal, ...]:
    """Return everybody who reaches a store with these channels: one sidecar for each, and those that serve all."""
    published = (_ALL_METADATA, _TARGETS)
    commit = (TIMESTAMP, _metadata("snapshot"), PROBE_OBJECT)
    channel_roles = tuple(_metadata(channel) for channel in channels)
    return (
        Principal(
            "publisher",
            "publishes, and completes what people have signed",
            (Kind.PIPELINE,),
            (*published, _PENDING, _ENROLLED, _REPORTED),
            (*commit, *channel_roles, _TARGETS, _PENDING),
        ),
        Principal(
            "refresher",
            "signs the timestamp anew",
            (Kind.PIPELINE, Kind.MACHINE),
            published,
            (TIMESTAMP,),
        ),
        Principal("approver", "signs what waits for signatures", (Kind.PERSON,), (*published, _PENDING), (_PENDING,)),
        Principal("oncall", "rolls back and denies in an emergency", (Kind.PERSON,), published, (*commit, _ONCALL)),
        Principal(
            "keeper",
            "changes keys and channels: the only one who may write root and targets",
            (Kind.PERSON,),
            (*published, _PENDING),
            (*commit, _metadata("root"), _metadata("targets"), *channel_roles, _ONCALL),
        ),
        Principal(
            "auditor", "verifies what is, and was, live and decided", (Kind.PERSON,), (*published, _PENDING, *_RECORDS)
        ),
        *(sidecar(channel) for channel in channels),
    )


def sidecar(channel: str) -> Principal:
    """Return the hosts of one channel: they read that channel and what it takes to verify it, and add their records."""
    shared = tuple(_metadata(role) for role in ("root", "targets", "snapshot"))
    own = (_metadata(channel), _metadata(f"{channel}.oncall"), f"targets/{channel}/*")
    return Principal(
        f"sidecar-{channel}",
        f"hosts of channel {channel}",
        (Kind.MACHINE,),
        (TIMESTAMP, *shared, *own),
        writes=(_LOGGED, _ENROLLED, f"{FLEET}/reports/{channel}/*"),
        finds=(_LOGGED, _ENROLLED),
    )


def policy_of(principal: Principal, place: Place) -> Document:
    """Return the identity policy of a principal.

    Listing is bound to what may be read. Without it, a missing object would be a forbidden one (S3 takes the key asked
    for as the prefix when it decides between 404 and 403), and a host could not tell that there is no newer root.
    """
    statements = [
        _allow("Read", "s3:GetObject", place.arns((*principal.reads, *principal.finds))),
        _allow("MissingIsNotFound", "s3:ListBucket", [place.bucket_arn])
        | {"Condition": {"StringLike": {"s3:prefix": place.keys(principal.reads)}}},
    ]
    if principal.writes:
        statements.append(_allow("Write", "s3:PutObject", place.arns(principal.writes)))
    return {"Version": VERSION, "Statement": statements}


def bucket_policy(place: Place) -> Document:
    """Return what holds for everybody, administrators included: TLS, conditional writes, no deletion.

    A write without a condition is refused, and so are multipart uploads and copies, which nothing here makes. What has
    a number or a digest in its name, and what hosts record, can be created, and never be replaced.
    """
    everything = [place.bucket_arn, f"{place.bucket_arn}/*"]
    store, immutable = place.arns(_FOLDERS), place.arns((_NUMBERED, _TARGETS, *_RECORDS))
    return {
        "Version": VERSION,
        "Statement": [
            _deny("OnlyTls", ["s3:*"], everything, {"Bool": {"aws:SecureTransport": "false"}}),
            _deny("NoUnconditionalWrite", ["s3:PutObject"], store, {"Null": _NO_CONDITION}),
            _deny("NoReplacement", ["s3:PutObject"], immutable, {"Null": {"s3:if-none-match": "true"}}),
            _deny("NoDeletion", ["s3:DeleteObject", "s3:DeleteObjectVersion"], store),
        ],
    }


def _metadata(role: str) -> str:
    return f"metadata/*.{role}.json"


def _allow(sid: str, action: str, resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resources}


def _deny(sid: str, actions: list[str], resources: list[str], condition: Document | None = None) -> dict[str, Any]:
    statement = {"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": resources}
    return statement | ({"Condition": condition} if condition else {})
