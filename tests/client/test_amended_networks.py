"""What a client checks of a network whose governors changed it: the policy of today, by records."""

from dataclasses import dataclass

import msgspec
import pytest

from ccp2p.attestation import simulated
from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.policy import simulated_policy
from ccp2p.client.governance import history
from ccp2p.client.verification import Expectation, VerifiedNode, verify_offer, verify_welcome
from ccp2p.crypto.signatures import SigningKey
from ccp2p.membership.founding import record_zero
from ccp2p.membership.records import Link, Roots, successor
from ccp2p.membership.roster import Change, Member, Proposal
from ccp2p.membership.rules import Closed
from ccp2p.model import codec
from ccp2p.model.amendment import Amendment, amendment_digest, approval_bytes
from ccp2p.model.block import epoch_root
from ccp2p.model.commit import Commit
from ccp2p.model.committee import Seat
from ccp2p.model.epoch import EpochRecord, SignedEpochRecord, record_digest, record_signed_bytes
from ccp2p.model.errors import AttestationFault, PeerFault
from ccp2p.model.genesis import Genesis, Parameters, network_id
from ccp2p.model.member_protocol import Welcome

NODE, CHIP = SigningKey(b"n" * 32), b"c" * 32
GOVERNORS = [SigningKey(bytes([i + 1]) * 32) for i in range(3)]
OLD, NEW = b"o" * 32, b"w" * 32
NONCE, SEALING = b"fresh nonce".ljust(32), b"s" * 32
GENESIS = Genesis(
    name="home",
    kind="group",
    app="kv",
    policy=simulated_policy(OLD),
    parameters=Parameters(),
    governors=tuple(key.public for key in GOVERNORS),
    governor_threshold=2,
    first_node=NODE.public,
    founders=1,
    member_invite=b"",
    node_invite=b"",
    founder_invite=b"",
    created_ms=1,
)
NETWORK = network_id(codec.encode(GENESIS))
SEAT = Seat(NODE.public, SEALING, b"p" * 32, "sim-a")
FIRST = record_zero(GENESIS, NETWORK, [SEAT], b"c" * 32, b"e" * 32, [])
UPGRADE = Amendment(NETWORK, 0, policy=simulated_policy(NEW))


def signed(record: EpochRecord, amendment: Amendment | None = None, by: tuple[int, ...] = (0, 2)):
    data = codec.encode(record)
    amended = codec.encode(amendment) if amendment else b""
    message = approval_bytes(NETWORK, amendment_digest(amended))
    approvals = tuple((i, GOVERNORS[i].sign(message)) for i in by) if amendment else ()
    seals = ((0, NODE.sign(record_signed_bytes(data))),)
    return SignedEpochRecord(data, seals, amended, approvals)


def follows(amendment: Amendment | None) -> EpochRecord:
    member = Member(NODE.public, SEALING, b"p" * 32, "sim-a", "simulated", (), (), 0)
    proposal = Proposal(NODE.public, b"d" * 32, b"f" * 32, (), 1)
    closed = Closed(Change(1, 1, (member,), (), (proposal,), ()), proposal)
    root = epoch_root(NETWORK, 0)
    commit = Commit(0, 9, root, (root,), 2, b"p" * 32)
    previous = Link(FIRST, record_digest(codec.encode(FIRST)))
    data = codec.encode(amendment) if amendment else b""
    return successor(previous, closed, commit, Roots(b"r" * 32, b"o" * 32), data)


@dataclass(frozen=True)
class Shown:
    """What a node says to our nonce."""

    records: tuple[SignedEpochRecord, ...] = (signed(FIRST), signed(follows(UPGRADE), UPGRADE))
    policy: str = UPGRADE.policy
    program: bytes = NEW

    @property
    def welcome(self) -> Welcome:
        data = report_data(NETWORK, NODE.public, SEALING, NONCE)
        report = simulated.sign_report(CHIP, self.program, data)
        certificate = simulated.certify(SigningKey(CHIP).public, "sim-a")
        return Welcome(
            codec.encode(GENESIS),
            tuple(codec.encode(one) for one in self.records),
            NODE.public,
            SEALING,
            codec.encode(EvidenceBundle("simulated", report, (certificate,))),
            (),
            (),
            self.policy,
        )

    def verify(self, pinned: bytes = b"") -> VerifiedNode:
        return verify_welcome(self.welcome, expected(pinned))

    def refusal(self) -> str:
        """The same words for a member and for a node that is to enter."""
        said = []
        for check in (verify_welcome, verify_offer):
            with pytest.raises(PeerFault) as caught:
                check(self.welcome, expected())
            assert isinstance(caught.value, AttestationFault)
            said.append(f"{caught.value} {caught.value.reasons}")
        assert said[0] == said[1]
        return said[0]


def expected(pinned: bytes = b"") -> Expectation:
    return Expectation(NETWORK, pinned, NODE.public, NONCE, 1_750_000_000, True)


def test_the_policy_of_today_counts():
    verified = Shown().verify()
    assert verified.policy.digest == verified.record.policy_digest != FIRST.policy_digest
    offer = verify_offer(Shown().welcome, expected())
    assert offer.policy == verified.policy
    assert "measurement" in Shown(program=OLD).refusal()


def test_a_pin_of_the_newest_record_is_enough_to_know_the_policy():
    records = Shown().records[1:]
    verified = Shown(records).verify(record_digest(records[0].record))
    assert verified.policy == Shown().verify().policy


def test_the_founding_policy_counts_until_governors_change_it():
    assert Shown((signed(FIRST),), "", OLD).verify().policy.digest == FIRST.policy_digest
    plain = (signed(FIRST), signed(follows(None)))
    assert Shown(plain, "", OLD).verify().policy.digest == FIRST.policy_digest
    assert "measurement" in Shown(plain, "", NEW).refusal()


@pytest.mark.parametrize("policy", ["", GENESIS.policy, UPGRADE.policy + "\n", "junk"])
def test_another_policy_than_the_record_names_is_refused(policy: str):
    assert "another policy than the one in force" in Shown(policy=policy).refusal()


def test_a_nodes_word_for_a_policy_is_nothing_without_governors():
    lonely = (signed(FIRST), signed(follows(UPGRADE), UPGRADE, (1,)))
    assert "1 governors of epoch 0 approved: 2 must" in Shown(lonely).refusal()
    bare = (signed(FIRST), signed(follows(UPGRADE)))
    assert "without the amendment" in Shown(bare).refusal()


def test_nobody_turns_a_simulated_network_into_a_hardware_one():
    """Whatever a quorum and all governors sign: who joined the one does not get the other."""
    flipped = Amendment(NETWORK, 0, policy="[tdx]\nany_measurement = true\n")
    records = (signed(FIRST), signed(follows(flipped), flipped, (0, 1, 2)))
    assert "for good" in Shown(records, flipped.policy).refusal()


def test_the_history_names_who_approved_and_counts_no_forged_word():
    records = Shown().records
    (change,) = history(records)
    assert change.amendment == UPGRADE
    assert change.approved_by == (GOVERNORS[0].public, GOVERNORS[2].public)
    forged = (*records[1].approvals[:1], (1, bytes(64)), *records[1].approvals[1:])
    (change,) = history((records[0], msgspec.structs.replace(records[1], approvals=forged)))
    assert change.approved_by == (GOVERNORS[0].public, GOVERNORS[2].public)
