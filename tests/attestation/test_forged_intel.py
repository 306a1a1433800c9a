"""Rules for quotes that no published sample shows, on an Intel of our own making."""

from dataclasses import replace

import dcap_qvl
import pytest

from ccp2p.attestation import roots
from ccp2p.attestation.policy import Policy, default_policy, parse_policy
from ccp2p.attestation.verdict import Verdict
from ccp2p.attestation.verify import UNJUDGED, verify
from tests.attestation.forge_intel import AT, Collateral, Level, Platform, Quote, pck, root

QUOTES = (Quote(3), Quote(4), Quote(5))
ON_TDX = QUOTES[1:]
SEPT_VE_DISABLE = 1 << 28
quotes = pytest.mark.parametrize("quote", QUOTES, ids=lambda quote: f"v{quote.version}")
tdx_quotes = pytest.mark.parametrize("quote", ON_TDX, ids=lambda quote: f"v{quote.version}")


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pin the forged root, here and in the quote library."""

    def judge_by_our_root(
        quote: bytes, collateral: dcap_qvl.QuoteCollateralV3, at: int
    ) -> dcap_qvl.VerifiedReport:
        return dcap_qvl.verify_with_root_ca(quote, collateral, root().der, at)

    monkeypatch.setitem(roots.INTEL, root().pin, "forged")
    monkeypatch.setattr(dcap_qvl, "verify", judge_by_our_root)


def judge(
    quote: Quote,
    collateral: Collateral | None = None,
    policy: Policy | None = None,
    at: int = AT,
) -> Verdict:
    endorsed = collateral or Collateral(quote.tee)
    verdict = verify(quote.encoded(), (endorsed.encoded(),), policy or default_policy(), at)
    assert UNJUDGED not in " ".join(verdict.reasons)
    assert verdict.tee == quote.tee
    return verdict


def wanting(quote: Quote, *lines: str) -> Policy:
    return parse_policy("\n".join((f"[{quote.tee}]", "any_measurement = true", *lines)))


@quotes
def test_a_forged_quote_counts_where_its_root_is_pinned(
    quote: Quote, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = judge(quote)
    assert (verdict.status, verdict.tcb_status) == ("ok", "UpToDate")
    assert verdict.report_data == b"d" * 64
    monkeypatch.delitem(roots.INTEL, root().pin)
    assert judge(quote).status == "reject"


@quotes
def test_a_quote_without_collateral_is_signature_only(quote: Quote) -> None:
    verdict = verify(quote.encoded(), (), default_policy(), AT)
    assert verdict.status == "signature-only"


@quotes
@pytest.mark.parametrize(
    "status",
    [
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
        "OutOfDate",
        "OutOfDateConfigurationNeeded",
        "Revoked",
    ],
)
def test_every_other_status_is_named_and_the_policy_s_to_allow(quote: Quote, status: str) -> None:
    levels = (Level(6, "UpToDate"), Level(5, status, ("INTEL-SA-00001",)))
    collateral = Collateral(quote.tee, levels=levels)
    verdict = judge(quote, collateral)
    assert (verdict.status, verdict.tcb_status) == ("tcb-status", status)
    assert f"TCB status {status}" in verdict.reasons
    if status != "Revoked":
        allowing = [f'statuses = ["UpToDate", "{status}"]', 'advisories = ["INTEL-SA-00001"]']
        assert judge(quote, collateral, wanting(quote, *allowing)).status == "ok"
        without = judge(quote, collateral, wanting(quote, allowing[0]))
        assert without.reasons == ("advisory INTEL-SA-00001 is not one that the policy allows",)


@quotes
def test_a_platform_or_enclave_below_every_level_is_refused_by_policy(quote: Quote) -> None:
    verdict = judge(quote, Collateral(quote.tee, levels=(Level(9, "UpToDate"),)))
    assert verdict.status == "policy-reject"
    assert verdict.reasons == ("the TCB is below every level of the collateral",)
    old = judge(replace(quote, qe_svn=3))
    assert old.status == "policy-reject"
    assert old.reasons == ("the quoting enclave is older than every level of the collateral",)


@quotes
def test_an_old_quoting_enclave_makes_the_platform_old(quote: Quote) -> None:
    levels = ((9, "UpToDate"), (7, "OutOfDate"))
    verdict = judge(quote, Collateral(quote.tee, qe_levels=levels))
    assert (verdict.status, verdict.tcb_status) == ("tcb-status", "OutOfDate")


@quotes
@pytest.mark.parametrize("qe_svn", [8, 3], ids=["new", "old"])
def test_collateral_of_another_model_is_rejected_however_old_the_enclave_is(
    quote: Quote, qe_svn: int
) -> None:
    verdict = judge(replace(quote, qe_svn=qe_svn), Collateral(quote.tee, fmspc="111111111111"))
    assert verdict.status == "reject"
    assert "the collateral is for another processor model" in verdict.reasons


@quotes
def test_levels_of_the_other_tee_are_rejected_however_old_the_enclave_is(quote: Quote) -> None:
    other = "tdx" if quote.tee == "sgx" else "sgx"
    assert judge(quote, Collateral(other)).status == "reject"
    foreign = Collateral(other).fields()
    levels = {name: foreign[name] for name in ("tcb_info", "tcb_info_signature")}
    verdict = judge(replace(quote, qe_svn=3), Collateral(quote.tee, changes=levels))
    assert verdict.status == "reject"
    assert f"the collateral is for '{other}'" in verdict.reasons


@quotes
@pytest.mark.parametrize("lines", [(), ("allow_smt = false",)])
def test_a_revoked_platform_is_rejected(quote: Quote, lines: tuple[str, ...]) -> None:
    serial = pck(quote.platform).certificate.serial_number
    collateral = Collateral(quote.tee, revoked=(serial,))
    verdict = judge(quote, collateral, wanting(quote, *lines))
    assert verdict.status == "reject"
    assert verdict.platform_id == b""


@quotes
@pytest.mark.parametrize("attributes", [0x13, 0x31], ids=["debug", "other"])
def test_a_quoting_enclave_that_is_not_intel_s_is_rejected(quote: Quote, attributes: int) -> None:
    assert judge(replace(quote, qe_attributes=attributes)).status == "reject"


def debugged(quote: Quote) -> Quote:
    return replace(quote, sgx_attributes=0x07, td_attributes=SEPT_VE_DISABLE | 1)


@quotes
def test_debug_is_refused_by_policy_and_what_is_false_is_graver(quote: Quote) -> None:
    levels = (Level(6, "UpToDate"), Level(5, "OutOfDate"))
    verdict = judge(debugged(quote), Collateral(quote.tee, levels=levels))
    assert verdict.status == "policy-reject"
    assert verdict.reasons == ("debug is on",)
    assert "the quote was refused before its TCB status was judged" in verdict.notes
    revoked = judge(debugged(quote), Collateral(quote.tee, levels=(Level(5, "Revoked"),)))
    assert revoked.status == "policy-reject"
    assert revoked.reasons == ("debug is on", "TCB status Revoked")
    foreign = judge(debugged(quote), Collateral(quote.tee, fmspc="111111111111"))
    assert foreign.status == "reject"


@tdx_quotes
@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (0, "SEPT_VE_DISABLE is off"),
        (SEPT_VE_DISABLE | 1 << 1, "reserved TD attributes are set"),
        (SEPT_VE_DISABLE | 1 << 29, "TD migration is on"),
    ],
)
def test_a_td_that_its_host_can_open_is_refused_by_policy(
    quote: Quote, attributes: int, reason: str
) -> None:
    verdict = judge(replace(quote, td_attributes=attributes))
    assert verdict.status == "policy-reject"
    assert verdict.reasons == (reason,)


@tdx_quotes
def test_attributes_that_open_nothing_are_accepted(quote: Quote) -> None:
    for bit in (30, 31, 63):
        assert judge(replace(quote, td_attributes=SEPT_VE_DISABLE | 1 << bit)).status == "ok"


@tdx_quotes
def test_the_tdx_module_is_judged_too(quote: Quote) -> None:
    outdated = judge(quote, Collateral(module=((8, "UpToDate"), (6, "OutOfDate"))))
    assert (outdated.status, outdated.tcb_status) == ("tcb-status", "OutOfDate")
    for changed, collateral in (
        (quote, Collateral(module=((9, "UpToDate"),))),
        (replace(quote, seam_signer=b"\x01" * 48), Collateral()),
        (replace(quote, tee_tcb_svn=bytes((7, 5, 6)) + bytes(13)), Collateral()),
    ):
        assert judge(changed, collateral).status == "policy-reject"


def test_a_service_td_is_refused_by_policy() -> None:
    verdict = judge(Quote(5, service_td=b"s" * 48))
    assert verdict.status == "policy-reject"
    assert verdict.reasons == ("a foreign service TD may change this TD",)


def test_a_td_that_outlived_its_module_s_update_is_advised_to_restart() -> None:
    started = Quote(5, tee_tcb_svn=bytes((4, 1, 6)) + bytes(13))
    levels = (Level(5, "UpToDate"), Level(5, "OutOfDate", tdx=(3, 0, 6)))
    collateral = Collateral(levels=levels, module=((6, "UpToDate"), (3, "OutOfDate")))
    verdict = judge(started, collateral)
    assert (verdict.status, verdict.tcb_status) == ("tcb-status", "TDRelaunchAdvised")
    allowing = wanting(started, 'statuses = ["TDRelaunchAdvised"]')
    assert judge(started, collateral, allowing).status == "ok"


def test_a_td_whose_module_now_is_below_every_level_is_refused_by_policy() -> None:
    verdict = judge(Quote(5, tee_tcb_svn2=bytes((7, 1, 0)) + bytes(13)))
    assert verdict.status == "policy-reject"
    assert verdict.reasons == ("the TCB is below every level of the collateral",)


@quotes
def test_collateral_counts_only_in_its_time(quote: Quote) -> None:
    for at in (AT - 20 * 86_400, AT + 20 * 86_400):
        assert judge(quote, at=at).status == "reject"


@quotes
def test_a_policy_may_ask_for_newer_collateral_and_no_smt(quote: Quote) -> None:
    newer = judge(quote, policy=wanting(quote, "minimum_evaluation_number = 19"))
    assert newer.reasons == ("evaluation number 18 is below 19",)
    lone = wanting(quote, "allow_smt = false")
    assert judge(quote, policy=lone).reasons == ("SMT is on",)
    assert judge(replace(quote, platform=Platform(smt=False)), policy=lone).status == "ok"
