import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.crypto import hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, limits
from ccp2p.model.envelope import Event, unpad
from ccp2p.model.errors import MemberFault, PeerFault
from ccp2p.sealing import session as sessions
from ccp2p.sealing.session import SessionContext, SessionKeys

CONTEXT = SessionContext(b"n" * 32, 0, "aegis256")
KEYS = SessionKeys.derive(b"k" * 32)
EPOCH_KEY = hpke.PrivateKey(b"e" * 32)
ID = b"i" * 16
OTHER_CONTEXTS = [
    SessionContext(b"m" * 32, 0, "aegis256"),
    SessionContext(b"n" * 32, 1, "aegis256"),
    SessionContext(b"n" * 32, 0, "xchacha20"),
]


def event(body: bytes = b"body", sequence: int = 1) -> Event:
    return Event(SigningKey(b"m" * 32).public, sequence, body, b"s" * 64)


@given(
    st.binary(max_size=3000), st.integers(0, 1 << 62), st.sampled_from(["aegis256", "xchacha20"])
)
def test_an_event_is_opened_under_its_tag(body: bytes, sequence: int, algorithm: str):
    context = SessionContext(b"n" * 32, 3, algorithm)
    sent = event(body, sequence)
    envelope = sessions.seal_event(context, KEYS, sent)
    assert (envelope.epoch, envelope.tag) == (3, KEYS.tag_of(sequence))
    opened = sessions.aead.open_one(
        algorithm, KEYS.up, envelope.sealed, context.associated(b"event", envelope.tag)
    )
    assert codec.decode(unpad(opened), Event, limits.MAX_EVENT_BYTES) == sent


def test_an_envelope_shows_nothing_of_its_event_and_never_looks_the_same():
    envelopes = [sessions.seal_event(CONTEXT, KEYS, event(b"attack at dawn")) for _ in range(2)]
    for envelope in envelopes:
        data = codec.encode(envelope)
        assert b"attack" not in data
        assert event().member not in data
    assert envelopes[0].sealed != envelopes[1].sealed
    assert envelopes[0].tag == envelopes[1].tag


def test_tags_of_a_session_are_unlike_each_other_and_another_sessions():
    other = SessionKeys.derive(b"l" * 32)
    tags = {keys.tag_of(number) for keys in (KEYS, other) for number in range(500)}
    assert len(tags) == 1000


def test_directions_have_keys_of_their_own():
    assert len({KEYS.tag, KEYS.up, KEYS.down, b"k" * 32}) == 4
    sealed = sessions.seal_reply(CONTEXT, KEYS, ID, 1, b"x")
    assert sessions.open_query(CONTEXT, KEYS, ID, 1, sealed) is None


def test_an_outcome_is_opened_by_its_session_under_its_tag():
    sealed = sessions.seal_outcomes(CONTEXT, [KEYS], [b"t" * 16], [b"done"])[0]
    assert sessions.open_outcome(CONTEXT, KEYS, b"t" * 16, sealed, PeerFault) == b"done"
    tries = [(CONTEXT, SessionKeys.derive(b"x" * 32), b"t" * 16), (CONTEXT, KEYS, b"u" * 16)]
    tries += [(context, KEYS, b"t" * 16) for context in OTHER_CONTEXTS]
    for context, keys, tag in tries:
        with pytest.raises(PeerFault) as caught:
            sessions.open_outcome(context, keys, tag, sealed, PeerFault)
        assert caught.value.code == "outcome"


@given(st.data())
def test_an_altered_or_cut_outcome_is_refused(data: st.DataObject):
    sealed = sessions.seal_outcomes(CONTEXT, [KEYS], [b"t" * 16], [b"done"])[0]
    at = data.draw(st.integers(0, len(sealed) - 1))
    altered = bytes([*sealed[:at], sealed[at] ^ data.draw(st.integers(1, 255)), *sealed[at + 1 :]])
    for bad in (altered, sealed[:at]):
        with pytest.raises(MemberFault):
            sessions.open_outcome(CONTEXT, KEYS, b"t" * 16, bad, MemberFault)


def test_a_query_and_its_reply_are_tied_to_session_and_number():
    query = sessions.seal_query(CONTEXT, KEYS, ID, 5, b"how many?")
    reply = sessions.seal_reply(CONTEXT, KEYS, ID, 5, b"three")
    assert unpad(sessions.open_query(CONTEXT, KEYS, ID, 5, query)) == b"how many?"
    assert sessions.open_reply(CONTEXT, KEYS, ID, 5, reply) == b"three"
    for session, number in ((ID, 6), (b"j" * 16, 5)):
        assert sessions.open_query(CONTEXT, KEYS, session, number, query) is None
        assert sessions.open_reply(CONTEXT, KEYS, session, number, reply) is None
    for context in OTHER_CONTEXTS:
        assert sessions.open_query(context, KEYS, ID, 5, query) is None
        assert sessions.open_reply(context, KEYS, ID, 5, reply) is None


def test_an_oversized_reply_is_not_opened():
    reply = sessions.seal_reply(CONTEXT, KEYS, ID, 1, bytes(limits.MAX_QUERY_REPLY_BYTES + 2048))
    assert sessions.open_reply(CONTEXT, KEYS, ID, 1, reply) is None


def test_an_opening_is_opened_by_the_epoch_key():
    opening = sessions.seal_opening(CONTEXT, EPOCH_KEY.public, b"k" * 32, b"invite")
    opened = sessions.open_opening(CONTEXT, EPOCH_KEY, opening)
    assert (opened.key, opened.invite) == (b"k" * 32, b"invite")


def refusal(opening: bytes, key: hpke.PrivateKey = EPOCH_KEY) -> MemberFault:
    with pytest.raises(MemberFault) as caught:
        sessions.open_opening(CONTEXT, key, opening)
    return caught.value


@pytest.mark.parametrize("context", OTHER_CONTEXTS[:2])
def test_an_opening_of_another_network_or_epoch_is_refused(context: SessionContext):
    opening = sessions.seal_opening(context, EPOCH_KEY.public, b"k" * 32, b"")
    assert refusal(opening).code == "opening"


def test_an_opening_to_another_epoch_key_is_refused():
    opening = sessions.seal_opening(CONTEXT, EPOCH_KEY.public, b"k" * 32, b"")
    assert refusal(opening, hpke.PrivateKey(b"f" * 32)).code == "opening"


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_a_session_key_of_another_size_is_refused(key: bytes):
    assert refusal(sessions.seal_opening(CONTEXT, EPOCH_KEY.public, key, b"")).code == "opening"


@given(st.binary(max_size=200))
def test_garbage_openings_are_a_members_fault(opening: bytes):
    refusal(opening)


@given(st.binary(max_size=300))
def test_garbage_sealed_to_the_epoch_key_is_a_members_fault(inside: bytes):
    info, associated = b"ccp2p session", CONTEXT.associated(b"open", b"")
    refusal(hpke.seal(EPOCH_KEY.public, info, inside, associated))


def test_a_sessions_id_is_its_encapsulation_alone():
    opening = sessions.seal_opening(CONTEXT, EPOCH_KEY.public, b"k" * 32, b"")
    assert sessions.session_id(opening) == sessions.session_id(opening[:32])
    assert sessions.session_id(opening) != sessions.session_id(b"x" + opening[1:])


def test_a_first_event_carries_the_opening_beside_it():
    envelope = sessions.seal_event(CONTEXT, KEYS, event(), b"opening")
    assert envelope.opening == b"opening"
