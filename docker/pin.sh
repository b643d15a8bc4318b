#!/bin/sh
# Write images.env: the images that compose.yaml starts from, each with the digest that its tag has
# today. Commit the file, so that every machine starts the same bytes; run it again for updates.
#   sh docker/pin.sh            look them up (needs Docker and the network)
#   sh docker/pin.sh --check    only say whether every image has a digest
set -eu
cd "$(dirname "$0")"
images="PYTHON_IMAGE=python:3.13-slim-bookworm POSTGRES_IMAGE=postgres:17-bookworm"
if [ "${1:-}" != --check ]; then
    fresh=$(for image in $images; do
        digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "${image#*=}")
        echo "$image@$digest"
    done)
    printf '%s\n' "$fresh" >images.env.part && mv images.env.part images.env
fi
for image in $images; do
    grep -Eqx "$image@sha256:[0-9a-f]{64}" images.env || {
        echo "docker/images.env does not give the digest of ${image#*=}; run docker/pin.sh" >&2
        exit 1
    }
done
