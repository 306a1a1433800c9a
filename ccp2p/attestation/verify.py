"""The one entrance: evidence in, verdict out. Offline, deterministic, and it never raises.

Time, policy and endorsements are arguments; nothing is fetched, whatever the evidence names.
The same inputs give the same verdict everywhere, so verdicts are replayed from the ledger.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from ccp2p.attestation.bundle import EvidenceBundle, check_sizes
from ccp2p.attestation.detect import detect
from ccp2p.attestation.policy import SECTIONS, Policy
from ccp2p.attestation.verdict import ANY_PROGRAM, Findings, Verdict
from ccp2p.model import codec, hashing
from ccp2p.model.errors import PeerFault

UNJUDGED: Final = "the verifier failed"
ZERO_SALT: Final = bytes(32)

_PANIC: Final = "PanicException"  # of libraries in Rust; it is no Exception, and has no public name

_LAST_TIME: Final = 1 << 40  # far beyond every certificate, and within every library's numbers

_Appraiser = Callable[[bytes, tuple[bytes, ...], Any, int, Findings], None]

# Modules are imported on first use: a network of one kind never loads the others' parsers.
_APPRAISERS: Final = {
    "simulated": "ccp2p.attestation.simulated",
    "sev-snp": "ccp2p.attestation.snp",
    "tdx": "ccp2p.attestation.dcap",
    "sgx": "ccp2p.attestation.dcap",
    "aws-nitro": "ccp2p.attestation.nitro",
    "arm-cca": "ccp2p.attestation.cca",
}

TEES: Final = tuple(_APPRAISERS)


def verify(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    policy: Policy,
    at: int,
    *,
    tee: str | None = None,
    salt: bytes = ZERO_SALT,
    report_data: bytes | None = None,
) -> Verdict:
    """Judge evidence as of `at` (Unix seconds).

    `tee` is what the sender says it is (detected when None). `salt` (32 bytes: the network id, or
    zeros on the command line) salts the platform id. `report_data`, where given, is what the
    evidence must be bound to.
    """
    findings = Findings("unknown")
    try:
        check_sizes(evidence, endorsements)
        findings.tee = _known(tee or detect(evidence))
        if not 0 <= at <= _LAST_TIME:
            raise PeerFault("time", "the time to judge for is out of range")
        _appraise(evidence, endorsements, policy, at, findings)
        if report_data is not None:
            findings.expect(
                findings.report_data == report_data,
                "report data is not what was asked for: the evidence is bound to something else",
                "reject",
            )
    except PeerFault as fault:
        findings.fail("reject", str(fault))
    except MemoryError:
        # It says something of this machine alone, and a verdict is the same on all.
        raise
    except BaseException as error:
        # A fault of ours, in code that reads strangers' bytes: refuse them, and keep running.
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        findings.fail("reject", f"{UNJUDGED}: {type(error).__name__}")
    inputs = _inputs_digest(evidence, endorsements, policy, at, tee, salt, report_data)
    return _conclude(findings, salt, inputs)


def verify_bundle(
    bundle: EvidenceBundle,
    policy: Policy,
    at: int,
    *,
    salt: bytes = ZERO_SALT,
    report_data: bytes | None = None,
) -> Verdict:
    """`verify` for evidence as it travels."""
    return verify(
        bundle.evidence,
        bundle.endorsements,
        policy,
        at,
        tee=bundle.tee,
        salt=salt,
        report_data=report_data,
    )


def _known(tee: str) -> str:
    if tee not in _APPRAISERS:
        raise PeerFault("unknown-tee", f"no TEE is called {tee[:32]!r}")
    return tee


def _appraise(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    policy: Policy,
    at: int,
    findings: Findings,
) -> None:
    tee = findings.tee
    section = policy.sections().get(tee)
    if section is None:
        findings.fail("policy-reject", f"the policy accepts no {tee} evidence")
        section = SECTIONS[tee]()
    appraise: _Appraiser = import_module(_APPRAISERS[tee]).appraise
    appraise(evidence, endorsements, section, at, findings)
    if section.any_measurement:
        findings.notes.append(ANY_PROGRAM)
    if section.require_hardware_id and not any(findings.hardware_id):
        findings.fail("policy-reject", "no hardware id, and the policy requires one")


def _inputs_digest(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    policy: Policy,
    at: int,
    tee: str | None,
    salt: bytes,
    report_data: bytes | None,
) -> bytes:
    inputs = (evidence, endorsements, policy.digest, str(at), tee, salt, report_data)
    return hashing.digest(hashing.VERDICT, codec.encode(inputs))


def _conclude(findings: Findings, salt: bytes, inputs_digest: bytes) -> Verdict:
    status = findings.status
    # Of what is rejected nothing is proven, so it has no identity.
    hardware_id = findings.hardware_id if status != "reject" else b""
    return Verdict(
        tee=findings.tee,
        accepted=status == "ok",
        status=status,
        reasons=findings.reasons,
        notes=tuple(findings.notes),
        measurement=findings.measurement,
        report_data=findings.report_data,
        platform_id=platform_id(findings.vendor, hardware_id, salt),
        vendor=findings.vendor,
        registers=findings.registers,
        tcb=findings.tcb,
        tcb_status=findings.tcb_status,
        advisories=findings.advisories,
        valid_from=findings.valid_from,
        valid_until=findings.valid_until,
        inputs_digest=inputs_digest,
    )


def platform_id(vendor: str, hardware_id: bytes, salt: bytes) -> bytes:
    """The 32-byte salted hash of a chip's identity; empty for a missing or masked (zero) one.

    It hangs on the vendor and not on the TEE: one Intel chip is one platform under SGX and TDX.
    """
    if not any(hardware_id):
        return b""
    name = vendor.encode()
    return hashing.digest(
        hashing.PLATFORM,
        hashing.digest(hashing.PLATFORM, salt),
        bytes([len(name)]) + name,
        hardware_id,
    )
