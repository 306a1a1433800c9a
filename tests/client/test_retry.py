"""What got no answer is sent again, less and less often."""

from ccp2p.client import session
from ccp2p.client.session import SealedEvent


def test_repeats_come_at_doubling_distances_up_to_a_limit() -> None:
    pending = SealedEvent(1, b"body", b"tag", b"envelope", b"identifier", lambda _: None)
    sent = []
    for now in range(1, 100):
        if pending.is_overdue(now):
            pending.silences += 1
            pending.sent_at = now
            sent.append(now)
    assert session.RETRY_AFTER_S == 5
    assert sent[:4] == [6, 17, 38, 59]
