"""A governor's recovery share: from its box in the epoch's record to nodes that wait for it.

Only attested seats of the network's newest epoch that is shown are given it, each sealed to its
key: who is connected to was verified, and what runs there keeps the share in its TEE.
"""

from dataclasses import dataclass

from ccp2p.client.connection import NodeConnection
from ccp2p.client.network import NetworkClient
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.epoch import EpochRecord
from ccp2p.model.errors import Denied, Fault, LocalFault, PeerFault
from ccp2p.model.member_protocol import ShareTaken
from ccp2p.sealing import shares

WAITS = "secret"
"""What a node's status says that waits for the secret of its epoch."""


@dataclass(frozen=True, slots=True)
class Given:
    """What became of a share at one node: how many that holds, or why it did not take it."""

    node: bytes
    answer: ShareTaken | Fault


def newest_record(client: NetworkClient) -> EpochRecord:
    """The newest epoch record that a node shows."""
    return max((one.node.record for one in client.live()), key=lambda record: record.epoch)


async def waiting(client: NetworkClient, record: EpochRecord) -> list[NodeConnection]:
    """The seats in the epoch of `record` that wait for its secret.

    LocalFault when none does, or when one runs: that one hands the secret to all others.
    """
    seats = [
        one for one in client.live() if one.node.record == record and one.node.seat is not None
    ]
    found = []
    for connection in seats:
        if (await connection.status()).waits != WAITS:
            name = connection.node.node.hex()[:16]
            raise LocalFault(
                "alive",
                f"node {name} does not wait for shares: nodes that start get the secret from it",
            )
        found.append(connection)
    if not found:
        raise LocalFault("alive", f"no seat of epoch {record.epoch} waits for shares")
    return found


def own_share(record: EpochRecord, governor: SigningKey) -> tuple[int, bytes]:
    """The place of a governor and its share; Denied or PeerFault when it has none."""
    if governor.public not in record.governors:
        raise Denied(
            f"your key {governor.public.hex()[:16]}... is not a governor's of epoch "
            f"{record.epoch} (`ccp2p net show` lists them; --member chooses another key)",
            "not-governor",
        )
    if not record.shares:
        raise LocalFault("shares", "this network's disks need no shares: see `ccp2p net show`")
    place = record.governors.index(governor.public)
    share = shares.open_box(record.shares[place], governor)
    if share is None:
        raise PeerFault("shares", "the epoch's record holds no share that your key opens")
    return place, share


async def give(
    nodes: list[NodeConnection], record: EpochRecord, governor: SigningKey
) -> list[Given]:
    """Give the governor's share to these nodes; what each of them said."""
    place, share = own_share(record, governor)
    found = []
    for connection in nodes:
        node = connection.node
        sealed = shares.seal_to_node(share, node.sealing, record.network, record.epoch_key)
        try:
            answer: ShareTaken | Fault = await connection.give_share(
                record.epoch_key, place, sealed
            )
        except Fault as fault:
            answer = fault
        found.append(Given(node.node, answer))
    return found
