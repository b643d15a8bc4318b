#!/bin/sh
# The work pool and every deployment of prefect.yaml, then the worker that runs them.
set -eu
prefect work-pool inspect icploop >/dev/null 2>&1 \
    || prefect work-pool create icploop --type process
prefect --no-prompt deploy --all
exec prefect worker start --pool icploop --with-healthcheck
