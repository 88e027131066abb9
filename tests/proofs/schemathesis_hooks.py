"""What Schemathesis cannot know: which bytes are a video, and that a job takes a moment.

`schemathesis.sh` sets `SENTILOC_CLIP`, a short video. In sequences of requests it is what is uploaded, so that the
links of a job lead to results, pictures, shares and reels, and not to the same failed job every time.
"""

from __future__ import annotations

import json
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import requests

_CLIP = Path(os.environ["SENTILOC_CLIP"]).read_bytes()
_MAKERS = {"localizeVideo", "rerunJob", "createReel"}
_ENDED = {"succeeded", "failed", "cancelled"}
_PATIENCE = 120.0
_UPLOADS: list[str] = []


def _operation_id(case: Any) -> str:
    return str(case.operation.definition.raw.get("operationId", ""))


def chunk(_context: Any, value: Any) -> bytes:
    """The body of a tus upload."""
    data = getattr(value, "data", value)
    return data if isinstance(data, bytes) else str(data).encode(errors="replace")


def lines(_context: Any, response: Any) -> list[Any]:
    """The results of a batch."""
    return [json.loads(line) for line in response.text.splitlines()]


def before_load_schema(_context: Any, raw_schema: dict[str, Any]) -> None:
    """Follow the links that give a body; see `app/openapi/links.py`."""
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for answer in operation.get("responses", {}).values():
                for link in answer.get("links", {}).values():
                    if "x-requestBody" in link:
                        link["requestBody"] = link.pop("x-requestBody")


def before_call(_context: Any, case: Any, **_arguments: Any) -> None:
    """In sequences, upload a video and continue real uploads; elsewhere what was generated stays."""
    if case.meta is None or str(case.meta.phase.name.value) != "stateful":
        return
    if _operation_id(case) == "localizeVideo":
        case.media_type, case.body = "multipart/form-data", {"video": _CLIP, "options": '{"threshold": 0.0}'}
    if _UPLOADS and "upload_id" in (case.path_parameters or {}):
        # Tus gives the id within `Location`, where no link of OpenAPI finds it.
        case.path_parameters["upload_id"] = _UPLOADS[-1]


def after_call(_context: Any, case: Any, response: Any) -> None:
    """Note a new upload; wait for the end of a new job, whose result the next requests want."""
    name = _operation_id(case)
    if name == "createUpload" and response.status_code == requests.codes.created:
        _UPLOADS.append(response.headers["location"][0].rpartition("/")[2])
    if name in _MAKERS and response.status_code == requests.codes.accepted:
        _await(response)


def _await(response: Any) -> None:
    made = response.json()
    path = made["job"] if "job" in made else made["links"]["self"]
    job = f"{response.request.url.partition('/v1/')[0]}{path}"
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and requests.get(job, timeout=30).json()["state"] not in _ENDED:
        time.sleep(0.1)


# Schemathesis has an environment of its own, so its types are not known here.
schemathesis: Any = import_module("schemathesis")
schemathesis.serializer("application/offset+octet-stream")(chunk)
schemathesis.deserializer("application/x-ndjson")(lines)
schemathesis.hook(before_load_schema)
schemathesis.hook(before_call)
schemathesis.hook(after_call)
