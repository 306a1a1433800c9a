"""One encoding of each piece of evidence, and nothing unsigned that is not checked."""

import json
import subprocess
import sys

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ccp2p.attestation import certificates
from ccp2p.attestation.verify import TEES, UNJUDGED, verify
from ccp2p.model.errors import PeerFault
from tests.attestation.evidence import (
    CCA,
    CCA_2023,
    EVIDENCE,
    GENUINE,
    MILAN,
    NITRO,
    SGX,
    TDX_V4,
    TDX_V5,
    VLEK,
    case,
    needs_samples,
)
from tests.attestation.forge import issue

pytestmark = needs_samples


def status(sample: tuple[str, str], evidence: bytes) -> str:
    return case(*sample).verify(evidence).status


@pytest.mark.parametrize("sample", GENUINE, ids=lambda sample: sample[1])
def test_no_other_length_is_accepted(sample: tuple[str, str]) -> None:
    evidence = case(*sample).evidence
    for changed in (evidence + b"\x00", evidence[:-1], b"", evidence[:100], evidence * 2):
        assert status(sample, changed) == "reject"


@pytest.mark.parametrize("sample", GENUINE, ids=lambda sample: sample[1])
def test_no_single_changed_byte_is_accepted(sample: tuple[str, str]) -> None:
    evidence = case(*sample).evidence
    step = max(1, len(evidence) // 120)
    for position in range(0, len(evidence), step):
        changed = bytearray(evidence)
        changed[position] ^= 1 << position % 8
        assert status(sample, bytes(changed)) == "reject", position


def test_every_byte_of_the_unsigned_part_of_a_report_counts() -> None:
    evidence = case(*MILAN).evidence
    for position in range(0x2A0, len(evidence)):
        changed = bytearray(evidence)
        changed[position] ^= 0x80
        assert status(MILAN, bytes(changed)) == "reject", position


def test_a_quote_s_certificates_have_one_spelling() -> None:
    evidence = case(*TDX_V4).evidence
    start = evidence.index(b"-----BEGIN")
    text = evidence[start:]
    spellings = (
        text.replace(b"\n", b" ", 3),
        text.replace(b"\nc", b"c\n", 1),
        text[:-2] + b"\x00\x00",
        text[:-1] + b"\n",
        text[:-1] + b"A",
        text.replace(b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN CERTIFICATE-----\t", 1),
    )
    for spelling in spellings:
        assert spelling != text
        assert len(spelling) == len(text)
        assert status(TDX_V4, evidence[:start] + spelling) == "reject"


def test_a_quote_s_chain_ends_in_one_of_the_ways_that_quoting_software_writes() -> None:
    sample = case("sgx", "sgx_v3_occlum_debug.bin")
    assert sample.evidence.endswith(b"-----\n")
    assert sample.verify().status == "policy-reject"
    for ending in (b"\x00", b"\r", b" ", b"-"):
        assert sample.verify(sample.evidence[:-1] + ending).status == "reject"


def test_a_quote_s_root_certificate_is_checked_to_the_last_bit() -> None:
    evidence = case(*TDX_V4).evidence
    start = evidence.rindex(b"-----BEGIN CERTIFICATE-----\n") + 28
    end = evidence.rindex(b"\n-----END")
    for position in range(start, end, 7):
        changed = bytearray(evidence)
        if changed[position] in b"\n=":
            continue
        changed[position] = ord("A") if changed[position] != ord("A") else ord("B")
        assert status(TDX_V4, bytes(changed)) == "reject", position


def test_a_certificate_has_one_encoding() -> None:
    leaf, chain = case(*MILAN).endorsements
    ders = [
        certificate.public_bytes(Encoding.DER)
        for certificate in x509.load_pem_x509_certificates(chain)
    ]
    certificate = x509.load_der_x509_certificate(leaf)
    start = leaf.index(certificate.tbs_certificate_bytes) + len(certificate.tbs_certificate_bytes)
    for der in (leaf, *ders):
        assert certificates.parse(der).public_bytes(Encoding.DER) == der
    for position in range(start, len(leaf) - len(certificate.signature)):
        for bit in range(8):
            changed = bytearray(leaf)
            changed[position] ^= 1 << bit
            with pytest.raises(PeerFault):
                certificates.parse(bytes(changed))


def test_a_chain_in_the_collateral_does_not_replace_the_quote_s() -> None:
    sample = case(*TDX_V4)
    collateral = json.loads(sample.endorsements[0])
    collateral["pck_certificate_chain"] = "-----BEGIN CERTIFICATE-----\nAAAA\n"
    endorsed = sample.verify(endorsements=(json.dumps(collateral).encode(),))
    assert endorsed.status == "ok"
    broken = bytearray(sample.evidence)
    broken[broken.index(b"-----BEGIN") + 500] ^= 1
    collateral["pck_certificate_chain"] = sample.evidence[
        sample.evidence.index(b"-----BEGIN") : -1
    ].decode()
    replaced = sample.verify(bytes(broken), endorsements=(json.dumps(collateral).encode(),))
    assert replaced.status == "reject"


def test_collateral_needs_all_its_fields_and_no_company() -> None:
    sample = case(*TDX_V4)
    collateral = json.loads(sample.endorsements[0])
    for name in collateral:
        fewer = {key: value for key, value in collateral.items() if key != name}
        assert sample.verify(endorsements=(json.dumps(fewer).encode(),)).status == "reject"
        # Lists are checked with the certificates that they are about, not with this chain.
        if name != "pck_crl_issuer_chain":
            wrong = {**collateral, name: "00"}
            assert sample.verify(endorsements=(json.dumps(wrong).encode(),)).status == "reject"
    assert sample.verify(endorsements=sample.endorsements * 2).status == "reject"
    assert sample.verify(endorsements=(b"{}",)).status == "reject"
    assert sample.verify(endorsements=(b"\xff\xfe",)).status == "reject"


def test_long_chains_in_the_collateral_cost_nothing() -> None:
    sample = case(*TDX_V4)
    collateral = json.loads(sample.endorsements[0])
    imitation = issue("Intel SGX Root CA", ec.generate_private_key(ec.SECP256R1()))
    pem = imitation.certificate.public_bytes(Encoding.PEM).decode()
    for name in ("tcb_info_issuer_chain", "qe_identity_issuer_chain"):
        longer = {**collateral, name: collateral[name] + "\n" + pem * 20}
        verdict = sample.verify(endorsements=(json.dumps(longer).encode(),))
        assert verdict.reasons == ("more certificates than any genuine collateral has",)


@pytest.mark.parametrize("sample", [TDX_V4, TDX_V5], ids=lambda sample: sample[1])
def test_a_quote_without_collateral_is_signature_only(sample: tuple[str, str]) -> None:
    verdict = case(*sample).verify(endorsements=())
    assert verdict.status == "signature-only"
    assert verdict.platform_id == case(*sample).verify().platform_id
    changed = bytearray(case(*sample).evidence)
    changed[200] ^= 1
    assert case(*sample).verify(bytes(changed), endorsements=()).status == "reject"


def test_a_quote_without_collateral_still_needs_current_certificates() -> None:
    assert case(*TDX_V4).verify(endorsements=(), at=4_000_000_000).status == "reject"


def test_collateral_of_another_kind_of_tee_is_refused() -> None:
    sgx = case("sgx", "sgx_v3_phala.bin")
    assert case(*TDX_V4).verify(endorsements=sgx.endorsements).status == "reject"


def test_report_and_chain_come_in_any_order_and_form() -> None:
    sample = case(*MILAN)
    leaf, chain = sample.endorsements
    ders = [
        certificate.public_bytes(Encoding.DER)
        for certificate in x509.load_pem_x509_certificates(chain)
    ]
    assert sample.verify(endorsements=(chain, leaf)).status == "ok"
    assert sample.verify(endorsements=(leaf, *ders)).status == "ok"
    assert sample.verify(endorsements=(*ders, leaf)).status == "ok"
    assert sample.verify(endorsements=(leaf, ders[0])).status == "reject"
    assert sample.verify(endorsements=(leaf, ders[1])).status == "reject"
    assert sample.verify(endorsements=(chain,)).status == "reject"
    assert sample.verify(endorsements=()).status == "reject"


def test_a_vlek_does_not_pass_for_a_vcek() -> None:
    vlek = case(*VLEK)
    assert case(*MILAN).verify(endorsements=vlek.endorsements).status == "reject"
    changed = bytearray(vlek.evidence)
    changed[0x48] &= ~4
    assert vlek.verify(bytes(changed)).status == "reject"


def test_too_many_certificates_are_refused_before_they_are_checked() -> None:
    sample = case(*MILAN)
    leaf, chain = sample.endorsements
    many = sample.verify(endorsements=(chain * 5, leaf))
    assert many.status == "reject"
    assert "more certificates" in many.reasons[0]


def test_a_text_of_certificates_without_an_end_is_refused() -> None:
    sample = case(*MILAN)
    leaf, chain = sample.endorsements
    for text in (chain + b"-----BEGIN CERTIFICATE-----\n", chain.rstrip()[:-2], chain[:40]):
        assert sample.verify(endorsements=(leaf, text)).status == "reject"
    noted = b"-----BEGIN CERTIFICATE-----".join(
        part and part + b"# the next one\n" for part in chain.split(b"-----BEGIN CERTIFICATE-----")
    )
    assert sample.verify(endorsements=(leaf, noted)).status == "ok"


def test_tables_of_certificates_are_read_within_their_bounds() -> None:
    folder = EVIDENCE / "sev-snp"
    sample = case("sev-snp", "genoa_v3_vcek_tsm.bin")
    table = (folder / "genoa_v3_tsm_auxblob.bin").read_bytes()
    assert sample.verify(endorsements=(table,)).status == "ok"
    assert sample.verify(endorsements=(table[:-1],)).status == "reject"
    assert sample.verify(endorsements=(table[:20],)).status == "reject"
    longer = table[:20] + b"\xff\xff\xff\x7f" + table[24:]
    assert sample.verify(endorsements=(longer,)).status == "reject"


@pytest.mark.parametrize("sample", [NITRO, CCA], ids=lambda sample: sample[1])
def test_tokens_that_carry_their_chain_take_no_endorsements(sample: tuple[str, str]) -> None:
    assert case(*sample).verify(endorsements=(b"x",)).status == "reject"


def test_a_document_has_one_envelope() -> None:
    evidence = case(*NITRO).evidence
    protected, _, payload, signature = cbor2.loads(evidence)
    assert cbor2.dumps([protected, {}, payload, signature]) == evidence
    envelopes = (
        cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature])),
        cbor2.dumps([protected, {1: -35}, payload, signature]),
        cbor2.dumps([protected, {}, payload, signature, None]),
        cbor2.dumps([b"\xa1\x01\x26", {}, payload, signature]),
        cbor2.dumps([protected, None, payload, signature]),
        b"\x9f" + evidence[1:] + b"\xff",
        evidence[:7] + b"\x5a\x00\x00" + evidence[8:],
    )
    for envelope in envelopes:
        assert status(NITRO, envelope) == "reject"


@pytest.mark.parametrize("sample", [CCA, CCA_2023], ids=lambda sample: sample[1])
def test_a_token_s_two_halves_belong_together(sample: tuple[str, str]) -> None:
    other = CCA if sample == CCA_2023 else CCA_2023
    ours = cbor2.loads(case(*sample).evidence).value
    theirs = cbor2.loads(case(*other).evidence).value
    mixed = cbor2.dumps(cbor2.CBORTag(399, {44234: ours[44234], 44241: theirs[44241]}))
    assert status(sample, mixed) == "reject"
    alone = cbor2.dumps(cbor2.CBORTag(399, {44234: ours[44234]}))
    assert status(sample, alone) == "reject"


@pytest.mark.parametrize("sample", [*GENUINE, SGX], ids=lambda sample: sample[1])
def test_evidence_does_not_pass_for_that_of_another_tee(sample: tuple[str, str]) -> None:
    genuine = case(*sample)
    assert genuine.tee in TEES
    for tee in TEES:
        if tee == genuine.tee:
            continue
        for endorsements in (genuine.endorsements, ()):
            verdict = verify(genuine.evidence, endorsements, genuine.policy, genuine.at, tee=tee)
            assert verdict.status == "reject"
            assert UNJUDGED not in " ".join(verdict.reasons)


def test_oversized_evidence_is_refused_by_its_size() -> None:
    verdict = case(*NITRO).verify(bytes(70_000))
    assert verdict.status == "reject"
    assert "over the limit" in verdict.reasons[0]


def test_no_time_is_out_of_range_for_a_verdict() -> None:
    for at in (-1, -(1 << 70), 1 << 41, 1 << 70):
        for sample in (MILAN, TDX_V4, NITRO, CCA):
            assert case(*sample).verify(at=at).status == "reject"


def test_what_is_rejected_has_no_platform_id() -> None:
    changed = bytearray(case(*MILAN).evidence)
    changed[0x95] ^= 1
    verdict = case(*MILAN).verify(bytes(changed))
    assert verdict.status == "reject"
    assert verdict.platform_id == b""


class PanicException(BaseException):
    """As Rust's binding to Python calls and derives it."""


def test_a_panic_of_a_native_library_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object) -> None:
        raise PanicException("called `Option::unwrap()` on a `None` value")

    monkeypatch.setattr("dcap_qvl.verify", panic)
    sample = case(*TDX_V4)
    verdict = verify(sample.evidence, sample.endorsements, sample.policy, sample.at)
    assert verdict.status == "reject"
    assert verdict.reasons == (f"{UNJUDGED}: PanicException",)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError])
def test_what_is_not_about_the_evidence_is_not_a_verdict(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr("dcap_qvl.verify", stop)
    sample = case(*TDX_V4)
    with pytest.raises(error):
        verify(sample.evidence, sample.endorsements, sample.policy, sample.at)


def test_odd_names_in_a_stranger_s_certificate_print_nothing() -> None:
    """In a process of its own, because pytest has its own way with warnings."""
    locality, country = bytes.fromhex("0603550407"), bytes.fromhex("0603550406")
    odd = case(*MILAN).endorsements[0].replace(locality, country)
    program = (
        f"from ccp2p.attestation.certificates import parse; parse(bytes.fromhex({odd.hex()!r}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert ran.stderr == b""
