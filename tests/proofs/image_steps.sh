#!/usr/bin/env bash
# Runs the install steps of the images without a container engine, and checks what they leave:
#
#     tests/proofs/image_steps.sh FOLDER [VIDEO]
#
# FOLDER is made and takes about 2 GB. The API must start without PyAV and ONNX Runtime; the worker must localize
# VIDEO (default: a drawn clip). Public CI builds and runs the images themselves with `docker build`.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1" && work=$(cd "$1" && pwd)
python=${PYTHON:-python3}
"$python" -m venv "$work/tools"
export PIP="$work/tools/bin/pip"

install() { # PREFIX STEP...
    local prefix=$1 step
    shift
    for step in "$@"; do (cd "$root" && PREFIX=$prefix sh docker/install.sh "$step"); done
}

echo "== worker"
install "$work/worker" dependencies package
echo "== api"
cp -a "$work/worker" "$work/api"
install "$work/api" api
du -sm "$work/api" "$work/worker"

cd "$work"
api/bin/python -c 'import sys, sentiloc.app.main; assert not {"av", "onnxruntime", "cv2"} & set(sys.modules)'
worker/bin/sentiloc doctor || test $? = 1 # the worker's image has no store of its own: SENTILOC_REDIS_URL names one
video=${2:-$work/clip.mp4}
[ -e "$video" ] || worker/bin/python -c 'import sys; from pathlib import Path; from sentiloc.cli.clip import write_test_clip; write_test_clip(Path(sys.argv[1]))' "$video"
worker/bin/sentiloc localize "$video" --format csv -o found.csv
head -3 found.csv
echo "== all steps ran"
