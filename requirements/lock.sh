#!/usr/bin/env bash
# Remake the lock files from pyproject.toml (needs uv). Hashes of every wheel and sdist are kept;
# index addresses are not, so that a mirror configured in pip is used as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    local output=$1
    shift
    uv pip compile pyproject.toml requirements/build.in "$@" --universal --python-version 3.11 \
        --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate \
        --quiet --output-file "requirements/${output}"
}
compile demo.txt --extra build --extra mic --extra view --extra web
compile full.txt --extra build --extra energy --extra flash --extra mic --extra sign --extra sweep --extra train --extra view --extra web --extra dev
