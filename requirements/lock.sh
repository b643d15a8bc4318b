#!/bin/sh
# Resolve the locks again: dev.txt with every tool, run.txt for a server, build.txt for what turns
# the sources into an installed package. Needs uv.
# The flags keep every hash and leave out the address of the index that answered.
set -eu
cd "$(dirname "$0")/.."
lock="uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header"
$lock pyproject.toml --extra dev --output-file requirements/dev.txt "$@"
# A lock that exists is what uv prefers: so the smaller ones name the same versions.
cp requirements/dev.txt requirements/run.txt
cp requirements/dev.txt requirements/build.txt
$lock pyproject.toml --extra server --output-file requirements/run.txt
printf 'hatchling\neditables\n' | $lock - --output-file requirements/build.txt
