"""A log of membership events: actors with real keys, commits, ledger time, and a roster.

Evidence is a stand-in that says which node and anchor it is bound to, and which chip made it: the
verifier is an argument of the rules.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ccp2p.crypto.signatures import SigningKey, verify
from ccp2p.membership import beacon, rules, sharing
from ccp2p.membership.events import (
    Accusation,
    Acknowledgement,
    Body,
    Candidacy,
    CloseIntent,
    Contribution,
    Holding,
    JoinRequest,
    LeaveRequest,
    Opening,
    Prekey,
    Rekey,
    Renewal,
    consent_bytes,
    encode_event,
    parse_event,
    signed_bytes,
)
from ccp2p.membership.means import Judged, Means, Moment
from ccp2p.membership.roster import Amended, Member, Proposal, Roster
from ccp2p.membership.sampling import Sampling
from ccp2p.model import block as blocks
from ccp2p.model import codec, hashing, limits
from ccp2p.model.block import BlockHeader
from ccp2p.model.errors import AttestationFault, PeerFault

NETWORK = b"N" * 32
INVITE = b"invite"
POLICY = b"P" * 32


@dataclass(frozen=True)
class Actor:
    """A node: its key, and the chip that it runs on."""

    name: str
    key: SigningKey = field(compare=False)
    platform: bytes
    vendor: str

    @property
    def node(self) -> bytes:
        return self.key.public


def actor(name: str, platform: str | None = None, vendor: str = "sim-a") -> Actor:
    """`platform` is a chip's name: the actor's own by default, none when empty."""
    seed = hashing.digest(hashing.SIMULATED, name.encode())
    chip = name if platform is None else platform
    chip_id = hashing.digest(hashing.PLATFORM, chip.encode()) if chip else b""
    return Actor(name, SigningKey(seed), chip_id, vendor)


def actors(count: int, vendors: str = "a") -> list[Actor]:
    return [actor(f"n{i}", vendor=f"sim-{vendors[i % len(vendors)]}") for i in range(count)]


def member(one: Actor, since_epoch: int = 0) -> Member:
    return Member(
        one.node,
        one.node[::-1],
        one.platform,
        one.vendor,
        "simulated",
        (),
        (),
        since_epoch,
        policies=(POLICY,),
    )


class World:
    """The roster as every replica has it, and what was ever said."""

    def __init__(
        self, founders: list[Actor], cap: str = "none", sampling: Sampling | None = None
    ) -> None:
        self.cap = cap
        self.sampling = sampling
        self.roster = Roster(0, tuple(member(one) for one in founders), policy=POLICY)
        self.at = Moment(0, 0, 1_000_000)
        self.said: list[bytes] = []
        self.admitted: list[bytes] = []
        self.closed: rules.Closed | None = None
        self.codes: list[str] = []
        self.asleep: set[bytes] = set()
        self.adopted: Amended | None = None

    @property
    def record(self) -> bytes:
        return hashing.digest(hashing.EPOCH_RECORD, bytes([self.roster.epoch]))

    @property
    def means(self) -> Means:
        current = bytes([self.roster.epoch]) * 32
        return Means(
            NETWORK,
            self.record,
            current,
            current,
            self.cap,
            _judge,
            self._admit,
            verify,
            lambda: self.adopted,
            self.sampling,
        )

    @property
    def policies(self) -> tuple[bytes, ...]:
        """The policy in force, and one that was adopted."""
        coming = self.adopted.policy if self.adopted else b""
        return (self.roster.policy, coming) if coming else (self.roster.policy,)

    @property
    def nodes(self) -> list[bytes]:
        return [one.node for one in self.roster.members]

    def _admit(self, invite: bytes, _time_ms: int) -> None:
        if invite != INVITE:
            raise PeerFault("invite", "no such invite")
        self.admitted.append(invite)

    def say(self, who: Actor, body: Body, epoch: int | None = None) -> bytes:
        at = self.roster.epoch if epoch is None else epoch
        data = encode_event(who.node, NETWORK, at, body, who.key.sign)
        self.said.append(data)
        return data

    def order(self, data: bytes) -> None:
        """One event of the log; PeerFault when it may not count."""
        event = parse_event(data)
        if not verify(event.node, event.signature, signed_bytes(NETWORK, event.body_bytes)):
            raise PeerFault("membership", "a membership event's signature is wrong")
        self.roster = rules.apply(self.roster, event, self.at, self.means)

    def commit(self, *events: bytes, ms: int = 100, rounds: int = 1) -> list[str]:
        """A commit of these events; the codes of those refused, "" for those taken."""
        self.at = Moment(self.at.commit + 1, self.at.round + rounds, self.at.time_ms + ms)
        self.codes = []
        self.roster = rules.adopt(self.roster, self.adopted)
        for data in events:
            try:
                self.order(data)
                self.codes.append("")
            except PeerFault as fault:
                self.codes.append(fault.code)
        self.roster, self.closed = rules.advance(self.roster, self.at, self.cap, self.sampling)
        if self.closed is not None:
            self.cap = self.adopted.vendor_cap if self.closed.change.amendment else self.cap
            self.adopted = None
            self.at = Moment(0, 0, self.at.time_ms)
        return self.codes

    def checkpoint(self) -> None:
        """A checkpoint commit, with blocks of all seats that are awake."""
        self.at = Moment(self.at.commit + 1, self.at.round + 1, self.at.time_ms + 100)
        before = self.roster.last_rounds or (0,) * len(self.nodes)
        rounds = tuple(
            old if node in self.asleep else self.at.round
            for node, old in zip(self.nodes, before, strict=True)
        )
        chain = hashing.digest(hashing.COMMIT, bytes([self.roster.epoch]), str(self.at).encode())
        self.roster = rules.checkpoint(self.roster, self.at, chain, rounds)

    def wait(self, rounds: int) -> None:
        self.at = self.at._replace(round=self.at.round + rounds)
        self.checkpoint()

    def join(self, who: Actor, **changes: object) -> bytes:
        """A request bound to the newest checkpoint."""
        anchor = self.roster.anchors[-1][1] if self.roster.anchors else self.record
        fields: dict[str, object] = {
            "sealing": who.node[::-1],
            "anchor": anchor,
            "evidence": evidence(who, anchor, self.policies),
            "invite": INVITE,
            "addresses": (),
            "client_addresses": (),
            **changes,
        }
        return self.say(who, JoinRequest(**fields))  # type: ignore[arg-type]

    def take_over(self, who: Actor, old: Actor) -> bytes:
        seat = self.roster.seated(old.node)
        since = seat.since_epoch if seat else 0
        consent = old.key.sign(consent_bytes(NETWORK, since, who.node))
        return self.join(who, invite=b"", replaces=old.node, consent=consent)

    def renew(
        self, who: Actor, policies: Sequence[bytes] | None = None, anchor: bytes = b""
    ) -> bytes:
        """Fresh evidence, which satisfies the policy in force and the one to come by default."""
        if not anchor:
            anchor = self.roster.anchors[-1][1] if self.roster.anchors else self.record
        shown = evidence(who, anchor, self.policies if policies is None else policies)
        return self.say(who, Renewal(anchor, shown))

    def leave(self, who: Actor) -> bytes:
        return self.say(who, LeaveRequest())

    def intent(self, who: Actor) -> bytes:
        return self.say(who, CloseIntent(self.roster.attempt))

    def prekey(self, who: Actor) -> bytes:
        key = hashing.digest(hashing.NONCE, who.node, str(self.at).encode())
        return self.say(who, Prekey(self.roster.attempt, key))

    def rekey(self, who: Actor, **changes: object) -> bytes:
        assert self.roster.change is not None
        fresh = hashing.digest(hashing.NONCE, b"rekey", who.node, str(self.at).encode())
        sealed = tuple(b"sealed" if key else b"" for key in self.roster.change.prekeys)
        body = Rekey(self.roster.attempt, fresh, fresh[::-1], sealed)
        return self.say(who, _changed(body, changes))

    def ack(self, who: Actor, number: int = 0) -> bytes:
        return self.say(who, Acknowledgement(self.roster.attempt, number))

    def stand(self, who: Actor) -> bytes:
        return self.say(who, Candidacy())

    def contribute(self, who: Actor, spoilt: int | None = None, salt: bytes = b"") -> bytes:
        """A secret of the actor's for this epoch; the share of place `spoilt` is off the curve.

        Shares are sealed by nothing here: whoever reads the roster may see them.
        """
        size = len(self.roster.members)
        coefficients = [
            int.from_bytes(
                hashing.digest(hashing.NONCE, self.record, who.node, bytes([power]), salt)
            )
            % sharing.PRIME
            for power in range(beacon.threshold_of(size))
        ]
        shares = list(sharing.deal(coefficients, size))
        if spoilt is not None:
            shares[spoilt] = b"\1" + bytes(31)
        context = beacon.context_of(self.record, who.node)
        commitments = [sharing.commitment(context, at, one) for at, one in enumerate(shares)]
        return self.say(who, Contribution(tuple(commitments), tuple(shares)))

    def hold(self, who: Actor, *numbers: int) -> bytes:
        return self.say(who, Holding(numbers))

    def open(self, who: Actor, **changes: object) -> bytes:
        """The actor's shares of the contributions that count."""
        drawing, place = self.roster.drawing, self.nodes.index(who.node)
        assert drawing is not None
        shares = tuple(drawing.dealt[number].sealed[place] for number in drawing.counted)
        return self.say(who, Opening(**{"shares": shares, **changes}))  # type: ignore[arg-type]

    def draw(self, seats: list[Actor]) -> None:
        """The whole beacon, from the end of the registration on, by `seats`."""
        self.freeze(seats)
        self.commit(*[self.contribute(one) for one in seats])
        numbers = range(len(seats))
        self.commit(*[self.hold(one, *numbers) for one in seats])
        self.commit(*[self.open(one) for one in seats])

    def accuse(self, by: Actor, whom: Actor, signer: Actor | None = None) -> bytes:
        """Two blocks of one slot of `whom`, signed by `signer` (itself by default)."""
        author = self.nodes.index(whom.node)
        return self.say(by, accusation(signer or whom, author, self.roster.epoch))

    def freeze(self, seats: list[Actor]) -> None:
        self.commit(*[self.intent(one) for one in seats])

    def change(self, seats: list[Actor], members: list[Actor]) -> None:
        """FREEZE to CLOSE, with `members` answering as they should."""
        self.freeze(seats)
        assert self.roster.change is not None
        self.commit(*[self.prekey(one) for one in members])
        if not all(self.roster.change.prekeys):
            self.commit(rounds=limits.PREKEY_ROUNDS + 1)
        assert self.commit(self.rekey(members[0])) == [""]
        self.commit(*[self.ack(one) for one in members])

    def proposal(self, number: int = 0) -> Proposal:
        assert self.roster.change is not None
        return self.roster.change.proposals[number]


def _changed(body: Rekey, changes: dict[str, object]) -> Rekey:
    fields = {name: getattr(body, name) for name in body.__struct_fields__}
    return Rekey(**{**fields, **changes})


def evidence(who: Actor, anchor: bytes, policies: Sequence[bytes] = (POLICY,)) -> bytes:
    return codec.encode((who.node, anchor, who.platform, who.vendor, policies))


def _judge(node: bytes, _sealing: bytes, anchor: bytes, data: bytes, _at_s: int) -> Judged:
    kind = tuple[bytes, bytes, bytes, str, tuple[bytes, ...]]
    bound, to, platform, vendor, policies = codec.decode(data, kind, 4096)
    if (bound, to) != (node, anchor):
        raise AttestationFault("the evidence is of another node or time", ("binding",))
    return Judged(platform, vendor, "simulated", policies)


def accusation(
    signer: Actor, author: int, epoch: int, second: dict[str, object] | None = None
) -> Accusation:
    """Two blocks of one slot; `second` says how the second one differs from that."""
    pairs = []
    for changes in ({"payload": b"1" * 32}, {"payload": b"2" * 32, **(second or {})}):
        fields = {"network": NETWORK, "epoch": epoch, "round": 7, "author": author, **changes}
        header = BlockHeader(parents=(), coin=b"", timestamp_ms=1, **fields)  # type: ignore[arg-type]
        data = codec.encode(header)
        digest = hashing.digest(hashing.BLOCK, data)
        pairs.append((data, signer.key.sign(blocks.signed_bytes(digest))))
    return Accusation(*pairs)


def names(world: World, known: list[Actor]) -> list[str]:
    by_node = {one.node: one.name for one in known}
    return [by_node[node] for node in world.nodes]


def grown(count: int, vendors: str = "a", cap: str = "none") -> tuple[World, list[Actor]]:
    everybody = actors(count, vendors)
    return World(everybody, cap), everybody


def frozen_with_joiner(count: int) -> tuple[World, list[Actor], Actor]:
    """`count` seats that froze a committee with one more, and a proposal that all seats hold."""
    world, seats = grown(count)
    joiner = actor("late")
    world.commit(world.join(joiner))
    world.freeze(seats)
    world.commit(*[world.prekey(one) for one in (*seats, joiner)])
    world.commit(world.rekey(seats[0]))
    return world, seats, joiner
