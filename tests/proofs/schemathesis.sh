#!/usr/bin/env bash
# Schemathesis over the whole OpenAPI document of a running service, with sequences of requests along its links:
# no 5xx, no undocumented status or type, nothing that its schema rejects.
#    tests/proofs/schemathesis.sh http://127.0.0.1:8000 [examples per operation]
# Needs `st` on PATH (pip install schemathesis); a service of its own, because it leaves jobs behind.
set -euo pipefail
server=$1
examples=${2:-50}
checks=not_a_server_error,status_code_conformance,content_type_conformance
checks+=,response_schema_conformance,response_headers_conformance
# Schemathesis cannot write the body of a tus upload: tests/app/test_tus.py and a tus client cover those two.
st run "$server/openapi.json" --phases examples,coverage,fuzzing,stateful --checks "$checks" --max-examples "$examples" \
    --exclude-path-regex '^/v1/uploads(/\{upload_id\})?$' --request-timeout 60 --continue-on-failure --no-color
