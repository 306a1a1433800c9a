"""A recovery may lose events that a session was told are committed: what waits closes the gap."""

from typing import Any

from ccp2p.client.session import MemberSession, SealedEvent
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model.envelope import event_id

NETWORK = b"n" * 32
KEY = SigningKey(b"k" * 32)


class Known:
    """As much of a verified network as numbers depend on."""

    network = NETWORK


def session_at(last: int) -> MemberSession:
    session = MemberSession.__new__(MemberSession)
    session.member = KEY
    session.verified = Known()  # type: ignore[assignment]
    session.last, session.lost = last, 0
    return session


def waiting(*numbers: int) -> list[SealedEvent]:
    def made(number: int) -> SealedEvent:
        body = b"body %d" % number
        identifier = event_id(NETWORK, KEY.public, number, body)
        return SealedEvent(number, body, b"", b"", identifier, lambda _: None)

    return [made(number) for number in numbers]


def numbers(events: list[SealedEvent]) -> list[Any]:
    assert all(
        one.identifier == event_id(NETWORK, KEY.public, one.sequence, one.body) for one in events
    )
    return [(one.body, one.sequence) for one in events]


def test_what_waits_behind_lost_events_takes_their_numbers():
    session, events = session_at(12), waiting(11, 12)
    session._close_gap(events, 7)
    assert numbers(events) == [(b"body 11", 8), (b"body 12", 9)]
    assert (session.last, session.lost) == (9, 3)


def test_without_a_loss_all_stays_as_it_is():
    session, events = session_at(12), waiting(10, 11, 12)
    session._close_gap(events, 9)
    assert numbers(events) == [(b"body 10", 10), (b"body 11", 11), (b"body 12", 12)]
    assert (session.last, session.lost) == (12, 0)


def test_what_was_executed_and_not_answered_keeps_its_number_and_asks_again():
    session, events = session_at(12), waiting(10, 11, 12)
    session._close_gap(events, 11)
    assert numbers(events) == [(b"body 10", 10), (b"body 11", 11), (b"body 12", 12)]
    assert (session.last, session.lost) == (12, 0)


def test_a_session_with_nothing_under_way_goes_on_behind_what_is_known():
    session = session_at(12)
    session._close_gap([], 9)
    assert (session.last, session.lost) == (9, 3)
