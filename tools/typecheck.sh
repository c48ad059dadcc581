#!/usr/bin/env bash
# mypy cannot see the folder mapping of an editable install, so it checks a copy laid out as installed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/shiftmcu"
cp -r shiftmcu/. "$work/shiftmcu/"
for folder in convert host train; do cp -r "$folder" "$work/shiftmcu/$folder"; done
python=$PWD/.venv/bin/python
config=$PWD/pyproject.toml
cache=$PWD/.mypy_cache
cd "$work" && "$python" -m mypy --config-file "$config" --cache-dir "$cache" --python-executable "$python" shiftmcu
