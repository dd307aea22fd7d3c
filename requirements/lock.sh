#!/usr/bin/env bash
# Rewrites the locks from pyproject.toml; `requirements/lock.sh --upgrade` also moves to newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { # compile OUTPUT ARGUMENTS...
  local output=$1; shift
  uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header -o "$output" "$@"
}
compile requirements/service.txt --extra service "$@"
compile requirements/operator.txt --extra operator "$@"
compile requirements/bench.txt --extra service --group bench --override requirements/overrides.txt "$@"
compile requirements/dev.txt --extra service --extra operator --extra reference --group dev \
  --override requirements/overrides.txt "$@"
