"""Recovery from a governor's side: what the nodes that are left say, a plan, and approvals.

Nothing here is trusted by nodes but the governors' signatures, and nothing that a node says is
believed by all others: whoever goes on checks the plan against its own disk, and signs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from ccp2p.client.connection import NodeConnection
from ccp2p.client.network import NetworkClient
from ccp2p.client.shares import WAITS
from ccp2p.crypto import signatures
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership import recovery
from ccp2p.membership.approvals import count_approvals
from ccp2p.membership.records import Link, check_plan, check_successor
from ccp2p.membership.recovery import Stand, approval_bytes, check_follows, first_stand
from ccp2p.model import armour, codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, parse_record
from ccp2p.model.errors import Denied, LocalFault, MemberFault, PeerFault, Unreachable
from ccp2p.model.member_protocol import Status

_KIND: Final = "recovery"
_MAX_BYTES: Final = limits.MAX_SIGNED_RECORD_BYTES


class Approved(Wire, frozen=True):
    """A plan as governors pass it on: its bytes, and who approved it so far: (index, signature)."""

    plan: bytes
    approvals: tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A seat that answers. `certified` is its newest certified commit and that one's digest."""

    connection: NodeConnection
    status: Status
    certified: tuple[int, bytes]

    @property
    def node(self) -> bytes:
        """Its key."""
        return self.connection.node.node

    def stand(self, record: EpochRecord) -> Stand:
        """How far it executed the epoch of `record`."""
        status = self.status
        if status.commit == 0:
            return first_stand(record)
        return Stand(
            status.commit,
            status.chain,
            status.state_root,
            status.outcomes_root,
            status.ledger_time_ms,
        )


def newest_link(client: NetworkClient) -> Link:
    """The newest epoch record that a node shows: others may still be behind it."""
    newest = max(client.connections, key=lambda one: one.node.record.epoch).node
    return Link(newest.record, newest.record_digest)


async def survey(client: NetworkClient, record: EpochRecord) -> list[Sighting]:
    """What the seats that answer in the epoch of `record` say of themselves, in seat order."""
    found: dict[bytes, Sighting] = {}
    for connection in client.live():
        if connection.node.record != record:
            continue  # it is behind, and follows by itself
        status = await connection.status()
        if status.waits == WAITS:
            raise LocalFault(
                "locked",
                f"node {connection.node.node.hex()[:16]} cannot read its disk yet: governors give "
                "their shares first (`ccp2p net recover --shares`)",
            )
        certified = (0, bytes(32))
        if status.certified:
            certified = (status.certified, (await connection.status(status.certified)).chain)
        if status.epoch == record.epoch:
            found[connection.node.node] = Sighting(connection, status, certified)
    return [found[seat.node] for seat in record.seats if seat.node in found]


def choose(
    record: EpochRecord, sightings: Sequence[Sighting], keep: Sequence[bytes] = ()
) -> list[Sighting]:
    """Who goes on: those `keep` names, or all that stand at the highest commit.

    LocalFault when a quorum lives; MemberFault when people have to say who is believed.
    """
    if not sightings:
        raise Unreachable("no seat of the network answers")
    alive = [one for one in sightings if not one.status.waits]
    if alive:
        raise LocalFault(
            "alive",
            f"node {alive[0].node.hex()[:16]} does not wait: its rounds go on, or it has not "
            "waited long enough to be sure. Nothing is to be recovered now",
        )
    chosen = [one for one in sightings if one.node in keep] if keep else _highest(sightings)
    if len({one.stand(record) for one in chosen}) > 1:
        raise MemberFault(
            "disagree",
            "these nodes do not agree on what was executed: say with --keep who is believed",
        )
    highest = max(one.certified[0] for one in sightings)
    if not keep and highest > chosen[0].status.commit:
        raise MemberFault(
            "certified",
            f"a node knows a certified checkpoint at commit {highest}, which these have not "
            "executed: say with --keep who is believed",
        )
    return chosen


def draw_up(link: Link, chosen: Sequence[Sighting]) -> EpochRecord:
    """The plan by which the chosen go on from the epoch of `link`."""
    stand = chosen[0].stand(link.record)
    certified = max(one.certified for one in chosen)
    return recovery.plan(link.record, link.digest, [one.node for one in chosen], stand, certified)


def approve(approved: Approved, before: EpochRecord, governor: SigningKey) -> Approved:
    """The plan with one more approval; Denied when the key is no governor's."""
    if governor.public not in before.governors:
        raise Denied(
            f"your key {governor.public.hex()[:16]}... is not a governor's: only governors recover "
            "a network (`ccp2p net show` lists them; --member chooses another of your keys)",
            "not-governor",
        )
    place = before.governors.index(governor.public)
    signature = governor.sign(approval_bytes(parse_record(approved.plan)))
    approvals = dict(approved.approvals) | {place: signature}
    return replace(approved, approvals=tuple(sorted(approvals.items())))


def check(approved: Approved, link: Link) -> EpochRecord:
    """The plan, when it may follow `link` and each approval holds; PeerFault says why not."""
    plan = parse_record(approved.plan)
    if plan.predecessor != link.digest:
        raise PeerFault(
            "record",
            f"this plan does not follow the newest record of the network, of epoch "
            f"{link.record.epoch}: it went on in another way, or the plan is another network's",
        )
    check_follows(plan, link.record)
    message, governors = approval_bytes(plan), link.record.governors
    count = count_approvals(approved.approvals, governors, message, signatures.verify_batch)
    if count < len(approved.approvals):
        raise PeerFault("record", "an approval of this plan has a wrong signature")
    return plan


def is_agreed(approved: Approved, link: Link) -> bool:
    """Whether enough governors approved."""
    return len(approved.approvals) >= link.record.governor_threshold


async def hand_in(client: NetworkClient, approved: Approved, link: Link) -> SignedEpochRecord:
    """Give an agreed plan to the first node that goes on; the record with which it went on."""
    plan = check_plan(approved.plan, approved.approvals, link, signatures.verify_batch)
    first = plan.seats[0].node
    connection = next((one for one in client.live() if one.node.node == first), None)
    if connection is None:
        raise Unreachable(f"node {first.hex()} does not answer: it has to lead the recovery")
    signed = await connection.recover(approved.plan, approved.approvals)
    check_successor(signed, link, signatures.verify_batch)
    return signed


def format_plan(approved: Approved) -> str:
    """The text of a recovery file."""
    return armour.format_file(_KIND, codec.encode(approved))


def parse_plan(text: str) -> Approved:
    """Read a recovery file; MemberFault when it is none. Whether it holds is another matter."""
    body = armour.parse_file(text, _KIND, _MAX_BYTES)
    return codec.decode_canonical(body, Approved, _MAX_BYTES, MemberFault)


def _highest(sightings: Sequence[Sighting]) -> list[Sighting]:
    newest = max(one.status.commit for one in sightings)
    return [one for one in sightings if one.status.commit == newest]
