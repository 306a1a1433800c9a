"""`bench native`: small plans measure everything, and say it in the promised form."""

import sys

import pytest

from ccp2p.benchmarks import clock, native, plot, processor
from ccp2p.cli import bench_native
from ccp2p.crypto import _ed25519, _ed25519_pure, _log_index_pure
from ccp2p.model.errors import LocalFault

SMALL = {"batches": (2, 16), "sizes": (16, 64), "envelopes": 4, "blocks": 100, "runs": 1}


@pytest.fixture(autouse=True)
def short_runs(monkeypatch):
    monkeypatch.setattr(clock, "SHORTEST_RUN_NS", 1)


def measure(*paths: str) -> dict:
    return native.measure(native.Plan(paths=paths or native.PATHS, **SMALL), lambda *_: None)


def test_every_path_has_rows_of_every_column():
    result = measure()
    assert result["schema"] == "bench-native/1"
    assert result["cpu"]["model"]
    rows = result["rows"]
    assert tuple(dict.fromkeys(row["path"] for row in rows)) == native.PATHS
    for row in rows:
        assert list(row) == [
            *("path", "algorithm", "backend", "n", "size"),
            *("native_us", "pure_us", "libsodium_us"),
        ]
        assert row["native_us"] > 0
        assert row["pure_us"] > 0
        assert (row["libsodium_us"] is None) == row["path"].startswith("index")


def test_each_backend_of_this_cpu_has_each_batch_size():
    rows = measure("ed25519-batch", "ed25519-batch-cached", "ed25519-single")["rows"]
    sizes = [(row["path"], row["backend"], row["n"]) for row in rows]
    expected = {(path, 2) for path in ("ed25519-batch", "ed25519-batch-cached")}
    expected |= {(path, 16) for path, _ in expected} | {("ed25519-single", 1)}
    assert set(sizes) == {(p, backend, n) for p, n in expected for backend in _ed25519.BACKENDS}
    assert len(sizes) == len(set(sizes))


def test_both_ciphers_have_each_size():
    rows = measure("aead-open")["rows"]
    assert [(row["algorithm"], row["size"], row["n"]) for row in rows] == [
        (name, size, 4) for name in ("aegis256", "xchacha20") for size in (16, 64)
    ]


def test_sides_that_disagree_are_not_compared(monkeypatch):
    monkeypatch.setattr(_ed25519_pure, "verify_many", lambda items: [False] * len(items))
    with pytest.raises(LocalFault, match="disagree"):
        measure("ed25519-batch")
    monkeypatch.setattr(_log_index_pure.BlockIndex, "find", lambda *_: None)
    with pytest.raises(LocalFault, match="disagree"):
        measure("index-lookup")


def test_the_command_knows_every_path():
    assert bench_native.PATHS == native.PATHS


def test_runs_are_interleaved_and_their_median_counts(monkeypatch):
    order, now_ns = [], [0]
    monkeypatch.setattr(clock.time, "thread_time_ns", lambda: now_ns[0])

    def subject(name: str, *spent_ns: int) -> clock.Work:
        durations = iter(spent_ns)

        def work() -> None:
            order.append(name)
            now_ns[0] += next(durations)

        return work

    # The first two calls of each warm it up and estimate it.
    subjects = {
        "quick": subject("quick", 0, 1000, 5000, 1000, 3000),
        "slow": subject("slow", 0, 9000, 8000, 90_000, 7000),
    }
    assert clock.medians_us(subjects, items=2, runs=3) == {"quick": 1.5, "slow": 4.0}
    assert order[4:] == ["quick", "slow"] * 3


def test_a_plot_is_a_png(tmp_path):
    pytest.importorskip("PIL", reason="Pillow is not installed: no plot can be drawn")
    from PIL import Image

    target = tmp_path / "native.png"
    result = measure("aead-seal", "index-append")
    plot.draw_native(result, target)
    with Image.open(target) as image:
        assert image.format == "PNG"
        assert len(image.getcolors(2**16)) > 4


def test_a_plot_without_pillow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(LocalFault, match=r"pip install 'ccp2p\[plot\]'"):
        plot.draw_native(measure("aead-seal"), tmp_path / "native.png")


def test_a_processor_that_tells_little_still_has_a_name(tmp_path, monkeypatch):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "model name\t: A\nflags\t: sse avx2 aes\ncpu MHz : 2445.4\n\nmodel name: B\n"
    )
    monkeypatch.setattr(processor, "_CPUINFO", cpuinfo)
    assert processor.describe() == {"model": "A", "features": ["aes", "avx2"], "mhz": 2445}
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "absent")
    described = processor.describe()
    assert described["model"]
    assert (described["features"], described["mhz"]) == ([], None)
