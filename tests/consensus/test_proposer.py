"""When our blocks are made and what goes into them."""

import pytest

from ccp2p.consensus.core import Consensus
from ccp2p.consensus.decide import SKIP_WAVE
from ccp2p.consensus.messages import BlocksReceived, Output, PayloadOffered, Resumed, Tick
from ccp2p.consensus.validity import Rules, check_block
from ccp2p.model import limits
from ccp2p.model.block import Block, Payload, VerifiedBlock
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import ROOT, Drawing, make_block
from tests.consensus.world import COIN, NETWORK, START_MS, committee_of, consensus_of

PARAMETERS = Parameters(coin_length=COIN.length, min_round_delay_ms=40, max_round_delay_ms=1000)
RULES = Rules.of(NETWORK, committee_of(4), PARAMETERS)


class Driver:
    """Seat A of four, whose peers B, C and D are drawn."""

    def __init__(self, may_propose: bool = True, parameters: Parameters = PARAMETERS) -> None:
        self.core: Consensus = consensus_of(4, 0, parameters, may_propose=may_propose)
        self.drawing = Drawing(4)
        self.made: list[VerifiedBlock] = []
        self.now_ms = START_MS

    def handle(self, event, after_ms: int = 0) -> Output:
        self.now_ms += after_ms
        output = self.core.handle(event, self.now_ms)
        for push in output.send:
            for block in push.blocks if push.peer is None else ():
                check_block(Block.parse(block.to_bytes()), RULES)
                self.made.append(block)
        return output

    def tick(self, after_ms: int = 0) -> Output:
        return self.handle(Tick(), after_ms)

    def receive(self, *authors: int, round_: int, after_ms: int = 0) -> Output:
        """Blocks of these authors whose parents are ours and theirs of the round below."""
        blocks = []
        for author in authors:
            own = self.core.newest_by_author[author] or ROOT
            below = [one for one in self.at(round_ - 1) if one.author != author]
            parents = [own, *below] if round_ > 1 else [ROOT]
            blocks.append(make_block(author, round_, parents))
        return self.handle(BlocksReceived(authors[0], tuple(blocks)), after_ms)

    def at(self, round_: int) -> list:
        newest = [one for one in self.core.newest_by_author if one is not None]
        own = [block.reference for block in self.made]
        found = [one for one in {*newest, *own} if one.round == round_]
        return sorted(found, key=lambda one: one.author)


def test_the_first_block_is_made_at_once_and_names_the_root() -> None:
    driver = Driver()
    driver.tick()
    (block,) = driver.made
    assert block.header.parents == (ROOT,)
    assert driver.core.own_newest == block.reference
    assert block.header.timestamp_ms == START_MS


def test_nothing_is_proposed_without_a_quorum() -> None:
    driver = Driver()
    driver.tick()
    driver.receive(1, round_=1)
    driver.tick(10_000)
    assert {block.reference.round for block in driver.made} == {1}


def test_an_idle_node_proposes_after_the_longest_delay() -> None:
    driver = Driver()
    driver.tick()
    output = driver.receive(1, 2, round_=1)
    assert output.wake_ms == START_MS + 1000
    driver.tick(999)
    assert len(driver.made) == 1
    driver.tick(1)
    assert len(driver.made) == 2


def test_a_busy_node_waits_for_nothing_until_something_can_be_decided_and_then_a_little() -> None:
    driver = Driver()
    driver.tick()
    driver.handle(PayloadOffered(envelopes=(b"event",)))
    for round_ in range(1, SKIP_WAVE):
        driver.receive(1, 2, round_=round_)
        assert [block.reference.round for block in driver.made] == [*range(1, round_ + 2)]
    assert driver.now_ms == START_MS
    driver.handle(PayloadOffered(envelopes=(b"another",)))
    output = driver.receive(1, 2, round_=SKIP_WAVE)
    assert output.wake_ms == START_MS + 40
    driver.tick(39)
    assert len(driver.made) == SKIP_WAVE
    driver.tick(1)
    assert len(driver.made) == SKIP_WAVE + 1


def test_another_nodes_events_make_us_busy_until_they_are_committed() -> None:
    driver = Driver()
    driver.tick()
    loaded = make_block(1, 1, [ROOT], content=Payload(envelopes=(b"event",)))
    driver.handle(BlocksReceived(1, (loaded,)))
    driver.receive(2, round_=1)
    assert len(driver.made) == 2
    commits = []
    for round_ in range(2, 7):
        driver.tick(40)
        commits += driver.receive(1, 2, 3, round_=round_).commits
    assert commits
    delay_ms = driver.tick().wake_ms - driver.now_ms
    assert delay_ms > 800


def test_checkpoint_votes_do_not_hurry_an_idle_network() -> None:
    driver = Driver()
    driver.tick()
    driver.handle(PayloadOffered(votes=(b"vote",)))
    assert driver.receive(1, 2, round_=1).wake_ms == START_MS + 1000
    driver.tick(1000)
    assert driver.made[-1].payload.votes == (b"vote",)


def test_the_own_block_is_parent_0_and_all_known_newest_blocks_follow() -> None:
    driver = Driver()
    driver.tick()
    driver.receive(1, 2, 3, round_=1)
    driver.tick(1000)
    parents = driver.made[-1].header.parents
    assert parents[0] == driver.made[0].reference
    assert [(one.round, one.author) for one in parents] == [(1, 0), (1, 1), (1, 2), (1, 3)]


def test_a_late_block_is_named_once_by_a_weak_link() -> None:
    driver = Driver()
    driver.tick()
    driver.receive(1, 2, round_=1)
    driver.tick(1000)
    driver.receive(1, 2, round_=2)
    late = make_block(3, 1, [ROOT])
    driver.handle(BlocksReceived(3, (late,)))
    driver.tick(1000)
    assert driver.made[-1].header.parents[-1] == late.reference
    driver.receive(1, 2, round_=3)
    driver.tick(1000)
    assert late.reference not in driver.made[-1].header.parents


def test_a_node_that_fell_behind_jumps_to_the_newest_round() -> None:
    driver = Driver()
    driver.tick()
    others = Drawing(4)
    others.full_rounds(1, 6, "BCD")
    driver.handle(BlocksReceived(1, tuple(others.blocks.values())))
    driver.tick(1000)
    assert [block.reference.round for block in driver.made] == [1, 7]
    parents = driver.made[-1].header.parents
    assert parents[0] == driver.made[0].reference
    assert [one.round for one in parents[1:]] == [6, 6, 6]


def test_of_an_equivocators_blocks_the_first_seen_is_named() -> None:
    driver = Driver()
    driver.tick()
    first, second = make_block(1, 1, [ROOT], 1), make_block(1, 1, [ROOT], 2)
    driver.handle(BlocksReceived(1, (second, first)))
    driver.receive(2, round_=1)
    driver.tick(1000)
    assert second.reference in driver.made[-1].header.parents
    assert first.reference not in driver.made[-1].header.parents


def test_until_it_has_resumed_a_node_follows_without_proposing() -> None:
    driver = Driver(may_propose=False)
    others = Drawing(4)
    others.full_rounds(1, 6, "BCD")
    output = driver.handle(BlocksReceived(1, tuple(others.blocks.values())))
    assert output.commits
    driver.tick(10_000)
    assert driver.made == []
    driver.handle(Resumed(9))
    driver.tick(10_000)
    assert driver.made == []
    others.full_rounds(7, 8, "BCD")
    newest = [others[name] for name in others.expand("BCD7 BCD8")]
    driver.handle(BlocksReceived(1, tuple(newest)))
    assert [block.reference.round for block in driver.made] == [9]


def test_the_newest_block_is_sent_again_while_no_quorum_answers() -> None:
    driver = Driver()
    output = driver.tick()
    assert output.wake_ms == START_MS + limits.RESEND_MS
    driver.tick(limits.RESEND_MS)
    assert [block.reference.round for block in driver.made] == [1, 1]
    driver.receive(1, 2, round_=1)
    driver.tick(1000)
    assert driver.made[-1].reference.round == 2


def test_a_block_takes_what_fits_and_leaves_the_rest() -> None:
    driver = Driver()
    driver.tick()
    many = tuple(b"%d" % number for number in range(limits.MAX_ENVELOPES_PER_BLOCK + 5))
    driver.handle(PayloadOffered(envelopes=many, votes=(b"v",) * 20, membership=(b"m",) * 20))
    driver.receive(1, 2, round_=1, after_ms=40)
    payload = driver.made[-1].payload
    assert payload.envelopes == many[: limits.MAX_ENVELOPES_PER_BLOCK]
    assert len(payload.votes) == limits.MAX_VOTES_PER_BLOCK
    assert len(payload.membership) == limits.MAX_MEMBERSHIP_EVENTS_PER_BLOCK
    assert driver.core.pending_payload[0] == 5 + 4 + 4


@pytest.mark.parametrize("size", [30_000, limits.MAX_ENVELOPE_BYTES])
def test_a_full_block_stays_within_its_bytes(size: int) -> None:
    driver = Driver()
    driver.tick()
    driver.handle(PayloadOffered(envelopes=(bytes(size),) * 60, membership=(bytes(300_000),)))
    driver.receive(1, 2, round_=1, after_ms=40)
    payload_bytes = driver.made[-1].payload_bytes
    assert limits.MAX_PAYLOAD_BYTES - 2 * size < len(payload_bytes) <= limits.MAX_PAYLOAD_BYTES


def test_the_largest_single_item_fits_a_block_and_a_larger_one_is_refused() -> None:
    driver = Driver()
    driver.tick()
    largest = limits.MAX_PAYLOAD_BYTES - 21
    offered = PayloadOffered(membership=(bytes(largest), bytes(largest + 1)))
    assert driver.handle(offered).refused == 1
    driver.receive(1, 2, round_=1, after_ms=40)
    assert driver.made[-1].payload.membership == (bytes(largest),)


def test_what_does_not_fit_the_queue_is_refused_and_counted() -> None:
    driver = Driver(may_propose=False)
    small = PayloadOffered(envelopes=(b"x",) * (limits.ENVELOPE_QUEUE + 3))
    assert driver.handle(small).refused == 3
    assert driver.handle(PayloadOffered(votes=(b"v",) * (limits.VOTE_QUEUE + 1))).refused == 1
    oversized = PayloadOffered(envelopes=(bytes(limits.MAX_ENVELOPE_BYTES + 1),))
    assert Driver().handle(oversized).refused == 1


def test_the_queue_is_bounded_in_bytes() -> None:
    driver = Driver(may_propose=False)
    envelope = bytes(60_000)
    refused = driver.handle(PayloadOffered(envelopes=(envelope,) * 1200)).refused
    assert refused == 1200 - limits.ENVELOPE_QUEUE_BYTES // 60_000
    assert driver.core.pending_payload[1] <= limits.ENVELOPE_QUEUE_BYTES


def test_a_clock_set_back_delays_a_block_by_one_delay_only() -> None:
    driver = Driver()
    driver.tick()
    output = driver.receive(1, 2, round_=1, after_ms=-500_000)
    assert output.wake_ms == driver.now_ms + 1000


def test_history_that_a_peer_seems_to_lack_is_sent_along() -> None:
    driver = Driver()
    driver.tick()
    quiet = make_block(3, 1, [ROOT])
    driver.handle(BlocksReceived(3, (quiet,)))
    driver.receive(1, 2, round_=1)
    driver.tick(1000)
    below = driver.at(1)
    quiet = make_block(3, 2, [below[3], *below[:3]])
    driver.handle(BlocksReceived(3, (quiet,)))
    for author in (1, 2):
        own = below[author]
        others = [below[one] for one in (0, 1, 2) if one != author]
        driver.handle(BlocksReceived(author, (make_block(author, 2, [own, *others]),)))
    output = driver.tick(1000)
    pushed = {push.peer: push.blocks for push in output.send if push.peer is not None}
    assert pushed == {1: (quiet,), 2: (quiet,)}


@pytest.mark.parametrize("is_starting", [False, True])
def test_a_halted_node_signs_nothing_more_and_follows_on(is_starting: bool):
    driver = Driver(may_propose=not is_starting)
    driver.tick()
    made = len(driver.made)
    assert made == (0 if is_starting else 1)
    driver.core.halt()
    for author in (1, 2, 3):
        driver.receive(author, round_=1)
    driver.handle(Resumed(1), 5_000)
    driver.handle(PayloadOffered((b"late",)), 5_000)
    driver.tick(60_000)
    own = [block for block in driver.made[made:] if block not in driver.made[:made]]
    assert own == []
    assert driver.core.round == 2


def test_a_closed_node_holds_no_blocks_and_makes_none():
    driver = Driver()
    driver.tick()
    driver.receive(1, 2, 3, round_=1)
    assert driver.core.round == 2
    made = len(driver.made)
    driver.core.close()
    assert driver.core.admitted == 0
    driver.handle(PayloadOffered((b"late",)), 5_000)
    driver.tick(60_000)
    assert len(driver.made) == made
    assert driver.core.last_rounds[1:] == [1, 1, 1], "what is told of the epoch stays"
