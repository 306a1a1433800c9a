"""The simulated TEE: accepted by the right policy, refused on each single failed check."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccp2p.attestation import simulated
from ccp2p.attestation.binding import report_data
from ccp2p.attestation.bundle import EvidenceBundle, parse_bundle
from ccp2p.attestation.measurement import measure, measurement
from ccp2p.attestation.platforms.simulated import SimulatedPlatform
from ccp2p.attestation.policy import Policy, parse_policy, simulated_policy
from ccp2p.attestation.verify import verify, verify_bundle
from ccp2p.crypto.signatures import SigningKey
from ccp2p.model import codec
from ccp2p.model.errors import AttestationFault, LocalFault, PeerFault

AT = 1_800_000_000
DATA = bytes(range(64))


@dataclass
class World:
    platform: SimulatedPlatform
    policy: Policy


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(SimulatedPlatform(tmp_path), parse_policy(simulated_policy(measurement())))


def test_evidence_of_the_running_code_is_accepted(world: World) -> None:
    verdict = verify(
        world.platform.evidence(DATA), world.platform.endorsements, world.policy, AT
    ).require()
    assert verdict.status == "ok"
    assert verdict.tee == "simulated"
    assert verdict.vendor == "sim-a"
    assert verdict.measurement == measurement()
    assert verdict.report_data == DATA
    assert len(verdict.platform_id) == 32
    assert any("NOT confidential" in note for note in verdict.notes)


def test_a_verdict_is_a_function_of_its_inputs(world: World) -> None:
    evidence = world.platform.evidence(DATA)
    first = verify(evidence, world.platform.endorsements, world.policy, AT)
    assert first == verify(evidence, world.platform.endorsements, world.policy, AT)
    later = verify(evidence, world.platform.endorsements, world.policy, AT + 1)
    assert later.inputs_digest != first.inputs_digest


def test_evidence_for_other_report_data_is_refused(world: World) -> None:
    verdict = verify(
        world.platform.evidence(DATA),
        world.platform.endorsements,
        world.policy,
        AT,
        report_data=bytes(64),
    )
    assert verdict.status == "reject"
    with pytest.raises(AttestationFault) as caught:
        verdict.require()
    assert "bound to something else" in caught.value.reasons[0]


def test_other_code_is_refused_by_the_policy(world: World) -> None:
    other = parse_policy(simulated_policy(bytes(32)))
    verdict = verify(world.platform.evidence(DATA), world.platform.endorsements, other, AT)
    assert verdict.status == "policy-reject"
    assert not verdict.accepted
    assert verdict.reasons == ("measurement is not one that the policy accepts",)


def test_a_hardware_policy_refuses_simulated_evidence(world: World) -> None:
    hardware = parse_policy("[tdx]\nany_measurement = true\n")
    verdict = verify(world.platform.evidence(DATA), world.platform.endorsements, hardware, AT)
    assert verdict.status == "policy-reject"
    assert "the policy accepts no simulated evidence" in verdict.reasons


def test_every_failed_check_is_a_reason(world: World) -> None:
    text = '[simulated]\nmeasurements = ["' + "00" * 32 + '"]\nvendors = ["sim-b"]\nminimum_tcb = 2'
    verdict = verify(
        world.platform.evidence(DATA), world.platform.endorsements, parse_policy(text), AT
    )
    assert len(verdict.reasons) == 3


def test_one_chip_has_one_platform_id_and_the_salt_hides_it(tmp_path: Path, world: World) -> None:
    def identity(platform: SimulatedPlatform, salt: bytes) -> bytes:
        evidence = platform.evidence(DATA)
        return verify(evidence, platform.endorsements, world.policy, AT, salt=salt).platform_id

    again = SimulatedPlatform(tmp_path)
    other = SimulatedPlatform(tmp_path / "other")
    assert identity(again, bytes(32)) == identity(world.platform, bytes(32))
    assert identity(again, b"n" * 32) != identity(again, bytes(32))
    assert identity(other, bytes(32)) != identity(again, bytes(32))


def test_the_endorsement_of_another_chip_is_refused(tmp_path: Path, world: World) -> None:
    other = SimulatedPlatform(tmp_path / "other")
    verdict = verify(world.platform.evidence(DATA), other.endorsements, world.policy, AT)
    assert verdict.status == "reject"


def test_a_chip_that_the_published_root_did_not_certify_is_refused(world: World) -> None:
    signed = codec.decode(world.platform.endorsements[0], simulated.Signed, 1000)
    rogue = SigningKey(bytes(32)).sign(signed.body)
    endorsement = codec.encode(simulated.Signed(signed.body, rogue))
    verdict = verify(world.platform.evidence(DATA), (endorsement,), world.policy, AT)
    assert verdict.status == "reject"
    assert "simulated root" in verdict.reasons[0]


def test_no_changed_byte_is_accepted(world: World) -> None:
    evidence, endorsements = world.platform.evidence(DATA), world.platform.endorsements
    for position in range(len(evidence)):
        changed = bytearray(evidence)
        changed[position] ^= 1
        assert verify(bytes(changed), endorsements, world.policy, AT).status == "reject"
    for position in range(len(endorsements[0])):
        changed = bytearray(endorsements[0])
        changed[position] ^= 1
        assert verify(evidence, (bytes(changed),), world.policy, AT).status == "reject"


def test_a_bundle_travels(world: World) -> None:
    sent = codec.encode(world.platform.bundle(DATA))
    verdict = verify_bundle(parse_bundle(sent), world.policy, AT, report_data=DATA)
    assert verdict.accepted


def test_an_oversized_bundle_is_refused_before_it_is_parsed(world: World) -> None:
    bundle = EvidenceBundle("simulated", bytes(70_000), ())
    with pytest.raises(PeerFault, match="over the limit"):
        parse_bundle(codec.encode(bundle))
    many = EvidenceBundle("simulated", b"", (b"",) * 17)
    assert "over the limit" in verify_bundle(many, world.policy, AT).reasons[0]


def test_an_unknown_tee_is_refused_by_name(world: World) -> None:
    bundle = EvidenceBundle("abacus", b"", ())
    assert "'abacus'" in verify_bundle(bundle, world.policy, AT).reasons[0]


def test_sealing_keys_outlive_a_restart_and_differ_by_context_and_chip(tmp_path: Path) -> None:
    first = SimulatedPlatform(tmp_path / "a")
    assert SimulatedPlatform(tmp_path / "a").sealing_key(b"x") == first.sealing_key(b"x")
    assert first.sealing_key(b"x") != first.sealing_key(b"y")
    assert SimulatedPlatform(tmp_path / "b").sealing_key(b"x") != first.sealing_key(b"x")


def test_the_chip_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    SimulatedPlatform(tmp_path)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


def test_a_damaged_chip_is_not_silently_replaced(tmp_path: Path) -> None:
    SimulatedPlatform(tmp_path)
    (tmp_path / "simulated-chip").write_bytes(b"short")
    with pytest.raises(LocalFault, match="damaged"):
        SimulatedPlatform(tmp_path)


def test_report_data_depends_on_every_part() -> None:
    parts = (b"n" * 32, b"k" * 32, b"s" * 32, b"nonce")
    base = report_data(*parts)
    assert len(base) == 64
    for index, part in enumerate(parts):
        changed = (*parts[:index], part[:-1] + b"!", *parts[index + 1 :])
        assert report_data(*changed) != base
    with pytest.raises(LocalFault):
        report_data(b"n" * 31, b"k" * 33, b"s" * 32, b"")


def test_the_measurement_follows_names_and_contents_of_code_only(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b.so").write_bytes(b"code")
    first = measure(tmp_path)
    (tmp_path / "notes.txt").write_text("not code")
    assert measure(tmp_path) == first
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    renamed = measure(tmp_path)
    (tmp_path / "c.py").write_text("x = 2\n")
    assert len({first, renamed, measure(tmp_path)}) == 3
