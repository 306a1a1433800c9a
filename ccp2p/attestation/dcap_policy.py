"""What a policy asks of a genuine TDX or SGX quote."""

from typing import Final

import dcap_qvl

from ccp2p.attestation.policy import DcapSection, SgxSection, TdxSection
from ccp2p.attestation.quote import Quote
from ccp2p.attestation.verdict import Findings, Registers

NO_LEVEL: Final = "the TCB is below every level of the collateral"
DEBUG_ON: Final = "debug is on"
SEPT_OFF: Final = "SEPT_VE_DISABLE is off"
FOREIGN_SERVICE: Final = "a foreign service TD may change this TD"

_TD_DEBUG: Final = 1 << 0
_SEPT_VE_DISABLE: Final = 1 << 28
_SGX_DEBUG: Final = 0x02
_UP_TO_DATE: Final = "UpToDate"

# Configuration of the platform in the PCK certificate; DER booleans.
_CONFIGURATION: Final = "1.2.840.113741.1.13.1.7."
_FLAGS: Final = (
    ("allow_dynamic_platform", "1", "the platform is dynamic: packages can be added"),
    ("allow_cached_keys", "2", "the platform's keys are cached by Intel"),
    ("allow_smt", "3", "SMT is on"),
)


def apply(evidence: bytes, quote: Quote, section: DcapSection, findings: Findings) -> None:
    """Record every wish of the policy that the quote does not meet."""
    findings.expect(
        section.any_measurement or _names(section, quote),
        "measurement is not one that the policy accepts",
    )
    if isinstance(section, TdxSection):
        _apply_tdx(quote, section, findings)
    elif isinstance(section, SgxSection):
        _apply_sgx(quote, section, findings)
    _apply_configuration(evidence, section, findings)


def apply_status(section: DcapSection, findings: Findings) -> None:
    """Record a TCB status, or advisories under one, that the policy does not allow."""
    status = findings.tcb_status
    findings.expect(status in section.statuses, f"TCB status {status}", "tcb-status")
    if status != _UP_TO_DATE:
        for advisory in findings.advisories:
            findings.expect(
                advisory in section.advisories,
                f"advisory {advisory} is not one that the policy allows",
                "tcb-status",
            )


def _names(section: DcapSection, quote: Quote) -> bool:
    if isinstance(section, SgxSection) and not section.measurements:
        return section.named()
    return quote.measurement.hex() in getattr(section, "measurements", ())


def _apply_tdx(quote: Quote, section: TdxSection, findings: Findings) -> None:
    body = quote.body
    attributes = int.from_bytes(body[120:128], "little")
    findings.expect(not attributes & _TD_DEBUG, DEBUG_ON)
    findings.expect(bool(attributes & _SEPT_VE_DISABLE), SEPT_OFF)
    findings.expect(not any(body[600:648]), FOREIGN_SERVICE)
    findings.tcb += (("tee_tcb_svn", body[0:16].hex()),)
    findings.registers = (
        ("mr_seam", body[16:64]),
        ("mr_config_id", body[184:232]),
        ("mr_owner", body[232:280]),
        ("mr_owner_config", body[280:328]),
        *((f"rtmr{index}", body[328 + 48 * index : 376 + 48 * index]) for index in range(4)),
    )
    _apply_registers(findings.registers, section, findings)


def _apply_sgx(quote: Quote, section: SgxSection, findings: Findings) -> None:
    body = quote.body
    signer = body[128:160]
    product_id = int.from_bytes(body[256:258], "little")
    svn = int.from_bytes(body[258:260], "little")
    findings.expect(not body[48] & _SGX_DEBUG, DEBUG_ON)
    findings.tcb += (
        ("cpu_svn", body[0:16].hex()),
        ("product_id", product_id),
        ("svn", svn),
    )
    findings.registers = (("mr_signer", signer),)
    findings.expect(
        not section.signers or signer.hex() in section.signers,
        "signer is not one that the policy accepts",
    )
    findings.expect(
        section.product_id in (None, product_id),
        f"product {product_id}; the policy wants {section.product_id}",
    )
    findings.expect(svn >= section.minimum_svn, f"SVN {svn} is below {section.minimum_svn}")


def _apply_registers(registers: Registers, section: TdxSection, findings: Findings) -> None:
    for name, value in registers:
        accepted = getattr(section, name)
        findings.expect(
            not accepted or value.hex() in accepted, f"{name} is not one that the policy accepts"
        )


def _apply_configuration(evidence: bytes, section: DcapSection, findings: Findings) -> None:
    unwanted = [flag for flag in _FLAGS if not getattr(section, flag[0])]
    if not unwanted:
        return
    try:
        extension = dcap_qvl.parse_quote(evidence).pck_extension()
    except ValueError:
        extension = None
    if extension is None:
        findings.fail("reject", "the PCK certificate's extension cannot be read")
        return
    for _, number, reason in unwanted:
        value = extension.get_value(_CONFIGURATION + number)
        findings.expect(value is None or not any(value), reason)
