#!/bin/sh
# Resolve the two locks again: run.txt for a server, dev.txt with the tools on top. Needs uv.
# The flags keep every hash and leave out the address of the index that answered.
set -eu
cd "$(dirname "$0")/.."
lock="uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header pyproject.toml"
$lock --extra dev --output-file requirements/dev.txt "$@"
$lock --constraint requirements/dev.txt --output-file requirements/run.txt
