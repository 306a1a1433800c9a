"""Drafting a policy from evidence: accept this program, on this kind of chip, no older than now.

A draft is for a person to read. It pins what identifies the program, and comments out what names
one machine or changes on every boot.
"""

from typing import Final

from ccp2p.attestation.policy import default_policy, parse_policy, trusting_platform_keys
from ccp2p.attestation.simulated import is_simulated
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import verify

_FLOORS: Final = ("fmc", "bl", "tee", "snp", "ucode")
_ZERO: Final = frozenset(b"\x00")

# Registers that are the program's, and not of one machine or one start of it.
_PROGRAM_REGISTERS: Final = {
    "tdx": ("rtmr0", "rtmr1", "rtmr2", "mr_config_id", "mr_owner", "mr_owner_config"),
    "aws-nitro": ("pcr1", "pcr2", "pcr8"),
    "arm-cca": (),
    "sev-snp": ("id_key_digest", "author_key_digest"),
}
_MACHINE_REGISTERS: Final = {
    "tdx": ("rtmr3", "mr_seam"),
    "aws-nitro": ("pcr3", "pcr4"),
    "arm-cca": ("rem0", "rem1", "rem2", "rem3"),
    "sev-snp": ("host_data",),
}
_KEYS: Final = {"id_key_digest": "id_key_digests", "author_key_digest": "author_key_digests"}


def judge(
    evidence: bytes,
    endorsements: tuple[bytes, ...],
    at: int,
    tee: str | None = None,
    platform_keys: tuple[str, ...] = (),
) -> Verdict:
    """The verdict to draft from: under the default policy, whatever program it is."""
    if is_simulated(evidence):
        policy = parse_policy("[simulated]\nany_measurement = true\n")
    else:
        policy = trusting_platform_keys(default_policy(), platform_keys)
    return verify(evidence, endorsements, policy, at, tee=tee)


def draft_policy(verdict: Verdict, platform_keys: tuple[str, ...] = ()) -> str:
    """TOML of a policy that accepts what `verdict` was about, and as little else as can be.

    `platform_keys` are the Arm CCA keys to trust. A draft of evidence that was rejected, because
    its endorsements are missing, says in its first lines that it is not verified.
    """
    lead = "NOT VERIFIED" if verdict.status == "reject" else "Not accepted as it is"
    lines = [
        f"# Drafted from {verdict.tee} evidence judged {verdict.status!r}. Read before use.",
        *(f"# {lead}: {reason}" for reason in verdict.reasons),
        f"[{verdict.tee}]",
        f'measurements = ["{verdict.measurement.hex()}"]',
        *_registers(verdict),
        *_specific(verdict, platform_keys),
    ]
    return "\n".join(lines) + "\n"


def _registers(verdict: Verdict) -> list[str]:
    values = {name: value for name, value in verdict.registers if set(value) - _ZERO}
    return [
        f'{prefix}{_KEYS.get(name, name)} = ["{values[name].hex()}"]'
        for prefix, names in (("", _PROGRAM_REGISTERS), ("# ", _MACHINE_REGISTERS))
        for name in names.get(verdict.tee, ())
        if name in values
    ]


def _specific(verdict: Verdict, platform_keys: tuple[str, ...]) -> list[str]:
    tcb = dict(verdict.tcb)
    if verdict.tee == "sev-snp":
        return _snp(tcb)
    if verdict.tee in ("tdx", "sgx"):
        return _dcap(verdict, tcb)
    if verdict.tee == "arm-cca":
        keys = ", ".join(f'"{key}"' for key in platform_keys)
        return [
            f"platform_keys = [{keys}]",
            f'implementation_ids = ["{tcb["implementation_id"]}"]',
        ]
    if verdict.tee == "simulated":
        return [f'vendors = ["{verdict.vendor}"]', f"minimum_tcb = {tcb['simulated']}"]
    return []


def _snp(tcb: dict[str, int | str]) -> list[str]:
    def floor(prefix: str) -> str:
        parts = (f"{part} = {tcb[prefix + part]}" for part in _FLOORS if prefix + part in tcb)
        return "{ " + ", ".join(parts) + " }"

    lines = [
        f'signing_keys = ["{tcb["signing_key"]}"]',
        f"vmpls = [{tcb['vmpl']}]",
        '# required_platform_flags = ["alias_check"]',
    ]
    product = tcb["product"]
    if not product:
        return [*lines, "# products and TCB floors: unknown without the chip's certificate"]
    return [
        *lines,
        f'products = ["{product}"]',
        f"minimum_reported_tcb.{product} = {floor('')}",
        f"minimum_committed_tcb.{product} = {floor('committed_')}",
    ]


def _dcap(verdict: Verdict, tcb: dict[str, int | str]) -> list[str]:
    lines = []
    if verdict.tcb_status not in ("", "UpToDate", "Revoked"):
        advisories = ", ".join(f'"{advisory}"' for advisory in verdict.advisories)
        lines.append(f'# statuses = ["UpToDate", "{verdict.tcb_status}"]')
        lines.append(f"# advisories = [{advisories}]")
    if "evaluation_number" in tcb:
        lines.append(f"minimum_evaluation_number = {tcb['evaluation_number']}")
    if verdict.tee == "sgx":
        signer = dict(verdict.registers)["mr_signer"].hex()
        lines.append(f'signers = ["{signer}"]')
        lines.append(f"product_id = {tcb['product_id']}")
        lines.append(f"minimum_svn = {tcb['svn']}")
    return lines
