"""Turns the form's field `options` into checked options, or into a problem that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.problems import ProblemCode, ProblemError
from sentiloc.app.jobs.options import JobOptions, Webhook, parse_options
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from sentiloc.model.package import list_packages, shipped_models_dir
from sentiloc.model.spec import CLASSES, load_spec


def check_options(text: bytes | bytearray, settings: Settings) -> JobOptions:
    """The options; raises the 422 problems `invalid_request` and `unknown_model`."""
    try:
        options = parse_options(bytes(text))
    except ValidationError as error:
        places = [(".".join(map(str, ("options", *item["loc"]))), item["msg"]) for item in error.errors()]
        detail = "; ".join(f"{place}: {message}" for place, message in places)
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail) from error
    require_possible(options, settings)
    return options


def require_possible(options: JobOptions, settings: Settings) -> None:
    """Raises the 422 problem `unknown_model`, and those of labels and a webhook that could never be."""
    if options.webhook is not None:
        _check_webhook(options.webhook, settings)
    model = options.model_name or settings.model
    if options.model is not None and not _is_installed(options, settings):
        detail = f"There is no model {options.model!r}; `GET /models` lists those that there are."
        raise ProblemError(422, ProblemCode.UNKNOWN_MODEL, detail)
    if options.labels is not None:
        check_labels(options.labels, classes_of(model, settings), "options.labels")


def _is_installed(options: JobOptions, settings: Settings) -> bool:
    name, version = options.model_name, options.model_version
    if name not in known_models(settings):
        return False
    try:
        return version in (None, load_spec(_models_dir(settings) / name / "spec.json").version)
    except SentilocError:
        # The API need not hold the package: the worker compares the version then.
        return True


def check_labels(labels: Iterable[str], classes: Sequence[str], place: str) -> None:
    """Raise the 422 problem `invalid_request` for labels that are none of the model's classes."""
    unknown = sorted({*labels} - {*classes})
    if unknown:
        detail = f"{place}: this model has no {', '.join(unknown)}; its classes are {', '.join(classes)}"
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail)


def classes_of(model: str, settings: Settings) -> tuple[str, ...]:
    """Classes of an installed package; those of sentiment where the API cannot read it (only the worker can)."""
    try:
        return load_spec(_models_dir(settings) / model / "spec.json").classes
    except SentilocError:
        return CLASSES


def _check_webhook(webhook: Webhook, settings: Settings) -> None:
    """Refuse what could never be sent; addresses are checked again when it is."""
    try:
        Outbound(allow=settings.outbound_allow).check(webhook.url)
    except SentilocError as error:
        raise ProblemError(422, error.code, f"options.webhook.url: {error.detail}") from error
    has_secret = webhook.secret or settings.webhook_secret or current_caller().key_id
    if not has_secret:
        detail = "options.webhook.secret: give one; this server has none of its own to sign with."
        raise ProblemError(422, ProblemCode.INVALID_REQUEST, detail)


def known_models(settings: Settings) -> list[str]:
    """Names that a job may ask for, sorted: the installed packages and the default."""
    return sorted({*list_packages(_models_dir(settings)), settings.model})


def _models_dir(settings: Settings) -> Path:
    return settings.models_dir or shipped_models_dir()
