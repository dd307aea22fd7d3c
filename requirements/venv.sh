#!/usr/bin/env bash
# Makes .venv what requirements/dev.txt says; silent and quick when it is already. PYTHON=... picks the Python.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
find_python() { # the first Python >= 3.11 that can make a virtual environment
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
    if usable "$candidate"; then printf '%s' "$candidate"; return; fi
  done
  return 1
}

exec 9<requirements/dev.txt # two makes at once must not install into one folder
if command -v flock >/dev/null; then flock 9; fi

locked=$(sha256sum requirements/dev.txt | cut -d' ' -f1)
installed=$(cat pyproject.toml hatch_build.py service/match_service/engine/{inner.c,sieve.h} | sha256sum | cut -d' ' -f1)
if [[ -x .venv/bin/python && $(cat .venv/.locked 2>/dev/null) == "$locked" \
  && $(cat .venv/.installed 2>/dev/null) == "$installed" ]]; then
  exit 0
fi

started=$SECONDS
if [[ ! -x .venv/bin/pip ]]; then
  if ! python=$(find_python); then
    if [[ -z ${PYTHON:-} && $(id -u) == 0 && -e /etc/debian_version ]] && command -v apt-get >/dev/null; then
      say "No Python 3.11 or newer with the module venv: installing Debian's python3-venv"
      apt-get -qq update >&2
      DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends python3-venv >&2
    fi
    if ! python=$(find_python); then
      say "Python 3.11 or newer with the module venv is needed (on Debian and Ubuntu: apt-get install python3-venv)."
      exit 1
    fi
  fi
  say "Making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
fi
if [[ $(cat .venv/.locked 2>/dev/null) != "$locked" ]]; then
  say "Installing the locked dependencies of requirements/dev.txt (a minute or two, once)"
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
  printf '%s\n' "$locked" >.venv/.locked
fi
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
printf '%s\n' "$installed" >.venv/.installed
say "Python environment ready after $((SECONDS - started)) s"
