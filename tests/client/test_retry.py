"""What got no answer is sent again, less and less often."""

import pytest

from ccp2p.client import session
from ccp2p.client.session import SealedEvent
from ccp2p.model.errors import MemberFault


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


@pytest.mark.parametrize(
    ("sequence", "code", "is_others"),
    [
        *((number, code, True) for number in (0, 1) for code in ("sealed", "tag", "opening")),
        (0, "no-session", True),
        (1, "no-session", False),
        (0, "oversized", False),
        (1, "malformed", False),
    ],
)
def test_what_garbage_under_its_tag_may_bring_ends_no_event(
    sequence: int, code: str, is_others: bool
) -> None:
    """Whoever sees a tag can have anything ordered under it, with or without an opening.

    What opens a session is claimed by none before, so that a plain envelope is told `no-session`.
    """
    pending = SealedEvent(sequence, b"", b"tag", b"envelope", b"identifier", lambda _: None)
    assert pending.may_be_others(MemberFault(code, "")) == is_others
