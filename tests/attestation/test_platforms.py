"""Producers against faithful fakes of the kernel's interfaces, with genuine evidence inside.

What each producer returns goes through the verifiers, as it would between nodes.
"""

import ctypes
import errno
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path

import cbor2
import pytest

from ccp2p.attestation.bundle import EvidenceBundle
from ccp2p.attestation.platforms import sev_guest
from ccp2p.attestation.platforms.configfs_tsm import ConfigfsTsm
from ccp2p.attestation.platforms.detection import open_platform, present
from ccp2p.attestation.platforms.gramine import Gramine
from ccp2p.attestation.platforms.nsm import REQUEST, NitroModule
from ccp2p.attestation.platforms.sev_guest import SevGuest
from ccp2p.attestation.policy import default_policy
from ccp2p.attestation.verify import verify_bundle
from ccp2p.model.errors import LocalFault
from tests.attestation.evidence import EVIDENCE, NITRO, SGX, TDX_V4, case, needs_samples

pytestmark = needs_samples

DATA = bytes(range(64))
TSM = ("sev-snp", "genoa_v3_vcek_tsm.bin")


def no_pause(_: float) -> None:
    return


@dataclass
class FakeEntry:
    """A report entry as drivers/virt/coco keeps it: writes and reads count generations."""

    inblob: bytes = b""
    writes: int = 0
    outblob: bytes | None = None


@dataclass
class FakeReports:
    """configfs-tsm in memory. `busy` reads answer EBUSY; `races` writes of others slip in."""

    evidence: bytes
    provider: str = "sev_guest"
    auxblob: bytes | None = None
    busy: int = 0
    races: int = 0
    path: Path = Path("/sys/kernel/config/tsm/report")
    entries: dict[str, FakeEntry] = field(default_factory=dict)
    seen: list[bytes] = field(default_factory=list)

    def make(self, entry: str) -> None:
        if entry in self.entries:
            raise FileExistsError(errno.EEXIST, "exists")
        self.entries[entry] = FakeEntry()

    def write(self, entry: str, attribute: str, data: bytes) -> None:
        assert attribute == "inblob"
        if not 1 <= len(data) <= 64:
            raise OSError(errno.EINVAL, "inblob")
        found = self.entries[entry]
        found.inblob, found.outblob = data, None
        found.writes += 1

    def read(self, entry: str, attribute: str) -> bytes:
        found = self.entries[entry]
        if attribute == "generation":
            return b"%d\n" % found.writes
        if attribute == "provider":
            return self.provider.encode() + b"\n"
        if attribute == "auxblob":
            if self.auxblob is None:
                raise FileNotFoundError(errno.ENOENT, "no auxblob")
            return self.auxblob
        return self._outblob(entry, found)

    def _outblob(self, entry: str, found: FakeEntry) -> bytes:
        if not found.inblob:
            raise OSError(errno.EINVAL, "no inblob")
        if self.busy:
            self.busy -= 1
            raise OSError(errno.EBUSY, "busy")
        if self.races:
            self.races -= 1
            self.write(entry, "inblob", b"somebody else's")
        self.seen.append(found.inblob)
        return self.evidence

    def remove(self, entry: str) -> None:
        del self.entries[entry]


def accepted(bundle: EvidenceBundle, sample: tuple[str, str]) -> bool:
    return verify_bundle(bundle, default_policy(), case(*sample).at).accepted


def test_an_snp_guest_s_report_comes_with_its_host_s_certificates() -> None:
    table = (EVIDENCE / "sev-snp" / "genoa_v3_tsm_auxblob.bin").read_bytes()
    reports = FakeReports(case(*TSM).evidence, auxblob=table)
    platform = ConfigfsTsm(reports, pause=no_pause)
    assert platform.tee == "sev-snp"
    assert accepted(platform.bundle(DATA), TSM)
    assert reports.seen[-1] == DATA
    assert reports.entries == {}
    assert platform.sealing_key(b"x") is None


def test_a_tdx_guest_s_padded_quote_is_trimmed_and_endorsed_by_given_collateral() -> None:
    quote = case(*TDX_V4)
    reports = FakeReports(quote.evidence + bytes(3000), provider="tdx_guest")
    platform = ConfigfsTsm(reports, quote.endorsements, pause=no_pause)
    bundle = platform.bundle(DATA)
    assert bundle.evidence == quote.evidence
    assert accepted(bundle, TDX_V4)


def test_a_quote_followed_by_other_bytes_is_left_for_the_verifier_to_refuse() -> None:
    quote = case(*TDX_V4)
    reports = FakeReports(quote.evidence + b"\x00\x01", provider="tdx_guest")
    bundle = ConfigfsTsm(reports, quote.endorsements, pause=no_pause).bundle(DATA)
    assert not accepted(bundle, TDX_V4)


def test_a_busy_interface_is_asked_again() -> None:
    reports = FakeReports(case(*TSM).evidence)
    platform = ConfigfsTsm(reports, pause=no_pause)
    reports.busy = 4
    assert platform.bundle(DATA).evidence == case(*TSM).evidence
    assert reports.entries == {}


def test_output_for_somebody_else_s_input_is_never_taken() -> None:
    reports = FakeReports(case(*TSM).evidence)
    platform = ConfigfsTsm(reports, pause=no_pause)
    reports.races = 3
    platform.bundle(DATA)
    assert reports.seen[-4:] == [b"somebody else's"] * 3 + [DATA]


@pytest.mark.parametrize("trouble", ["busy", "races"])
def test_an_interface_that_stays_busy_is_a_local_fault(trouble: str) -> None:
    reports = FakeReports(case(*TSM).evidence)
    platform = ConfigfsTsm(reports, pause=no_pause)
    setattr(reports, trouble, 1000)
    with pytest.raises(LocalFault, match="busy"):
        platform.bundle(DATA)
    assert reports.entries == {}


def test_an_unknown_provider_and_wrong_sizes_are_local_faults() -> None:
    with pytest.raises(LocalFault, match="abacus"):
        ConfigfsTsm(FakeReports(b"", provider="abacus"), pause=no_pause)
    platform = ConfigfsTsm(FakeReports(case(*TSM).evidence), pause=no_pause)
    with pytest.raises(LocalFault, match="64 bytes"):
        platform.bundle(b"short")


@dataclass
class FakeSevDriver:
    """linux/sev-guest.h: reads requests and writes answers at the addresses in the envelope."""

    report: bytes
    table: bytes = b""
    extended: bool = True
    status: int = 0
    asked: list[bytes] = field(default_factory=list)

    def __call__(self, descriptor: int, number: int, envelope: bytearray) -> int:
        os.fstat(descriptor)
        version, request, response, _ = struct.unpack("<B7xQQQ", envelope)
        assert version == 1
        assert len(envelope) == 32
        if number == sev_guest.GET_DERIVED_KEY:
            self._derive(request, response)
        elif number == sev_guest.GET_REPORT:
            self._answer(ctypes.string_at(request, 96)[:64], response)
        elif number == sev_guest.GET_EXTENDED_REPORT:
            if not self.extended:
                raise OSError(errno.EIO, "no extended reports")
            data, address, size = struct.unpack("<64s32xQI4x", ctypes.string_at(request, 112))
            if size > 0x4000 or size % 4096:
                raise OSError(errno.EINVAL, "the kernel takes whole pages, 16 KiB at most")
            if size < len(self.table):
                raise OSError(errno.ENOSPC, "table")
            ctypes.memmove(address, self.table, len(self.table))
            self._answer(data, response)
        return 0

    def _answer(self, data: bytes, response: int) -> None:
        self.asked.append(data)
        answer = struct.pack("<II24x", self.status, len(self.report)) + self.report
        ctypes.memmove(response, answer, len(answer))

    def _derive(self, request: int, response: int) -> None:
        root, _, fields, vmpl, svn, tcb = struct.unpack("<IIQIIQ", ctypes.string_at(request, 32))
        assert (root, vmpl, svn, tcb) == (0, 0, 0, 0)
        assert fields == 0b1001
        ctypes.memmove(response, struct.pack("<I28x", self.status) + b"k" * 32, 64)


@pytest.fixture
def device(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "sev-guest").touch()
    (tmp_path / "dev" / "nsm").touch()
    return tmp_path


def test_the_sev_driver_gives_reports_with_certificates(device: Path) -> None:
    table = (EVIDENCE / "sev-snp" / "genoa_v3_tsm_auxblob.bin").read_bytes()
    driver = FakeSevDriver(case(*TSM).evidence, table)
    bundle = SevGuest(device, ioctl=driver).bundle(DATA)
    assert accepted(bundle, TSM)
    assert bundle.endorsements == (table,)
    assert driver.asked == [DATA]


@pytest.mark.parametrize("extended", [True, False])
def test_the_sev_driver_of_a_host_without_certificates(device: Path, extended: bool) -> None:
    driver = FakeSevDriver(case(*TSM).evidence, extended=extended)
    bundle = SevGuest(device, case(*TSM).endorsements, ioctl=driver).bundle(DATA)
    assert accepted(bundle, TSM)
    assert driver.asked == [DATA]


def test_the_sev_driver_s_refusal_is_a_local_fault(device: Path) -> None:
    driver = FakeSevDriver(case(*TSM).evidence, status=0x16)
    with pytest.raises(LocalFault, match="status 22"):
        SevGuest(device, ioctl=driver).bundle(DATA)
    assert SevGuest(device, ioctl=driver).sealing_key(b"x") is None


def test_the_sev_driver_s_keys_differ_by_context(device: Path) -> None:
    platform = SevGuest(device, ioctl=FakeSevDriver(b""))
    first, second = platform.sealing_key(b"node"), platform.sealing_key(b"disk")
    assert first is not None
    assert len(first) == 32
    assert first != second
    assert first == platform.sealing_key(b"node")


def test_a_missing_device_is_a_local_fault(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match="sev-guest"):
        SevGuest(tmp_path).bundle(DATA)
    with pytest.raises(LocalFault, match="nsm"):
        NitroModule(tmp_path).bundle(DATA)
    with pytest.raises(LocalFault, match="remote_attestation"):
        Gramine(tmp_path).bundle(DATA)
    assert SevGuest(tmp_path).sealing_key(b"x") is None
    assert Gramine(tmp_path).sealing_key(b"x") is None


@dataclass
class FakeNitroModule:
    """/dev/nsm: a CBOR request in, a CBOR response out, its length written back."""

    answer: object
    asked: list[object] = field(default_factory=list)

    def __call__(self, descriptor: int, number: int, message: bytearray) -> int:
        os.fstat(descriptor)
        assert number == REQUEST
        request, size, response, room = struct.unpack("<QQQQ", message)
        self.asked.append(cbor2.loads(ctypes.string_at(request, size)))
        data = cbor2.dumps(self.answer)
        assert len(data) <= room
        ctypes.memmove(response, data, len(data))
        struct.pack_into("<Q", message, 24, len(data))
        return 0


def test_the_nitro_module_gives_documents(device: Path) -> None:
    module = FakeNitroModule({"Attestation": {"document": case(*NITRO).evidence}})
    platform = NitroModule(device, ioctl=module)
    assert accepted(platform.bundle(DATA), NITRO)
    assert module.asked == [{"Attestation": {"user_data": DATA, "nonce": None, "public_key": None}}]
    assert platform.sealing_key(b"x") is None


@pytest.mark.parametrize("answer", [{"Error": "InvalidArgument"}, {"Attestation": {}}, 7])
def test_the_nitro_module_s_refusal_is_a_local_fault(device: Path, answer: object) -> None:
    with pytest.raises(LocalFault, match="no document"):
        NitroModule(device, ioctl=FakeNitroModule(answer)).bundle(DATA)


def test_gramine_gives_quotes_and_keys(tmp_path: Path) -> None:
    folder = tmp_path / "dev" / "attestation"
    (folder / "keys").mkdir(parents=True)
    (folder / "quote").write_bytes(case(*SGX).evidence)
    (folder / "keys" / "_sgx_mrenclave").write_bytes(b"k" * 16)
    platform = Gramine(tmp_path, case(*SGX).endorsements)
    bundle = platform.bundle(DATA)
    assert (folder / "user_report_data").read_bytes() == DATA
    verdict = verify_bundle(bundle, default_policy(), case(*SGX).at)
    assert verdict.status == "tcb-status"
    key = platform.sealing_key(b"node")
    assert key is not None
    assert key != platform.sealing_key(b"disk")
    (folder / "keys" / "_sgx_mrenclave").write_bytes(b"")
    assert platform.sealing_key(b"node") is None


def test_interfaces_are_found_the_best_first(device: Path) -> None:
    assert present(device) == ("nsm", "sev-guest")
    (device / "sys" / "kernel" / "config" / "tsm" / "report").mkdir(parents=True)
    assert present(device) == ("nsm", "sev-guest", "configfs-tsm")
    assert open_platform(device).interface == "nsm"
    (device / "dev" / "nsm").unlink()
    assert open_platform(device).interface == "sev-guest"
    (device / "dev" / "attestation").mkdir()
    assert open_platform(device).interface == "gramine"


def test_a_machine_without_a_tee_says_what_to_do(tmp_path: Path) -> None:
    assert present(tmp_path) == ()
    with pytest.raises(LocalFault, match="no TEE") as caught:
        open_platform(tmp_path)
    assert caught.value.code == "no-tee"
