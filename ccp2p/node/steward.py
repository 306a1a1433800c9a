"""What this node has to say about the committee's future, seen from the executed roster.

It asks for the end of the epoch when that would change who votes, shows fresh evidence to a policy
that comes in, gives its prekey, proposes secrets when its turn comes, and acknowledges a proposal
once it holds the secret and recomputed what is public of it. No IO: the driver persists `Acts.meta`
before it submits `Acts.events`. What gets lost on its way into the order is said again after a
while.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ccp2p.consensus.messages import Equivocation
from ccp2p.crypto import hpke
from ccp2p.membership import rules
from ccp2p.membership.events import (
    Accusation,
    Acknowledgement,
    Body,
    CloseIntent,
    JoinRequest,
    LeaveRequest,
    Prekey,
    Rekey,
    Renewal,
    encode_event,
)
from ccp2p.membership.means import Moment
from ccp2p.membership.roster import Change, Proposal, Roster
from ccp2p.membership.sampling import Sampling
from ccp2p.model import codec, limits
from ccp2p.model.codec import Wire
from ccp2p.model.errors import LocalFault, PeerFault
from ccp2p.node.drawing import Drawer, SealShare
from ccp2p.sealing.beacon_shares import seal_share
from ccp2p.sealing.identity import Identity
from ccp2p.sealing.secrets import SECRET_BYTES, EpochSecrets, open_from_proposer, seal_to_seat

STEWARD: Final = "steward"

_REPEAT_MS: Final = 3_000  # until something that was not ordered is said again
_TURN_MS: Final = 2_000  # between one member's turn to propose and the next one's


class Kept(Wire, frozen=True):
    """What outlives a restart, sealed: the prekey's seed and secrets by public epoch key."""

    epoch: int
    prekey_seed: bytes
    secrets: tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class Acts:
    """Encoded membership events to submit, once `meta` is on disk."""

    events: list[bytes] = field(default_factory=list)
    meta: dict[str, bytes] = field(default_factory=dict)


class Steward:
    """One node's part in the change at the end of `epoch`. One caller at a time.

    `randomness(count)` gives secret bytes. `secret` is that of `epoch`, to be handed to its
    members. `kept` is what `STEWARD` held at the start, if anything, and of whatever epoch.
    `seal` seals a secret to a prekey.
    `shares(secret, roster)` are the recovery shares that the change under way asks for.
    `ask_again(roster)` makes a join request, for a node that an epoch began without.
    `evidence(anchor)` is fresh evidence bound to a checkpoint, or to `record`, the epoch's digest.
    `sampling` is how a mesh draws its committee, `begun_ms` the ledger time of its epoch's record.

    `is_present`: a prekey that this very object made was ordered. So the epoch ends after it was
    made, and this node, whatever disk its host gave it, signed nothing of the next epoch before.
    """

    drawer_kind: type[Drawer] = Drawer

    def __init__(
        self,
        *,
        network: bytes,
        epoch: int,
        identity: Identity,
        coin_length: int,
        vendor_cap: str,
        randomness: Callable[[int], bytes],
        secret: bytes,
        record: bytes,
        evidence: Callable[[bytes], bytes],
        kept: bytes | None = None,
        seal: Callable[[bytes, bytes, bytes, int], bytes] = seal_to_seat,
        shares: Callable[[bytes, Roster], tuple[bytes, ...]] = lambda _secret, _roster: (),
        ask_again: Callable[[Roster], JoinRequest] | None = None,
        sampling: Sampling | None = None,
        begun_ms: int = 0,
        seal_share: SealShare = seal_share,
    ) -> None:
        self._network = network
        self._epoch = epoch
        self._identity = identity
        self._coin_length = coin_length
        self._vendor_cap = vendor_cap
        self._randomness = randomness
        self._seal = seal
        self._shares = shares
        self._ask_again = ask_again
        self._record = record
        self._evidence = evidence
        self._sampling = sampling
        self._begun_ms = begun_ms
        self._drawer = self.drawer_kind(identity, record, sampling, seal_share, randomness)
        self._secrets: dict[bytes, bytes] = {}
        self._ready: dict[bytes, EpochSecrets] = {}
        self._said: dict[str, int] = {}
        self._opened: set[bytes] = set()
        self._offered: dict[tuple[bytes, bytes], bytes] = {}
        self._turn_ms: int | None = None
        self._accusations: dict[int, Accusation] = {}
        self._prekey_seed = b""
        self._made_prekey = False
        self.is_present = False
        self.is_leaving = False
        self.must_close = False
        self._current = (EpochSecrets.public_key(secret), secret)
        if kept:
            self._restore(codec.decode(kept, Kept, limits.MAX_FRAME_BYTES, LocalFault))

    def see(self, change: Change) -> None:
        """Note whose prekeys were ordered, also as CLOSE left them: see `is_present`.

        Who executes all of a change at once acts on none of it before it is over.
        """
        place = change.index_of(self._identity.node)
        if self._made_prekey and place is not None:
            self.is_present |= change.prekeys[place] == self._prekey().public

    def accuse(self, pair: Equivocation) -> None:
        """Bring two blocks of one slot before the order: their author is to be expelled."""
        first, second = (
            (bytes(shown.header), bytes(shown.signature)) for shown in (pair.first, pair.second)
        )
        self._accusations.setdefault(pair.author, Accusation(first, second))

    def secret_of(self, epoch_key: bytes) -> bytes | None:
        """The secret behind a public epoch key, if this node holds it."""
        if epoch_key == self._current[0]:
            return self._current[1]
        return self._secrets.get(epoch_key)

    def lacking(self, roster: Roster) -> list[Proposal]:
        """Proposals whose secret must be asked of a member that acknowledged them."""
        change = roster.change
        if change is None or change.index_of(self._identity.node) is None:
            return []
        return [
            proposal
            for number, proposal in enumerate(change.proposals)
            if proposal.epoch_key not in self._secrets
            and proposal.epoch_key in self._opened
            and any(number in acks for acks in change.acks)
        ]

    def hear_secret(self, node: bytes, epoch_key: bytes, secret: bytes) -> None:
        """Keep what a peer hands over until the next `act`, if it can be what is lacking.

        Each peer's word for a proposal has its own place: nobody's garbage displaces another's.
        """
        is_lacking = epoch_key in self._opened and epoch_key not in self._secrets
        if is_lacking and len(secret) == SECRET_BYTES:
            self._offered[(node, epoch_key)] = secret

    def take_secrets(self, epoch_key: bytes) -> EpochSecrets | None:
        """The next epoch's secrets, recomputed already where that was done."""
        ready = self._ready.get(epoch_key)
        secret = self._secrets.get(epoch_key)
        if ready is not None or secret is None:
            return ready
        return EpochSecrets(secret, self._coin_length)

    def adopt(self, secrets: EpochSecrets) -> None:
        """Hold the secrets of a recovery, to begin its epoch with and to hand out."""
        epoch_key = secrets.epoch_key.public
        self._secrets[epoch_key] = secrets.secret
        self._ready[epoch_key] = secrets

    def act(self, roster: Roster, at: Moment, now_ms: int) -> Acts:
        """What to submit now: nothing, once the roster is that of the next epoch.

        May recompute a coin chain, which takes seconds: not in the loop.
        """
        acts = Acts()
        if roster.epoch != self._epoch:
            return acts
        before = self._kept()
        self._try_offered(roster)
        for name, body in self._wanted(roster, at, now_ms):
            if not self._is_due(name, now_ms):
                continue
            self._said[name] = now_ms
            sign = self._identity.signing.sign
            acts.events.append(
                encode_event(self._identity.node, self._network, self._epoch, body, sign)
            )
        if self._kept() != before:
            acts.meta[STEWARD] = codec.encode(self._kept())
        return acts

    def _wanted(self, roster: Roster, at: Moment, now_ms: int) -> list[tuple[str, Body]]:
        node = self._identity.node
        wanted: list[tuple[str, Body]] = []
        seated = roster.seated(node) is not None
        is_here = seated or roster.following(node) is not None
        if self.is_leaving and is_here and node not in roster.leaving:
            wanted.append(("leave", LeaveRequest()))
        if self._ask_again is not None and self._fell_out(roster) and self._is_due("join", now_ms):
            wanted.append(("join", self._ask_again(roster)))
        if self._must_renew(roster, now_ms):
            anchor = roster.anchors[-1][1] if roster.anchors else self._record
            wanted.append(("renew", Renewal(anchor, self._evidence(anchor))))
        for author, accusation in sorted(self._accusations.items()):
            if seated and roster.members[author].node not in roster.expelled:
                wanted.append((f"accuse {author}", accusation))
        wanted.extend(self._drawer.wanted(roster, now_ms))
        change = roster.change
        if change is None:
            self._turn_ms = None
            if seated and node not in roster.intents and self._is_end_due(roster, at):
                wanted.append((f"close {roster.attempt}", CloseIntent(roster.attempt)))
            return wanted
        place = change.index_of(node)
        if place is not None:
            wanted.extend(self._rekey(roster, change, place, at, now_ms))
        return wanted

    def _is_end_due(self, roster: Roster, at: Moment) -> bool:
        """Whether the epoch should end. Who may ask for it works this out, which is dear."""
        elapsed_ms = at.time_ms - self._begun_ms
        return self.must_close or rules.is_due(roster, self._vendor_cap, self._sampling, elapsed_ms)

    def _must_renew(self, roster: Roster, now_ms: int) -> bool:
        """Whether our evidence is not known to satisfy the policy that is in force or comes in."""
        own = roster.seated(self._identity.node) or roster.following(self._identity.node)
        is_due = now_ms >= self._said.get("renew", -_REPEAT_MS) + _REPEAT_MS
        return own is not None and roster.is_stale(own) and is_due

    def _rekey(
        self, roster: Roster, change: Change, place: int, at: Moment, now_ms: int
    ) -> list[tuple[str, Body]]:
        wanted: list[tuple[str, Body]] = []
        node, attempt = self._identity.node, roster.attempt
        self.see(change)
        if not change.prekeys[place]:
            wanted.append((f"prekey {attempt}", Prekey(attempt, self._prekey().public)))
        if rules.may_propose(change, node, at) and self._is_my_turn(change, place, now_ms):
            name = f"rekey {attempt}"
            if self._is_due(name, now_ms):
                wanted.append((name, self._proposal(roster, change)))
        for number, proposal in enumerate(change.proposals):
            self._open(place, proposal, roster)
            # A newcomer whose prekey lacks would have to look for a floor in the next epoch: those
            # who count on its word then would wait for it.
            may_begin = bool(change.prekeys[place]) or roster.seated(node) is not None
            is_held = proposal.epoch_key in self._secrets
            if is_held and may_begin and not change.has_acked(place, number):
                wanted.append((f"ack {attempt} {number}", Acknowledgement(attempt, number)))
        return wanted

    def _is_due(self, name: str, now_ms: int) -> bool:
        return now_ms >= self._said.get(name, -_REPEAT_MS) + _REPEAT_MS

    def _fell_out(self, roster: Roster) -> bool:
        """Whether this epoch began without a seat for this node, and with no request of it."""
        own = roster.following(self._identity.node)
        return own is not None and own.anchor < 0 and (own.platform_id, -1) in roster.left_out

    def _is_my_turn(self, change: Change, place: int, now_ms: int) -> bool:
        """Members propose one after the other: each new proposal begins with the next of them."""
        if self._turn_ms is None:
            self._turn_ms = now_ms
        turn = (place - len(change.proposals)) % len(change.members)
        return now_ms >= self._turn_ms + turn * _TURN_MS

    def _proposal(self, roster: Roster, change: Change) -> Rekey:
        secrets = EpochSecrets(self._randomness(SECRET_BYTES), self._coin_length)
        epoch_key = secrets.epoch_key.public
        self._secrets[epoch_key] = secrets.secret
        self._ready[epoch_key] = secrets
        sealed = tuple(self._sealed_to(key, secrets.secret) for key in change.prekeys)
        shares = self._shares(secrets.secret, roster)
        return Rekey(roster.attempt, secrets.coin.anchor, epoch_key, sealed, shares)

    def _sealed_to(self, prekey: bytes, secret: bytes) -> bytes:
        """`secret` for one member; bytes that do not open, where its prekey cannot be sealed to."""
        if not prekey:
            return b""
        try:
            return self._seal(secret, prekey, self._network, self._epoch + 1)
        except ValueError:
            return self._randomness(limits.MAX_SEALED_SECRET_BYTES)

    def _open(self, place: int, proposal: Proposal, roster: Roster) -> None:
        """Try once what is sealed to our prekey; garbage leaves us to ask who acknowledged."""
        if proposal.epoch_key in self._opened:
            return
        self._opened.add(proposal.epoch_key)
        if proposal.epoch_key in self._secrets or not proposal.sealed[place]:
            return
        try:
            secret = open_from_proposer(
                proposal.sealed[place], self._prekey(), self._network, self._epoch + 1
            )
        except PeerFault:
            return
        self._hold(proposal, secret, roster)

    def _try_offered(self, roster: Roster) -> None:
        offered, self._offered = self._offered, {}
        for proposal in roster.change.proposals if roster.change else ():
            for (_, epoch_key), secret in offered.items():
                if epoch_key == proposal.epoch_key:
                    self._hold(proposal, secret, roster)

    def _hold(self, proposal: Proposal, secret: bytes, roster: Roster) -> None:
        """Keep a secret when all that is public of the proposal follows from it."""
        if EpochSecrets.public_key(secret) != proposal.epoch_key:
            return  # garbage costs no walk of a coin chain
        if self._shares(secret, roster) != proposal.shares:
            return
        secrets = EpochSecrets(secret, self._coin_length)
        if secrets.coin.anchor == proposal.coin_anchor:
            self._secrets[proposal.epoch_key] = secret
            self._ready[proposal.epoch_key] = secrets

    def _prekey(self) -> hpke.PrivateKey:
        if not self._prekey_seed:
            self._prekey_seed = self._randomness(hpke.KEY_BYTES)
            self._made_prekey = True
        return hpke.PrivateKey(self._prekey_seed)

    def _kept(self) -> Kept:
        return Kept(self._epoch, self._prekey_seed, tuple(sorted(self._secrets.items())))

    def _restore(self, kept: Kept) -> None:
        if kept.epoch == self._epoch:
            self._prekey_seed = kept.prekey_seed
            self._secrets = dict(kept.secrets)
