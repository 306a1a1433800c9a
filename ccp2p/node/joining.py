"""How a node enters a running network: known by a ticket, admitted by the order, then caught up."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog
import trio

from ccp2p.membership.events import JoinRequest, encode_event
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import LocalFault, PeerFault, Unreachable
from ccp2p.node.catch_up import CatchUp, Image, Standing
from ccp2p.node.correspondence import Correspondence
from ccp2p.node.messages import Relay
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.receipts import kept_image
from ccp2p.node.setup import NodeSetup
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.storage.store import Batch, Store

_log = structlog.get_logger()

_ASK_S: Final = 1.0  # between two looks at whether the network let us in
_WITNESS_S: Final = 2.0
_TRIES: Final = 30
_ADMISSION_TURNS: Final = 60  # then another peer is asked where we stand
_PASSING: Final = ("stale:", "wrong-epoch:")  # the same request made anew may be accepted


@dataclass(frozen=True, slots=True)
class Entrance:
    """What one needs to enter. `request(anchor)` makes our join request; `report` tells people.

    `known` are records that were checked before, `pinned` the digest of the newest that is
    trusted; `connect(node, addresses)` keeps a connection up, `settle(listeners)` waits until these
    nodes said whether they reach us, `witnesses(node)` are connected nodes other than this one, to
    hear what they say.
    """

    setup: NodeSetup
    known: tuple[SignedEpochRecord, ...]
    pinned: bytes
    request: Callable[[bytes], JoinRequest]
    connect: Callable[[bytes, tuple[str, ...]], None]
    settle: Callable[[Iterable[str]], Awaitable[None]]
    connected: Callable[[], list[bytes]]
    witnesses: Callable[[bytes], Awaitable[list[bytes]]]
    report: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Entered:
    """The record to go on with, its secrets, and the state to begin from."""

    record: NetworkRecord
    secrets: EpochSecrets
    image: Image


async def enter(entrance: Entrance, letters: Correspondence) -> Entered:
    """Come to the present of the network; LocalFault says why that is not possible."""
    setup = entrance.setup
    catch_up = CatchUp(setup.genesis, setup.network, letters)
    fault: Exception = Unreachable("no node of the network answers")
    blamed: dict[bytes, None] = {}
    for _ in range(_TRIES):
        for peer in sorted(entrance.connected(), key=lambda one: one in blamed):
            guide = peer
            try:
                guide = await _newest(entrance, catch_up, peer)
                return await _enter_by(entrance, letters, catch_up, guide)
            except (PeerFault, Unreachable) as found:
                fault = found
                if isinstance(found, PeerFault):
                    blamed[guide] = None
                    name = guide.hex()[:16]
                    _log.warning("peer at fault", node=name, code=found.code, reason=str(found))
        await trio.sleep(_ASK_S)
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
    entrance: Entrance, letters: Correspondence, catch_up: CatchUp, peer: bytes
) -> Entered:
    standing = await catch_up.stand(peer, entrance.known, entrance.pinned)
    standing = await _be_admitted(entrance, letters, catch_up, peer, standing)
    entrance.report(f"fetching the state of epoch {standing.newest.record.epoch}")
    secrets = await catch_up.secrets(entrance.connected(), standing.newest)
    image = await catch_up.image(peer, standing.newest)
    record = NetworkRecord(
        entrance.setup.genesis_bytes,
        standing.records,
        secrets.secret,
        standing.reply.addresses,
        b"",
        b"",
    )
    return Entered(record, secrets, image)


async def _be_admitted(
    entrance: Entrance,
    letters: Correspondence,
    catch_up: CatchUp,
    peer: bytes,
    standing: Standing,
) -> Standing:
    """Ask to join until the roster has us; LocalFault with the network's words if it refuses.

    Each time through the next peer, lest one be deaf; Unreachable when `peer` never sees us let in.
    """
    identity, network = entrance.setup.identity, entrance.setup.network
    said = False
    for turn in range(_ADMISSION_TURNS):
        if standing.reply.place != "none":
            break
        reason = standing.reply.reason
        if said and reason and not reason.startswith(_PASSING):
            raise LocalFault("refused", f"the network refused this node: {reason}")
        if not said:
            clients = [text for one in standing.reply.addresses for text in one.clients]
            await entrance.settle(clients)
            entrance.report("asked to join; the network decides")
        request = await trio.to_thread.run_sync(entrance.request, standing.reply.anchor)
        epoch = standing.newest.record.epoch
        event = encode_event(identity.node, network, epoch, request, identity.signing.sign)
        carriers = entrance.connected() or [peer]
        letters.tell(carriers[turn % len(carriers)], Relay((event,)))
        said = True
        await trio.sleep(_ASK_S)
        standing = await catch_up.stand(peer, entrance.known, entrance.pinned)
    if standing.reply.place == "none":
        raise Unreachable("the network did not decide on the join request in time")
    if said:
        entrance.report("admitted as an observer; a seat comes with the next epoch")
    return standing


def install(entered: Entered, store: Store) -> None:
    """Make the store the image of the network's present, whatever it held before.

    Blocks first: they are harmless. State, commits and record are one transaction.
    """
    image = entered.image
    newest = image.commits[-1][0] if image.commits else 0
    while store.prune(image.epoch, 1 << 62, newest + 1):
        pass
    blocks = [(block.reference, block.to_bytes()) for block in image.blocks]
    for at in range(0, len(blocks), 256):
        store.write(Batch(epoch=image.epoch, blocks=blocks[at : at + 256]))
    buckets = {index: b"" for index, _ in store.buckets()} | image.buckets
    store.write(
        Batch(
            epoch=image.epoch,
            commits=image.commits,
            buckets=buckets,
            meta={NetworkRecord.NAME: entered.record.kept(), "closing": b""}
            | kept_image(image.epoch, newest),
        )
    )
