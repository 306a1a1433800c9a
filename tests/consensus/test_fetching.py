"""Missing ancestors: whom to ask, how often, and how to catch up in bulk."""

from ccp2p.consensus.messages import BlocksReceived, Fetch, Tick
from ccp2p.model import limits
from ccp2p.model.block import BlockReference, VerifiedBlock
from ccp2p.model.genesis import Parameters
from tests.consensus.drawing import Drawing, Observer, draw, make_block
from tests.consensus.world import COIN, consensus_of

ROUNDS = "ABCD1:[root] ABCD2:[ABCD1]"


def test_after_the_sender_two_others_are_asked_in_turn() -> None:
    drawing = draw(ROUNDS)
    observer = Observer(drawing)
    observer.see("ABC1")
    wanted = (drawing["D1"].reference,)
    output = observer.see("A2", sender=1)
    assert output.fetch == (Fetch(1, wanted),)
    assert output.wake_ms == observer.now_ms + limits.FETCH_RETRY_MS
    asked = []
    for _ in range(4):
        assert observer.core.handle(Tick(), observer.now_ms).fetch == ()
        observer.now_ms += limits.FETCH_RETRY_MS
        output = observer.core.handle(Tick(), observer.now_ms)
        assert all(fetch.references == wanted for fetch in output.fetch)
        assert len(output.fetch) == limits.FETCH_PEERS
        asked += [fetch.peer for fetch in output.fetch]
    assert set(asked) == {0, 1, 2, 3}
    observer.see("D1")
    observer.now_ms += limits.FETCH_RETRY_MS
    output = observer.core.handle(Tick(), observer.now_ms)
    assert (output.fetch, output.wake_ms) == ((), None)


def test_we_never_ask_ourselves() -> None:
    core = consensus_of(2, 0, may_propose=False)
    parents = [BlockReference(1, 1, bytes(32)), BlockReference(1, 0, bytes(32))]
    fetches = list(core.handle(BlocksReceived(None, (make_block(1, 2, parents),)), 0).fetch)
    for step in range(1, 5):
        fetches += core.handle(Tick(), step * limits.FETCH_RETRY_MS).fetch
    assert len(fetches) == 5
    assert all(fetch.peer == 1 for fetch in fetches)


def test_one_fetch_asks_for_a_bounded_number_of_blocks() -> None:
    observer = Observer(Drawing(4))
    blocks = []
    for number in range(400):
        digest = number.to_bytes(32, "big")
        parents = [BlockReference(5, author, digest) for author in (0, 1, 2)]
        blocks.append(make_block(0, 6, parents, number))
    for block in blocks:
        observer.receive((block,), 1)
    assert observer.core.missing <= 3 * limits.MAX_UNSOLICITED_PER_SLOT
    for number, block in enumerate(blocks):
        parents = [
            BlockReference(number + 1, author, block.reference.digest) for author in (0, 1, 2)
        ]
        observer.receive((make_block(0, number + 2, parents),), 1)
    observer.now_ms += 10 * limits.FETCH_RETRY_MS
    for _ in range(3):
        for fetch in observer.core.handle(Tick(), observer.now_ms).fetch:
            assert len(fetch.references) <= limits.MAX_FETCH_REFERENCES


def far_drawing() -> Drawing:
    drawing = Drawing(4)
    drawing.full_rounds(1, 60, "ABCD")
    return drawing


def test_far_behind_one_peer_is_asked_for_everything_above() -> None:
    drawing = far_drawing()
    observer = Observer(drawing)
    observer.see("ABCD1 ABC2")
    output = observer.see("D50", sender=3)
    assert output.fetch == (Fetch(3, (), (2, 2, 2, 1)),)
    assert observer.see("C50", sender=2).fetch == (), "one bulk fetch at a time"


def test_a_bulk_fetch_goes_on_while_it_helps() -> None:
    drawing = far_drawing()
    observer = Observer(drawing)
    observer.see("D50", sender=3)
    output = observer.see("ABCD1 ABCD2 ABCD3", sender=3, solicited=True)
    assert output.fetch == (Fetch(3, (), (3, 3, 3, 3)),)
    output = observer.see("", sender=3, solicited=True)
    assert output.fetch == ()


def test_a_silent_peer_is_replaced_in_bulk() -> None:
    drawing = far_drawing()
    observer = Observer(drawing)
    observer.see("D50", sender=3)
    asked = []
    for _ in range(8):
        observer.now_ms += limits.BULK_RETRY_MS
        output = observer.core.handle(Tick(), observer.now_ms)
        asked += [fetch.peer for fetch in output.fetch if fetch.above]
    assert asked == [0, 1, 2]


def test_an_invented_far_block_costs_one_bulk_fetch_a_retry_time() -> None:
    observer = Observer(Drawing(4))
    fetches = 0
    for number in range(100):
        round_ = limits.MAX_ROUNDS_AHEAD + 10 + number
        parents = [BlockReference(round_ - 1, author, bytes(32)) for author in (2, 0, 1)]
        output = observer.receive((make_block(2, round_, parents),), 2)
        fetches += len(output.fetch)
        if output.fetch:
            observer.receive((), 2, solicited=True)
        observer.now_ms += 50
    assert fetches <= 100 * 50 / limits.FETCH_RETRY_MS + 1
    assert observer.core.suspended == 0


def test_a_node_late_by_thousands_of_rounds_catches_up_in_few_round_trips() -> None:
    drawing = Drawing(4)
    drawing.full_rounds(1, 2500, "BCD")
    late, prompt = Observer(drawing), Observer(drawing)
    prompt.see_all()
    served, trips = late.see("B2500", sender=1).fetch, 0
    while served:
        (fetch,) = served
        trips += 1
        served = late.receive(answer(drawing, fetch), fetch.peer, solicited=True).fetch
    assert trips <= 4
    assert late.core.round == 2501
    assert late.sequence == prompt.sequence
    assert (late.core.missing, late.core.suspended) == (0, 0)


def answer(drawing: Drawing, fetch: Fetch) -> tuple[VerifiedBlock, ...]:
    """What a node that holds the drawing answers."""
    blocks, size = [], 0
    for block in drawing.blocks.values():
        reference = block.reference
        is_above = bool(fetch.above) and reference.round > fetch.above[reference.author]
        if is_above or reference in fetch.references:
            size += len(block.to_bytes())
            if size > limits.MAX_FETCH_REPLY_BYTES // 2:
                break
            blocks.append(block)
    return tuple(blocks)


def test_replaying_an_honest_log_never_waits_for_what_the_gc_round_covered() -> None:
    """An author may name an invented ancestor that everybody's gc round already covers."""
    parameters = Parameters(coin_length=COIN.length, gc_depth=10)
    drawing = Drawing(4)
    prompt, late = Observer(drawing, parameters), Observer(drawing, parameters)
    log: list[VerifiedBlock] = []
    for number in range(1, 121):
        if number == 60:
            below = [drawing[f"{letter}59"].reference for letter in "ABCD"]
            parents = [below[3], below[0], below[1], BlockReference(30, 2, bytes(32))]
            drawing.adopt(make_block(3, number, parents))
        letters = "ABC" if number == 60 else "ABCD"
        drawing.full_rounds(number, number, letters)
        log.extend(prompt.see(f"ABCD{number}").persist)
    assert prompt.core.gc_round > 90
    late.receive(tuple(log), 1, solicited=True)
    assert (late.core.suspended, late.core.missing) == (0, 0)
    assert late.core.round == prompt.core.round
    assert late.sequence == prompt.sequence
