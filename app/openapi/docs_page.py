"""`/docs` with a local copy of Swagger UI, so that it works offline."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from sentiloc.app.http.address import current_base

_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def add_docs(app: FastAPI) -> None:
    """Serve the page at `/docs` and the files of the package `fastapi-swagger` under `/docs/static`."""
    assets = Path(str(resources.files("fastapi_swagger") / "resources"))
    app.mount("/docs/static", StaticFiles(directory=assets), name="docs-static")
    app.add_api_route("/docs", _page, include_in_schema=False, response_class=HTMLResponse)
    app.add_api_route("/openapi.json", _document, include_in_schema=False, response_class=JSONResponse)


async def _document(request: Request) -> JSONResponse:
    """The document, with the client's root path as its server."""
    document = request.app.openapi()
    # Not stored, because the root path differs from proxy to proxy.
    server = {**document["servers"][0], "url": current_base().root or "/"}
    return JSONResponse({**document, "servers": [server]}, headers={"Cache-Control": "no-cache"})


async def _page() -> HTMLResponse:
    page = _swagger(current_base().root)
    page.headers["Content-Security-Policy"] = content_policy(bytes(page.body).decode())
    return page


def content_policy(page: str) -> str:
    """Scripts of this server and the page's own inline script, by its hash. Swagger UI sets styles inline."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in _INLINE_SCRIPT.findall(page))
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _swagger(root: str) -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Sentiloc API",
        swagger_js_url=f"{root}/docs/static/swagger-ui-bundle.js",
        swagger_css_url=f"{root}/docs/static/swagger-ui.css",
        swagger_favicon_url=f"{root}/docs/static/favicon-32x32.png",
        # The validator would send the document to a server on the internet.
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
    )
