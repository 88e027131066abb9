"""`GET /`: the web page and its files, with a strict content security policy that allows no other host."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.routes.service.page_files import read_page_file, send_page_file
from sentiloc.app.services import BareServicesDep
from sentiloc.model.package import list_packages, shipped_models_dir

WEB = Path(__file__).resolve().parents[2] / "web"
CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# `no-cache` makes browsers revalidate, so updates show at once.
_HEADERS = {"Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page(request: Request) -> Response:
    """The web page."""
    return send_page_file(read_page_file(WEB / "index.html", CONTENT_POLICY), request, _HEADERS)


@router.get("/web/cards/{model}")
def model_card(model: str, services: BareServicesDep) -> Response:
    """The model card of an installed model as Markdown. The page shows its limits and its licence."""
    root = services.settings.models_dir or shipped_models_dir()
    card = root / model / "MODEL_CARD.md"
    # Checked against the list, so that a name such as ".." cannot leave the folder.
    if model not in list_packages(root) or not card.is_file():
        raise ProblemError(404, ProblemCode.NOT_FOUND, "This model has no model card.")
    headers = {**_HEADERS, "Content-Security-Policy": CONTENT_POLICY}
    return Response(card.read_text(encoding="utf-8"), headers=headers, media_type="text/plain; charset=utf-8")


class _Files(StaticFiles):
    """Static files with the headers of the page."""

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        _ = (stat_result, status_code)
        return send_page_file(read_page_file(Path(full_path), CONTENT_POLICY), Request(scope), _HEADERS)


def add_page(app: FastAPI) -> None:
    """Serve the page at `/` and its files under `/web`."""
    app.include_router(router)
    app.mount("/web", _Files(directory=WEB), name="web")
