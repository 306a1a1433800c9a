"""A member that was sent garbage takes the secret from whoever holds it, whatever others say."""

from functools import partial

from msgspec.structs import replace

from ccp2p.consensus.messages import Equivocation, SignedHeader
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership.events import Acknowledgement, CloseIntent, Prekey, Renewal, parse_event
from ccp2p.membership.means import Moment
from ccp2p.membership.roster import Amended, Change, Proposal, Roster
from ccp2p.model.genesis import Parameters
from ccp2p.node.at_rest import coming_shares
from ccp2p.node.roster_keeper import first_roster
from ccp2p.node.steward import STEWARD, Steward
from ccp2p.sealing.secrets import EpochSecrets
from ccp2p.sealing.shares import boxes
from ccp2p.simulator.founding import Founded, found

COIN_LENGTH = 256
HONEST, HOSTILE = b"h" * 32, b"x" * 32
SECRETS = EpochSecrets(b"s" * 32, COIN_LENGTH)
KEY = SECRETS.epoch_key.public


def steward_of(founded: Founded, **options: object) -> Steward:
    return Steward(
        network=founded.network,
        epoch=0,
        identity=founded.identities[1],
        coin_length=COIN_LENGTH,
        vendor_cap="none",
        randomness=bytes,
        secret=bytes(32),
        record=bytes(32),
        evidence=lambda anchor: anchor,
        **options,
    )


def frozen(founded: Founded) -> Roster:
    """A change whose first proposal was acknowledged by seat 0; seat 1 was sent garbage."""
    roster = first_roster(founded.link.record)
    proposal = Proposal(HONEST, SECRETS.coin.anchor, KEY, (b"garbage",) * 4, 0)
    prekeys = (b"k" * 32,) * 4
    return replace(
        roster, change=Change(10, 0, roster.members, prekeys, (proposal,), ((0,), (), (), ()))
    )


def acknowledged(steward: Steward, roster: Roster, now_ms: int) -> bool:
    acts = steward.act(roster, Moment(12, 12, 0), now_ms)
    bodies = [parse_event(event).body for event in acts.events]
    return Acknowledgement(0, 0) in bodies


def test_a_secret_that_is_the_proposals_is_taken_from_whoever_hands_it_over():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    steward, roster = steward_of(founded), frozen(founded)
    assert not acknowledged(steward, roster, 0)
    assert [proposal.epoch_key for proposal in steward.lacking(roster)] == [KEY]
    steward.hear_secret(HONEST, KEY, SECRETS.secret)
    for size in (0, 31, 32, 33, 1 << 20):
        steward.hear_secret(HOSTILE, KEY, bytes(size))
        steward.hear_secret(HOSTILE, b"another key".ljust(32), bytes(size))
    assert acknowledged(steward, roster, 10_000)
    assert steward.secret_of(KEY) == SECRETS.secret


def test_what_nobody_asked_for_is_not_kept():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    steward, roster = steward_of(founded), frozen(founded)
    steward.hear_secret(HONEST, KEY, SECRETS.secret)
    assert not acknowledged(steward, roster, 0)
    steward.hear_secret(HOSTILE, KEY, b"another secret".ljust(32))
    assert not acknowledged(steward, roster, 10_000)
    assert steward.secret_of(KEY) is None


def test_nothing_is_said_of_the_next_epochs_roster():
    """It is there as soon as CLOSE is executed, and its seats have other numbers."""
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    steward, roster = steward_of(founded), first_roster(founded.link.record)
    shown = SignedHeader(b"header", bytes(64))
    steward.accuse(Equivocation(3, 1, shown, shown))
    at = Moment(12, 12, 0)
    assert len(steward.act(roster, at, 0).events) == 1
    smaller = replace(roster, epoch=1, members=roster.members[:2])
    assert steward.act(smaller, at, 60_000).events == []


def test_a_prekey_is_given_for_as_long_as_none_is_in():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    steward, roster = steward_of(founded), frozen(founded)
    assert roster.change is not None
    without = replace(roster, change=replace(roster.change, prekeys=(b"",) * 4))
    (given,) = prekeys_in(steward, without, 0)
    assert not steward.is_present
    mine = replace(roster.change, prekeys=(b"", given, b"", b""))
    assert prekeys_in(steward, replace(roster, change=mine), 10_000) == []
    assert steward.is_present


def prekeys_in(steward: Steward, roster: Roster, now_ms: int) -> list[bytes]:
    acts = steward.act(roster, Moment(1_000, 1_000, 0), now_ms)
    bodies = [parse_event(event).body for event in acts.events]
    return [body.key for body in bodies if isinstance(body, Prekey)]


def test_a_prekey_that_close_left_in_shows_presence_of_the_object_that_made_it():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    steward, roster = steward_of(founded), frozen(founded)
    assert roster.change is not None
    without = replace(roster, change=replace(roster.change, prekeys=(b"",) * 4))
    acts = steward.act(without, Moment(12, 12, 0), 0)
    restarted = steward_of(founded, kept=acts.meta[STEWARD])
    (given,) = prekeys_in(restarted, without, 0)
    closed = replace(roster.change, prekeys=(b"", given, b"", b""))
    for one, is_present in ((steward, True), (restarted, False)):
        one.see(roster.change)
        assert not one.is_present
        one.see(closed)
        assert one.is_present == is_present


def test_a_newcomer_acknowledges_once_its_prekey_is_in():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    roster = frozen(founded)
    assert roster.change is not None
    given = roster.change.prekeys
    lacking = (given[0], b"", *given[2:])
    others = tuple(one for one in roster.members if one is not roster.members[1])
    for members, prekeys, expected in (
        (others, lacking, False),
        (others, given, True),
        (roster.members, lacking, True),
    ):
        now = replace(roster, members=members, change=replace(roster.change, prekeys=prekeys))
        steward = steward_of(founded)
        assert not acknowledged(steward, now, 0)
        steward.hear_secret(HONEST, KEY, SECRETS.secret)
        assert acknowledged(steward, now, 10_000) == expected


def test_a_policy_to_come_is_shown_fresh_evidence_until_it_is_known_to_be_satisfied():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH))
    steward, roster = steward_of(founded), first_roster(founded.link.record)
    at = Moment(12, 12, 0)
    assert steward.act(roster, at, 0).events == []
    adopted = replace(roster, adopted=Amended(b"a" * 32, 0, (), b"q" * 32, "none"))

    def said(now: Roster, now_ms: int) -> list[object]:
        return [parse_event(event).body for event in steward.act(now, at, now_ms).events]

    assert said(adopted, 0) == [Renewal(bytes(32), bytes(32)), CloseIntent(0)]
    assert said(adopted, 2_999) == []
    anchored = replace(adopted, anchors=((1, b"c" * 32),))
    assert Renewal(b"c" * 32, b"c" * 32) in said(anchored, 3_000)
    own = roster.members[1]
    known = replace(own, policies=(*own.policies, b"q" * 32))
    members = tuple(known if one is own else one for one in roster.members)
    assert said(replace(anchored, members=members), 9_000) == [CloseIntent(0)]


def test_a_proposal_is_acknowledged_only_with_the_recovery_shares_that_follow_from_it():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH, at_rest="group"))
    record = founded.link.record
    expected = partial(coming_shares, founded.genesis.parameters, record)
    good = expected(SECRETS.secret, frozen(founded))
    assert len(good) == len(record.governors) == 1
    swapped = bytes([good[0][0] ^ 1]) + good[0][1:]
    for offered, holds in ((good, True), ((), False), ((swapped,), False), (good * 2, False)):
        steward, roster = steward_of(founded, shares=expected), with_shares(founded, offered)
        assert not acknowledged(steward, roster, 0)
        steward.hear_secret(HONEST, KEY, SECRETS.secret)
        assert acknowledged(steward, roster, 10_000) == holds


def with_shares(founded: Founded, offered: tuple[bytes, ...]) -> Roster:
    roster = frozen(founded)
    assert roster.change is not None
    proposals = tuple(replace(one, shares=offered) for one in roster.change.proposals)
    return replace(roster, change=replace(roster.change, proposals=proposals))


def test_what_is_proposed_shares_among_the_governors_to_come():
    founded = found(4, 1, Parameters(coin_length=COIN_LENGTH, at_rest="group"))
    parameters, record = founded.genesis.parameters, founded.link.record
    keys = tuple(SigningKey(bytes([90 + number]) * 32).public for number in range(3))
    amended = Amended(b"a" * 32, 0, (), b"", "none", governors=keys, governor_threshold=2)
    roster = frozen(founded)
    assert roster.change is not None
    assert len(coming_shares(parameters, record, SECRETS.secret, roster)) == 1
    adopted = replace(
        roster, adopted=amended, change=replace(roster.change, amendment=amended.digest)
    )
    expected = boxes(SECRETS.secret, keys, 2)
    assert coming_shares(parameters, record, SECRETS.secret, adopted) == expected
    lapsed = replace(roster, adopted=replace(amended, has_lapsed=True))
    assert len(coming_shares(parameters, record, SECRETS.secret, lapsed)) == 1
    alone = replace(roster, change=replace(roster.change, members=roster.members[:1]))
    assert coming_shares(parameters, record, SECRETS.secret, alone) == ()
    assert coming_shares(Parameters(), record, SECRETS.secret, roster) == ()
