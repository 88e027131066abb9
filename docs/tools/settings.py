"""Writes docs/settings.md from the fields of `app/settings/`.

python -m docs.tools.settings
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from sentiloc.app.settings.media import MediaSettings
from sentiloc.app.settings.models import ModelSettings
from sentiloc.app.settings.requests import RequestSettings
from sentiloc.app.settings.service import ServiceSettings
from sentiloc.app.settings.sign_in import SignInSettings
from sentiloc.app.settings.stores import StoreSettings
from sentiloc.app.settings.webhooks import WebhookSettings
from sentiloc.app.settings.work import WorkSettings

PAGE = Path(__file__).resolve().parents[1] / "settings.md"
HEAD = """# Settings

This page lists every setting of the service. A setting is an environment variable `SENTILOC_…`. The API, the workers
and the command line read it once, when they start. Sizes are in bytes and times in seconds, unless the setting's name
or its row says otherwise. An empty variable counts as not set. Lists and objects are written in JSON.
[Operations](operations.md) explains how to run the service with them.
"""
TAIL = """
## Other variables

These variables are not settings of the service:

| variable | meaning |
|---|---|
| `SENTILOC_SERVER`, `SENTILOC_API_KEY` | the server and the key of [clients](client.md) and the command line |
| `SENTILOC_JOB_WEBHOOK_SECRET` | the secret that signs what `--webhook` of `sentiloc submit` and `batch` sends |
| `SENTILOC_CACHE_DIR` | folder of fetched weights and optimized networks; default: `~/.cache/sentiloc` |
| `SENTILOC_DEBUG` | if it is set, the command line shows the traceback of an error |
| `SENTILOC_DATA` | folder with the data of tests and experiments |
"""
THEMES: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("Address, access and logs", ServiceSettings),
    ("Storage, Redis and retention", StoreSettings),
    ("Connections, requests and uploads", RequestSettings),
    ("Videos, thumbnails and reels", MediaSettings),
    ("Webhooks", WebhookSettings),
    ("Model and device", ModelSettings),
    ("Workers and jobs", WorkSettings),
    ("Sign-in", SignInSettings),
)
_STEPS = {
    "_bytes": ((1024**3, "GiB"), (1024**2, "MiB")),
    "_seconds": ((86_400, "d"), (3600, "h"), (60, "min")),
}


def page() -> str:
    """The whole page as Markdown."""
    return HEAD + "".join(_section(title, theme) for title, theme in THEMES) + TAIL


def _section(title: str, theme: type[BaseSettings]) -> str:
    rows = "".join(_row(name, field) for name, field in theme.model_fields.items())
    return f"\n## {title}\n\n| setting | default | meaning |\n|---|---|---|\n{rows}"


def _row(name: str, field: FieldInfo) -> str:
    meaning = [field.description or "", _choices(field.annotation)]
    cells = (f"`SENTILOC_{name.upper()}`", _default(name, field.default), ". ".join(filter(None, meaning)))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |\n"


def _choices(annotation: Any) -> str:
    if get_origin(annotation) is not Literal:
        return ""
    return "One of " + ", ".join(f"`{choice}`" for choice in get_args(annotation))


def _default(name: str, value: Any) -> str:
    """A default as an operator would write it, with the larger unit of a size or a time."""
    if value is None or value == "":
        return "none"
    if isinstance(value, (bool, list, dict)):
        return f"`{json.dumps(value)}`"
    if isinstance(value, (int, float)):
        return f"{value:.15g}{_in_words(name, value)}"
    return f"`{value}`"


def _in_words(name: str, value: float) -> str:
    for ending, steps in _STEPS.items():
        if name.removesuffix("_per_key").endswith(ending):
            fitting = (
                f" ({value / size:.15g} {unit})" for size, unit in steps if value and value % size == 0
            )
            return next(fitting, "")
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
