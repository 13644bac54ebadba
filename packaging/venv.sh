#!/bin/sh
# Makes an empty virtual environment: packaging/venv.sh PYTHON FOLDER
# Debian keeps the module for it in a package of its own: installed here when root, otherwise the line to run is printed.
set -eu
python=$1 folder=$2

fail() { printf '%s\n' "$@" >&2; exit 1; }

command -v "$python" >/dev/null || fail "Cannot find the Python '$python'. wasupervisor needs Python 3.11 or newer." \
    "Install it (Debian: apt-get install python3) or name another one with PYTHON=/path/to/python3."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "wasupervisor needs Python 3.11 or newer; '$python' is $("$python" -c 'import platform; print(platform.python_version())')." \
        "Name a newer one with PYTHON=/path/to/python3."

has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

if ! has_venv; then
    package=$(basename "$python")-venv
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        fail "Cannot make a virtual environment: Python's venv module is missing." \
            "Run this, then try again:  sudo apt-get install $package"
    fi
    echo "Python's venv module is missing: installing $package"
    "$(dirname "$0")/apt-install.sh" "$package"
    has_venv || fail "'$python' has no venv module, though $package is installed. Name another Python with PYTHON=/usr/bin/python3."
fi

"$python" -m venv --clear "$folder"
