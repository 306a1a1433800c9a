"""Certificates and revocation lists out of whatever endorsements were handed in.

Accepted are DER, PEM, and the GUID table of either that Linux hands a guest (GHCB 2.0, section
4.1.8.1). Nothing here is trusted: a verifier uses only what chains to a pinned root.
"""

from typing import Final, NamedTuple
from uuid import UUID

from cryptography import x509

from ccp2p.attestation import certificates
from ccp2p.model import limits
from ccp2p.model.errors import PeerFault

_PEM: Final = b"-----BEGIN "
_PEM_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE"
_PEM_LIST: Final = b"-----BEGIN X509 CRL"
_DER_SEQUENCE: Final = b"\x30"
_ENTRY_BYTES: Final = 24
_TABLE_CERTIFICATES: Final = frozenset(
    UUID(text).bytes
    for text in (
        "c0b406a4-a803-4952-9743-3fb6014cd0ae",  # ARK
        "4ab7b379-bbac-4fe4-a02f-05aef327c782",  # ASK
        "63da758d-e664-4564-adc5-f4b93be8accd",  # VCEK
        "a8074bc2-a25a-483e-aae6-39c045a0b8a1",  # VLEK
    )
)
_TABLE_LIST: Final = UUID("92f81bc3-5811-4d3d-97ff-d19f88dc67ea").bytes


class Endorsed(NamedTuple):
    """What was handed in, in order and parsed."""

    certificates: tuple[x509.Certificate, ...]
    revocation_lists: tuple[x509.CertificateRevocationList, ...]


def collect(endorsements: tuple[bytes, ...]) -> Endorsed:
    """Parse all endorsements; PeerFault when one is malformed or there are too many parts."""
    found: list[x509.Certificate] = []
    lists: list[x509.CertificateRevocationList] = []
    for blob in endorsements:
        is_single = blob.startswith(_PEM) or blob[:1] == _DER_SEQUENCE
        for part in (blob,) if is_single else _table_entries(blob):
            _add(part, found, lists)
            if len(found) + len(lists) > limits.MAX_CERTIFICATES:
                raise PeerFault("oversized", "more certificates than any genuine evidence needs")
    return Endorsed(tuple(found), tuple(lists))


def _add(
    part: bytes, found: list[x509.Certificate], lists: list[x509.CertificateRevocationList]
) -> None:
    if part.startswith(_PEM):
        _add_pem(part, found, lists)
    else:
        try:
            found.append(certificates.parse(part))
        except PeerFault:
            lists.append(certificates.parse_revocation_list(part))


def _add_pem(
    text: bytes, found: list[x509.Certificate], lists: list[x509.CertificateRevocationList]
) -> None:
    """A text may hold both kinds: a list that comes after a chain counts too."""
    after = text.split(_PEM_LIST)[1:]
    if len(after) > limits.MAX_CERTIFICATES:
        raise PeerFault("oversized", "more revocation lists than any genuine evidence needs")
    if not after or _PEM_CERTIFICATE in text:
        found.extend(certificates.parse_pem(text))
    lists.extend(certificates.parse_revocation_list(_PEM_LIST + part) for part in after)


def trim_table(table: bytes) -> bytes:
    """A GUID table without the unused rest of the buffer it came in; empty when it lists nothing.

    PeerFault (code `endorsements`) when it is no table.
    """
    ends = [end for _, _, end in _table(table)]
    return table[: max(ends)] if ends else b""


def _table_entries(table: bytes) -> list[bytes]:
    return [
        table[start:end]
        for identity, start, end in _table(table)
        if (identity in _TABLE_CERTIFICATES or identity == _TABLE_LIST) and end > start
    ]


def _table(table: bytes) -> list[tuple[bytes, int, int]]:
    """(GUID, start, end) of a table's parts: entries (GUID, offset u32, length u32), zero ends."""
    parts: list[tuple[bytes, int, int]] = []
    for position in range(0, _ENTRY_BYTES * (limits.MAX_CERTIFICATES + 1), _ENTRY_BYTES):
        entry = table[position : position + _ENTRY_BYTES]
        if len(entry) < _ENTRY_BYTES:
            break
        if not any(entry[:16]):
            return parts
        start = int.from_bytes(entry[16:20], "little")
        end = start + int.from_bytes(entry[20:24], "little")
        if end > len(table):
            break
        parts.append((entry[:16], start, end))
    raise PeerFault("endorsements", "an endorsement is no certificate, list or certificate table")
