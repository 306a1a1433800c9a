"""The core that spreads announcements: what it passes on, whom it believes, what it keeps."""

from contextlib import suppress
from random import Random

import pytest

from ccp2p.crypto.signatures import SigningKey
from ccp2p.gossip import core
from ccp2p.gossip.commits import CommitAnnouncement, CommitCheck, announce
from ccp2p.gossip.core import MESH_HIGH, Gossip
from ccp2p.gossip.messages import (
    MAX_ANNOUNCEMENT_BYTES,
    MAX_IDS,
    Announce,
    Graft,
    Have,
    Message,
    Prune,
    Want,
)
from ccp2p.model import codec, hashing
from ccp2p.model.errors import PeerFault
from ccp2p.node.messages import decode_message, encode_message

NETWORK = b"N" * 32
KEYS = [SigningKey(bytes([at]) * 32) for at in range(4)]
PEERS = [bytes([at]) * 8 for at in range(10)]


def check() -> CommitCheck:
    return CommitCheck(NETWORK, 3, [key.public for key in KEYS])


def news(commit: int, seat: int = 0, chain: bytes = b"c" * 32, epoch: int = 3) -> bytes:
    return announce(NETWORK, epoch, commit, chain, seat, KEYS[seat])


def gossip(peers: int = len(PEERS), seed: int = 1) -> Gossip:
    """A node whose peers were all dialled by others, with its mesh formed."""
    made = Gossip(check(), Random(seed))
    for peer in PEERS[:peers]:
        made.add(peer, is_dialled=False)
    made.heartbeat(0)
    return made


def lie(made: Gossip, peer: bytes, message: Message) -> None:
    """Something that its sender is to blame for, and that goes nowhere."""
    with pytest.raises(PeerFault):
        made.handle(peer, message, 0)


def test_what_is_new_goes_to_the_mesh_once_and_not_back() -> None:
    node = gossip()
    sender = next(iter(node.mesh))
    sends, new = node.handle(sender, Announce(news(1)), 0)
    assert new == news(1)
    assert {to for to, _ in sends} == set(node.mesh) - {sender}
    assert node.handle(PEERS[0], Announce(news(1)), 0) == ([], b"")
    other_seat = node.handle(PEERS[0], Announce(news(1, seat=2)), 0)
    assert other_seat == ([], b""), "the same commit by another seat is no news"


def test_of_few_peers_all_are_told_but_the_disgraced() -> None:
    node = gossip()
    lie(node, PEERS[4], Announce(b"forged"))
    assert {to for to, _ in node.publish(news(1))} == set(PEERS) - {PEERS[4]}
    assert node.publish(news(1)) == []


def test_of_many_peers_some_are_told_and_the_mesh_always() -> None:
    node = Gossip(check(), Random(1))
    for at in range(100):
        node.add(bytes([at]) * 8, is_dialled=False)
    node.heartbeat(0)
    told = [to for to, _ in node.publish(news(1))]
    assert len(told) == len(set(told)) == core.TOLD
    assert set(node.mesh) < set(told)


def test_a_forger_is_passed_on_by_nobody_pruned_and_then_ignored() -> None:
    node = gossip()
    liar = next(iter(node.mesh))
    forged = codec.encode(CommitAnnouncement(3, 1, b"c" * 32, 0, bytes(64)))
    lie(node, liar, Announce(forged))
    assert (liar, Prune()) in node.heartbeat(1_000)
    assert liar not in node.mesh
    assert node.handle(liar, Graft(), 100_000) == ([(liar, Prune())], b"")
    for _ in range(2):
        lie(node, liar, Announce(forged))
    assert node.handle(liar, Announce(news(1)), 2_000) == ([], b"")


def test_what_others_have_is_asked_for_once_and_a_broken_promise_counts() -> None:
    node, name = gossip(), check()(news(1))
    assert name
    first, second = PEERS[0], PEERS[1]
    assert node.handle(first, Have((name,)), 0)[0] == [(first, Want((name,)))]
    assert node.handle(second, Have((name,)), 0)[0] == []
    node.heartbeat(3_000)
    assert node.score_of(first) < 0 <= node.score_of(second)
    assert node.handle(second, Have((name,)), 3_000)[0] == [(second, Want((name,)))]
    assert node.handle(second, Announce(news(1)), 3_100)[1] == news(1)
    node.heartbeat(9_000)
    assert node.score_of(second) > 0


def test_what_was_heard_is_named_to_others_and_given_for_a_while() -> None:
    node, name = gossip(), check()(news(1))
    node.handle(next(iter(node.mesh)), Announce(news(1)), 0)
    beats = [node.heartbeat(beat * 1_000) for beat in range(1, 5)]
    told = [[to for to, message in beat if message == Have((name or b"",))] for beat in beats]
    (named,) = [beat for beat in told if beat]
    assert not set(named) & set(node.mesh)
    want = Want((name or b"",))
    assert node.handle(named[0], want, 4_000)[0] == [(named[0], Announce(news(1)))]
    for beat in range(5, 8):
        node.heartbeat(beat * 1_000)
    assert node.handle(named[0], want, 8_000)[0] == []


def test_a_full_mesh_takes_no_stranger() -> None:
    node = Gossip(check(), Random(1))
    strangers = [bytes([at]) * 8 for at in range(100, 100 + MESH_HIGH + 1)]
    for peer in strangers:
        node.add(peer, is_dialled=False)
    answers = [node.handle(peer, Graft(), 0)[0] for peer in strangers]
    assert answers == [[]] * MESH_HIGH + [[(strangers[-1], Prune())]]
    node.heartbeat(1_000)
    assert len(node.mesh) == MESH_HIGH


def test_a_mesh_keeps_some_that_the_node_dialled_itself() -> None:
    node = gossip()
    for at in range(50, 53):
        node.add(bytes([at]) * 8, is_dialled=True)
    node.heartbeat(1_000)
    assert sum(peer[0] >= 50 for peer in node.mesh) == core.MESH_DIALLED


def test_who_was_pruned_waits() -> None:
    node = gossip()
    member = next(iter(node.mesh))
    node.handle(member, Prune(), 0)
    assert node.handle(member, Graft(), 59_999)[0] == [(member, Prune())]
    assert node.handle(member, Graft(), 60_000)[0] == []


@pytest.mark.parametrize(
    "message",
    [
        Announce(bytes(MAX_ANNOUNCEMENT_BYTES + 1)),
        Have((bytes(32),) * (MAX_IDS + 1)),
        Want((bytes(32),) * (MAX_IDS + 1)),
        Have((b"short",)),
    ],
)
def test_what_breaks_the_limits_is_held_against_its_sender(message: Announce | Have | Want) -> None:
    node = gossip()
    lie(node, PEERS[0], message)
    assert node.score_of(PEERS[0]) < 0


def test_floods_are_answered_up_to_a_bound() -> None:
    node, name = gossip(), check()(news(1)) or b""
    node.handle(PEERS[0], Announce(news(1)), 0)
    given = sum(len(node.handle(PEERS[1], Want((name,)), 0)[0]) for _ in range(10_000))
    assert given == core._MAX_GIVEN
    named = [Have(tuple(bytes([at, of]) * 16 for of in range(40))) for at in range(9)]
    answers = [node.handle(PEERS[2], have, 0)[0] for have in named]
    assert [len(answer) for answer in answers] == [1] + [0] * 8
    node.heartbeat(1_000)
    assert node.handle(PEERS[2], named[3], 1_000)[0]


def test_floods_are_kept_up_to_a_bound() -> None:
    """Also where a check lets more pass than the one of commits does."""
    random = Random(2)
    node = Gossip(lambda data: hashing.digest(hashing.COMMIT_NEWS, data), random)
    peers = [bytes([at]) * 8 for at in range(100)]
    for peer in peers:
        node.add(peer, is_dialled=False)
        node.handle(peer, Have(tuple(random.randbytes(32) for _ in range(MAX_IDS))), 0)
    assert len(node._promises) == core._MAX_SEEN
    for _ in range(2 * core._MAX_SEEN):
        node.handle(peers[0], Announce(random.randbytes(9)), 0)
    assert len(node._kept) == core._MAX_SEEN
    node.heartbeat(1_000)
    assert len(node._seen) == core._MAX_SEEN


def test_no_graft_to_who_is_in_disgrace() -> None:
    node = Gossip(check(), Random(1))
    for peer in PEERS:
        node.add(peer, is_dialled=False)
    for peer in PEERS[:6]:
        lie(node, peer, Announce(b"forged"))
        assert node.handle(peer, Have((bytes(32),)), 0)[0] == []
    assert {to for to, _ in node.heartbeat(0)} == set(PEERS[6:])


def test_the_word_of_a_seat_is_bound_to_network_epoch_commit_and_key() -> None:
    judge = check()
    assert judge(news(1)) == judge(news(1, seat=3)) != judge(news(2))
    said = codec.decode(news(5), CommitAnnouncement, 256)
    for wrong in (
        CommitAnnouncement(3, 6, said.chain, 0, said.signature),
        CommitAnnouncement(3, 5, b"d" * 32, 0, said.signature),
        CommitAnnouncement(3, 5, said.chain, 1, said.signature),
        CommitAnnouncement(3, 5, said.chain, 4, said.signature),
        CommitAnnouncement(3, -1, said.chain, 0, said.signature),
        CommitAnnouncement(3, 5, said.chain, 0, b"s"),
    ):
        assert judge(codec.encode(wrong)) is None
    assert judge(announce(b"M" * 32, 3, 5, said.chain, 0, KEYS[0])) is None
    assert judge(news(5) + b"\0") is None
    assert judge(news(5, epoch=2)) == b"", "of another epoch: who passes it on may be there"


def test_a_seat_that_contradicts_itself_or_floods_is_ignored_and_nobody_else_blamed() -> None:
    judge = check()
    assert judge(news(1))
    assert judge(news(1, chain=b"d" * 32)) == b""
    accepted = [bool(judge(news(commit))) for commit in range(2, 200)]
    assert accepted == [True] * 63 + [False] * 135
    assert judge(news(200, seat=1)), "another seat has a share of its own"
    judge.heartbeat()
    assert judge(news(300))
    assert judge(news(3))
    assert judge(news(1)) == b"", "too old, and not remembered"
    assert len(judge._said[0]) <= 64


def test_messages_travel() -> None:
    for message in (Announce(news(1)), Have((bytes(32),)), Want((bytes(32),)), Graft(), Prune()):
        assert decode_message(encode_message(message)) == message


def test_nothing_that_peers_say_does_more_than_blame_them() -> None:
    random = Random(3)
    node = gossip()
    for step in range(3_000):
        data = news(random.randrange(1, 9)) if random.random() < 0.3 else random.randbytes(9)
        ids = tuple(
            hashing.digest(hashing.COMMIT_NEWS, bytes([random.randrange(9)]))
            for _ in range(random.randrange(70))
        )
        said: list[Message] = [Announce(data), Have(ids), Want(ids), Graft(), Prune()]
        with suppress(PeerFault):
            node.handle(random.choice([*PEERS, b"nobody"]), random.choice(said), step * 10)
        if step % 50 == 0:
            node.heartbeat(step * 10)
            peer = random.choice(PEERS)
            node.remove(peer)
            node.add(peer, is_dialled=random.random() < 0.5)
        assert len(node.mesh) <= MESH_HIGH + len(PEERS)
