"""What a CLOSE leaves that brings an amendment in, and the record that seats complete from it."""

from msgspec.structs import replace

from ccp2p.crypto import signatures
from ccp2p.membership.records import Adopted, Link, check_successor
from ccp2p.membership.rules import Closed
from ccp2p.model import codec, limits
from ccp2p.model.epoch import record_signed_bytes
from ccp2p.model.errors import LocalFault
from ccp2p.model.genesis import Parameters
from ccp2p.node.handover import Handover
from ccp2p.node.messages import RecordSignature
from ccp2p.node.roster_keeper import Closing, RosterKeeper, first_roster
from ccp2p.simulator.founding import found
from tests.membership.test_amended_records import EVICTION, FIRST, approved
from tests.membership.test_founding import KEYS
from tests.membership.test_records import FOUNDERS, closed_with

MEANS = found(4, 1, Parameters(coin_length=256)).means


def closing(amended: bool, link: Link = FIRST) -> Closing:
    """What the keeper leaves, when FREEZE took the amendment up or let it lapse."""
    amendment = codec.encode(EVICTION)
    keeper = RosterKeeper(link, first_roster(link.record), MEANS, 16)
    closed, commit, roots = closed_with(FOUNDERS[:3], link)
    change = replace(closed.change, amendment=b"a" * 32 if amended else b"")
    keeper.closed = Closed(change, closed.proposal)
    return keeper.closing(commit, roots, Adopted(amendment, approved(amendment)))


def test_a_record_that_brings_an_amendment_in_is_completed_with_it():
    left = codec.decode(codec.encode(closing(True)), Closing, limits.MAX_FRAME_BYTES, LocalFault)
    assert left.signed is None, "Q signatures are still to be gathered"
    handover = Handover(FIRST, left, KEYS[0].public, KEYS[0].sign)
    message = record_signed_bytes(codec.encode(left.record))
    for key in KEYS[1:3]:
        handover.hear(key.public, RecordSignature(1, key.sign(message)))
    signed = handover.signed
    assert signed is not None
    assert signed.amendment == codec.encode(EVICTION)
    assert [place for place, _ in signed.approvals] == [0, 1]
    link = check_successor(signed, FIRST, signatures.verify_batch)
    assert link.record.amendment


def test_an_amendment_that_lapsed_leaves_no_trace_in_the_record():
    left = closing(False)
    assert (left.amendment, left.approvals, left.record.amendment) == (b"", (), b"")
    assert left.record.policy_digest == FIRST.record.policy_digest
