"""The parts of a world by themselves: links, disks, what members seal, what is remembered."""

from array import array
from random import Random

import pytest

from ccp2p.crypto import hpke, signatures
from ccp2p.crypto.arena import Arena
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.block import BlockReference
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Parameters
from ccp2p.sealing import session as sessions
from ccp2p.simulator.chance import below
from ccp2p.simulator.disk import Disk
from ccp2p.simulator.founding import found
from ccp2p.simulator.links import Links, Weather, even_latencies, measured_latencies
from ccp2p.simulator.load import Session
from ccp2p.simulator.remembered import remembered_crypto
from ccp2p.storage.store import Batch

PARAMETERS = Parameters(coin_length=256)
TABLE = "from,north,south\nnorth,0,100\nsouth,100,0\n"


def links(**weather: object) -> Links:
    built = Links(even_latencies(4, 10_000), Random(1))
    built.weather = Weather(jitter_us=0, **weather)  # type: ignore[arg-type]
    return built


def test_a_frame_takes_the_latency_of_its_link() -> None:
    assert links().arrivals(500, 0, 1, b"frame") == [10_500]


def test_a_line_sends_one_frame_after_the_other_and_refuses_what_its_queue_cannot_hold() -> None:
    built = links(bytes_per_second=1_000)
    assert built.arrivals(0, 0, 1, bytes(1_000)) == [1_010_000]
    assert built.arrivals(0, 0, 2, bytes(1_000)) == [2_010_000]
    assert built.arrivals(0, 3, 2, bytes(1_000)) == [1_010_000]
    assert built.arrivals(0, 1, 2, bytes(40_000_000)) is not None
    assert built.arrivals(0, 1, 2, b"frame") is None


def test_nothing_crosses_a_partition() -> None:
    built = links(groups=(frozenset((0, 1)), frozenset((2, 3))))
    assert built.arrivals(0, 0, 1, b"frame") == [10_000]
    assert built.arrivals(0, 0, 2, b"frame") == []


def test_frames_of_a_link_keep_their_order_unless_told_otherwise() -> None:
    built = links(scheduler=lambda letter: 50_000 if letter.frame == b"slow" else 0)
    assert built.arrivals(0, 0, 1, b"slow") == [60_000]
    assert built.arrivals(0, 0, 1, b"fast") == [60_000]
    built.weather.in_order = False
    assert built.arrivals(0, 0, 1, b"fast") == [10_000]


def test_nodes_are_placed_in_measured_regions_and_the_quorum_delay_follows() -> None:
    matrix = measured_latencies(4, TABLE)
    assert matrix[0][1] == 50_000
    assert matrix[0][2] == 500
    assert Links(matrix, Random(0)).quorum_delay_us(3) == 50_000
    with pytest.raises(ValueError, match="as many rows"):
        measured_latencies(4, "from,a,b\na,0,1\n")


def test_a_disk_can_be_rolled_back_to_any_image_and_stores_nothing_when_full() -> None:
    disk = Disk()
    references = [BlockReference(number, 0, bytes([number]) * 32) for number in range(1, 4)]
    for reference in references:
        disk.write(Batch(epoch=0, blocks=[(reference, b"block")]))
    disk.roll_back(1)
    assert [disk.store.block(one) for one in references] == [b"block", None, None]
    disk.is_full = True
    with pytest.raises(LocalFault, match="full"):
        disk.write(Batch(epoch=0, blocks=[(references[1], b"block")]))
    assert disk.images == 1


def test_what_a_simulated_member_seals_opens_with_the_real_code_and_is_always_the_same() -> None:
    founded = found(4, 7, PARAMETERS)
    first, again = (Session(founded, 7, 0, founded.invite) for _ in range(2))
    assert first.opening == again.opening
    assert first.seal(first.event(1, b"body")) == again.seal(again.event(1, b"body"))
    context, key = founded.session_context, founded.secrets.epoch_key
    opening = sessions.open_opening(context, key, first.opening)
    assert opening.invite == founded.invite
    assert sessions.SessionKeys.derive(opening.key) == first.keys


def test_remembered_verdicts_are_those_of_the_real_check() -> None:
    key = SigningKey(bytes(32))
    good = (key.public, key.sign(b"message"), b"message")
    bad = (key.public, key.sign(b"message"), b"another")
    honest = signatures.verify_batch, signatures.verify_arena
    publics, proofs = good[0] * 3, good[1] + bad[1] + good[1]
    rows = array("q", (0, 7, 14)), array("q", (7, 7, -1))
    with remembered_crypto():
        assert signatures.verify_batch is not honest[0]
        assert signatures.verify_batch([good, bad, good]) == [True, False, True]
        assert signatures.verify_batch([bad, good]) == [False, True]
        assert signatures.verify_batch([]) == []
        for buffer, wanted in ((b"message", True), (b"another", False)):
            arena = Arena(buffer * 3, *rows)
            for _ in range(2):
                assert signatures.verify_arena(publics, proofs, arena) == [wanted, wanted, False]
    assert (signatures.verify_batch, signatures.verify_arena) == honest


def test_remembered_openings_are_those_of_the_right_key_and_bytes_alone() -> None:
    first, second = hpke.PrivateKey(bytes(32)), hpke.PrivateKey(bytes([1]) * 32)
    honest = hpke.PrivateKey.open
    with remembered_crypto():
        blob = hpke.seal(first.public, b"info", b"text", b"bound")
        for _ in range(2):
            assert first.open(blob, b"info", b"bound") == b"text"
            assert second.open(blob, b"info", b"bound") is None
            assert first.open(blob, b"info") is None
            assert first.open(blob, b"another", b"bound") is None
            assert first.open(blob[:-1], b"info", b"bound") is None
    assert hpke.PrivateKey.open is honest


def test_draws_are_those_of_the_library() -> None:
    ours, library = Random(3), Random(3)
    for end in (1, 2, 3, 1000, 1 << 20, 500_001):
        assert [below(ours, end) for _ in range(50)] == [library.randrange(end) for _ in range(50)]
