"""What a client checks before it trusts a node; each lie is told with otherwise true evidence."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from ccp2p.attestation import simulated
from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.measurement import measurement
from ccp2p.client.verification import (
    Expectation,
    VerifiedNode,
    verify_offer,
    verify_welcome,
)
from ccp2p.crypto import hpke
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec, hashing
from ccp2p.model.epoch import SignedEpochRecord
from ccp2p.model.errors import AttestationFault, MemberFault, PeerFault
from ccp2p.model.member_protocol import Hello, Welcome
from ccp2p.node.attestor import NodeAttestor
from tests.node.stage import network

NONCE = b"fresh nonce".ljust(32)


@dataclass(frozen=True)
class Scene:
    """Two nodes of one network: what each says to our nonce, and what we expect of the first."""

    welcome: Welcome
    other: Welcome
    expected: Expectation
    attestors: tuple[NodeAttestor, NodeAttestor]

    def verify(self, expected: Expectation | None = None, **lies: object) -> VerifiedNode:
        return verify_welcome(
            msgspec.structs.replace(self.welcome, **lies), expected or self.expected
        )

    def refusal(self, expected: Expectation | None = None, **lies: object) -> PeerFault:
        with pytest.raises(PeerFault) as caught:
            self.verify(expected, **lies)
        return caught.value

    def evidence(self, program: bytes, nonce: bytes = NONCE) -> bytes:
        """Evidence of another program, or for another nonce, by a chip that the root certifies."""
        data = report_data(self.expected.network, self.welcome.node, self.welcome.sealing, nonce)
        seed = os.urandom(32)
        report = simulated.sign_report(seed, program, data)
        certificate = simulated.certify(SigningKey(seed).public, "sim-a")
        return codec.encode(EvidenceBundle("simulated", report, (certificate,)))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    directory: Path = tmp_path_factory.mktemp("nodes")

    async def collect() -> Scene:
        async with network(directory, 2) as stage:
            first, second = (host.node for host in stage.hosts)
            welcome = first.welcome(Hello(NONCE))
            expected = Expectation(
                stage.ticket().network,
                stage.ticket().record,
                welcome.node,
                NONCE,
                int(time.time()),
                True,
            )
            attestors = (first._attestor, second._attestor)
            return Scene(welcome, second.welcome(Hello(NONCE)), expected, attestors)

    return trio.run(collect)


def test_an_honest_node_is_trusted(scene: Scene):
    verified = scene.verify()
    assert (verified.node, verified.seat) == (scene.welcome.node, 0)
    assert verified.verdict.accepted
    assert verified.record_digest == scene.expected.record


def test_evidence_of_the_same_program_by_another_chip_shows_what_the_lies_lack(scene: Scene):
    assert scene.verify(evidence=scene.evidence(measurement())).verdict.accepted


def test_a_simulated_tee_is_refused_unless_allowed(scene: Scene):
    fault = scene.refusal(replace(scene.expected, allow_simulated=False))
    assert isinstance(fault, AttestationFault)
    assert "--allow-simulated" in str(fault)


def test_another_measurement_is_refused(scene: Scene):
    fault = scene.refusal(evidence=scene.evidence(b"m" * 32))
    assert isinstance(fault, AttestationFault)
    assert any("measurement" in reason for reason in fault.reasons)


def test_another_nonce_is_refused(scene: Scene):
    stale = scene.evidence(measurement(), b"an older nonce".ljust(32))
    assert any("report data" in reason for reason in scene.refusal(evidence=stale).reasons)
    repeated = replace(scene.expected, nonce=b"n" * 32)
    assert isinstance(scene.refusal(repeated), AttestationFault)


def test_evidence_of_another_node_is_refused(scene: Scene):
    fault = scene.refusal(evidence=scene.other.evidence)
    assert any("report data" in reason for reason in fault.reasons)
    assert isinstance(scene.refusal(sealing=scene.other.sealing), AttestationFault)


def test_a_node_that_shows_another_key_than_its_connection_is_refused(scene: Scene):
    assert "another key" in str(scene.refusal(node=scene.other.node))
    assert "another key" in str(scene.refusal(replace(scene.expected, remote=b"r" * 32)))


def test_a_node_of_another_network_is_refused(scene: Scene):
    elsewhere = replace(scene.expected, network=b"x" * 32)
    assert "not of the ticket's network" in str(scene.refusal(elsewhere))
    altered = scene.welcome.genesis[:-1] + b"\x01"
    assert "not of the ticket's network" in str(scene.refusal(genesis=altered))


def test_a_network_that_is_being_founded_is_not_trusted_yet(scene: Scene):
    assert scene.refusal(records=()).code == "not-founded"


def signed(scene: Scene) -> SignedEpochRecord:
    return codec.decode(scene.welcome.records[0], SignedEpochRecord, 1 << 20)


def unpinned(scene: Scene) -> Expectation:
    """A client that knows the network id alone."""
    return replace(scene.expected, record=b"")


@pytest.mark.parametrize("missing", [0, 1])
def test_a_record_0_that_lacks_a_signature_is_refused(scene: Scene, missing: int):
    record = signed(scene)
    kept = tuple(pair for pair in record.signatures if pair[0] != missing)
    incomplete = codec.encode(SignedEpochRecord(record.record, kept))
    assert "not signed by all founders" in str(
        scene.refusal(unpinned(scene), records=(incomplete,))
    )


def test_a_record_0_with_a_wrong_signature_is_refused(scene: Scene):
    record = signed(scene)
    (first, second) = record.signatures
    swapped = codec.encode(SignedEpochRecord(record.record, ((0, second[1]), (1, first[1]))))
    assert "signature on epoch record 0 is wrong" in str(
        scene.refusal(unpinned(scene), records=(swapped,))
    )


def test_a_pinned_record_needs_no_signatures_any_more(scene: Scene):
    bare = codec.encode(SignedEpochRecord(signed(scene).record, ()))
    assert scene.verify(records=(bare,)).record_digest == scene.expected.record


def test_a_second_record_of_one_epoch_is_refused_and_both_are_shown(scene: Scene):
    pinned = replace(scene.expected, record=b"r" * 32)
    fault = scene.refusal(pinned)
    assert (b"r" * 32).hex() in str(fault)
    assert scene.expected.record.hex() in str(fault)


def test_an_attested_node_without_a_seat_is_an_observer(scene: Scene):
    stranger, sealing = SigningKey(b"s" * 32), hpke.PrivateKey(b"t" * 32).public
    data = report_data(scene.expected.network, stranger.public, sealing, NONCE)
    seed = os.urandom(32)
    bundle = EvidenceBundle(
        "simulated",
        simulated.sign_report(seed, measurement(), data),
        (simulated.certify(SigningKey(seed).public, "sim-a"),),
    )
    verified = scene.verify(
        replace(scene.expected, remote=stranger.public),
        node=stranger.public,
        sealing=sealing,
        evidence=codec.encode(bundle),
    )
    assert verified.seat is None


@given(st.sampled_from(["genesis", "records", "evidence", "sealing"]), st.data())
def test_a_changed_byte_is_never_trusted(scene: Scene, part: str, data: st.DataObject):
    good = scene.welcome.records[0] if part == "records" else getattr(scene.welcome, part)
    at = data.draw(st.integers(0, len(good) - 1))
    value = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    changed = bytes([*good[:at], value, *good[at + 1 :]])
    with pytest.raises((PeerFault, MemberFault)):
        scene.verify(unpinned(scene), **{part: (changed,) if part == "records" else changed})


def test_nodes_check_each_other_alike(scene: Scene):
    """Between nodes: evidence is bound to one handshake, one node and this very program."""
    first, second = scene.attestors
    bound = hashing.digest(hashing.NONCE, b"this handshake")
    good = first.evidence(bound)
    assert second.check(first.node, bound, good).accepted
    lies = [
        (first.node, hashing.digest(hashing.NONCE, b"another handshake"), good),
        (second.node, bound, good),
        (first.node, bound, second.evidence(bound)),
        (first.node, bound, good[:-1]),
        (first.node, bound, b""),
        (b"short", bound, good),
    ]
    for node, binding, evidence in lies:
        with pytest.raises(AttestationFault):
            second.check(node, binding, evidence)


def test_a_node_that_runs_another_program_is_refused_by_nodes(scene: Scene):
    first, second = scene.attestors
    bound = hashing.digest(hashing.NONCE, b"this handshake")
    odd = codec.encode([scene.welcome.sealing, scene.evidence(b"m" * 32, bound)])
    with pytest.raises(AttestationFault) as caught:
        second.check(first.node, bound, odd)
    assert any("measurement" in reason for reason in caught.value.reasons)
    same = codec.encode([scene.welcome.sealing, scene.evidence(measurement(), bound)])
    assert second.check(first.node, bound, same).accepted


def offer_refusal(welcome: Welcome, expected: Expectation) -> tuple[str, ...]:
    with pytest.raises(AttestationFault) as caught:
        verify_offer(welcome, expected)
    return caught.value.reasons


def test_a_founder_checks_the_first_nodes_evidence_before_it_prepares_anything(scene: Scene):
    unfounded = msgspec.structs.replace(scene.welcome, records=())
    offer = verify_offer(unfounded, scene.expected)
    assert offer.genesis.first_node == scene.welcome.node
    assert offer.verdict.tee == "simulated"
    other_program = msgspec.structs.replace(unfounded, evidence=scene.evidence(b"p" * 32))
    assert offer_refusal(other_program, scene.expected)
    stale = replace(scene.expected, nonce=b"another".ljust(32))
    assert offer_refusal(unfounded, stale)
    assert offer_refusal(unfounded, replace(scene.expected, network=b"x" * 32)) == ("network-id",)
    assert offer_refusal(unfounded, replace(scene.expected, remote=b"x" * 32)) == ("node-key",)
    refuse_simulated = replace(scene.expected, allow_simulated=False)
    assert offer_refusal(unfounded, refuse_simulated) == ("simulated",)


def test_only_the_first_node_gathers_founders(scene: Scene):
    expected = replace(scene.expected, remote=scene.other.node)
    assert verify_offer(scene.other, expected).verdict
    unfounded = msgspec.structs.replace(scene.other, records=())
    assert offer_refusal(unfounded, expected) == ("first-node",)
