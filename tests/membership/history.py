"""Random histories of a network's membership, by honest and hostile nodes, and what must hold.

Honest nodes do what they should, most of the time. Hostile ones say anything, and order again
whatever anybody ever said. `violation(seed)` says what broke first, or None. The checks count for
themselves: they share no code with the rules.
"""

from collections import Counter
from collections.abc import Callable
from random import Random

from ccp2p.crypto.signatures import verify_batch
from ccp2p.membership import records, rules
from ccp2p.membership.events import (
    Accusation,
    CloseIntent,
    Rekey,
    parse_event,
)
from ccp2p.membership.records import Link, Roots
from ccp2p.membership.roster import Amended, Change, Member, Proposal, Roster
from ccp2p.model import codec, hashing, limits
from ccp2p.model.block import epoch_root
from ccp2p.model.commit import Commit
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import PeerFault
from tests.membership.world import NETWORK, Actor, World, accusation, actor

COMMITS = 120
MAX_ROSTER_BYTES = 64 * 1024


PATIENCE = 400  # commits that a network may take to seat everybody beside a hostile node


class Broken(Exception):
    """Something that must hold does not."""


def violation(seed: int) -> str | None:
    """What broke first in the history of this seed."""
    history = History(seed)
    try:
        for _ in range(COMMITS):
            history.step()
    except Broken as broken:
        return str(broken)
    return None


def commits_until_seated(seed: int) -> int | None:
    """How many commits it takes until all honest nodes have seats, beside a hostile node."""
    history = Obstructed(seed)
    honest = {one.node for one in history.actors if one not in history.hostile}
    for commits in range(PATIENCE):
        history.step()
        if honest <= {*history.world.nodes}:
            return commits
    return None


def require(holds: bool, message: str) -> None:
    if not holds:
        raise Broken(message)


def faulty(size: int) -> int:
    return (size - 1) // 3


def most_of_a_vendor(cap: str, size: int) -> int:
    if cap == "none" or size < 2:
        return size
    return faulty(size) if cap == "f" else size - 2 * faulty(size) - 1


class History:
    """One network from its founding on."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        founders, cap = self.random.choice(
            [(1, "none"), (2, "none"), (4, "none"), (6, "none"), (6, "no-fork"), (8, "none")]
        )
        everybody = [actor(f"n{i}", vendor=f"sim-{'abc'[i % 3]}") for i in range(14)]
        twins = [actor(f"t{i}", platform=f"n{i}", vendor=f"sim-{'abc'[i % 3]}") for i in range(4)]
        self.actors = [*everybody, *twins, actor("cloud", platform="")]
        self.hostile = [one for one in self.actors if self.random.random() < 0.25]
        self.world = World(everybody[:founders], cap)
        self.asked = Counter[tuple[str, int, int, bytes]]()
        self.meant: set[tuple[int, int, bytes, bytes]] = set()
        self.consents: set[tuple[bytes, bytes]] = set()
        self.outdated = {one.node for one in self.actors if self.random.random() < 0.15}
        self.leaving_odds = 0.01
        self.amending_odds = 0.02
        self.link = first_link(self.world)

    def step(self) -> None:
        """One commit, with what honest and hostile nodes get into it."""
        world, random = self.world, self.random
        if random.random() < 0.3:
            world.checkpoint()
        if random.random() < 0.1:
            world.asleep = {one.node for one in self.actors if random.random() < 0.15}
        if random.random() < 0.04:
            world.wait(limits.EVICTION_ROUNDS + 1)
        if world.adopted is None and random.random() < self.amending_odds:
            world.adopted = self.amendment()
        events = [data for one in self.actors for data in self.said_by(one)]
        random.shuffle(events)
        before = world.roster
        epoch_time = random.choice((100, 100, 1_000, 20_000, 60_000, 200_000))
        try:
            world.commit(*events, ms=epoch_time, rounds=random.choice((1, 1, 3, 20, 70)))
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        self.check(before, events)

    def amendment(self) -> Amended:
        """What governors adopt now: who goes, and perhaps another policy."""
        world, random = self.world, self.random
        evict = tuple(one.node for one in random.sample(self.actors, random.choice((0, 0, 1, 2))))
        number = bytes([random.randrange(256)]) * 32
        policy = number if random.random() < 0.6 or not evict else b""
        return Amended(b"a" * 32, world.at.time_ms, evict, policy, world.cap)

    # What nodes say

    def said_by(self, one: Actor) -> list[bytes]:
        if one in self.hostile:
            return [self.hostile_word(one) for _ in range(self.random.choice((0, 0, 1, 3)))]
        if one.node in self.world.asleep or self.random.random() < 0.4:
            return []
        return self.honest_words(one)

    def honest_words(self, one: Actor) -> list[bytes]:
        world, roster, random = self.world, self.world.roster, self.random
        words = []
        if roster.seated(one.node) is None:
            if random.random() < 0.1:
                words.append(self.join_word(one))
        elif random.random() < self.leaving_odds:
            words.append(world.leave(one))
        if world.adopted is not None and one.node not in self.outdated:
            words.append(world.renew(one))
        if roster.change is None:
            if roster.seated(one.node) and rules.wants_close(roster, world.cap):
                words.append(world.intent(one))
            return words
        place = roster.change.index_of(one.node)
        if place is None:
            return words
        if not roster.change.prekeys[place]:
            words.append(world.prekey(one))
        if rules.may_propose(roster.change, one.node, world.at):
            words.append(world.rekey(one))
        for number, proposal in enumerate(roster.change.proposals):
            if self.holds(one, proposal):
                words.append(self.ack(one, number))
        return words

    def holds(self, one: Actor, proposal: Proposal) -> bool:
        """A hostile member seals garbage to half of the others."""
        is_garbage = hashing.digest(hashing.NONCE, one.node, proposal.epoch_key)[0] & 1
        return not (is_garbage and proposal.node in {other.node for other in self.hostile})

    def join_word(self, one: Actor) -> bytes:
        """As an heir, when its platform has a seat."""
        world = self.world
        for old in self.actors:
            if old.platform == one.platform and world.roster.seated(old.node) and old != one:
                if old in self.hostile or self.random.random() < 0.3:
                    self.consents.add((old.node, one.node))
                    return world.take_over(one, old)
                return world.join(one, replaces=old.node)
        return world.join(one)

    def ack(self, one: Actor, number: int) -> bytes:
        """Honest nodes mean the proposal that they see; hostile ones whatever gets the number."""
        roster = self.world.roster
        key = b""
        if one not in self.hostile and roster.change is not None:
            key = roster.change.proposals[number].epoch_key
        self.meant.add((roster.epoch, roster.attempt, one.node, key))
        return self.world.ack(one, number)

    def hostile_word(self, one: Actor) -> bytes:
        world, random, actors = self.world, self.random, self.actors
        victim, number = random.choice(actors), random.randrange(-1, 4)
        words: list[Callable[[], bytes]] = [
            lambda: self.join_word(one),
            lambda: world.join(one, invite=b"wrong"),
            lambda: world.join(one, evidence=b"stolen"),
            lambda: world.join(one, replaces=victim.node, consent=b"c" * 64),
            lambda: world.leave(one) if random.random() < 0.2 else world.intent(one),
            lambda: world.intent(one),
            lambda: world.renew(one, (world.roster.policy,)),
            lambda: world.prekey(one),
            lambda: self.ack(one, number),
            lambda: world.say(one, Rekey(world.roster.attempt, b"c" * 32, b"e" * 32, ())),
            lambda: self.garbage(one),
            lambda: world.say(one, accusation(one, number, world.roster.epoch)),
            lambda: self.accuse(one, victim),
            lambda: world.say(one, CloseIntent(number), epoch=world.roster.epoch + 1),
        ]
        replay = [lambda: random.choice(world.said)] * 12 if world.said else []
        return random.choice([*words, *replay])()

    def garbage(self, one: Actor) -> bytes:
        world = self.world
        return world.intent(one) if world.roster.change is None else world.rekey(one)

    def accuse(self, one: Actor, victim: Actor) -> bytes:
        """Hostile seats are caught now and then; nobody else can be."""
        world = self.world
        if world.roster.seated(victim.node) is None:
            return world.intent(one)
        return world.accuse(one, victim, signer=victim if victim in self.hostile else one)

    # What must hold

    def check(self, before: Roster, events: list[bytes]) -> None:
        world, after = self.world, self.world.roster
        self.count(before, events)
        self.check_roster(after)
        if world.closed is not None:
            self.check_close(before, after, world.closed)
        elif before.change is None and after.change is not None:
            self.check_freeze(before, after, after.change)
        else:
            seats = [[one.seat for one in roster.members] for roster in (before, after)]
            require(seats[0] == seats[1], "seats changed without CLOSE")

    def count(self, before: Roster, events: list[bytes]) -> None:
        """Remember who asked for what, in the words of the events themselves."""
        for data in events:
            event = parse_event(data)
            body = event.body
            if event.epoch != before.epoch:
                continue
            if isinstance(body, CloseIntent) and before.seated(event.node):
                self.asked["close", event.epoch, body.attempt, event.node] += 1

    def check_roster(self, roster: Roster) -> None:
        for members in (roster.members, roster.change.members if roster.change else ()):
            nodes = [one.node for one in members]
            platforms = [one.platform_id for one in members]
            require(len(set(nodes)) == len(nodes), "one node has two seats")
            require(len(set(platforms)) == len(platforms), "one platform has two seats")
            require(b"" not in platforms, "a seat without a hardware id")
        require(1 <= len(roster.members) <= limits.MAX_COMMITTEE, "an impossible committee")
        observers = [one.node for one in roster.observers]
        chips = [one.platform_id for one in roster.observers if one.platform_id]
        require(len(set(observers)) == len(observers), "one node follows twice")
        require(len(set(chips)) == len(chips), "one platform waits twice")
        require(not {*observers} & {one.node for one in roster.members}, "a seat that follows")
        present = {*observers, *(one.node for one in roster.members)}
        require({*roster.leaving} <= present, "who is gone is leaving")
        hostile = {one.node for one in self.hostile}
        require({*roster.expelled} <= hostile, "an honest node was expelled")
        data = roster.encode()
        require(len(data) <= MAX_ROSTER_BYTES, "the roster outgrew its bounds")
        require(Roster.decode(data) == roster, "the roster reads otherwise than it was written")

    def check_freeze(self, before: Roster, after: Roster, change: Change) -> None:
        size = len(before.members)
        askers = [
            one.node
            for one in before.members
            if self.asked["close", before.epoch, before.attempt, one.node]
        ]
        require(len(askers) >= size - faulty(size), "FREEZE without a quorum of seats")
        self.check_cap(before, change.members)
        seated = {one.node for one in before.members}
        frozen = {one.node for one in change.members}
        heirs = [one for one in change.members if one.replaces and one.node not in seated]
        replaced = {one.replaces for one in heirs}
        governed = self.check_amendment(after, change)
        gone = {*after.leaving, *after.expelled, *governed}
        evicted = seated - frozen - replaced - gone
        with_them = len(seated - (gone - replaced))
        if self.world.cap == "none":
            with_them = len(frozen) + len(evicted)
        require(not evicted or faulty(len(frozen)) >= faulty(with_them), "eviction lowered f")
        policy = self.policy_of(change)
        stale = {one.node for one in after.members if policy not in one.policies}
        live = [node for node in evicted - stale if not after.is_silent(node)]
        require(not live, "a live seat was evicted")
        if frozen != seated:
            require(not frozen & {*after.expelled}, "an equivocator was seated again")
        for heir in heirs:
            allowed = (heir.replaces, heir.node) in self.consents
            is_free = after.is_silent(heir.replaces) or heir.replaces in governed
            require(allowed or is_free, "an heir without consent")

    def policy_of(self, change: Change) -> bytes:
        """The policy that comes with a change, by the governors' own words."""
        adopted = self.world.adopted
        coming = adopted.policy if adopted and change.amendment else b""
        return coming or self.world.roster.policy

    def check_amendment(self, after: Roster, change: Change) -> set[bytes]:
        """Whom governors evict with this change; and it waits for who has to show evidence."""
        adopted = self.world.adopted
        require(bool(adopted) or not change.amendment, "an amendment that nobody adopted")
        if adopted is not None and not change.amendment and not adopted.policy:
            away = {*after.leaving, *after.expelled, *adopted.evict}
            require({one.node for one in after.members} <= away, "an eviction was not heeded")
        if adopted is None or not change.amendment:
            return set()
        frozen = {one.node for one in change.members}
        require(not frozen & {*adopted.evict}, "an evicted node kept its seat")
        if adopted.policy:
            good = [one for one in change.members if adopted.policy in one.policies]
            size = len(change.members)
            require(len(good) >= size - faulty(size), "a policy that a quorum does not satisfy")
            seated = {one.node for one in after.members}
            joined = [one for one in change.members if one.node not in seated]
            require(
                all(adopted.policy in one.policies for one in joined), "a stale node got a seat"
            )
            waited = self.world.at.time_ms >= adopted.time_ms + limits.RENEWAL_PATIENCE_MS
            away = {*after.leaving, *after.expelled, *adopted.evict}
            waiting = [
                one
                for one in after.members
                if one.node not in away and adopted.policy not in one.policies
            ]
            require(waited or not waiting, "FREEZE before seats could renew their evidence")
        return {*adopted.evict}

    def check_cap(self, before: Roster, members: tuple[Member, ...]) -> None:
        seated = {one.node for one in before.members}
        added = [one for one in members if one.node not in seated and not one.replaces]
        most = most_of_a_vendor(self.world.cap, len(members))
        held = Counter(one.vendor for one in members)
        require(not added or max(held.values()) <= most, "an addition broke the vendor cap")

    def check_close(self, before: Roster, after: Roster, closed: rules.Closed) -> None:
        change, proposal = closed.change, closed.proposal
        size = len(change.members)
        if before.change is not None:
            frozen = len(before.change.members)
            require(faulty(size) == faulty(frozen), "silence of joiners lowered f")
        place = (before.epoch, before.attempt)
        holders = [
            one.node
            for one in change.members
            if self.meant & {(*place, one.node, key) for key in (b"", proposal.epoch_key)}
        ]
        require(len(holders) >= size - faulty(size), "CLOSE without a quorum that holds the secret")
        seated = {one.node for one in before.members}
        joiners = {one.node for one in change.members} - seated
        require(joiners <= set(holders), "a joiner got a seat that was not heard of")
        proposers = [one.node for one in change.proposals]
        require(len(set(proposers)) == len(proposers), "a member proposed twice")
        seats = [one.node for one in after.members]
        require(seats == [one.node for one in change.members], "others got the seats")
        require({*after.expelled} >= {*before.expelled}, "an equivocator was forgotten")
        followers = all(after.policy in one.policies for one in after.observers)
        require(followers, "an observer that does not satisfy the policy")
        self.check_cap(before, change.members)
        self.check_record(closed, after)

    def check_record(self, closed: rules.Closed, after: Roster) -> None:
        """Its record counts with a quorum of the old committee's signatures and not with less."""
        root = epoch_root(NETWORK, after.epoch)
        commit = Commit(after.epoch - 1, 1, root, (root,), self.world.at.time_ms, bytes(32))
        record = records.successor(self.link, closed, commit, Roots(bytes(32), bytes(32)))
        data = codec.encode(record)
        committee = self.link.record.seats
        quorum = len(committee) - faulty(len(committee))
        places = sorted(self.random.sample(range(len(committee)), quorum))
        short = SignedEpochRecord(data, tuple(self.signature(i, data) for i in places[1:]))
        try:
            records.check_successor(short, self.link, verify_batch)
        except PeerFault:
            signatures = (self.signature(places[0], data), *short.signatures)
            signed = SignedEpochRecord(data, signatures)
            self.link = records.check_successor(signed, self.link, verify_batch)
        else:
            raise Broken("a record without a quorum's signatures")

    def signature(self, place: int, data: bytes) -> tuple[int, bytes]:
        node = self.link.record.seats[place].node
        key = next(one.key for one in self.actors if one.node == node)
        return place, key.sign(record_signed_bytes(data))


class Obstructed(History):
    """All honest nodes are awake and want a seat; one node does what it can to prevent that.

    It seals garbage and acknowledges nothing else, or says whatever comes; or it and its friends
    join again and again and are silent then. Its word comes first in every commit. A hostile seat
    is one of four or more: with fewer, f is 0 and it stops the network anyway.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        random = self.random
        has_seat = random.random() < 0.4
        founders = [actor(f"n{i}") for i in range(random.randrange(4 if has_seat else 1, 8))]
        joiners = [actor(f"j{i}") for i in range(random.randrange(1, 4))]
        bad = founders[0] if has_seat else actor("bad")
        self.habit = random.choice((self.vanishing, self.sealing_garbage, self.anything))
        self.hostile = [bad]
        if self.habit == self.vanishing:
            self.hostile += [actor(f"friend{i}") for i in range(3)]
        honest = [one for one in (*founders, *joiners) if one != bad]
        self.actors = [*self.hostile, *honest]
        self.leaving_odds = self.amending_odds = 0.0
        self.world = World(founders)
        self.link = first_link(self.world)

    def step(self) -> None:
        """A commit every few seconds."""
        world, random = self.world, self.random
        if random.random() < 0.3:
            world.checkpoint()
        events = [data for one in self.actors for data in self.said_by(one)]
        before = world.roster
        world.commit(*events, ms=random.randrange(10_000), rounds=random.choice((1, 5, 20)))
        self.check(before, events)

    def said_by(self, one: Actor) -> list[bytes]:
        if one in self.hostile:
            return self.habit(one)
        return [] if self.random.random() < 0.3 else self.honest_words(one)

    def vanishing(self, one: Actor) -> list[bytes]:
        return [self.world.join(one)]

    def sealing_garbage(self, one: Actor) -> list[bytes]:
        world, change = self.world, self.world.roster.change
        if change is None:
            return [world.join(one), world.intent(one)]
        own = [i for i, proposal in enumerate(change.proposals) if proposal.node == one.node]
        return [world.prekey(one), world.rekey(one), *(self.ack(one, number) for number in own)]

    def anything(self, one: Actor) -> list[bytes]:
        words = [self.hostile_word(one) for _ in range(4)]
        return [data for data in words if not isinstance(parse_event(data).body, Accusation)]


def first_link(world: World) -> Link:
    record = EpochRecord(
        network=NETWORK,
        epoch=0,
        predecessor=hashing.ZERO_DIGEST,
        seats=tuple(one.seat for one in world.roster.members),
        policy_digest=hashing.ZERO_DIGEST,
        governors=(),
        governor_threshold=0,
        measurements=(),
        coin_anchor=hashing.ZERO_DIGEST,
        epoch_key=hashing.ZERO_DIGEST,
        close_commit=0,
        close_chain=hashing.ZERO_DIGEST,
        state_root=hashing.ZERO_DIGEST,
        outcomes_root=hashing.ZERO_DIGEST,
        ledger_time_ms=0,
        protocol=1,
    )
    return Link(record, record_digest(codec.encode(record)))
