"""One verdict on one piece of evidence, whatever the TEE.

A verdict is a pure function of its inputs, so that it can be replayed from the ledger. A verifier
collects every failed check in `Findings`; the gravest kind of failure gives the status.
"""

from typing import Final, Literal

import msgspec

from ccp2p.model.errors import AttestationFault

Status = Literal["ok", "policy-reject", "tcb-status", "signature-only", "reject"]

SCHEMA: Final = "verdict/1"

ANY_PROGRAM: Final = "no measurement was required: any program is accepted"

# The gravest first.
PRECEDENCE: Final[tuple[Status, ...]] = (
    "reject",
    "signature-only",
    "policy-reject",
    "tcb-status",
    "ok",
)

Tcb = tuple[tuple[str, int | str], ...]
Registers = tuple[tuple[str, bytes], ...]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verifier says. Only status "ok" is `accepted`.

    `reject`: a signature, chain, date, format or binding is wrong, so nothing below is proven.
    `signature-only`: signatures hold, but no collateral of its time was given. `policy-reject`:
    genuine, and the policy refuses it. `tcb-status`: genuine, and its patch level is not one that
    the policy allows. `measurement` and `report_data` are as the TEE signed them (empty where the
    evidence could not be read). `platform_id` is a salted hash of the chip's identity; empty
    means that there is no hardware id. Times are Unix seconds, None where the evidence has none.
    """

    tee: str
    accepted: bool
    status: Status
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    measurement: bytes
    report_data: bytes
    platform_id: bytes
    vendor: str
    registers: Registers
    tcb: Tcb
    tcb_status: str
    advisories: tuple[str, ...]
    valid_from: int | None
    valid_until: int | None
    inputs_digest: bytes

    def require(self) -> "Verdict":
        """This verdict when it accepts; AttestationFault with every reason otherwise."""
        if self.accepted:
            return self
        message = f"{self.tee} evidence refused ({self.status}): " + "; ".join(self.reasons)
        raise AttestationFault(message, self.reasons)

    def as_json(self) -> dict[str, object]:
        """The `verdict/1` object: bytes as hex, an absent platform id as null."""
        return {
            "schema": SCHEMA,
            "tee": self.tee,
            "accepted": self.accepted,
            "status": self.status,
            "tcb_status": self.tcb_status or None,
            "advisories": list(self.advisories),
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "measurement": self.measurement.hex(),
            "registers": {name: value.hex() for name, value in self.registers},
            "report_data": self.report_data.hex(),
            "platform_id": self.platform_id.hex() or None,
            "vendor": self.vendor,
            "tcb": dict(self.tcb),
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "inputs_digest": self.inputs_digest.hex(),
        }


class Findings:
    """What one run of a verifier has learnt; becomes a verdict.

    `hardware_id` is the bare identity of the chip; it never leaves in a verdict unhashed.
    """

    def __init__(self, tee: str, vendor: str = "") -> None:
        self.tee = tee
        self.vendor = vendor
        self.measurement = b""
        self.report_data = b""
        self.hardware_id = b""
        self.registers: Registers = ()
        self.tcb: Tcb = ()
        self.tcb_status = ""
        self.advisories: tuple[str, ...] = ()
        self.valid_from: int | None = None
        self.valid_until: int | None = None
        self.notes: list[str] = []
        self._failures: list[tuple[Status, str]] = []

    def fail(self, status: Status, reason: str) -> None:
        """Record a failed check; each reason is kept once.

        Reasons may quote strangers' bytes, so what is not printable is replaced.
        """
        shown = "".join(letter if letter.isprintable() else "?" for letter in reason)
        if (status, shown) not in self._failures:
            self._failures.append((status, shown))

    def expect(self, holds: bool, reason: str, status: Status = "policy-reject") -> None:
        """Record `reason` unless the check holds."""
        if not holds:
            self.fail(status, reason)

    def narrow(self, start: int, end: int) -> None:
        """Intersect the validity window with `start` to `end`, in Unix seconds."""
        self.valid_from = start if self.valid_from is None else max(self.valid_from, start)
        self.valid_until = end if self.valid_until is None else min(self.valid_until, end)

    @property
    def status(self) -> Status:
        """The gravest status of all failures, or ok."""
        found = {status for status, _ in self._failures}
        return next((status for status in PRECEDENCE if status in found), "ok")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every failed check, the gravest first, otherwise in the order found."""
        ordered = sorted(self._failures, key=lambda failure: PRECEDENCE.index(failure[0]))
        return tuple(reason for _, reason in ordered)
