"""Provenance: from what a bundle was built, by which builder and after which checks (SLSA v1 in a DSSE envelope).

A statement holds no time and nothing of the machine: the same commit with the same approvals, published on top of the
same release, gives the same bytes. What binds it to its release is its digest, which the channel's role signs; its own
signature is for those who read it without TUF.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pygit2
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import Error as SignatureError
from securesystemslib.signer import Key, Signature

from builder.merging.judging import Approvals
from bundle_store.client import read_signed
from bundle_store.port import ObjectNotFoundError, Store
from policy_core import __version__
from policy_core.bundle import Bundle
from policy_core.errors import TrustError
from policy_core.trust import layout
from policy_core.trust.release import MAX_REVIEWERS, Release, is_plain_text

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:writ:build:v1"
BUILDER = "urn:writ:builder"
DISTRIBUTION = "writ-policy"

_SCP_FORM = re.compile(r"(?:[^@/:]+@)?([A-Za-z0-9][A-Za-z0-9.-]+):(?!//)/?(.+)")  # git@host:path; not C:\path
_REMOTE_SCHEMES = frozenset({"https", "http", "ssh", "git"})


class ProvenanceError(TrustError):
    """The provenance of a release is missing, forged, or that of another one."""

    default_hint = (
        "find out who writes to the store and who holds the key of the channel; "
        "`writ verify --rebuild` tells whether the bundle is what its commit gives"
    )


class TestCounts(msgspec.Struct, frozen=True):
    """How many policy tests passed and were skipped; none failed, or nothing would have been published."""

    __test__ = False  # the name does not make it a test of pytest

    passed: int
    skipped: int


class Gates(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which gates were passed, and the release that demanded them (0: a first release, which is held to none).

    `approvals` tells who approved what was merged, where that was demanded.
    """

    of_release: int
    passed: tuple[str, ...]
    approvals: Approvals | None = None

    @property
    def reviewed_by(self) -> tuple[str, ...]:
        """Return the people whose approvals counted, sorted; of very many those that a signed release has room for."""
        return self.approvals.names[:MAX_REVIEWERS] if self.approvals else ()

    @property
    def texts(self) -> tuple[str, ...]:
        """Return every text in it."""
        if self.approvals is None:
            return self.passed
        return (*self.passed, self.approvals.since, *self.approvals.teams, *self.approvals.names)


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a verified statement says; `source` is empty where the repository has no address for others."""

    sha256: str
    key: str
    builder: str
    version: str
    source: str
    revision: str
    tests: TestCounts
    gates: Gates


def make_statement(bundle: Bundle, *, channel: str, repository_url: str, tests: TestCounts, gates: Gates) -> bytes:
    """Return the statement about a bundle, to be sealed with `PAYLOAD_TYPE`."""
    source = _Resource(uri=repository_url, digest={"gitCommit": bundle.revision})
    statement = _Statement(
        type=STATEMENT,
        subject=[_Resource(name=layout.target_path(channel, bundle.name), digest={"sha256": bundle.sha256})],
        predicate_type=PREDICATE,
        predicate=_Predicate(
            build_definition=_BuildDefinition(BUILD_TYPE, _Parameters(channel, source), [source]),
            run_details=_RunDetails(
                builder=_Builder(BUILDER, {DISTRIBUTION: __version__}),
                byproducts=[
                    _Resource(name="content", digest={"sha256": bundle.content_sha256}),
                    _Resource(name="policy", digest={"sha256": bundle.policy_sha256}),
                    _Resource(name="tests", uri="urn:writ:tests", annotations=msgspec.to_builtins(tests)),
                    *_about_gates(gates),
                ],
            ),
        ),
    )
    return msgspec.json.encode(statement, order="sorted")


def _about_gates(gates: Gates) -> Iterator["_Resource"]:
    passed = msgspec.structs.replace(gates, approvals=None)
    yield _Resource(name="gates", uri="urn:writ:gates", annotations=msgspec.to_builtins(passed))
    if gates.approvals:
        approvals = msgspec.to_builtins(gates.approvals)
        yield _Resource(name="approvals", uri="urn:writ:approvals", annotations=approvals)


def origin_url(git: pygit2.Repository) -> str:
    """Return where others find the repository, as its ``origin`` says, without credentials; empty if they cannot."""
    url = (git.remotes["origin"].url or "") if "origin" in git.remotes.names() else ""
    return public_url(url)


def public_url(url: str) -> str:
    """Return the address of a git remote as SLSA spells it; empty for a path, and for what is not plain text."""
    if scp := _SCP_FORM.fullmatch(url):
        url = f"ssh://{scp[1]}/{scp[2]}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in _REMOTE_SCHEMES or not host:
        return ""
    found = f"git+{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path}"
    return found if is_plain_text(found) else ""


KeysOf = Callable[[str], Sequence[Key]]
"""Returns the keys that could sign a release's provenance when a channel first released it; raises ProvenanceError."""


def fetch_provenance(store: Store, release: Release, keys_of: KeysOf) -> Provenance | None:
    """Return the verified provenance of a release, None if it was released without.

    Raises ProvenanceError, also if the store lost it, RemoteError, and what `keys_of` raises.
    """
    if not release.provenance_sha256:
        return None
    name = layout.provenance_object(release.channel, release.name, release.provenance_sha256)
    try:
        data = read_signed(store, name, max_bytes=layout.MAX_PROVENANCE_BYTES).body
    except ObjectNotFoundError as error:
        raise ProvenanceError(f"{_where(release)}: {name} is not in the store") from error
    return open_provenance(data, release, keys_of)


def open_provenance(data: bytes, release: Release, keys_of: KeysOf) -> Provenance:
    """Return what a provenance file says, verified for one release and the keys of the channel it was built for.

    That is the release's own channel, but for a promotion. Raises ProvenanceError, and what `keys_of` raises.
    """
    where = _where(release)
    # 1. It is the file that the signed release names, byte for byte.
    if hashlib.sha256(data).hexdigest() != release.provenance_sha256:
        raise ProvenanceError(f"{where}: content does not have the signed digest")
    try:
        # 2. It is a statement, signed by a key of the channel it names. Nothing else inside counts before.
        sealed = msgspec.json.decode(data, type=_Sealed)
        if sealed.payload_type != PAYLOAD_TYPE:
            raise ProvenanceError(f"{where}: is {sealed.payload_type!a} (expected {PAYLOAD_TYPE})")
        channel = _built_for(sealed.payload) if release.origin else release.channel
        key = sealed.signer(keys_of(channel))
        # 3. It is provenance of the form we know.
        statement = msgspec.json.decode(sealed.payload, type=_Statement)
        kinds = (statement.type, statement.predicate_type, statement.predicate.build_definition.build_type)
        if kinds != (STATEMENT, PREDICATE, BUILD_TYPE):
            raise ProvenanceError(f"{where}: is a statement of another kind ({', '.join(map(ascii, kinds))})")
        tests = msgspec.convert(statement.byproduct("tests").annotations, TestCounts)
        gates = msgspec.convert(statement.byproduct("gates").annotations, Gates)
        if approvals := statement.byproduct("approvals").annotations:
            gates = msgspec.structs.replace(gates, approvals=msgspec.convert(approvals, Approvals))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise ProvenanceError(f"{where}: is no provenance ({error})") from error
    except (SignatureError, ValueError, layout.ChannelNameError) as error:
        raise ProvenanceError(f"{where}: is not signed by a key of the channel") from error
    # 4. It is about this release.
    definition, run = statement.predicate.build_definition, statement.predicate.run_details
    source, version = definition.external_parameters.source, run.builder.version.get(DISTRIBUTION, "")
    expected: dict[str, tuple[object, object]] = {
        "bundle": (statement.subject_sha256, release.sha256),
        "channel": (definition.external_parameters.channel, channel),
        "revision": (source.digest.get("gitCommit"), release.revision),
        "content": (statement.byproduct("content").digest.get("sha256"), release.content_sha256),
        "policy": (statement.byproduct("policy").digest.get("sha256"), release.policy_sha256),
    }
    other = [what for what, (said, signed) in expected.items() if said != signed]
    if other:
        raise ProvenanceError(f"{where}: is that of another one ({', '.join(other)})")
    # 5. What is shown cannot move the cursor of a terminal.
    if not all(map(is_plain_text, (run.builder.id, version, source.uri, *gates.texts))):
        raise ProvenanceError(f"{where}: holds a text that is not plain ASCII")
    return Provenance(
        release.provenance_sha256, key.keyid, run.builder.id, version, source.uri, release.revision, tests, gates
    )


def _where(release: Release) -> str:
    return f"provenance of release {release.release} of {release.channel}"


def _built_for(payload: bytes) -> str:
    """Return the channel that the statement about a promoted bundle names: where it was published first."""
    statement = msgspec.json.decode(payload, type=_Statement)
    return layout.check_channel(statement.predicate.build_definition.external_parameters.channel)


class _Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}


class _Parameters(msgspec.Struct, frozen=True):
    channel: str
    source: _Resource


class _BuildDefinition(msgspec.Struct, frozen=True, rename="camel"):
    build_type: str
    external_parameters: _Parameters
    resolved_dependencies: list[_Resource]


class _Builder(msgspec.Struct, frozen=True):
    id: str
    version: dict[str, str]


class _RunDetails(msgspec.Struct, frozen=True):
    builder: _Builder
    byproducts: list[_Resource]


class _Predicate(msgspec.Struct, frozen=True, rename="camel"):
    build_definition: _BuildDefinition
    run_details: _RunDetails


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    type: str
    subject: list[_Resource]
    predicate_type: str
    predicate: _Predicate

    @property
    def subject_sha256(self) -> str | None:
        """Return the digest of the one subject; None for several, of which it cannot be said which is meant."""
        return self.subject[0].digest.get("sha256") if len(self.subject) == 1 else None

    def byproduct(self, name: str) -> _Resource:
        found = [resource for resource in self.predicate.run_details.byproducts if resource.name == name]
        return found[0] if len(found) == 1 else _Resource()


class _Sealed(msgspec.Struct, frozen=True, rename="camel"):
    """A DSSE envelope as it is stored; msgspec turns base64 into bytes."""

    payload: bytes
    payload_type: str
    signatures: list["_Signature"]

    def signer(self, keys: Sequence[Key]) -> Key:
        """Return the first of `keys` whose signature holds; raises SignatureError, ValueError."""
        signatures = {each.keyid: Signature(each.keyid, each.sig.hex()) for each in self.signatures}
        envelope = Envelope(self.payload, self.payload_type, signatures)
        return next(iter(envelope.verify(list(keys), 1).values()))


class _Signature(msgspec.Struct, frozen=True):
    keyid: str
    sig: bytes
