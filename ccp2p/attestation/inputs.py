"""Evidence and endorsements as people keep them in files: raw, hexadecimal, base64 or PEM.

Text that encodes nothing is passed on as it is: the verdict then says that it is no evidence.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Final

from ccp2p.model import limits

_TEXT: Final = re.compile(rb"[\x20-\x7e\t\r\n]+")
_HEX: Final = re.compile(rb"(0x)?([0-9a-fA-F]{2})+")
_ARMOR: Final = re.compile(rb"\s*-----BEGIN [A-Z0-9 ]+-----(.*)-----END [A-Z0-9 ]+-----\s*", re.S)

_TEXT_FACTOR: Final = 3  # hexadecimal with line ends, against the same raw


def read_file(path: Path) -> bytes:
    """A file of evidence, endorsements or a key; of one over every limit only the beginning.

    What is cut is still too large, so that a verifier refuses it by its size. OSError as of open().
    """
    with path.open("rb") as file:
        return file.read(_TEXT_FACTOR * limits.MAX_ENDORSEMENT_BYTES + 1)


def read_evidence(data: bytes) -> bytes:
    """The raw bytes of evidence; data over the limit is passed on as it is, to be refused."""
    if len(data) > _TEXT_FACTOR * limits.MAX_EVIDENCE_BYTES or not _TEXT.fullmatch(data):
        return data
    armor = _ARMOR.fullmatch(data)
    return _decode(armor.group(1) if armor else data)


def read_endorsement(data: bytes) -> bytes:
    """An endorsement as verifiers take it: PEM and JSON stay text, other text becomes raw."""
    if len(data) > _TEXT_FACTOR * limits.MAX_ENDORSEMENT_BYTES or not _TEXT.fullmatch(data):
        return data
    text = data.strip()
    return text if text.startswith((b"{", b"-----BEGIN ")) else _decode(text)


def _decode(text: bytes) -> bytes:
    compact = b"".join(text.split())
    if _HEX.fullmatch(compact):
        return bytes.fromhex(compact.decode().removeprefix("0x"))
    standard = compact.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    try:
        return base64.b64decode(standard + b"=" * (-len(standard) % 4), validate=True)
    except binascii.Error:
        return text
