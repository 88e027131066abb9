"""`GET /`: the web page and its files, with a strict content security policy.

It allows no other host but the object store, if there is one, because requests for videos are redirected there.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.routes.deps import video_sources
from sentiloc.app.routes.service.page_files import read_page_file, send_page_file
from sentiloc.app.services import BareServicesDep, Services
from sentiloc.app.storage.base import Storage
from sentiloc.model.package import list_packages, shipped_models_dir

WEB = Path(__file__).resolve().parents[2] / "web"
# `no-cache` makes browsers revalidate, so updates show at once.
_HEADERS = {"Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


def content_policy(storage: Storage) -> str:
    """The policy of the page's files."""
    videos = video_sources(storage)
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        f"media-src {videos} blob:; connect-src {videos}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@router.get("/")
async def page(request: Request, services: BareServicesDep) -> Response:
    """The web page."""
    policy = content_policy(services.storage)
    return send_page_file(read_page_file(WEB / "index.html", policy), request, _HEADERS)


@router.get("/web/cards/{model}")
def model_card(model: str, services: BareServicesDep) -> Response:
    """The model card of an installed model as Markdown. The page shows its limits and its licence."""
    root = services.settings.models_dir or shipped_models_dir()
    card = root / model / "MODEL_CARD.md"
    # Checked against the list, so that a name such as ".." cannot leave the folder.
    if model not in list_packages(root) or not card.is_file():
        raise ProblemError(404, ProblemCode.NOT_FOUND, "This model has no model card.")
    headers = {**_HEADERS, "Content-Security-Policy": content_policy(services.storage)}
    return Response(card.read_text(encoding="utf-8"), headers=headers, media_type="text/plain; charset=utf-8")


class _Files(StaticFiles):
    """Static files with the headers of the page."""

    def __init__(self, policy: str) -> None:
        super().__init__(directory=WEB)
        self._policy = policy

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        _ = (stat_result, status_code)
        return send_page_file(read_page_file(Path(full_path), self._policy), Request(scope), _HEADERS)


def add_page(app: FastAPI) -> None:
    """Serve the page at `/` and its files under `/web`."""
    services: Services = app.state.services
    app.include_router(router)
    app.mount("/web", _Files(content_policy(services.storage)), name="web")
