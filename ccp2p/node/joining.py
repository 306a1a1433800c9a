"""How a node enters a running network: known by a ticket, admitted by the order, then caught up."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ccp2p.membership.events import JoinRequest, encode_event
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import LocalFault, PeerFault, Unreachable
from ccp2p.model.genesis import Genesis
from ccp2p.node.catch_up import CatchUp, Entered, Standing
from ccp2p.node.letters import Letters
from ccp2p.node.messages import FollowReply, Relay
from ccp2p.node.network_record import NetworkRecord
from ccp2p.sealing.identity import Identity

_ASK_S: Final = 1.0  # between two looks at whether the network let us in
_WITNESS_S: Final = 2.0
_TRIES: Final = 30
_ADMISSION_TURNS: Final = 60  # then another peer is asked where we stand
_REASON_CHARS: Final = 500  # of a peer's words; more is no reason
_PASSING: Final = ("stale:", "wrong-epoch:")  # the same request made anew may be accepted


@dataclass(frozen=True, slots=True)
class Entrance:
    """What one needs to enter. `request(anchor)` makes our join request; `report` tells people.

    `known` are records that were checked before, `pinned` the digest of the newest that is
    trusted; `connect(node, addresses)` keeps a connection up, `settle(listeners)` waits until these
    nodes said whether they reach us, `witnesses(node)` are connected nodes other than this one, to
    hear what they say. `blame(node, fault)` is told who gave what does not hold.
    """

    genesis: Genesis
    genesis_bytes: bytes
    network: bytes
    identity: Identity
    known: tuple[SignedEpochRecord, ...]
    pinned: bytes
    request: Callable[[bytes], JoinRequest]
    connect: Callable[[bytes, tuple[str, ...]], None]
    settle: Callable[[Iterable[str]], Awaitable[None]]
    connected: Callable[[], list[bytes]]
    witnesses: Callable[[bytes], Awaitable[list[bytes]]]
    blame: Callable[[bytes, PeerFault], None]
    report: Callable[[str], None]


async def enter(entrance: Entrance, letters: Letters) -> Entered:
    """Come to the present of the network; LocalFault says why that is not possible."""
    own = entrance.identity.node
    catch_up = CatchUp(entrance.genesis, entrance.network, own, letters)
    fault: Exception = Unreachable("no node of the network answers")
    failed: dict[bytes, None] = {}
    for _ in range(_TRIES):
        for peer in sorted(entrance.connected(), key=lambda one: one in failed):
            guide = peer
            try:
                guide = await _newest(entrance, catch_up, peer)
                return await _enter_by(entrance, letters, catch_up, guide)
            except (PeerFault, Unreachable) as found:
                fault = found
                failed[guide] = None
                if isinstance(found, PeerFault):
                    entrance.blame(guide, found)
        await letters.pause(_ASK_S)
    raise LocalFault("catch-up", f"could not come to the network's present state: {fault}")


async def _newest(entrance: Entrance, catch_up: CatchUp, peer: bytes) -> bytes:
    """Who shows the newest epoch: `peer`, or one of its witnesses.

    Records cannot be forged, but whoever surrounds a newcomer can show it old ones.
    """
    standing = await catch_up.stand(peer, entrance.known, entrance.pinned)
    for one in standing.reply.addresses:
        entrance.connect(one.node, one.peers)
    newest, epoch = peer, standing.newest.record.epoch
    for witness in await entrance.witnesses(peer):
        try:
            shown = await catch_up.stand(witness, entrance.known, entrance.pinned, _WITNESS_S)
        except (PeerFault, Unreachable):
            continue
        if shown.newest.record.epoch > epoch:
            newest, epoch = witness, shown.newest.record.epoch
    return newest


async def _enter_by(
    entrance: Entrance, letters: Letters, catch_up: CatchUp, peer: bytes
) -> Entered:
    standing = await catch_up.stand(peer, entrance.known, entrance.pinned)
    standing = await _be_admitted(entrance, letters, catch_up, peer, standing)
    entrance.report(f"fetching the state of epoch {standing.newest.record.epoch}")
    secrets = await catch_up.secrets(entrance.connected(), standing.newest)
    image = await catch_up.image(peer, standing.newest)
    record = NetworkRecord(
        entrance.genesis_bytes,
        standing.records,
        secrets.secret,
        standing.reply.addresses,
        b"",
        b"",
    )
    return Entered(record, secrets, image)


async def _be_admitted(
    entrance: Entrance,
    letters: Letters,
    catch_up: CatchUp,
    peer: bytes,
    standing: Standing,
) -> Standing:
    """Ask to join until the roster has us; LocalFault with the network's words if it refuses.

    Each time through the next peer, lest one be deaf; Unreachable when `peer` never sees us let in,
    or says alone that we were refused.
    """
    identity, network = entrance.identity, entrance.network
    said = False
    for turn in range(_ADMISSION_TURNS):
        if standing.reply.place != "none":
            break
        if said and _refuses(standing.reply):
            reason = standing.reply.reason[:_REASON_CHARS]
            if await _is_refused(entrance, catch_up):
                raise LocalFault("refused", f"the network refused this node: {reason}")
            raise Unreachable(f"too few seats say that the network refused this node: {reason}")
        if not said:
            clients = [text for one in standing.reply.addresses for text in one.clients]
            await entrance.settle(clients)
            entrance.report("asked to join; the network decides")
        request = await letters.work(entrance.request, standing.reply.anchor)
        epoch = standing.newest.record.epoch
        event = encode_event(identity.node, network, epoch, request, identity.signing.sign)
        carriers = entrance.connected() or [peer]
        letters.tell(carriers[turn % len(carriers)], Relay((event,)))
        said = True
        await letters.pause(_ASK_S)
        standing = await catch_up.stand(peer, entrance.known, entrance.pinned)
    if standing.reply.place == "none":
        raise Unreachable("the network did not decide on the join request in time")
    if said:
        reason = standing.reply.reason[:_REASON_CHARS]
        seat = f"no seat for now: {reason}" if reason else "a seat comes with the next epoch"
        entrance.report(f"admitted as an observer; {seat}")
    return standing


def _refuses(reply: FollowReply) -> bool:
    return reply.place == "none" and bool(reply.reason) and not reply.reason.startswith(_PASSING)


async def _is_refused(entrance: Entrance, catch_up: CatchUp) -> bool:
    """Whether more seats say that the network refused this node than may lie.

    They are those of the newest epoch that anybody shows: who shows an older one, with fewer of
    them, would need fewer to lie with it.
    """
    shown: dict[bytes, Standing] = {}
    for peer in entrance.connected():
        with suppress(PeerFault, Unreachable):
            shown[peer] = await catch_up.stand(peer, entrance.known, entrance.pinned, _WITNESS_S)
    if not shown:
        return False
    newest = max((one.newest.record for one in shown.values()), key=lambda record: record.epoch)
    committee = newest.committee()
    refusing = [
        peer
        for peer, one in shown.items()
        if _refuses(one.reply) and committee.index_of(peer) is not None
    ]
    return len(refusing) > committee.faulty
