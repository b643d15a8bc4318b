#!/bin/sh
# The work pool and every deployment of prefect.yaml, then the worker that runs them.
set -eu
# A pool that is there already stays as it is; where neither is so, the second command says why.
prefect work-pool create icploop --type process >/dev/null 2>&1 \
    || prefect work-pool inspect icploop >/dev/null
prefect --no-prompt deploy --all
exec prefect worker start --pool icploop --with-healthcheck
