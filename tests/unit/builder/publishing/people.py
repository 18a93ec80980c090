"""A channel that people sign for: three approvers, two of whom are needed."""

import copy
from typing import Any

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import DelegatedRole, Metadata

from builder.publishing import metadata
from builder.publishing.transaction import Change, make_live

World = Any  # of conftest.py


def give_to_people(world: World, channel: str, *names: str, threshold: int = 2) -> dict[str, CryptoSigner]:
    """Delegate a channel to people with keys of their own, as one commit, and return their signers."""
    signers = {name: CryptoSigner.generate_ed25519() for name in names}
    publisher = world.publisher(channel)
    state = publisher.reader.read()
    targets = copy.deepcopy(state.targets)
    targets.version += 1
    delegations = targets.delegations
    assert delegations is not None
    assert delegations.roles is not None
    delegations.roles[channel] = DelegatedRole(channel, [], threshold, terminating=True, paths=[f"{channel}/*"])
    for name, signer in signers.items():
        public = signer.public_key
        assert isinstance(public, SSlibKey)
        public.unrecognized_fields["x-owner"] = name
        targets.add_key(public, channel)
    said = state.verified.channel
    role = Metadata(metadata.channel_role(state.verified.versions[channel] + 1, said.listed, said, world.now))
    for name in names[:threshold]:
        role.sign(signers[name], append=True)
    files = {"targets": world.keys.sign("targets", targets, state.keys("targets")), channel: role.to_bytes()}
    pins = {}
    for name, data in files.items():
        version = Metadata.from_bytes(data).signed.version
        world.store.put(f"metadata/{version}.{name}.json", data, if_etag=None)
        pins[name] = metadata.pin_of(version, data)
    make_live(publisher, {channel: state}, Change(pins, {channel: state.verified.release}))
    return signers
