"""Which parents of our new block a peer is sent along with it."""

from ccp2p.consensus.messages import Draft
from ccp2p.consensus.pusher import push_history
from tests.consensus.drawing import Drawing


def pushed(text: str, own: str) -> dict[str, str]:
    """Per peer, the blocks that A pushes beside its block `own`."""
    drawing = Drawing(4)
    drawing.draw(text)
    index = drawing.index()
    draft = Draft()
    push_history(index, drawing.vertex(index, own), 4, draft)
    return {
        chr(65 + push.peer): drawing.names(block.reference for block in push.blocks)
        for push in draft.send
        if push.peer is not None
    }


def test_a_peer_that_names_no_block_of_an_author_for_two_rounds_is_sent_its_newest() -> None:
    text = "ABCD1:[root] B2:[BCA1] ACD2:[ABCD1] B3:[BCA2] ACD3:[ACD2 B2] A4:[ABCD3]"
    assert pushed(text, "A4") == {"B": "D3"}


def test_an_author_that_is_one_round_late_is_heard() -> None:
    text = "ABCD1:[root] B2:[BCA1] ACD2:[ABCD1] B3:[BCA2 D1] ACD3:[ACD2 B2] A4:[ABCD3]"
    assert pushed(text, "A4") == {}
