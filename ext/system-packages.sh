#!/bin/sh
# Checks what pip cannot install: Python 3.11 with venv and headers, a C compiler, libgmp. Installs
# what is missing with apt where that is possible, and otherwise says what to install.
set -eu
PYTHON="${PYTHON:-python3}"

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "ccp2p needs Python 3.11 or newer; set PYTHON=/path/to/python3.11 if it is not $PYTHON" >&2
    exit 1
fi

missing=""
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
command -v cc >/dev/null 2>&1 || missing="$missing build-essential"
headers=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
[ -f "$headers/Python.h" ] || missing="$missing python3-dev"
if command -v cc >/dev/null 2>&1; then
    echo '#include <gmp.h>' | cc -E -x c - >/dev/null 2>&1 || missing="$missing libgmp-dev"
else
    missing="$missing libgmp-dev"
fi
[ -z "$missing" ] && exit 0

if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        echo "please install first: sudo apt-get install$missing" >&2
        exit 1
    fi
    echo "installing$missing" >&2
    $as_root apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq $missing >/dev/null
    exit 0
fi
echo "please install these first (Debian's names):$missing" >&2
exit 1
