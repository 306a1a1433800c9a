"""Who of an epoch's governors approved something: an amendment, or a recovery."""

from collections.abc import Sequence

from ccp2p.membership.founding import VerifyBatch
from ccp2p.model.errors import PeerFault


def count_approvals(
    approvals: Sequence[tuple[int, bytes]],
    governors: Sequence[bytes],
    message: bytes,
    verify_batch: VerifyBatch,
) -> int:
    """How many of (governor's index, signature) hold over `message`.

    PeerFault (`record`) unless each names another governor, in ascending order.
    """
    indices = [index for index, _ in approvals]
    if indices != sorted(set(indices)) or not all(0 <= i < len(governors) for i in indices):
        raise PeerFault("record", "approvals by impossible governors")
    return sum(verify_batch([(governors[i], signature, message) for i, signature in approvals]))
