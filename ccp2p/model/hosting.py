"""What is asked of a mesh's node that may host a group, and what it answers. All of it is sealed.

First whether it would (`AskConsent`, which says nothing of the group but its size and policy),
then, of those who would, that it does (`Place`).
"""

from typing import Annotated

from msgspec import Meta

from ccp2p.model import limits
from ccp2p.model.codec import Wire

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
Token = Annotated[bytes, Meta(min_length=16, max_length=16)]
Count = Annotated[int, Meta(ge=1, le=1 << 31)]
Addresses = Annotated[
    tuple[Annotated[str, Meta(max_length=limits.MAX_ADDRESS_CHARS)], ...],
    Meta(max_length=limits.MAX_ADDRESSES),
]


class AskConsent(Wire, frozen=True, tag="consent?"):
    """Would this node be one of `nodes` that run a group of at most this size, under `policy`?

    `policy` is TOML text, `storage_mb` the group's database, `events_per_s` what its members may
    submit at this node.
    """

    nodes: Annotated[int, Meta(ge=1, le=limits.MAX_COMMITTEE)]
    storage_mb: Count
    events_per_s: Count
    policy: Annotated[str, Meta(max_length=limits.MAX_POLICY_BYTES)]


class Place(Wire, frozen=True, tag="place"):
    """Found this group, as was consented to by `token`; `founder_invite` is for its founders only.

    `first_addresses` say where the genesis's first node listens for nodes, and are empty for that
    one itself.
    """

    token: Token
    genesis: Annotated[bytes, Meta(max_length=limits.MAX_GENESIS_BYTES)]
    founder_invite: Annotated[bytes, Meta(max_length=limits.INVITE_BYTES)]
    first_addresses: Addresses


class HostingRequest(Wire, frozen=True):
    """What is signed: the question, and the key that its answer is sealed under."""

    reply_key: Key
    asked: AskConsent | Place


class SignedHostingRequest(Wire, frozen=True):
    """What is sealed to the node: an encoded HostingRequest, and who asks."""

    founder: Key
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    request: Annotated[bytes, Meta(max_length=limits.MAX_HOSTING_BYTES)]


class HostingAnswer(Wire, frozen=True):
    """`code` is empty for yes; then `token` stands for a consent, good for a minute.

    Else it is a stable word, and `reason` is for people. `addresses` are where the node listens for
    nodes.
    """

    code: Annotated[str, Meta(max_length=64)]
    reason: Annotated[str, Meta(max_length=512)]
    token: Annotated[bytes, Meta(max_length=16)] = b""
    addresses: Addresses = ()


def signed_bytes(mesh: bytes, node: bytes, request: bytes) -> bytes:
    """What the founder signs: good for one node of one mesh."""
    return b"ccp2p.hosting/1" + mesh + node + request
