#!/bin/sh
# Prints NAME=IMAGE@DIGEST for each image that the Dockerfile and the compose file take from elsewhere, as the registries
# have them now: pin_images.sh > images.env. A release does this, builds on these digests, and publishes the file.
set -eu
cd "$(dirname "$0")/.."

pin() { # NAME IMAGE
    digest=$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$2")
    case $digest in
    sha256:*) echo "$1=$2@$digest" ;;
    *)
        echo "pin_images.sh: no digest of $2" >&2
        exit 1
        ;;
    esac
}

sed -n 's/.*image: ${\([A-Z_]*\):-\([^}]*\)}.*/\1 \2/p' docker-compose.yml | while read -r name image; do
    pin "$name" "$image"
done
