"""What became of an event."""

from typing import Literal

from ccp2p.model.codec import Wire

Status = Literal["ok", "rejected", "conflict", "used", "denied"]


class Outcome(Wire, frozen=True):
    """The result of one event, the same on every node.

    `ok` and `rejected` (by the app, which says why in `body`) were executed at (`commit`,
    `position`); `conflict` means that another event holds this sequence number, `used` that the
    number is older than the window of kept outcomes, `denied` that the sender is not admitted or
    its signature is wrong. `body` is the app's answer or a reason code in UTF-8.
    """

    event: bytes
    status: Status
    commit: int
    position: int
    body: bytes


class MemberEvent(Wire, frozen=True):
    """An opened event whose author is established.

    `identifier` is its event id. `refusal` is empty, or why it may not execute (a reason code,
    such as `bad-signature` or `not-invited`); a refused event leaves no trace in the state.
    """

    tag: bytes
    member: bytes
    sequence: int
    body: bytes
    identifier: bytes
    refusal: str = ""


class SessionRecord(Wire, frozen=True):
    """A session as the replicated state holds it; it dies with its epoch.

    `commit` is where it was opened: with the id it says which of a member's sessions is oldest.
    """

    session: bytes
    member: bytes
    key: bytes
    epoch: int
    commit: int
