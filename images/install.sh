#!/bin/sh
# Adds to /opt/venv, or to another environment that is named, what a list of packages with hashes names and the layers below do not
# have. uv and what it downloads stay in the build's cache: no image holds them.
set -eu
cache=/root/.cache/trimtab
uv=$cache/uv-0.13.9/bin/uv
if ! test -x "$uv"; then
    python -m venv --clear "$cache/uv-0.13.9"
    "$cache/uv-0.13.9/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check uv==0.13.9
fi
UV_CACHE_DIR=$cache/packages UV_LINK_MODE=copy VIRTUAL_ENV=${2:-/opt/venv} "$uv" pip install --quiet --no-deps --require-hashes --compile-bytecode \
    --requirements "$1"
