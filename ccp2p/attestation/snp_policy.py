"""What a policy asks of a genuine SEV-SNP report."""

from typing import Final

from ccp2p.attestation.policy import SnpSection, SnpTcb
from ccp2p.attestation.snp_report import Report, tcb_parts
from ccp2p.attestation.verdict import Findings

# Guest policy (AMD 56860, table "Guest Policy").
_SMT: Final = 1 << 16
_ALWAYS: Final = 1 << 17
_MIGRATION_AGENT: Final = 1 << 18
_DEBUG: Final = 1 << 19
_SINGLE_SOCKET: Final = 1 << 20

# PLATFORM_INFO.
PLATFORM_FLAGS: Final = {
    "smt": 1 << 0,
    "tsme": 1 << 1,
    "ecc": 1 << 2,
    "rapl_disabled": 1 << 3,
    "ciphertext_hiding": 1 << 4,
    "alias_check": 1 << 5,
}


def apply(
    report: Report, product: str, cloud: str, section: SnpSection, findings: Findings
) -> None:
    """Record every wish of the policy that the report does not meet.

    `cloud` is the VLEK's id. `product` is empty only for a report that is rejected already.
    """
    key = "vlek" if report.signing_key else "vcek"
    findings.registers = (
        ("host_data", report.host_data),
        ("id_key_digest", report.id_key_digest),
        ("author_key_digest", report.author_key_digest),
    )
    findings.tcb = (
        ("product", product),
        ("report_version", report.version),
        ("signing_key", key),
        ("vmpl", report.vmpl),
        *tcb_parts(report.reported_tcb, product).items(),
        *((f"committed_{p}", v) for p, v in tcb_parts(report.committed_tcb, product).items()),
    )
    _guest(report, section, findings)
    _identity(report, section, findings)
    findings.expect(
        not product or product in section.products, f"product {product} is not accepted"
    )
    findings.expect(key in section.signing_keys, f"reports signed by a {key} are not accepted")
    findings.expect(
        not section.cloud_ids or cloud in section.cloud_ids, f"cloud {cloud!r} is not accepted"
    )
    for flag in section.required_platform_flags:
        holds = bool(report.platform_info & PLATFORM_FLAGS[flag])
        findings.expect(holds, f"platform flag {flag} is off")
    for name, tcb, floors in (
        ("reported", report.reported_tcb, section.minimum_reported_tcb),
        ("committed", report.committed_tcb, section.minimum_committed_tcb),
    ):
        for named, floor in floors.items():
            if named == product:
                _floor(name, tcb_parts(tcb, product), floor, findings)


def _guest(report: Report, section: SnpSection, findings: Findings) -> None:
    policy = report.policy
    findings.expect(bool(policy & _ALWAYS), "guest policy bit 17 is off", "reject")
    findings.expect(section.allow_debug or not policy & _DEBUG, "debug is on")
    findings.expect(
        section.allow_migration_agent or not policy & _MIGRATION_AGENT,
        "a migration agent may be associated",
    )
    findings.expect(section.allow_smt or not policy & _SMT, "SMT is allowed")
    findings.expect(
        not section.require_single_socket or bool(policy & _SINGLE_SOCKET),
        "more than one socket is allowed",
    )
    findings.expect(
        report.vmpl in section.vmpls,
        f"VMPL {report.vmpl}; the policy wants {' or '.join(map(str, section.vmpls))}",
    )
    findings.expect(
        report.guest_svn >= section.minimum_guest_svn,
        f"guest SVN {report.guest_svn} is below {section.minimum_guest_svn}",
    )


def _identity(report: Report, section: SnpSection, findings: Findings) -> None:
    findings.expect(
        section.any_measurement or report.measurement.hex() in section.measurements,
        "measurement is not one that the policy accepts",
    )
    for name, value, accepted in (
        ("host data", report.host_data, section.host_data),
        ("id key", report.id_key_digest, section.id_key_digests),
        ("author key", report.author_key_digest, section.author_key_digests),
    ):
        findings.expect(
            not accepted or value.hex() in accepted, f"{name} is not one that the policy accepts"
        )


def _floor(name: str, parts: dict[str, int], floor: SnpTcb, findings: Findings) -> None:
    for part, version in parts.items():
        lowest = getattr(floor, part)
        findings.expect(version >= lowest, f"{name} TCB {part} is {version}, below {lowest}")
