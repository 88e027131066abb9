"""Turns the form's field `options` into checked options, or into a problem that says what is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError

from app.job_options import JobOptions, parse_options
from app.problems import ProblemCode, ProblemError
from app.settings import Settings
from model.package import list_packages, shipped_models_dir


def check_options(text: bytes | bytearray, settings: Settings) -> JobOptions:
    """The options; raises the 422 problems `invalid_request` and `unknown_model`."""
    try:
        options = parse_options(bytes(text))
    except ValidationError as error:
        places = [(".".join(map(str, ("options", *item["loc"]))), item["msg"]) for item in error.errors()]
        detail = "; ".join(f"{place}: {message}" for place, message in places)
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail) from error
    if options.model is not None and options.model not in known_models(settings):
        detail = f"There is no model {options.model!r}; `GET /models` lists those that there are."
        raise ProblemError(422, ProblemCode.UNKNOWN_MODEL, detail)
    return options


def known_models(settings: Settings) -> list[str]:
    """Names that a job may ask for, sorted: the installed packages and the default."""
    return sorted({*list_packages(settings.models_dir or shipped_models_dir()), settings.model})
