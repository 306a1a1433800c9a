"""Bounded fuzzing: whatever the bytes, a verdict comes back, and only samples are accepted.

`bench/attestation_fuzz.py` is the long run of the same kind; its figures are in the documentation.
"""

import cbor2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ccp2p.attestation.bundle import parse_bundle
from ccp2p.attestation.inputs import read_endorsement, read_evidence
from ccp2p.attestation.policy import default_policy, parse_policy
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import TEES, UNJUDGED, verify
from ccp2p.model.errors import MemberFault, PeerFault
from tests.attestation.evidence import CCA, GENUINE, MILAN, NITRO, SGX, case, needs_samples

FEW = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
AT = 1_800_000_000

edits = st.lists(
    st.tuples(
        st.sampled_from(("flip", "set", "delete", "insert", "repeat")),
        st.integers(0, 8000),
        st.binary(min_size=1, max_size=40),
    ),
    min_size=1,
    max_size=4,
)


def judged(verdict: Verdict) -> str:
    """The status of a verdict that the verifier did reach."""
    assert UNJUDGED not in " ".join(verdict.reasons)
    return verdict.status


def edited(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    changed = bytearray(data)
    for kind, position, piece in changes:
        start = position % max(1, len(changed))
        end = start + len(piece)
        if kind == "flip" and changed:
            changed[start] ^= piece[0] or 1
        elif kind == "set":
            changed[start:end] = piece
        elif kind == "delete":
            del changed[start:end]
        elif kind == "insert":
            changed[start:start] = piece
        else:
            changed[start:start] = changed[start:end]
    return bytes(changed)


@needs_samples
@pytest.mark.parametrize("sample", [*GENUINE, SGX], ids=lambda sample: sample[1])
@FEW
@given(changes=edits)
def test_edited_samples_are_never_accepted(
    sample: tuple[str, str], changes: list[tuple[str, int, bytes]]
) -> None:
    evidence = edited(case(*sample).evidence, changes)
    verdict = case(*sample).verify(evidence)
    if evidence != case(*sample).evidence:
        assert verdict.status == "reject"
        assert verdict.reasons


@needs_samples
@pytest.mark.parametrize("sample", [MILAN, ("tdx", "tdx_v4_phala.bin")], ids=lambda s: s[1])
@FEW
@given(changes=edits)
def test_edited_endorsements_never_raise(
    sample: tuple[str, str], changes: list[tuple[str, int, bytes]]
) -> None:
    genuine = case(*sample)
    for index, endorsement in enumerate(genuine.endorsements):
        parts = list(genuine.endorsements)
        parts[index] = edited(endorsement, changes)
        verdict = genuine.verify(endorsements=tuple(parts))
        assert verdict.measurement == genuine.verify().measurement


cbor_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.binary(max_size=50) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.integers(-5, 45000) | st.text(max_size=12), inner, max_size=6)
        | st.builds(cbor2.CBORTag, st.sampled_from((2, 4, 18, 35, 258, 399, 9999)), inner)
    ),
    max_leaves=25,
)


@FEW
@given(value=cbor_values, protected=st.sampled_from((b"\xa1\x01\x38\x22", b"\xa1\x01\x26", b"")))
def test_any_cbor_is_judged(value: object, protected: bytes) -> None:
    payload = cbor2.dumps(value)
    sign1 = cbor2.CBORTag(18, [protected, {}, payload, bytes(96)])
    tagged = cbor2.dumps(sign1)
    token = cbor2.CBORTag(399, {44234: tagged, 44241: tagged})
    for tee, data in (
        ("aws-nitro", payload),
        ("aws-nitro", cbor2.dumps(sign1.value)),
        ("arm-cca", payload),
        ("arm-cca", cbor2.dumps(token)),
    ):
        assert judged(verify(data, (), default_policy(), AT, tee=tee)) == "reject"


@needs_samples
@pytest.mark.parametrize("sample", [NITRO, CCA], ids=lambda sample: sample[1])
@FEW
@given(field=st.integers(0, 20), value=cbor_values)
def test_any_value_of_any_claim_is_judged(
    sample: tuple[str, str], field: int, value: object
) -> None:
    outer = cbor2.loads(case(*sample).evidence)
    sign1 = list(
        outer if sample == NITRO else cbor2.loads(outer.value[44234 + 7 * (field % 2)]).value
    )
    claims = dict(cbor2.loads(sign1[2]))
    claims[list(claims)[field % len(claims)]] = value
    sign1[2] = cbor2.dumps(claims)
    if sample == NITRO:
        changed = cbor2.dumps(sign1)
    else:
        halves = dict(outer.value)
        halves[44234 + 7 * (field % 2)] = cbor2.dumps(cbor2.CBORTag(18, sign1))
        changed = cbor2.dumps(cbor2.CBORTag(399, halves))
    if changed != case(*sample).evidence:
        assert case(*sample).verify(changed).status == "reject"


@pytest.mark.parametrize("tee", [*TEES, None])
@FEW
@given(data=st.binary(max_size=2000), endorsement=st.binary(max_size=200))
def test_any_bytes_are_judged(tee: str | None, data: bytes, endorsement: bytes) -> None:
    for endorsements in ((), (endorsement,)):
        verdict = verify(data, endorsements, default_policy(), AT, tee=tee)
        assert judged(verdict) == "reject"


@FEW
@given(data=st.binary(max_size=500))
@example(b"\x93\xa3tdx\xc4\x00\x90")
def test_any_bundle_is_read_or_refused(data: bytes) -> None:
    try:
        parse_bundle(data)
    except PeerFault:
        return


@FEW
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_file_is_taken(data: bytes) -> None:
    assert isinstance(read_evidence(data), bytes)
    assert isinstance(read_endorsement(data), bytes)


@FEW
@given(raw=st.binary(min_size=1, max_size=300).filter(lambda data: data[:1] not in b"{-"))
def test_hexadecimal_and_raw_files_are_the_same(raw: bytes) -> None:
    assert read_evidence(raw.hex().encode()) == raw
    assert read_endorsement(raw.hex().encode() + b"\n") == raw


@FEW
@given(text=st.text(max_size=200))
@example("[tdx]\nany_measurement = 1979-05-27T07:32:00Z")
@example("[" * 5000)
def test_any_policy_is_read_or_refused(text: str) -> None:
    try:
        parse_policy(text)
    except MemberFault:
        return
