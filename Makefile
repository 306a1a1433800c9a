# ccp2p: `make run` shows a network, `make test` proves it. Both prepare everything they need.
# Each suite stops at its budget in minutes (run on two cores); none of them asserts a speed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NATIVE := $(wildcard ext/*.pyx ext/*.pxd ext/*.h ext/*.c ext/*/*)

MINUTES_consensus := 6
MINUTES_network := 3
MINUTES_strangers := 3
MINUTES_namespaces := 6
MINUTES_attestation := 3
MINUTES_crypto := 3
MINUTES_units := 5
MINUTES_nodes := 6
MINUTES_commands := 5
MINUTES_whole := 12
MINUTES_simulator := 7
MINUTES_sanitize := 4
MINUTES_interop := 12

UNITS := tests/model tests/sealing tests/membership tests/execution tests/gossip tests/storage tests/devnet tests/benchmarks

.PHONY: run test install system hosts lint types imports lock clean suites sanitize interop package soak

run: install
	$(BIN)/ccp2p dev --nodes 4

test: install lint types imports suites interop package

install: system $(VENV)/installed

# Compiler, Python headers and libgmp (for libp2p's fastecdsa): installed where apt and the right to
# use it are there, named otherwise.
system:
	@PYTHON="$(PYTHON)" sh ext/system-packages.sh

# What tests/namespaces makes hosts and NAT boxes with, in the same way.
hosts:
	@PYTHON="$(PYTHON)" sh ext/system-packages.sh hosts

$(VENV)/installed: requirements.txt pyproject.toml setup.py $(NATIVE)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "from ccp2p.crypto import aead; assert aead.NATIVE, 'the native core is missing'"
	@touch $@

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports --no-cache

suites: sanitize hosts
	timeout $(MINUTES_units)m $(BIN)/pytest $(UNITS)
	timeout $(MINUTES_crypto)m $(BIN)/pytest tests/crypto
	timeout $(MINUTES_consensus)m $(BIN)/pytest -n 2 tests/consensus
	timeout $(MINUTES_attestation)m $(BIN)/pytest tests/attestation
	timeout $(MINUTES_network)m $(BIN)/pytest tests/network
	timeout $(MINUTES_strangers)m $(BIN)/pytest tests/strangers
	timeout $(MINUTES_namespaces)m $(BIN)/pytest -rs tests/namespaces
	timeout $(MINUTES_simulator)m $(BIN)/pytest --numprocesses 2 tests/simulator
	timeout $(MINUTES_nodes)m $(BIN)/pytest --numprocesses 2 tests/node tests/client
	timeout $(MINUTES_commands)m $(BIN)/pytest --numprocesses 2 tests/cli
	timeout $(MINUTES_whole)m $(BIN)/pytest tests/e2e

# Clients in other languages against real nodes. What npm and Go fetch and build (a minute or two)
# stays in build/interop; a language that cannot be had here is skipped, and the report says why.
interop: install
	timeout $(MINUTES_interop)m $(BIN)/pytest -rs tests/interop

# The extension under AddressSanitizer and UBSan, driven by its fuzz targets and their neighbours.
SANITIZED := build/sanitized
sanitize: install
	CCP2P_SANITIZE=address,undefined $(BIN)/python setup.py -q build \
		--build-base $(SANITIZED) --build-lib $(SANITIZED)/lib
	LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 PYTHONSAFEPATH=1 PYTHONPATH=$(SANITIZED)/lib \
	timeout $(MINUTES_sanitize)m $(BIN)/python -m pytest -s --import-mode=append \
		tests/crypto/test_fuzz.py tests/crypto/test_log_index.py \
		tests/crypto/test_aead.py tests/crypto/test_hashchain.py \
		tests/crypto/test_buckets.py tests/crypto/test_envelopes.py

# A network under load whose nodes are killed in turn, some of them on older disks: what came of it.
MINUTES ?= 10
NODES ?= 4
soak: install
	$(BIN)/python bench/soak.py --minutes $(MINUTES) --nodes $(NODES) $(SOAK)

# What users install: the source archive, the wheel made from it, and that wheel away from the
# sources, with the CPU's own backends and with none of its vectors. It finds the dependencies of
# .venv, and nothing of ours there.
PACKAGE := build/package
package: install
	rm -rf $(PACKAGE)
	$(BIN)/python setup.py -q sdist --dist-dir $(PACKAGE)
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation \
		--wheel-dir $(PACKAGE) $(PACKAGE)/ccp2p-*.tar.gz
	$(PYTHON) -m venv $(PACKAGE)/venv
	$(PACKAGE)/venv/bin/python -m pip install --quiet --no-deps $(PACKAGE)/ccp2p-*.whl
	export PYTHONPATH="$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"; \
	cd $(PACKAGE) && for backend in "" portable avx2; do \
		CCP2P_ED25519=$$backend CCP2P_BLAKE2B=$$backend venv/bin/python ../../ext/checks/imports.py \
		|| exit 1; done

# The lock: every dependency with hashes. Needs pip-tools.
lock:
	pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--extra build --extra plot --extra test --output-file requirements.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist *.egg-info ccp2p/crypto/*.so
