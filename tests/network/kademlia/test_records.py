"""Records: signed by their author, sealed for who knows the topic, in their time, and bounded."""

import pytest
from msgspec.structs import replace as changed

from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.errors import PeerFault
from ccp2p.network.kademlia.contacts import place_of
from ccp2p.network.kademlia.core import Asker, Kademlia
from ccp2p.network.kademlia.messages import Find, Store, Stored
from ccp2p.network.kademlia.record_store import RecordStore
from ccp2p.network.kademlia.records import (
    Record,
    SignedRecord,
    check_record,
    make_record,
    meshes_topic,
    network_topic,
    open_record,
)
from tests.network.kademlia.stage import NETWORK, NOW_MS, TOPIC, announcement, key

ANN = SigningKey(b"a" * 32)
BOB = SigningKey(b"b" * 32)
HOUR_MS = 3600 * 1000


def made(signing=ANN, topic=TOPIC, now_ms=NOW_MS) -> SignedRecord:
    return make_record(topic, announcement(signing), signing.sign, now_ms)


def refused(signed: SignedRecord, now_ms: int = NOW_MS) -> str:
    with pytest.raises(PeerFault) as caught:
        check_record(signed, now_ms)
    return caught.value.code


def resigned(signing=ANN, **fields) -> SignedRecord:
    """A record with other fields, signed as its author would."""
    record = codec.decode(made().record, Record, 4096)
    body = codec.encode(changed(record, **fields))
    return SignedRecord(body, signing.sign(b"ccp2p.kademlia-record/1" + body))


def test_a_record_says_where_a_node_is_to_who_knows_the_topic_only():
    signed = made()
    record = check_record(signed, NOW_MS)
    assert open_record(TOPIC, record) == announcement(ANN)
    seen = signed.record + signed.signature
    for hidden in (NETWORK, b"commons", b"rooms", b"20.1.2.3", TOPIC.secret):
        assert hidden not in seen
    with pytest.raises(PeerFault):
        open_record(network_topic(b"m" * 32), record)


def test_topics_differ_and_their_keys_do_not_show_them():
    topics = {
        network_topic(NETWORK).key,
        network_topic(b"m" * 32).key,
        meshes_topic(NETWORK, "rooms").key,
        meshes_topic(NETWORK, "kv").key,
        NETWORK,
        TOPIC.secret,
    }
    assert len(topics) == 6


def test_what_is_not_its_authors_or_not_of_this_time_is_refused():
    signed = made()
    assert refused(SignedRecord(signed.record, bytes(64))) == "record"
    assert refused(SignedRecord(signed.record + b"\xc0", signed.signature)) == "malformed"
    assert refused(resigned(BOB)) == "record"
    assert refused(resigned(node=BOB.public)) == "record"
    assert refused(resigned(node=bytes(32))) == "record"
    assert refused(resigned(key=b"short")) == "record"
    assert refused(resigned(expires_ms=NOW_MS)) == "record"
    assert refused(resigned(expires_ms=NOW_MS + limits.RECORD_LIFETIME_MS + 1)) == "record"
    assert refused(signed, NOW_MS + limits.RECORD_LIFETIME_MS) == "record-time"
    assert refused(signed, NOW_MS - limits.CLOCK_SLACK_MS - 1) == "record-time"
    assert check_record(signed, NOW_MS - limits.CLOCK_SLACK_MS)
    big = resigned(sealed=bytes(limits.MAX_RENDEZVOUS_BYTES))
    assert refused(big) == "oversized"


def test_a_record_of_somebody_else_inside_is_refused():
    """The seal is no proof: whoever knows the topic can seal, but only under its own key."""
    wrong = make_record(TOPIC, announcement(BOB), ANN.sign, NOW_MS)
    record = codec.decode(wrong.record, Record, 4096)
    body = codec.encode(changed(record, node=ANN.public))
    forged = SignedRecord(body, ANN.sign(b"ccp2p.kademlia-record/1" + body))
    with pytest.raises(PeerFault, match="another node"):
        open_record(TOPIC, check_record(forged, NOW_MS))


def test_only_its_author_brings_a_record():
    core = Kademlia(key(1))
    with pytest.raises(PeerFault):
        core.answer(Store(made()), Asker(BOB.public, "20.1.2.3"), NOW_MS)
    assert core.answer(Store(made()), Asker(ANN.public, "20.1.2.3"), NOW_MS) == Stored("")
    found = core.answer(Find(TOPIC.key), Asker(BOB.public, "20.1.2.3"), NOW_MS)
    assert found.records == (made_bytes(found),)


def made_bytes(found):
    [record] = found.records
    return record


def put(store: RecordStore, number: int, origin: str, topic=TOPIC, now_ms: int = NOW_MS) -> str:
    signing = SigningKey(number.to_bytes(32, "big"))
    signed = made(signing, topic, now_ms)
    return store.put(signed, check_record(signed, now_ms), origin)


def test_the_newest_of_an_author_counts_until_it_expires():
    store = RecordStore(place_of(key(1)))
    assert put(store, 1, "4/1", now_ms=NOW_MS) == ""
    assert put(store, 1, "4/1", now_ms=NOW_MS - 1) == "older"
    assert put(store, 1, "4/2", now_ms=NOW_MS + HOUR_MS) == ""
    assert len(store) == 1
    last_ms = NOW_MS + HOUR_MS + limits.RECORD_LIFETIME_MS
    assert len(store.get(TOPIC.key, last_ms - 1)) == 1
    store.expire(last_ms)
    assert len(store) == 0
    assert store._origins == store._authors == {}


def test_a_subnet_has_its_share_of_a_key_and_a_key_its_share_of_all():
    store = RecordStore(place_of(key(1)))
    taken = [put(store, number, "4/66") for number in range(1, 10)]
    assert taken.count("") == limits.RECORDS_OF_KEY_AND_ORIGIN
    assert set(taken[limits.RECORDS_OF_KEY_AND_ORIGIN :]) == {"subnet-full"}
    others = [put(store, 100 + number, f"4/{number}") for number in range(limits.RECORDS_OF_KEY)]
    assert others.count("") == limits.RECORDS_OF_KEY - limits.RECORDS_OF_KEY_AND_ORIGIN
    assert others[-1] == "key-full"
    # Who is in stays in, and renews.
    assert put(store, 1, "4/66", now_ms=NOW_MS + 1) == ""
    assert put(store, 1, "4/0", now_ms=NOW_MS + 2) == ""


def test_an_author_a_subnet_and_all_together_are_bounded(monkeypatch):
    monkeypatch.setattr(limits, "RECORDS_KEPT", 12)
    monkeypatch.setattr(limits, "RECORDS_OF_ORIGIN", 5)
    monkeypatch.setattr(limits, "RECORDS_OF_NODE", 8)
    store = RecordStore(place_of(key(1)))
    topics = [network_topic(bytes([number]) * 32) for number in range(40)]
    of_one = [put(store, 1, "", topic) for topic in topics]
    assert of_one.count("") == limits.RECORDS_OF_NODE
    of_subnet = [put(store, number, "4/66", topics[number]) for number in range(10, 20)]
    assert of_subnet.count("") <= 5
    for number in range(100, 400):
        put(store, number, f"4/{number}", topics[number % 40])
        assert len(store) <= 12
    kept = [store.get(topic.key, NOW_MS) for topic in topics]
    assert sum(len(one) for one in kept) == 12
