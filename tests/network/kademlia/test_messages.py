"""Messages of the overlay: what goes in comes out, and no bytes do more than raise a PeerFault."""

from random import Random

import pytest

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.errors import PeerFault
from ccp2p.network.kademlia.core import Asker, Kademlia
from ccp2p.network.kademlia.messages import (
    Find,
    Found,
    Store,
    Stored,
    decode_answer,
    decode_request,
    encode_message,
)
from ccp2p.network.kademlia.records import make_record
from tests.network.kademlia.stage import NOW_MS, TOPIC, announcement, contact, key
from tests.strangers.test_node import spoiled

SIGNING = SigningKey(b"a" * 32)
RECORD = make_record(TOPIC, announcement(SIGNING), SIGNING.sign, NOW_MS)
REQUESTS = (Find(b"t" * 32), Find(b"t" * 32, 65_535), Store(RECORD))
ANSWERS = (
    Found((), ()),
    Found(tuple(contact(n) for n in range(20)), (RECORD,)),
    Stored("key-full"),
)


def test_messages_come_out_as_they_went_in():
    assert [decode_request(encode_message(one)) for one in REQUESTS] == list(REQUESTS)
    assert [decode_answer(encode_message(one)) for one in ANSWERS] == list(ANSWERS)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        encode_message(Stored("")),
        codec.wrap("find", codec.encode((b"short", 0))),
        codec.wrap("find", codec.encode((bytes(32), -1))),
        codec.wrap("find", codec.encode((bytes(32), 65_536))),
        codec.wrap("find", codec.encode((bytes(32), 0, 0))),
        codec.wrap("find", codec.encode((bytes(32), 0)), version=2),
        codec.wrap("find", bytes(limits.MAX_KADEMLIA_BYTES)),
    ],
)
def test_what_is_no_request_is_a_peers_fault(frame: bytes):
    with pytest.raises(PeerFault):
        decode_request(frame)


def test_an_answer_has_no_more_than_its_share():
    contacts = [(key(n), contact(n).address) for n in range(limits.NEAREST + 1)]
    records = [(RECORD.record, RECORD.signature)] * (limits.RECORDS_OF_KEY + 1)
    for body in ((contacts, []), ([], records)):
        with pytest.raises(PeerFault):
            decode_answer(codec.wrap("found", codec.encode(body)))
    with pytest.raises(PeerFault):
        decode_answer(codec.wrap("stored", codec.encode(("x" * 33,))))


def test_spoiled_messages_raise_nothing_but_peer_faults_and_leave_no_trace():
    randomness = Random(7)
    core = Kademlia(key(1))
    understood = 0
    for _ in range(4000):
        request = spoiled(encode_message(randomness.choice(REQUESTS)), randomness)
        answer = spoiled(encode_message(randomness.choice(ANSWERS)), randomness)
        try:
            core.answer(decode_request(request), Asker(SIGNING.public, "20.1.1.1"), NOW_MS)
            understood += 1
        except PeerFault:
            pass
        try:
            found = decode_answer(answer)
            if isinstance(found, Found):
                core.take(found, TOPIC.key, contact(9), NOW_MS)
            understood += 1
        except PeerFault:
            pass
    assert understood, "some of it is still well formed"
    assert not len(core.table)
    assert len(core.records) <= 1
