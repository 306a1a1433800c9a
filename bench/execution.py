"""CPU microseconds that one node spends on an event from a decided commit to its disk, by stage.

    python bench/execution.py --events 20000 --commit 150 --turn 4

One thread, no network: signed and sealed `kv` writes of 256 members in commits of four blocks, a
quarter of them waited for here. `CCP2P_PURE=1` measures the pure twins; `--profile FILE` keeps a
profile for `python -m pstats`.
"""

import argparse
import cProfile
import json
import os
import tempfile
from pathlib import Path

from ccp2p.consensus.messages import CommittedBlocks
from ccp2p.crypto import hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.execution.apps import kv_protocol as kv
from ccp2p.execution.machine import StateMachine
from ccp2p.model import block as blocks
from ccp2p.model import codec
from ccp2p.model.block import BlockHeader, Payload
from ccp2p.model.commit import Commit
from ccp2p.model.envelope import Event, event_id, event_signed_bytes
from ccp2p.node.meter import Meter
from ccp2p.sealing import session as sessions
from ccp2p.sealing.session import SessionContext, SessionKeys
from ccp2p.sealing.table import SessionTable
from ccp2p.storage.lmdb_store import LmdbStore
from ccp2p.storage.store import Batch

NETWORK, INVITE = b"n" * 32, b"come in"
CONTEXT = SessionContext(NETWORK, 0, "aegis256")
VALUE = bytes(110)


class Member:
    """A member with a session."""

    def __init__(self, number: int, epoch_key: hpke.PrivateKey) -> None:
        self.key = SigningKey(number.to_bytes(32, "big"))
        secret = os.urandom(32)
        self.keys = SessionKeys.derive(secret)
        self.opening = sessions.seal_opening(CONTEXT, epoch_key.public, secret, INVITE)
        self.last = -1

    def next(self, number: int) -> bytes:
        """Its next envelope; the first opens the session."""
        self.last += 1
        body = (
            codec.encode(kv.Request(kv.Put(number.to_bytes(8, "big"), VALUE))) if self.last else b""
        )
        identifier = event_id(NETWORK, self.key.public, self.last, body)
        signature = self.key.sign(event_signed_bytes(identifier))
        event = Event(self.key.public, self.last, body, signature)
        opening = b"" if self.last else self.opening
        return codec.encode(sessions.seal_event(CONTEXT, self.keys, event, opening))


class Log:
    """Makes commits of one block each."""

    def __init__(self) -> None:
        self.index = 0

    def commit(self, envelopes: list[bytes]) -> CommittedBlocks:
        """The next commit."""
        self.index += 1
        payload = Payload(tuple(envelopes))
        data = codec.encode(payload)
        author, digest = self.index % 4, blocks.payload_digest(data)
        header = BlockHeader(NETWORK, 0, self.index, author, (), digest, b"", 0)
        block = blocks.build(header, payload, data, bytes(64))
        reference = block.reference
        commit = Commit(0, self.index, reference, (reference,), self.index, bytes(32))
        return CommittedBlocks(commit, (block,))


def main() -> None:
    """Run it once and print one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--members", type=int, default=256)
    parser.add_argument("--commit", type=int, default=150, help="events in a commit")
    parser.add_argument("--turn", type=int, default=4, help="commits executed and stored at once")
    parser.add_argument("--profile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(options, Path(folder))))


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    epoch_key = hpke.PrivateKey(b"e" * 32)
    key, map_bytes = b"k" * 32, 1 << 32
    store = LmdbStore(
        folder, key=key, network=NETWORK, algorithm="aegis256", map_bytes=map_bytes, create=True
    )
    machine = StateMachine(
        network=NETWORK,
        app="kv",
        salt_key=b"s" * 32,
        load_bucket=store.bucket,
        protocol=1,
    )
    table = SessionTable(CONTEXT, epoch_key)
    node = Node(store, machine, table)
    members, log = [Member(n + 1, epoch_key) for n in range(options.members)], Log()
    node.execute([log.commit([member.next(0) for member in members])], set())
    waiting: set[bytes] = set()
    turns = _turns(options, members, log, waiting)
    node.meter.cpu_ns.clear()
    profile = cProfile.Profile()
    for commits in turns:
        if options.profile:
            profile.enable()
        node.execute(commits, waiting)
        profile.disable()
    if options.profile:
        profile.dump_stats(options.profile)
    found = {n: round(ns / 1000 / options.events, 2) for n, ns in node.meter.cpu_ns.items()}
    return {**found, "all": round(sum(found.values()), 2)}


def _admit(_member: bytes, _invite: bytes) -> str | None:
    return None


class Node:
    """What an executor and a writer do, without membership and votes."""

    def __init__(self, store: LmdbStore, machine: StateMachine, table: SessionTable) -> None:
        self.store, self.machine, self.table = store, machine, table
        self.meter = Meter()

    def execute(self, commits: list[CommittedBlocks], waiting: set[bytes]) -> None:
        """One turn, to the disk."""
        stage, table, buckets = self.meter.stage, self.table, {}
        answers: list[tuple[bytes, SessionKeys, bytes]] = []
        envelopes = [c.blocks[0].payload.envelopes for c in commits]
        with stage("open"):
            table.foresee([envelope for each in envelopes for envelope in each])
        for committed, data in zip(commits, envelopes, strict=True):
            commit = committed.commit
            with stage("open"):
                opened = table.open_commit(commit.index, data, self.machine.last_of, _admit)
            with stage("apply"):
                applied = self.machine.apply(commit, opened.events, opened.opened, opened.closed)
            with stage("answer"):
                for tag, outcome in applied.outcomes:
                    if tag in waiting:
                        answers.append((tag, table.of_tag(tag).keys, codec.encode(outcome)))
            with stage("advance"):
                table.advance(applied.advanced)
            buckets |= applied.buckets
            assert [outcome.status for _, outcome in applied.outcomes] == ["ok"] * len(data)
        with stage("answer"):
            tags, keys, outcomes = zip(*answers, strict=True) if answers else ((), (), ())
            sessions.seal_outcomes(CONTEXT, keys, tags, outcomes)
        with stage("persist"):
            blocks_ = [(b.reference, b.to_bytes()) for c in commits for b in c.blocks]
            self.store.write(Batch(epoch=0, blocks=blocks_))
            records = [(c.commit.index, codec.encode(c.commit)) for c in commits]
            self.store.write(Batch(epoch=0, commits=records, buckets=buckets))
        self.machine.stored(0, commits[-1].commit.index)


def _turns(
    options: argparse.Namespace, members: list[Member], log: Log, waiting: set[bytes]
) -> list[list[CommittedBlocks]]:
    envelopes = []
    for number in range(options.events):
        member = members[number % len(members)]
        envelopes.append(member.next(number + 1))
        if number % 4 == 0:
            waiting.add(member.keys.tag_of(member.last))
    starts = range(0, len(envelopes), options.commit)
    commits = [log.commit(envelopes[start : start + options.commit]) for start in starts]
    return [commits[at : at + options.turn] for at in range(0, len(commits), options.turn)]


if __name__ == "__main__":
    main()
