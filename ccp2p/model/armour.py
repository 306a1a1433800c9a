"""Files that people pass on: base64 between a line that says what it is and one that ends it."""

import base64
import binascii
import textwrap
from typing import Final

from ccp2p.model import codec
from ccp2p.model.errors import MemberFault

_LINE_CHARS: Final = 64


def format_file(kind: str, body: bytes) -> str:
    """The text of an encoded `body` of this kind."""
    data = codec.wrap(kind, body)
    lines = textwrap.wrap(base64.b64encode(data).decode(), _LINE_CHARS)
    return "\n".join((_line("BEGIN", kind), *lines, _line("END", kind), ""))


def parse_file(text: str, kind: str, limit_bytes: int) -> bytes:
    """The encoded body of `format_file`'s result; MemberFault when the text is no such file."""
    if len(text) > 2 * limit_bytes:
        raise MemberFault(kind, f"this is too long for a {kind}")
    begin, end = _line("BEGIN", kind), _line("END", kind)
    lines = text.strip().splitlines()
    if len(lines) < 2 or lines[0].rstrip() != begin or lines[-1].strip() != end:
        raise MemberFault(
            kind, f"not a {kind}: it starts with {begin} and ends with {end}; copy it whole"
        )
    encoded = "".join("".join(lines[1:-1]).split())
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise MemberFault(kind, f"not a {kind}: it is cut short or altered") from None
    body = codec.unwrap(data, kind, limit_bytes, MemberFault)
    if codec.wrap(kind, body) != data:
        raise MemberFault("not-canonical", f"the {kind} is not in its canonical encoding")
    return body


def _line(edge: str, kind: str) -> str:
    return f"-----{edge} CCP2P {kind.upper()}-----"
