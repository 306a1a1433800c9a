#!/bin/sh
# Checks what pip cannot install: Python 3.11 with venv and headers, a C compiler, libgmp. Installs
# what is missing with apt where that is possible, and otherwise says what to install.
# With the argument "hosts": what tests make hosts and NAT boxes with, which say so without it.
set -eu
PYTHON="${PYTHON:-python3}"

missing_packages() {
    if [ "${1:-}" = hosts ]; then
        command -v ip >/dev/null 2>&1 || printf ' iproute2'
        command -v nft >/dev/null 2>&1 || printf ' nftables'
        return
    fi
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || printf ' python3-venv'
    command -v cc >/dev/null 2>&1 || printf ' build-essential'
    headers=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -f "$headers/Python.h" ] || printf ' python3-dev'
    echo '#include <gmp.h>' | cc -E -x c - >/dev/null 2>&1 || printf ' libgmp-dev'
}

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "ccp2p needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 if it is not $PYTHON" >&2
    exit 1
fi

missing=$(missing_packages "$@")
[ -z "$missing" ] && exit 0

as_root="none"
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo"
fi
if command -v apt-get >/dev/null 2>&1 && [ "$as_root" != none ]; then
    echo "installing$missing" >&2
    $as_root apt-get update -qq || true
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing >/dev/null || true
    missing=$(missing_packages "$@")
    [ -z "$missing" ] && exit 0
fi
if [ "${1:-}" = hosts ]; then
    echo "some tests of networks will not run: they want apt-get install$missing" >&2
    exit 0
fi
echo "please install first: apt-get install$missing" >&2
exit 1
