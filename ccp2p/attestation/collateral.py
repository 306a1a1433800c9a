"""Intel's collateral for DCAP quotes: TCB levels, enclave identity and revocation lists.

The form is the JSON object that quote libraries exchange, with nine fields; a certificate chain
beside them is ignored, because the quote's own is what its signature belongs to. What Intel signed
is checked by the quote library; here only dates and numbers are read from it.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final

import dcap_qvl
import msgspec

from ccp2p.attestation.certificates import parse_revocation_list
from ccp2p.model import limits
from ccp2p.model.errors import PeerFault

_PEM_START: Final = "-----BEGIN"
_REMEMBERED: Final = 32  # processor models times weeks; each is some 20 KiB


class _Fields(msgspec.Struct, frozen=True):
    pck_crl_issuer_chain: str
    root_ca_crl: str
    pck_crl: str
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: str
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: str


class _Dated(msgspec.Struct, frozen=True, rename="camel"):
    id: str
    issue_date: str
    next_update: str
    tcb_evaluation_data_number: int


class _TcbInfo(_Dated, frozen=True, rename="camel"):
    fmspc: str


class Collateral(msgspec.Struct, frozen=True, kw_only=True):
    """Collateral ready for the quote library. Times in Unix seconds; of both numbers the lower.

    `tee` ("sgx" or "tdx") and `fmspc` (a processor model, lower case hexadecimal) are what its TCB
    levels are for.
    """

    prepared: dcap_qvl.QuoteCollateralV3
    valid_from: int
    valid_until: int
    evaluation_number: int
    tee: str
    fmspc: str


def parse_collateral(endorsements: tuple[bytes, ...]) -> Collateral | None:
    """The one collateral among the endorsements, or None; PeerFault (`endorsements`) if malformed.

    Nothing else can endorse a quote, so anything else is refused.
    """
    if not endorsements:
        return None
    if len(endorsements) > 1:
        raise PeerFault("endorsements", "a quote is endorsed by one collateral object")
    return parse_one(endorsements[0])


@lru_cache(maxsize=_REMEMBERED)
def parse_one(data: bytes) -> Collateral:
    """The collateral in one endorsement; PeerFault (`endorsements`) when it is malformed."""
    try:
        fields = msgspec.json.decode(data, type=_Fields)
        tcb_info = msgspec.json.decode(fields.tcb_info, type=_TcbInfo)
        dated = (tcb_info, msgspec.json.decode(fields.qe_identity, type=_Dated))
        _check_chains(fields)
        windows = [_window(part) for part in dated]
        root_list, leaf_list = bytes.fromhex(fields.root_ca_crl), bytes.fromhex(fields.pck_crl)
        prepared = dcap_qvl.QuoteCollateralV3(
            fields.pck_crl_issuer_chain,
            root_list,
            leaf_list,
            fields.tcb_info_issuer_chain,
            fields.tcb_info,
            bytes.fromhex(fields.tcb_info_signature),
            fields.qe_identity_issuer_chain,
            fields.qe_identity,
            bytes.fromhex(fields.qe_identity_signature),
        )
    except (msgspec.DecodeError, ValueError, OverflowError, RecursionError):
        raise PeerFault("endorsements", "the collateral is malformed") from None
    windows += [_list_window(root_list), _list_window(leaf_list)]
    return Collateral(
        prepared=prepared,
        valid_from=max(start for start, _ in windows),
        valid_until=min(end for _, end in windows),
        evaluation_number=min(part.tcb_evaluation_data_number for part in dated),
        tee=tcb_info.id.lower(),
        fmspc=tcb_info.fmspc.lower(),
    )


def _check_chains(fields: _Fields) -> None:
    """Refuse long chains: the library tries every certificate in them as an issuer."""
    for chain in (fields.tcb_info_issuer_chain, fields.qe_identity_issuer_chain):
        if chain.count(_PEM_START) > limits.MAX_CERTIFICATES:
            raise PeerFault("oversized", "more certificates than any genuine collateral has")


def _window(part: _Dated) -> tuple[int, int]:
    moments = (datetime.fromisoformat(part.issue_date), datetime.fromisoformat(part.next_update))
    return int(moments[0].timestamp()), int(moments[1].timestamp())


def _list_window(data: bytes) -> tuple[int, int]:
    revocations = parse_revocation_list(data)
    until = revocations.next_update_utc
    if until is None:
        raise PeerFault("endorsements", "a revocation list in the collateral never ends")
    # The quote library takes the second of nextUpdate as stale already.
    return int(revocations.last_update_utc.timestamp()), int(until.timestamp()) - 1
