"""OpenAPI links: which operations take the id of what another operation created, and where that id is in the answer.

Tools follow them: documentation shows them, and test tools such as Schemathesis try whole sequences of requests. Bodies
are given as `x-requestBody`, because swagger-parser, which openapi-generator and others use, refuses a document if the
`requestBody` of a link is not a string. `tests/proofs/schemathesis_hooks.py` reads them.
"""

from __future__ import annotations

from typing import Any

_ID = "$response.body#/id"
_JOBS = "/jobs/{job_id}"
MAKERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "localizeVideo": ("202", _ID, (_JOBS,)),
    "localizeUrl": ("202", _ID, (_JOBS,)),
    "localizeUpload": ("202", _ID, (_JOBS,)),
    "rerunJob": ("202", _ID, (_JOBS,)),
    "createReel": ("202", _ID, ("/reels/{job_id}", _JOBS)),
    "createShare": ("201", "$response.body#/token", ("/shared/{token}",)),
    "createBatch": ("202", _ID, ("/batches/{batch_id}",)),
    "createWebhook": ("201", _ID, ("/webhooks/{webhook_id}",)),
    "createKey": ("201", _ID, ("/keys/{key_id}",)),
}
"""By operation id: the status, the runtime expression of the new id, and the paths whose parameters take the id."""
_CLIPS = {"clips": [{"job": _ID, "start": 0, "end": 1}]}
BODIES: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "localizeVideo": ("202", {"createReel": _CLIPS, "exportCuts": {"format": "edl", **_CLIPS}}),
    "presignUpload": ("201", {"localizeUpload": {"upload": _ID}}),
}
"""By operation id: the status, and the request bodies of the operations that follow."""


def add_links(document: dict[str, Any]) -> None:
    """Add a link from each operation that makes something to every operation that takes its id, in its path or body."""
    paths = document["paths"]
    made = {
        operation["operationId"]: operation
        for operations in paths.values()
        for operation in operations.values()
    }
    for maker, (status, expression, folders) in MAKERS.items():
        found: dict[str, Any] = {}
        for path, operations in paths.items():
            if path.startswith(folders):
                for operation in operations.values():
                    found[operation["operationId"]] = _link(operation, expression)
        made[maker]["responses"][status]["links"] = found
    for maker, (status, bodies) in BODIES.items():
        linked = {name: {"operationId": name, "x-requestBody": body} for name, body in bodies.items()}
        made[maker]["responses"][status].setdefault("links", {}).update(linked)


def _link(operation: dict[str, Any], expression: str) -> dict[str, Any]:
    names = [one["name"] for one in operation["parameters"] if one["in"] == "path"]
    # A job may be compared with itself; a number in the path is not an id.
    ids = [name for name in names if name == "token" or name.endswith("_id")]
    return {"operationId": operation["operationId"], "parameters": dict.fromkeys(ids, expression)}
