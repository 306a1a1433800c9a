"""What a node asks of the chip below it, whichever it is."""

from typing import Protocol

from ccp2p.attestation.bundle import EvidenceBundle


class Platform(Protocol):
    """A TEE seen from inside. Every call may raise LocalFault (code `platform`).

    Calls block, up to seconds where firmware is slow or busy: keep them off an event loop.
    """

    @property
    def tee(self) -> str:
        """The name of the TEE, as verdicts use it."""
        ...

    @property
    def interface(self) -> str:
        """The name of the way to it: one TEE may have several."""
        ...

    def bundle(self, report_data: bytes) -> EvidenceBundle:
        """Fresh evidence over 64 bytes of report data, with what endorses it."""
        ...

    def sealing_key(self, context: bytes) -> bytes | None:
        """32 bytes for `context`, the same for this program on this chip; None: it has no key.

        Without one, keys live in memory only, and come back from attested peers.
        """
        ...
