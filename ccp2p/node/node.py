"""A node as a process: its peers, its client listener, its network from founding to shutdown."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial

import structlog
import trio
from msgspec.structs import replace

from ccp2p.membership.events import JoinRequest
from ccp2p.membership.roster import Roster
from ccp2p.model import codec, limits
from ccp2p.model.amendment import parse_amendment
from ccp2p.model.epoch import SignedEpochRecord, parse_record, record_digest
from ccp2p.model.errors import Fault, LocalFault
from ccp2p.model.member_protocol import (
    AskHosting,
    GetPeers,
    GetStatus,
    GiveShare,
    Hello,
    Hosting,
    Peers,
    Query,
    Recover,
    Recovered,
    Reply,
    ShareTaken,
    Status,
    Welcome,
)
from ccp2p.model.ticket import Ticket
from ccp2p.network import FrameReceived, Inbox, PeerNetwork
from ccp2p.node import founding
from ccp2p.node.acquaintances import Acquaintances
from ccp2p.node.api import ClientApi
from ccp2p.node.assembly import build_replica, steward_of
from ccp2p.node.catch_up import install
from ccp2p.node.correspondence import Correspondence, FrameFeed
from ccp2p.node.crossing import Crossing
from ccp2p.node.epoch import link_of
from ccp2p.node.floor import Floor
from ccp2p.node.introduction import status_of, tickets_of, welcome_of
from ccp2p.node.joining import Entrance, enter
from ccp2p.node.landlord import Landlord
from ccp2p.node.links import Links
from ccp2p.node.meter import Meter
from ccp2p.node.network_record import NetworkRecord, NodeAddresses, known_addresses
from ccp2p.node.passage import Crossed, Passage
from ccp2p.node.premises import Premises
from ccp2p.node.presence import Presence
from ccp2p.node.quota import Allowance
from ccp2p.node.reader import Reader
from ccp2p.node.receipts import Prover
from ccp2p.node.replica import Replica
from ccp2p.node.roster_keeper import CLOSING, Closing
from ccp2p.node.setup import NodeSetup
from ccp2p.node.steward import STEWARD, Steward
from ccp2p.node.survivor import PLEDGE
from ccp2p.node.tidying import tidy
from ccp2p.node.unlocking import Unlocking
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets
from ccp2p.storage.lmdb_store import LmdbStore

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reports:
    """What the process tells its operator as it happens."""

    listening: Callable[["Node"], None]
    progress: Callable[[str], None]
    ready: Callable[["Node"], None]
    floor: Callable[[Floor], None]
    epoch: Callable[[int, int], None]  # its number, and of how many seats it is


def unix_ms() -> int:
    """The local clock, in milliseconds. It dates blocks and bounds waits, nothing else."""
    return time.time_ns() // 1_000_000


class Node:
    """One node in one network."""

    def __init__(
        self,
        setup: NodeSetup,
        reports: Reports,
        *,
        is_announced: bool = False,
        premises: Premises | None = None,
    ) -> None:
        """`is_announced`: a mesh's node tells the local network of itself.

        `premises` run already, and are shared with other networks; without, it has its own.
        """
        self.setup = setup
        self._reports = reports
        self.meter = Meter()
        self._attestor = setup.attestor(unix_ms)
        self._is_alone = premises is None
        self._premises = premises or Premises(setup.identity, setup.listen)
        self._share = self._premises.share(self.meter)
        self._api = ClientApi(self, self._share)
        self.peers = PeerNetwork(
            key_seed=setup.identity.signing_seed,
            attestor=self._attestor,
            network_id=setup.network,
            reception=self._premises.reception,
            inbox=Inbox(setup.quota.inbox_bytes),
        )
        self.listener = self._premises.listener
        self._allowance = Allowance(setup.quota.events_per_s, 0.0)
        self._presence = Presence(setup, self.peers, self._premises, is_announced)
        self._around = Acquaintances(setup.identity.node, self.peers, random.Random())
        self._links = Links(self.peers, self._around, os.urandom(32))
        if setup.store is not None:
            self._around.recall(setup.store)
        self._feed = FrameFeed(self._next_frame)
        self._ready = trio.Event()
        self._replica: Replica | None = None
        self._reader: Reader | None = None
        self._unlocking: Unlocking | None = None
        self.is_leaving = False
        self.landlord: Landlord | None = None

    @property
    def epoch(self) -> int | None:
        """The epoch that accepts envelopes, or None while the network is being founded."""
        return self._replica.epoch if self._replica is not None else None

    async def run(self) -> None:
        """Serve until cancelled. LocalFault when this node has to stop, and why."""
        try:
            async with trio.open_nursery() as nursery:
                if self._is_alone:
                    await nursery.start(self._premises.run)
                    self.setup.home.keep_listen(self._premises.ports)
                await nursery.start(self.peers.run)
                self._premises.open(self.setup.network, self._api)
                self._reports.listening(self)
                nursery.start_soon(
                    self._presence.run,
                    self._ready,
                    lambda: self.setup,
                    self._client_addresses,
                    self._around.hint,
                )
                nursery.start_soon(self._remember)
                nursery.start_soon(self._links.tend, lambda: self._replica)
                nursery.start_soon(tidy, lambda: self._replica, random.Random())
                await self._live()
                nursery.cancel_scope.cancel()
        finally:
            self._premises.shut(self.setup.network)
            self._share.end()
            if self.setup.store is not None:
                self.setup.store.close()

    async def _live(self) -> None:
        """From the first epoch that this node sees to its last; returns when it has left."""
        saw_begin, secrets = await self._begin()
        closing = self._closing()
        steward: Steward | None = None
        while True:
            if closing is None:
                replica = self._replica = await self._build_replica(secrets, saw_begin)
                self._reader = Reader(replica, self._prover(replica))
                self._api.void()
                self._links.begin(replica)
                self._report_ready()
                ended = await replica.run(self._feed)
                self._feed.put_back(ended.early)
                closing, steward, saw_begin = ended.closing, replica.steward, ended.saw_end
            if closing is None:
                if self._is_out_of(ended.successor):
                    self._report_left()
                    return
                saw_begin, secrets = False, await self._catch_up()
                continue
            crossed = await self._cross(closing, steward)
            if isinstance(crossed, SignedEpochRecord):
                if self._is_out_of(crossed):
                    self._report_left()
                    return
                saw_begin, secrets = False, await self._catch_up()
            elif crossed.secrets is None:
                return
            else:
                secrets = crossed.secrets
            closing = None

    def _is_out_of(self, signed: SignedEpochRecord | None) -> bool:
        """Whether this node asked to leave or was evicted, and this later epoch is without it."""
        node = self.setup.identity.node
        if signed is None or any(s.node == node for s in parse_record(signed.record).seats):
            return False
        evicted = parse_amendment(signed.amendment).evict if signed.amendment else ()
        return self.is_leaving or node in evicted

    def _report_left(self) -> None:
        if self.is_leaving:
            self._reports.progress("this node has left the network; its folder can be removed")
            return
        self._reports.progress(
            "the network goes on without this node: governors evicted it, or it was silent, or "
            "what it runs does not satisfy the policy. It comes back as a new node, by an invite"
        )

    async def _begin(self) -> tuple[bool, EpochSecrets | None]:
        """Found, enter or reopen; whether this process saw its epoch begin, and its secrets."""
        if self.setup.record is not None:
            return False, await self._unlock(self.setup.record)
        if self.setup.is_founded:
            return False, await self._catch_up()
        return True, await self._found(self._feed)

    async def _unlock(self, record: NetworkRecord) -> EpochSecrets | None:
        """Come to the key of the disk by peers, where the TEE's own does not open it."""
        link, keys, store = link_of(record.signed), self.setup.disk_keys, self.setup.store
        if store is None or not (keys.is_of_group(link.record) or store.is_locked):
            return None
        self._around.keep_only(record.addresses)
        self._unlocking = Unlocking(
            link,
            self.setup.identity,
            self.setup.genesis.parameters.coin_length,
            self.peers.send,
            self._connected,
            self._reports.progress,
            self._around.blame,
        )
        secrets = await self._unlocking.run(self._feed)
        self._unlocking = None
        if secrets is None or not keys.unlock(store, link.record, secrets.secret):
            return await self._catch_up()
        self._settle(replace(record, secret=secrets.secret), store)
        return secrets

    def _connected(self) -> list[bytes]:
        return [node for node, peer in self.peers.peers().items() if peer.connected]

    def _report_ready(self) -> None:
        if not self._ready.is_set():
            self._ready.set()
            self._reports.ready(self)

    async def _remember(self) -> None:
        await self._ready.wait()
        if self.setup.store is not None:
            await self._around.remember(self.setup.store)

    def leave(self) -> None:
        """Give up this node's seat; `run` returns once an epoch without it has begun."""
        self.is_leaving = True
        if self._replica is not None:
            self._replica.steward.is_leaving = True

    def tickets(self) -> tuple[Ticket | None, Ticket | None]:
        """(member, node) tickets, where this node holds the genesis's invites, or needs none."""
        return tickets_of(self.setup, self._client_addresses())

    def welcome(self, hello: Hello) -> Welcome:
        """Fresh evidence over a client's nonce, and what it is checked against. In a thread."""
        peers, clients = self.peers.announced, self._client_addresses()
        return welcome_of(self.setup, self._attestor, hello, peers, clients)

    def submit(self, envelopes: list[bytes], *, is_repeated: bool) -> int:
        """See a client's envelopes into blocks, as far as the quota goes."""
        if self._replica is None:
            return 0
        return self._replica.courier.submit(envelopes, is_repeated=is_repeated)

    async def query(self, query: Query) -> Reply:
        """Answer a member's question."""
        if self._reader is None:
            return Reply(query.number, b"", "not-founded")
        return await self._reader.answer(query)

    def status(self, query: GetStatus) -> Status:
        """How far this node is, or its roots after a commit that it still has on record."""
        replica = self._replica
        if replica is None:
            waits = "secret" if self._unlocking else ""
            return Status(query.number, 0, 0, b"", b"", 0, 0, 0, 0, "", waits=waits)
        return status_of(replica, query, self._around.count)

    def shown_peers(self, query: GetPeers) -> Peers:
        """Whom this node is connected to, and how that goes."""
        return self._around.shown(query, self.listener)

    async def host(self, asked: AskHosting) -> Hosting:
        """Answer whoever wants to place a group here."""
        if self.landlord is None:
            return Hosting(asked.number, b"", "groups are placed on a mesh's nodes")
        async with self.landlord.turn:
            answer = await self._share.run_in_thread(partial(self.landlord.answer, asked.sealed))
        return Hosting(asked.number, answer, "")

    async def recover(self, asked: Recover) -> Recovered:
        """Lead the network out of a lost epoch, as governors approved; or why that may not be."""
        replica = self._replica
        if replica is None or replica.ending.ended is not None:
            word = "this node is between two epochs: ask again in a while"
            return Recovered(asked.number, "between-epochs", word, b"")
        try:
            signed = await replica.survivor.lead(asked.plan, asked.approvals)
            replica.ending.learn((signed,))
        except Fault as fault:
            return Recovered(asked.number, fault.code, str(fault), b"")
        return Recovered(asked.number, "", "", codec.encode(signed))

    def take_share(self, given: GiveShare) -> ShareTaken:
        """Take a governor's recovery share of the secret that this node waits for."""
        if self._unlocking is None:
            words = "this node waits for no shares: its disk is open, or nobody shares its key"
            return ShareTaken(given.number, "not-waiting", words, 0, 0)
        return self._unlocking.take_share(given)

    def _client_addresses(self) -> tuple[str, ...]:
        others = [a for a in self._addresses() if a.node != self.setup.identity.node]
        known = [*self.listener.announced, *(address for a in others for address in a.clients)]
        return tuple(known[: limits.MAX_ADDRESSES])

    def _addresses(self) -> tuple[NodeAddresses, ...]:
        return self.setup.record.addresses if self.setup.record else ()

    async def _next_frame(self) -> tuple[bytes, bytes]:
        async for event in self.peers.events:
            if isinstance(event, FrameReceived):
                return event.node, event.frame
            self._around.take(event, unix_ms())
        raise LocalFault("stopped", "the network is not running")

    async def _found(self, frames: FrameFeed) -> EpochSecrets:
        setup = self.setup
        leads = setup.ticket is None or not setup.first_addresses
        if not leads:
            # Who placed a group tells its nodes one by one, and nobody starts one again.
            reach = self._around.reach_at_last if setup.is_hosted else self._around.reach
            await reach(setup.first_addresses)
            await self._presence.settle(())
        founder = founding.Founder(
            genesis=setup.genesis,
            network=setup.network,
            identity=setup.identity,
            attestor=self._attestor,
            addresses=self.peers.announced,
            client_addresses=self.listener.announced,
            send_frame=self.peers.send,
            report=self._reports.progress,
        )
        if leads or setup.ticket is None:
            founded = await founding.lead(founder, frames, os.urandom(SECRET_BYTES))
        else:
            founded = await founding.follow(
                founder,
                frames,
                setup.ticket.secret,
                lambda digest: setup.home.mark_signed(setup.network, digest),
            )
        record = NetworkRecord(
            setup.genesis_bytes,
            (founded.signed,),
            founded.secrets.secret,
            tuple(
                NodeAddresses(request.node, request.addresses, request.client_addresses)
                for request in founded.requests
            ),
            setup.member_invite,
            setup.node_invite,
        )
        store = setup.create_store()
        setup.disk_keys.begin(store, record)
        await trio.to_thread.run_sync(record.save, store)
        self._settle(record, store)
        return founded.secrets

    def _settle(self, record: NetworkRecord, store: LmdbStore) -> None:
        """Go on with this record, under the policy that is in force by it."""
        self.setup = self.setup.founded(record, store)
        self._attestor.policy = self.setup.policy

    @property
    def _record(self) -> NetworkRecord:
        if self.setup.record is None:
            raise LocalFault("founding", "the network is not founded yet")
        return self.setup.record

    def _closing(self) -> Closing | None:
        """What CLOSE left, when this node stopped between it and the next epoch."""
        store = self.setup.store
        data = store.meta(CLOSING) if store else None
        return codec.decode(data, Closing, limits.MAX_FRAME_BYTES, LocalFault) if data else None

    def _prover(self, replica: Replica) -> Prover:
        interval = self.setup.genesis.parameters.checkpoint_interval
        return Prover(replica.store, self.setup.network, interval, lambda: self._record.records)

    async def _build_replica(self, secrets: EpochSecrets | None, saw_begin: bool) -> Replica:
        build = partial(
            build_replica,
            self.setup,
            secrets,
            attestor=self._attestor,
            saw_begin=saw_begin,
            send=self.peers.send,
            connections=self.peers.connections,
            deliver=self._api.deliver,
            waits_for=self._api.waits_for,
            clock=unix_ms,
            found_floor=self._reports.floor,
            share=self._share,
            blamed=self._around.scoreboard.blame,
            join_request=self._join_request,
            allowance=self._allowance,
            before=self._replica,
        )
        async with self._replica.execution_turn if self._replica else trio.Lock():
            replica = await trio.to_thread.run_sync(build)
        replica.steward.is_leaving = self.is_leaving
        return replica

    async def _catch_up(self) -> EpochSecrets:
        """Come to the present of a network that runs; its state replaces what the store held."""
        setup = self.setup
        known = setup.record.records if setup.record else ()
        pinned = record_digest(known[-1].record) if known else setup.ticket.record  # type: ignore[union-attr]
        if setup.record is None:  # else others are known, and this one may be gone
            await self._around.reach(setup.first_addresses)
        entrance = Entrance(
            genesis=setup.genesis,
            genesis_bytes=setup.genesis_bytes,
            network=setup.network,
            identity=setup.identity,
            known=known,
            pinned=pinned,
            request=self._join_request,
            connect=self._around.connect,
            settle=self._presence.settle,
            connected=self._connected,
            witnesses=self._around.witnesses,
            blame=self._around.blame,
            report=self._reports.progress,
        )
        entered = await enter(entrance, Correspondence(self.peers.send, self._feed))
        store = setup.store or await trio.to_thread.run_sync(setup.create_store)
        record = entered.record
        if (own := setup.record) is not None:
            record = replace(record, member_invite=own.member_invite, node_invite=own.node_invite)
        await trio.to_thread.run_sync(setup.disk_keys.begin, store, record)
        await trio.to_thread.run_sync(install, replaced(entered, record=record), store)
        self._settle(record, store)
        return entered.secrets

    def _join_request(self, anchor: bytes) -> JoinRequest:
        setup = self.setup
        return JoinRequest(
            sealing=setup.identity.sealing.public,
            anchor=anchor,
            evidence=self._attestor.bundle(anchor),
            invite=setup.ticket.secret if setup.ticket else b"",
            addresses=self.peers.announced,
            client_addresses=self.listener.announced,
        )

    async def _cross(
        self, closing: Closing, steward: Steward | None
    ) -> Crossed | SignedEpochRecord:
        """Complete the record of the next epoch and keep it; a later one when that is over."""
        setup, store = self.setup, self.setup.store
        if store is None:
            raise LocalFault("founding", "the network is not founded yet")
        if steward is None:  # this process ran no epoch before, and is connected to nobody
            steward = steward_of(setup, self._attestor, self._record)
            later = known_addresses(self._record, Roster.decode(closing.roster))
            self._around.keep_only((*self._record.addresses, *later))
        coin_length = setup.genesis.parameters.coin_length
        passage = Passage(setup.identity, coin_length, self._record, closing, steward, store)
        crossed = await Crossing(passage, self.peers.send, self._feed, self._around.blame).run()
        if isinstance(crossed, SignedEpochRecord):
            return crossed
        meta = {CLOSING: b"", PLEDGE: b"", STEWARD: b""}
        await trio.to_thread.run_sync(setup.disk_keys.turn, store, crossed.record, meta)
        self._settle(crossed.record, store)
        if crossed.secrets is None:
            self._report_left()
        else:
            self._reports.epoch(closing.record.epoch, len(closing.record.seats))
        return crossed
