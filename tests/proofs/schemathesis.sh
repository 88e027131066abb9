#!/usr/bin/env bash
# Schemathesis over the whole OpenAPI document of a running service, with sequences of requests along its links:
# no 5xx, no undocumented status or type, nothing that its schema rejects.
#    tests/proofs/schemathesis.sh http://127.0.0.1:8000 VIDEO [examples per operation]
# VIDEO is a short video, which the sequences upload. Needs `st` on PATH (pip install schemathesis); a service of its
# own without keys, because it leaves jobs behind.
set -euo pipefail
server=$1
here=$(cd "$(dirname "$0")" && pwd)
SENTILOC_CLIP=$(realpath "$2")
examples=${3:-50}
export SENTILOC_CLIP PYTHONPATH=$here
checks=not_a_server_error,status_code_conformance,content_type_conformance
checks+=,response_schema_conformance,response_headers_conformance
st --config-file "$here/schemathesis.toml" run "$server/openapi.json" --phases examples,coverage,fuzzing,stateful \
    --checks "$checks" --max-examples "$examples" --request-timeout 60 --continue-on-failure --no-color
