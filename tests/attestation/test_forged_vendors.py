"""Rules that no published sample breaks, on evidence of vendors of our own making."""

from hashlib import sha256, sha512

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ccp2p.attestation import roots
from ccp2p.attestation.policy import Policy, default_policy, parse_policy, trusting_platform_keys
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import UNJUDGED, verify
from tests.attestation.forge import (
    AT,
    CHIP,
    START,
    Authority,
    Report,
    Token,
    amd_issuer,
    amd_root,
    certificate_table,
    chip,
    chip_extensions,
    document,
    issue,
    revocation_list,
    rsa_key,
    uncompressed,
)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the forged AMD root."""
    monkeypatch.setitem(roots.AMD, amd_root().pin, "genoa")


def judge(
    report: Report,
    leaf: Authority,
    *others: bytes,
    issuer: Authority | None = None,
    policy: Policy | None = None,
) -> Verdict:
    chain = (leaf.der, (issuer or amd_issuer()).der, amd_root().der, *others)
    return verify(report.signed_by(leaf), chain, policy or default_policy(), AT, tee="sev-snp")


def vcek(hardware_id: bytes = CHIP) -> Authority:
    return chip(chip_extensions(hardware_id), amd_issuer())


def test_a_forged_vendor_counts_only_where_it_is_pinned() -> None:
    verdict = judge(Report(), vcek())
    assert verdict.status == "reject"
    assert "does not chain to a pinned AMD root" in verdict.reasons[0]


@pytest.mark.usefixtures("trusted")
def test_a_hardware_id_may_be_wrapped() -> None:
    bare = judge(Report(), vcek())
    wrapped = judge(Report(), vcek(b"\x04\x40" + CHIP))
    assert bare.status == wrapped.status == "ok"
    assert bare.platform_id == wrapped.platform_id
    assert judge(Report(), vcek(CHIP[::-1])).status == "reject"
    assert judge(Report(), vcek(b"")).status == "reject"


@pytest.mark.usefixtures("trusted")
def test_a_masked_chip_has_no_vote() -> None:
    masked = judge(Report(chip_id=bytes(64)), vcek())
    assert masked.status == "ok"
    assert masked.platform_id == b""
    wanting = parse_policy("[sev-snp]\nany_measurement = true\nrequire_hardware_id = true")
    assert judge(Report(chip_id=bytes(64)), vcek(), policy=wanting).status == "policy-reject"


@pytest.mark.usefixtures("trusted")
def test_of_several_certificates_of_one_kind_the_one_that_signed_counts() -> None:
    leaf = vcek()
    report = Report().signed_by(leaf)
    chain = (amd_issuer().der, amd_root().der)
    for endorsements in ((vcek().der, leaf.der, *chain), (*chain, leaf.der, vcek().der)):
        assert verify(report, endorsements, default_policy(), AT).status == "ok"
    strangers = (vcek().der, vcek().der, *chain)
    verdict = verify(report, strangers, default_policy(), AT)
    assert verdict.reasons == ("the report's signature is wrong",)


@pytest.mark.usefixtures("trusted")
def test_an_unused_place_in_a_table_of_certificates_is_passed_over() -> None:
    leaf = vcek()
    parts = (leaf.der, amd_issuer().der, amd_root().der)
    table = certificate_table(*parts, b"")
    report = Report().signed_by(leaf)
    for endorsed in (table, table + bytes(4096)):
        assert verify(report, (endorsed,), default_policy(), AT).status == "ok"


@pytest.mark.usefixtures("trusted")
def test_a_vlek_names_a_cloud_and_no_chip() -> None:
    issuer = amd_issuer("SEV-VLEK-Genoa")
    leaf = chip(chip_extensions(None), issuer, "SEV-VLEK")
    verdict = judge(Report(signing_key=1), leaf, issuer=issuer)
    assert verdict.status == "ok"
    assert verdict.platform_id == b""
    wanting = parse_policy('[sev-snp]\nany_measurement = true\ncloud_ids = ["cloud"]')
    assert judge(Report(signing_key=1), leaf, issuer=issuer, policy=wanting).status == "ok"


@pytest.mark.usefixtures("trusted")
def test_the_two_kinds_of_keys_have_their_own_issuers() -> None:
    vlek_issuer = amd_issuer("SEV-VLEK-Genoa")
    crossed = chip(chip_extensions(), vlek_issuer, "SEV-VCEK")
    assert judge(Report(), crossed, issuer=vlek_issuer).status == "reject"
    unmarked = chip(chip_extensions(), amd_root(), "SEV-VCEK")
    assert judge(Report(), unmarked).status == "reject"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("product", "status"),
    [(b"Genoa", "ok"), (b"Genoa-B1", "ok"), (b"Milan", "reject"), (b"Milan-B0", "reject")],
)
def test_a_certificate_names_the_product_of_its_chain(product: bytes, status: str) -> None:
    leaf = chip(chip_extensions(product=product), amd_issuer())
    assert judge(Report(), leaf).status == status


@pytest.mark.usefixtures("trusted")
def test_a_chip_s_certificate_cannot_issue_another() -> None:
    first = vcek()
    second = chip(chip_extensions(), first, "SEV-VCEK")
    chain = (second.der, first.der, amd_issuer().der, amd_root().der)
    verdict = verify(Report().signed_by(second), chain, default_policy(), AT, tee="sev-snp")
    assert verdict.status == "reject"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (Report(family_model=b"\x19\x01"), "the processor is a milan"),
        (Report(family_model=b"\x17\x31"), "no known SNP product"),
        (Report(reported_tcb=bytes((4, 0, 0, 0, 0, 0, 23, 219))), "reported TCB snp is 23"),
        (Report(policy=0x10000), "bit 17"),
        (Report(signing_key=7), "masked"),
        (Report(signing_key=3), "masked"),
        (Report(signing_key=1), "no VLEK certificate"),
        (Report(values={0x34: b"\x02"}), "signature algorithm"),
        (Report(values={0x00: b"\x04"}), "version 4"),
    ],
)
def test_a_report_that_contradicts_itself_is_rejected(report: Report, reason: str) -> None:
    verdict = judge(report, vcek())
    assert verdict.status == "reject"
    assert any(reason in found for found in verdict.reasons)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("report", "reason", "allowance"),
    [
        (Report(policy=0x70000), "migration agent", "allow_migration_agent = true"),
        (Report(policy=0xB0000), "debug", "allow_debug = true"),
        (Report(vmpl=2), "VMPL 2", "vmpls = [2]"),
    ],
)
def test_the_default_policy_s_wishes_can_be_lifted_by_name(
    report: Report, reason: str, allowance: str
) -> None:
    refused = judge(report, vcek())
    assert refused.status == "policy-reject"
    assert reason in refused.reasons[0]
    policy = parse_policy(f"[sev-snp]\nany_measurement = true\n{allowance}")
    assert judge(report, vcek(), policy=policy).status == "ok"


@pytest.mark.usefixtures("trusted")
def test_revocation_lists_count_when_they_are_given() -> None:
    leaf, serial = vcek(), amd_issuer().certificate.serial_number
    current = revocation_list(amd_root(), ())
    accepted = judge(Report(), leaf, current)
    assert accepted.status == "ok"
    assert accepted.valid_until == int(START.timestamp()) + 700 * 86400
    revoked = judge(Report(), leaf, revocation_list(amd_root(), (serial,)))
    assert revoked.reasons == ("the SEV-Genoa certificate is revoked",)
    stale = judge(Report(), leaf, revocation_list(amd_root(), (), days=10))
    assert stale.reasons == ("a revocation list is not current",)
    stranger = issue("ARK-Genoa", rsa_key("stranger"))
    false = judge(Report(), leaf, revocation_list(stranger, ()))
    assert false.reasons == ("a revocation list is not signed by the root",)


@pytest.mark.usefixtures("trusted")
def test_a_revocation_list_counts_wherever_it_stands_in_a_text() -> None:
    leaf = vcek()
    serial = amd_issuer().certificate.serial_number
    der = revocation_list(amd_root(), (serial,))
    revoked = x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    chain = b"".join(
        link.certificate.public_bytes(Encoding.PEM) for link in (leaf, amd_issuer(), amd_root())
    )
    report = Report().signed_by(leaf)
    assert verify(report, (chain,), default_policy(), AT).status == "ok"
    for endorsements in ((chain + revoked,), (revoked + chain,), (chain, revoked), (chain, der)):
        verdict = verify(report, endorsements, default_policy(), AT)
        assert verdict.reasons == ("the SEV-Genoa certificate is revoked",)
    many = verify(report, (chain, revoked * 11), default_policy(), AT)
    assert many.reasons == ("more revocation lists than any genuine evidence needs",)


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture
def nitro(monkeypatch: pytest.MonkeyPatch) -> list[Authority]:
    """A pinned root and one authority below it."""
    root = issue("aws.nitro-enclaves", p384())
    monkeypatch.setitem(roots.AWS_NITRO, root.pin, "forged")
    return [root, issue("zone", p384(), root, path_length=0)]


def judge_document(evidence: bytes) -> Verdict:
    return verify(evidence, (), default_policy(), AT, tee="aws-nitro")


def enclave(issuer: Authority) -> Authority:
    return issue("enclave", p384(), issuer, authority=False)


def test_a_document_of_a_pinned_root_is_accepted(nitro: list[Authority]) -> None:
    verdict = judge_document(document(nitro, enclave(nitro[-1])))
    assert verdict.status == "ok"
    assert verdict.report_data == b"bound"


def test_an_enclave_s_certificate_cannot_issue_another(nitro: list[Authority]) -> None:
    first = enclave(nitro[-1])
    verdict = judge_document(document([*nitro, first], enclave(first)))
    assert verdict.status == "reject"
    assert "not issued by the one above it" in verdict.reasons[0]


def test_an_authority_is_no_leaf_and_no_deeper_than_allowed(nitro: list[Authority]) -> None:
    authority = issue("enclave", p384(), nitro[-1])
    assert judge_document(document(nitro, authority)).status == "reject"
    deeper = issue("below", p384(), nitro[-1])
    assert judge_document(document([*nitro, deeper], enclave(deeper))).status == "reject"


def test_links_out_of_order_and_unknown_critical_extensions_are_rejected(
    nitro: list[Authority],
) -> None:
    assert judge_document(document(nitro[::-1], enclave(nitro[-1]))).status == "reject"
    assert judge_document(document(nitro[:1], enclave(nitro[-1]))).status == "reject"
    odd = issue("odd", p384(), nitro[0], extensions={"1.2.3.4": b"\x05\x00"}, critical=True)
    assert judge_document(document([nitro[0], odd], enclave(odd))).status == "reject"


@pytest.mark.parametrize(
    "changes",
    [
        {"digest": "SHA256"},
        {"module_id": ""},
        {"module_id": 7},
        {"timestamp": 0},
        {"timestamp": "now"},
        {"pcrs": {}},
        {"pcrs": {1: b"x" * 48}},
        {"pcrs": {0: b"x" * 47}},
        {"pcrs": {0: b"x" * 48, 32: b"x" * 48}},
        {"pcrs": {0: b"x" * 48, "1": b"x" * 48}},
        {"cabundle": []},
        {"cabundle": None},
        {"cabundle": ["x"]},
        {"certificate": b""},
        {"certificate": b"\x30\x82" + bytes(9000)},
        {"user_data": b"x" * 1025},
        {"nonce": "text"},
        {"public_key": 1},
    ],
)
def test_fields_out_of_bounds_are_rejected(
    nitro: list[Authority], changes: dict[str, object]
) -> None:
    verdict = judge_document(document(nitro, enclave(nitro[-1]), **changes))
    assert verdict.status == "reject"


def judge_token(token: Token, policy: Policy | None = None) -> Verdict:
    key = uncompressed(token.platform_key).hex()
    trusting = trusting_platform_keys(policy or default_policy(), (key,))
    return verify(token.encoded(), (), trusting, AT, tee="arm-cca")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=lambda curve: curve.name)
def test_a_token_of_a_trusted_platform_key_is_accepted(curve: ec.EllipticCurve) -> None:
    verdict = judge_token(Token.honest(curve))
    assert verdict.status == "ok"
    assert verdict.report_data == b"c" * 64
    assert verdict.measurement == b"r" * 32
    assert len(verdict.platform_id) == 32


@pytest.mark.parametrize("lifecycle", [0, 0x1000, 0x2000, 0x4000, 0x5000, 0x6000])
def test_a_platform_that_is_not_secured_is_refused(lifecycle: int) -> None:
    token = Token.honest(ec.SECP384R1()).changed({2395: lifecycle})
    assert judge_token(token).status == "policy-reject"
    policy = parse_policy("[arm-cca]\nany_measurement = true\nallow_debug = true")
    assert judge_token(token, policy).status == "ok"


def test_the_platform_vouches_for_one_realm_key() -> None:
    honest = Token.honest(ec.SECP384R1())
    other = Token.honest(ec.SECP384R1())
    stolen = Token(honest.platform_key, other.realm_key, honest.platform, other.realm)
    verdict = judge_token(stolen)
    assert verdict.reasons == ("the platform token vouches for another realm key",)


@pytest.mark.parametrize(
    ("platform", "realm"),
    [
        ("http://arm.com/CCA-SSD/1.0.0", None),
        ("http://arm.com/CCA-SSD/1.0.0", "tag:arm.com,2023:realm#1.0.0"),
        ("http://arm.com/CCA-SSD/1.1.0", None),
        ("tag:arm.com,2024:cca_platform#2.0.0", "tag:arm.com,2024:realm#2.0.0"),
    ],
)
def test_tokens_of_all_published_profiles_of_one_shape_are_read(
    platform: str, realm: str | None
) -> None:
    token = Token.honest(ec.SECP384R1()).changed({265: platform, 2394: 1}, claim_265=realm)
    assert judge_token(token).status == "ok"


def test_a_realm_key_may_be_a_cose_key_and_hashed_otherwise() -> None:
    token = Token.honest(ec.SECP384R1())
    point = uncompressed(token.realm_key)
    key = cbor2.dumps({1: 2, -1: 2, -2: point[1:49], -3: point[49:]})
    hashed = token.changed({10: sha512(key).digest()}, claim_44237=key, claim_44240="sha-512")
    assert judge_token(hashed).status == "ok"
    cut = cbor2.dumps({1: 2, -1: 2, -2: point[1:49]})
    assert (
        judge_token(token.changed({10: sha256(cut).digest()}, claim_44237=cut)).status == "reject"
    )


@pytest.mark.parametrize(
    ("platform", "realm"),
    [
        ({265: "tag:example.com,2026:platform"}, {}),
        ({256: b"\x02" + b"i" * 32}, {}),
        ({256: b"i" * 32}, {}),
        ({2396: b"p" * 31}, {}),
        ({2395: None}, {}),
        ({2395: 1 << 20}, {}),
        ({2399: []}, {}),
        ({2399: [7]}, {}),
        ({2399: [{1: 7, 2: b"m" * 32, 5: b"s" * 32}]}, {}),
        ({2399: [{2: b"m" * 32, 5: b"s" * 32}] * 65}, {}),
        ({}, {"claim_265": "tag:example.com,2026:realm"}),
        ({}, {"claim_10": b"c" * 32}),
        ({}, {"claim_44235": b""}),
        ({}, {"claim_44238": b"r" * 33}),
        ({}, {"claim_44239": [bytes(32)] * 3}),
        ({}, {"claim_44239": [bytes(32)] * 3 + ["x"]}),
        ({}, {"claim_44240": "md5"}),
        ({}, {"claim_44240": None}),
        ({}, {"claim_44237": b"\x04" + bytes(96)}),
        ({}, {"claim_44237": cbor2.dumps({1: 2, -1: [2], -2: b"", -3: b""})}),
        ({}, {"claim_44237": cbor2.dumps({1: [2]})}),
        ({}, {"claim_44237": cbor2.dumps([])}),
    ],
)
def test_claims_out_of_bounds_are_rejected(
    platform: dict[int, object], realm: dict[str, object]
) -> None:
    token = Token.honest(ec.SECP384R1()).changed(platform, **realm)
    verdict = judge_token(token)
    assert verdict.status == "reject"
    assert UNJUDGED not in " ".join(verdict.reasons)
