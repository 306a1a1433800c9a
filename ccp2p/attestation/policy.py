"""The one policy: which evidence a network accepts. TOML, and its digest is in the network id.

One section per TEE; a TEE without a section is refused. A section names the measurements it
accepts, or says `any_measurement = true` in so many words. Values in hexadecimal are lower case.
An empty list of a register or key means that it is not checked. Unknown keys are errors, and no
policy has both simulated and hardware sections, because a genesis is all of one or the other.
"""

import tomllib
from functools import cache
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, field

from ccp2p.model import hashing, limits
from ccp2p.model.errors import MemberFault

Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Hex48 = Annotated[str, Meta(pattern="^[0-9a-f]{96}$")]
Digest = Annotated[str, Meta(pattern="^([0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$")]
Point = Annotated[str, Meta(pattern="^04([0-9a-f]{128}|[0-9a-f]{192})$")]
Count = Annotated[int, Meta(ge=0)]
Svn = Annotated[int, Meta(ge=0, le=255)]
Vmpl = Annotated[int, Meta(ge=0, le=3)]
Product = Literal["milan", "genoa", "turin"]
PlatformFlag = Literal["smt", "tsme", "ecc", "rapl_disabled", "ciphertext_hiding", "alias_check"]
TcbStatus = Literal[
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every TEE's section has."""

    any_measurement: bool = False
    require_hardware_id: bool = False

    def named(self) -> bool:
        """Whether the section names what program it accepts."""
        return bool(getattr(self, "measurements", ()))


class SimulatedSection(Section, frozen=True, kw_only=True):
    """Simulated nodes: 32-byte measurements of the package, vendor names, a lowest TCB number."""

    measurements: tuple[Hex32, ...] = ()
    vendors: tuple[str, ...] = ()
    minimum_tcb: Count = 0
    allow_debug: bool = False


class SnpTcb(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lowest security version of each firmware part."""

    fmc: Svn = 0
    bl: Svn = 0
    tee: Svn = 0
    snp: Svn = 0
    ucode: Svn = 0


class SnpSection(Section, frozen=True, kw_only=True):
    """AMD SEV-SNP. TCB floors are per product, on what was reported and what is committed."""

    measurements: tuple[Hex48, ...] = ()
    products: tuple[Product, ...] = ("milan", "genoa", "turin")
    signing_keys: tuple[Literal["vcek", "vlek"], ...] = ("vcek", "vlek")
    cloud_ids: tuple[str, ...] = ()
    vmpls: tuple[Vmpl, ...] = (0,)
    allow_debug: bool = False
    allow_migration_agent: bool = False
    allow_smt: bool = True
    require_single_socket: bool = False
    required_platform_flags: tuple[PlatformFlag, ...] = ()
    minimum_reported_tcb: dict[Product, SnpTcb] = {}
    minimum_committed_tcb: dict[Product, SnpTcb] = {}
    minimum_guest_svn: Count = 0
    host_data: tuple[Hex32, ...] = ()
    id_key_digests: tuple[Hex48, ...] = ()
    author_key_digests: tuple[Hex48, ...] = ()


class DcapSection(Section, frozen=True, kw_only=True):
    """What TDX and SGX share. `advisories` are those allowed where a level is not UpToDate.

    Debug is always refused.
    """

    statuses: tuple[TcbStatus, ...] = ("UpToDate",)
    advisories: tuple[str, ...] = ()
    minimum_evaluation_number: Count = 0
    allow_smt: bool = True
    allow_dynamic_platform: bool = True
    allow_cached_keys: bool = True


class TdxSection(DcapSection, frozen=True, kw_only=True):
    """Intel TDX; `measurements` are MRTDs. A TD without SEPT_VE_DISABLE is always refused."""

    measurements: tuple[Hex48, ...] = ()
    rtmr0: tuple[Hex48, ...] = ()
    rtmr1: tuple[Hex48, ...] = ()
    rtmr2: tuple[Hex48, ...] = ()
    rtmr3: tuple[Hex48, ...] = ()
    mr_seam: tuple[Hex48, ...] = ()
    mr_config_id: tuple[Hex48, ...] = ()
    mr_owner: tuple[Hex48, ...] = ()
    mr_owner_config: tuple[Hex48, ...] = ()


class SgxSection(DcapSection, frozen=True, kw_only=True):
    """Intel SGX; `measurements` are MRENCLAVEs, `signers` MRSIGNERs. Naming one kind is enough."""

    measurements: tuple[Hex32, ...] = ()
    signers: tuple[Hex32, ...] = ()
    product_id: Count | None = None
    minimum_svn: Count = 0

    def named(self) -> bool:
        """A signer with a product stands for its programs."""
        return bool(self.measurements or (self.signers and self.product_id is not None))


class NitroSection(Section, frozen=True, kw_only=True):
    """AWS Nitro enclaves; `measurements` are PCR0s."""

    measurements: tuple[Hex48, ...] = ()
    pcr1: tuple[Hex48, ...] = ()
    pcr2: tuple[Hex48, ...] = ()
    pcr3: tuple[Hex48, ...] = ()
    pcr4: tuple[Hex48, ...] = ()
    pcr8: tuple[Hex48, ...] = ()
    allow_debug: bool = False


class CcaSection(Section, frozen=True, kw_only=True):
    """Arm CCA; `measurements` are realm initial measurements.

    Arm has no public root, so `platform_keys` holds the trusted platform keys, as uncompressed
    points; none given, none trusted.
    """

    measurements: tuple[Digest, ...] = ()
    platform_keys: tuple[Point, ...] = ()
    implementation_ids: tuple[Hex32, ...] = ()
    rem0: tuple[Digest, ...] = ()
    rem1: tuple[Digest, ...] = ()
    rem2: tuple[Digest, ...] = ()
    rem3: tuple[Digest, ...] = ()
    allow_debug: bool = False


SECTIONS: Final[dict[str, type[Section]]] = {
    "simulated": SimulatedSection,
    "sev-snp": SnpSection,
    "tdx": TdxSection,
    "sgx": SgxSection,
    "aws-nitro": NitroSection,
    "arm-cca": CcaSection,
}


class Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Seats that one vendor or one chip may hold; membership counts them (design section 8).

    A chip has one vote, so nothing else can be asked for.
    """

    vendor: Literal["none", "no-fork", "f"] = "none"
    platform: Literal[1] = 1


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A parsed policy. `digest` is the hash of the text it was read from."""

    simulated: SimulatedSection | None = None
    sev_snp: SnpSection | None = field(default=None, name="sev-snp")
    tdx: TdxSection | None = None
    sgx: SgxSection | None = None
    aws_nitro: NitroSection | None = field(default=None, name="aws-nitro")
    arm_cca: CcaSection | None = field(default=None, name="arm-cca")
    caps: Caps = Caps()
    digest: bytes = b""

    @property
    def is_simulated(self) -> bool:
        """Whether this policy is for simulated nodes, which are NOT confidential."""
        return self.simulated is not None

    def sections(self) -> dict[str, Section]:
        """The sections present, by TEE name."""
        found = {tee: getattr(self, tee.replace("-", "_")) for tee in SECTIONS}
        return {tee: section for tee, section in found.items() if section is not None}


# For `ccp2p verify evidence` without a policy: genuine, current, not debuggable.
DEFAULT_POLICY: Final = """\
[sev-snp]
any_measurement = true

[tdx]
any_measurement = true

[sgx]
any_measurement = true

[aws-nitro]
any_measurement = true

[arm-cca]
any_measurement = true
"""


def parse_policy(text: str) -> Policy:
    """Read a policy; MemberFault (code `policy`) says which key is wrong, and how."""
    data = text.encode()
    if len(data) > limits.MAX_POLICY_BYTES:
        raise MemberFault("policy", f"a policy has at most {limits.MAX_POLICY_BYTES} bytes")
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MemberFault("policy", f"the policy is not TOML: {error}") from None
    if "digest" in table:
        raise MemberFault("policy", "the policy has an unknown key `digest`")
    try:
        policy = msgspec.convert(table, Policy)
    except msgspec.ValidationError as error:
        raise MemberFault("policy", f"the policy is wrong: {error}") from None
    _check(policy)
    return msgspec.structs.replace(policy, digest=hashing.digest(hashing.POLICY, data))


def check_amended(before: Policy, text: str) -> Policy:
    """The policy that governors bring in; MemberFault (`policy`) when it must not follow `before`.

    A network is all-simulated or all-hardware for good: nobody who joined the one gets the other.
    """
    policy = parse_policy(text)
    if policy.is_simulated != before.is_simulated:
        kinds = ("hardware", "simulated")
        raise MemberFault(
            "policy",
            f"the network's TEEs are {kinds[before.is_simulated]} for good: a policy for "
            f"{kinds[policy.is_simulated]} ones needs a network of its own",
        )
    return policy


def _check(policy: Policy) -> None:
    sections = policy.sections()
    if not sections:
        raise MemberFault("policy", "the policy accepts no TEE: it needs a section such as [tdx]")
    if policy.is_simulated and len(sections) > 1:
        hardware = ", ".join(sorted(set(sections) - {"simulated"}))
        raise MemberFault("policy", f"[simulated] cannot stand beside hardware ({hardware})")
    for tee, section in sections.items():
        if section.named() == section.any_measurement:
            raise MemberFault(
                "policy",
                f"[{tee}] must either name its measurements or say any_measurement = true",
            )
    if policy.sev_snp is not None:
        _check_floors(policy.sev_snp)


def _check_floors(section: SnpSection) -> None:
    """Refuse a floor that would never be compared: only Turin has the part `fmc`."""
    for name in ("minimum_reported_tcb", "minimum_committed_tcb"):
        for product, floor in getattr(section, name).items():
            if floor.fmc and product != "turin":
                raise MemberFault(
                    "policy", f"{name}.{product} has a floor for `fmc`, and only turin has that"
                )


@cache
def default_policy() -> Policy:
    """The policy that applies where none is given; it requires no measurement."""
    return parse_policy(DEFAULT_POLICY)


def trusting_platform_keys(policy: Policy, points: tuple[str, ...]) -> Policy:
    """`policy` that also trusts these Arm CCA platform keys (hexadecimal uncompressed points)."""
    section = policy.arm_cca or CcaSection()
    trusting = msgspec.structs.replace(section, platform_keys=section.platform_keys + points)
    digest = hashing.digest(hashing.POLICY, policy.digest, " ".join(points).encode())
    return msgspec.structs.replace(policy, arm_cca=trusting, digest=digest)


def simulated_policy(measurement: bytes) -> str:
    """TOML of the policy that accepts simulated nodes which run exactly `measurement`."""
    return f'[simulated]\nmeasurements = ["{measurement.hex()}"]\n'
