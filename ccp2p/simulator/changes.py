"""A simulated machine's part in the committee's change, as `node.node` and `crossing` drive it.

It tends the steward, completes the record after CLOSE, begins the next epoch from its disk, finds
the end of an epoch that others left, and joins: see `entering`.
"""

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from ccp2p.consensus.messages import Equivocation
from ccp2p.membership.events import JoinRequest, encode_event
from ccp2p.membership.roster import Roster
from ccp2p.model import codec, limits
from ccp2p.model.epoch import EpochRecord, parse_record
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.node.boundary import Boundary
from ccp2p.node.catch_up import Entered, install
from ccp2p.node.epoch import link_of
from ccp2p.node.messages import (
    Blocks,
    FetchBlocks,
    FloorRequest,
    FollowReply,
    FollowRequest,
    PeerMessage,
    RecordComplete,
    RecordSignature,
    Relay,
    SecretReply,
    SecretRequest,
    SnapshotRequest,
    VoteRequest,
)
from ccp2p.node.network_record import NetworkRecord
from ccp2p.node.passage import Passage, PassageMessage
from ccp2p.node.registry import Registry
from ccp2p.node.roster_keeper import CLOSING, Closing
from ccp2p.node.shelf import Shelf, is_for_head
from ccp2p.node.steward import STEWARD, Acts, Steward
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.simulator import sealed
from ccp2p.simulator.entering import Entering
from ccp2p.storage.store import Batch

if TYPE_CHECKING:
    from ccp2p.simulator.host import Host

_SETTLE_US: Final = 1_000  # between two looks whether the disk has all that was executed
_SPEAK_US: Final = 500_000
_LAG_US: Final = 500_000
_LAG_PATIENCE_US: Final = 15_000_000
_ASK_US: Final = 1_000_000
_SERVE_ON_US: Final = 5_000_000
_LATER_FRAMES: Final = 512

_Asked = FollowRequest | SecretRequest | Relay | VoteRequest | SnapshotRequest


class Changes:
    """One machine's. `joins`: it has no seat at the founding, and asks for one."""

    def __init__(self, host: "Host") -> None:
        self.host = host
        self.joins = False
        self.is_leaving = False
        self.has_left = False
        self.passage: Passage | None = None
        self._saw_begin = False
        self._later: deque[tuple[int, bytes]] = deque(maxlen=_LATER_FRAMES)
        self._has_epoch = False
        self._entering: Entering | None = None
        self._steward: Steward | None = None
        self._relays = 0

    def leave(self) -> None:
        """Give up this node's place; it goes once an epoch without it has begun."""
        self.is_leaving = True
        if self._steward is not None:
            self._steward.is_leaving = True

    @property
    def is_in_epoch(self) -> bool:
        """Whether the node takes part in an epoch, rather than being between two or outside."""
        return self._has_epoch

    @property
    def is_inside(self) -> bool:
        """Whether the node is one of the network, if only between two epochs."""
        return self._has_epoch or self.passage is not None

    @property
    def is_settled(self) -> bool:
        """Whether the start is over: a seat has proposed since, or was there when it began."""
        host = self.host
        if self.passage is not None:
            return self._saw_begin
        return self._has_epoch and (host.core.me < 0 or host.seat.has_proposed)

    def start(self) -> None:
        """Go on where the disk says that this node stopped; LocalFault when that is impossible."""
        store = self.host.disk.store
        self.passage, self._has_epoch, self._steward = None, False, None
        self._entering = None
        self._later.clear()
        if self.has_left or (self.joins and store.meta(NetworkRecord.NAME) is None):
            if self.host.is_silent:
                self.host.later(0, self._ask)
            else:
                self._enter(None)
            return
        data = store.meta(CLOSING)
        if data:
            closing = codec.decode(data, Closing, limits.MAX_FRAME_BYTES, LocalFault)
            self._steward = self.new_steward(self._record())
            self._pass(closing, saw_begin=False)
        else:
            self._begin(self._record(), saw_begin=self.host.starts == 1)

    def hear(self, sender: int, message: PeerMessage, frame: bytes) -> bool:
        """Take a message that has to do with epochs; False when it is the seat's. PeerFault."""
        if self.passage is not None:
            self._hear_passing(sender, message, frame)
            return True
        if not self._has_epoch:
            if self._entering is not None:
                self._entering.hear(self._node_of(sender), message)
            elif isinstance(message, FollowReply) and message.records:
                self._followed(sender, message)
            return True
        return self._hear_within(sender, message, frame)

    def sort_out(
        self, sender: int, blocks: tuple[bytes, ...], faults: list[PeerFault]
    ) -> list[PeerFault]:
        """The faults of a delivery that remain when blocks of other epochs are answered."""
        told, remaining = self._boundary.sort_out(
            self._node_of(sender), blocks, faults, self._now_ms
        )
        for message in told:
            self.host.write_to(sender, message)
        return remaining

    def accuse(self, pair: Equivocation) -> None:
        """Bring proof of equivocation before the order."""
        if self._steward is not None:
            self._steward.accuse(pair)

    def close(self, closing: Closing) -> None:
        """CLOSE is executed and on disk: complete the record."""
        if self._steward is None:
            raise LocalFault("simulator", "an epoch closed in a world without changes")
        early = self._boundary.early
        if (closed := self.host.executor.keeper.closed) is not None:
            self._steward.see(closed.change)
        saw_begin = self.host.seat.floor is not None or self._steward.is_present
        self.host.end()
        self._pass(closing, saw_begin=saw_begin)
        for node, frame in early:
            self.host.hear(self.host.world.machines[node], frame)

    def new_steward(self, record: NetworkRecord) -> Steward:
        """This node's steward in the newest epoch of `record`; all its randomness is the seed's."""
        founded, random, index = self.host.world.founded, self.host.random, self.host.index
        newest = link_of(record.signed)

        def seal(secret: bytes, key: bytes, network: bytes, epoch: int) -> bytes:
            return sealed.seal_secret(secret, key, network, epoch, random.randbytes(32))

        def seal_share(share: bytes, key: bytes, associated: bytes) -> bytes:
            return sealed.seal_share(share, key, associated, random.randbytes(32))

        def ask_again(roster: Roster) -> JoinRequest:
            anchors = roster.anchors
            return founded.join_request(index, anchors[-1][1] if anchors else newest.digest)

        return self.host.new_steward(
            network=founded.network,
            epoch=newest.record.epoch,
            identity=founded.identities[index],
            coin_length=founded.genesis.parameters.coin_length,
            vendor_cap=founded.vendor_cap,
            randomness=random.randbytes,
            secret=record.secret,
            kept=self.host.disk.store.meta(STEWARD),
            record=newest.digest,
            evidence=partial(founded.evidence, index, index),
            seal=seal,
            ask_again=ask_again,
            sampling=founded.means.sampling,
            begun_ms=newest.record.ledger_time_ms,
            seal_share=seal_share,
        )

    @property
    def _now_ms(self) -> int:
        return self.host.world.now_us // 1000

    def _node_of(self, machine: int) -> bytes:
        return self.host.world.founded.identities[machine].node

    def _record(self) -> NetworkRecord:
        """What the disk says of the network; at first it is what the founding left."""
        store = self.host.disk.store
        if store.meta(NetworkRecord.NAME) is None:
            return self.host.world.founded.record
        return NetworkRecord.load(store)

    def _begin(
        self, record: NetworkRecord, saw_begin: bool, secrets: EpochSecrets | None = None
    ) -> None:
        world, host = self.host.world, self.host
        link = link_of(record.signed)
        secrets = secrets or world.secrets_of(link, record.secret)
        self.passage = None
        host.begin(record, secrets, saw_begin)
        self._has_epoch = True
        if not world.is_changing:
            return
        steward = self._steward = self.new_steward(record)
        steward.is_leaving = self.is_leaving
        self._boundary = Boundary(link, record.signed)
        self._registry = Registry(record, host.executor.keeper, steward)
        self._shelf = Shelf(
            world.founded.network,
            link.record.epoch,
            host.core.me >= 0,
            host.executor,
            host.disk.store,
            world.founded.genesis.parameters.gc_depth,
        )
        self._lags = False
        host.later(0, self._tend)

    def _hear_within(self, sender: int, message: PeerMessage, frame: bytes) -> bool:
        host, node = self.host, self._node_of(sender)
        if isinstance(message, RecordSignature | RecordComplete):
            self._reply(sender, self._boundary.hear(node, message, frame, self._now_ms))
            if self._boundary.lags(node, message, self._now_ms):
                host.fetch_all()
        elif isinstance(message, FollowReply):
            self._boundary.learn(message.records)
        elif isinstance(message, SecretReply):
            if self._steward is not None:
                self._steward.hear_secret(node, message.epoch_key, message.secret)
        elif isinstance(message, _Asked):
            self._answer(sender, node, message)
        elif host.core.committee.index_of(node) is not None:
            return False
        elif isinstance(message, FetchBlocks):
            if self._registry.may_fetch(node):
                host.serve(sender, message)
        elif isinstance(message, Blocks | FloorRequest):
            self._reply(sender, self._boundary.remind(node, self._now_ms))
        if self._boundary.successor is not None and not self._lags:
            self._lags = True
            self._find_the_end(host.world.now_us + _LAG_PATIENCE_US)
        return True

    def _answer(self, sender: int, node: bytes, message: _Asked) -> None:
        if isinstance(message, FollowRequest):
            self._reply(sender, self._registry.follow(node, message))
        elif isinstance(message, SecretRequest):
            self._reply(sender, self._registry.secret(node, message))
        elif isinstance(message, Relay):
            events = self._registry.relayed(node, message, self._now_ms)
            self.host.seat.queue_membership(events)
            self.host.wake()
        else:
            self._hand_out(sender, node, message)

    def _hand_out(self, sender: int, node: bytes, message: VoteRequest | SnapshotRequest) -> None:
        """Answer who catches up, as `node.desk` does."""
        host, now_s = self.host, self.host.world.now_us / 1_000_000
        if self._registry.place_of(node) == "none":
            return
        if isinstance(message, VoteRequest):
            self._reply(sender, self._shelf.vote(message))
        elif not is_for_head(message):
            self._reply(sender, self._shelf.part(message, now_s))
        elif host.has_stored_all:
            self._reply(sender, self._shelf.fresh(now_s) or self._shelf.take(now_s))
        else:
            host.later(_SETTLE_US, self._hand_out, sender, node, message)

    def _reply(self, machine: int, message: PeerMessage | None) -> None:
        if message is not None:
            self.host.write_to(machine, message)

    def _tend(self) -> None:
        """Say what is ours to say about the committee's change, and gather lacking secrets."""
        host, steward = self.host, self._steward
        if steward is None:
            return
        steward.must_close = host.core.coin_runs_out
        keeper = host.executor.keeper
        roster = keeper.roster
        acts = steward.act(roster, keeper.at, host.clock_ms())
        if acts.meta:
            host.later(host.draw_write_us(), self._acted, acts)
        else:
            self._submit(acts.events)
        for proposal in steward.lacking(roster):
            self._ask_for_secret(proposal.epoch_key)
        host.later(host.tend_us, self._tend)

    def _acted(self, acts: Acts) -> None:
        self.host.reach("before-acts")
        self.host.disk.write(Batch(epoch=self.host.epoch, meta=acts.meta))
        self.host.reach("after-acts")
        self._submit(acts.events)

    def _submit(self, events: list[bytes]) -> None:
        """Into our own next block, or by a seat that is up: another each time."""
        host = self.host
        if not events:
            return
        if host.core.me >= 0 and not host.core.starting:
            host.seat.queue_membership(events)
            host.wake()
            return
        machines = [host.world.machines[seat.node] for seat in host.core.committee.seats]
        for step in range(len(machines)):
            machine = machines[(self._relays + step) % len(machines)]
            if machine != host.index and host.world.hosts[machine].is_up:
                self._relays += step + 1
                host.write_to(machine, Relay(tuple(events)))
                return

    def _ask_for_secret(self, epoch_key: bytes) -> None:
        change = self.host.executor.keeper.roster.change
        for member, acks in zip(change.members, change.acks, strict=True) if change else ():
            if acks:
                machine = self.host.world.machines[member.node]
                if machine != self.host.index:
                    self.host.write_to(machine, SecretRequest(epoch_key))

    def _find_the_end(self, until_us: int) -> None:
        """Once others left this epoch, get its last blocks; if that fails, fetch the state."""
        host = self.host
        if host.world.now_us >= until_us:
            record = self._boundary.successor
            if record is not None and self._is_left_by(record):
                self._leave()
                return
            self._enter(self._record())
            return
        host.fetch_all()
        host.later(_LAG_US, self._find_the_end, until_us)

    def _is_left_by(self, record: EpochRecord) -> bool:
        """Whether this node asked to leave, and a later epoch is without it."""
        node = self._node_of(self.host.index)
        return self.is_leaving and all(seat.node != node for seat in record.seats)

    def _pass(self, closing: Closing, saw_begin: bool) -> None:
        host = self.host
        world, steward = host.world, self._steward
        if steward is None:
            raise LocalFault("simulator", "nobody tends this node's change")
        founded = world.founded
        record = self._record()
        world.checks.record(host, closing.record)
        self._has_epoch = False
        self._saw_begin = saw_begin
        self._later.clear()
        self.passage = Passage(
            founded.identities[host.index],
            founded.genesis.parameters.coin_length,
            record,
            closing,
            steward,
            host.disk.store,
        )
        world.trace.note(world.now_us, host.index, "close", b"%d" % closing.record.epoch)
        # Where one seat is a quorum its own signature completes the record.
        host.later(0, self._arrive if self.passage.is_done else self._speak)

    def _hear_passing(self, sender: int, message: PeerMessage, frame: bytes) -> None:
        passage = self.passage
        if passage is None:
            return
        if not isinstance(message, PassageMessage):
            self._later.append((sender, frame))
            return
        was_done = passage.is_done
        reply = passage.hear(self._node_of(sender), message)
        self._reply(sender, reply)
        if passage.is_done and not was_done:
            self._arrive()
        elif passage.overtaken_by is not None and not passage.is_done:
            if self._is_left_by(parse_record(passage.overtaken_by.record)):
                self._leave()
            else:
                self._enter(self._record())

    def _speak(self) -> None:
        passage = self.passage
        if passage is None:
            return
        for node, message in passage.words():
            self.host.write_to(self.host.world.machines[node], message)
        if passage.is_done:
            return
        self.host.later(_SPEAK_US, self._speak)

    def _arrive(self) -> None:
        """The record is complete and its secret here: write both, then begin."""
        self._speak()
        self.host.later(self.host.draw_write_us(), self._arrived)

    def _arrived(self) -> None:
        passage, host = self.passage, self.host
        if passage is None:
            return
        crossed = passage.crossed()
        host.reach("before-crossing")
        if crossed.secrets is None:
            host.later(_SERVE_ON_US, self._leave)
            return
        self._keep_record(crossed.record)
        host.reach("after-crossing")
        later = tuple(self._later)
        self._begin(crossed.record, self._saw_begin, crossed.secrets)
        for sender, frame in later:
            host.hear(sender, frame)

    def _keep_record(self, record: NetworkRecord) -> None:
        meta = {CLOSING: b"", STEWARD: b"", NetworkRecord.NAME: codec.encode(record)}
        self.host.disk.write(Batch(epoch=0, meta=meta))

    def _leave(self) -> None:
        self.has_left = True
        self.host.world.trace.note(self.host.world.now_us, self.host.index, "left", b"")
        self.host.is_retired = True
        self.host.crash()

    def _ask(self) -> None:
        """Who wants no more than a place asks some seat, again and again, how it stands."""
        host = self.host
        if self._has_epoch or self.has_left:
            return
        up = [one for one in host.world.hosts if one.is_in_epoch and one is not host]
        if up:
            host.write_to(host.random.choice(up).index, FollowRequest(b""))
        host.later(_ASK_US, self._ask)

    def _followed(self, sender: int, reply: FollowReply) -> None:
        host = self.host
        if reply.place == "none":
            body = host.join_request(reply)
            if body is not None:
                host.write_to(sender, Relay((self._request(reply, body),)))
            return

    def _request(self, reply: FollowReply, body: JoinRequest) -> bytes:
        founded = self.host.world.founded
        identity = founded.identities[self.host.index]
        epoch = link_of(reply.records[-1]).record.epoch
        return encode_event(identity.node, founded.network, epoch, body, identity.signing.sign)

    def _enter(self, known: NetworkRecord | None) -> None:
        """Come to the present; the records that are known already need no other's word."""
        self.host.end()
        self.passage, self._has_epoch = None, False
        self._entering = None
        self.host.later(0, self._set_out, known)

    def _set_out(self, known: NetworkRecord | None) -> None:
        self._entering = Entering(self.host, known, self._entered)

    def _entered(self, entered: Entered) -> None:
        host = self.host
        self._entering = None
        host.reach("before-crossing")
        install(entered, host.disk.store)
        host.reach("after-crossing")
        host.world.trace.note(host.world.now_us, host.index, "enter", b"%d" % entered.image.epoch)
        self._begin(entered.record, saw_begin=False, secrets=entered.secrets)
