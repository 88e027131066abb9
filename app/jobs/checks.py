"""Checks of a request's options against the models and the settings of this server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from sentiloc.app.access.caller import current_caller
from sentiloc.app.http.problems import InvalidRequest, ProblemCode, ProblemError, TypedProblem
from sentiloc.app.jobs.options import JobOptions, Quality, parse_options
from sentiloc.app.outbound.client import Outbound
from sentiloc.app.settings import Settings
from sentiloc.model.errors import SentilocError
from sentiloc.model.package import list_packages, shipped_models_dir
from sentiloc.model.spec import CLASSES, load_spec


class UnknownModel(TypedProblem):
    """The server has no model of this name, or not in this version."""

    of_status = 422
    of_code = ProblemCode.UNKNOWN_MODEL
    example = "There is no model 'x'. `GET /v1/models` lists the models of this server."

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model {model!r}. `GET /v1/models` lists the models of this server.")


def check_options(text: bytes | bytearray, settings: Settings) -> JobOptions:
    """Parse and check the options of a request; raises `InvalidRequest` and `UnknownModel`."""
    options = read_request_options(text)
    require_possible(options, settings)
    return options


def read_request_options(text: bytes | bytearray) -> JobOptions:
    """Parse the options of a request, whether or not they are possible now; raises `InvalidRequest`."""
    try:
        return parse_options(bytes(text))
    except ValidationError as error:
        raise InvalidRequest.of_body(error, "options") from error


def require_possible(options: JobOptions, settings: Settings) -> None:
    """Refuse options that cannot succeed. Raises `UnknownModel`, `InvalidRequest` and `url_forbidden`."""
    if options.webhook is not None:
        check_webhook(options.webhook.url, options.webhook.secret, settings, "options.webhook")
    model = options.model_name or settings.model
    if options.model is not None and not _is_installed(options, settings):
        raise UnknownModel(options.model)
    if options.labels is not None:
        check_labels(options.labels, classes_of(model, settings), "options.labels")
    if options.quality is Quality.DRAFT and not _can_draft(model, settings):
        raise InvalidRequest(f"options.quality: the model {model} needs every picture and has no draft.")


def _is_installed(options: JobOptions, settings: Settings) -> bool:
    name, version = options.model_name, options.model_version
    if name not in known_models(settings):
        return False
    try:
        return version in (None, load_spec(_models_dir(settings) / name / "spec.json").version)
    except SentilocError:
        # The API need not have the package. In that case the worker compares the version.
        return True


def check_labels(labels: Iterable[str], classes: Sequence[str], place: str) -> None:
    """Raise `InvalidRequest` for labels that are not classes of the model. `place` is the field's name."""
    unknown = sorted({*labels} - {*classes})
    if unknown:
        detail = f"{place}: this model has no {', '.join(unknown)}; its classes are {', '.join(classes)}"
        raise InvalidRequest(detail)


def classes_of(model: str, settings: Settings) -> tuple[str, ...]:
    """The classes of a model; the sentiment classes if only the worker has the package."""
    try:
        # Read for each request, so a package that is installed while the server runs is known at once.
        return load_spec(_models_dir(settings) / model / "spec.json").classes
    except SentilocError:
        return CLASSES


def _can_draft(model: str, settings: Settings) -> bool:
    """True if the model has drafts, or if only the worker has the package and will decide."""
    try:
        return load_spec(_models_dir(settings) / model / "spec.json").can_draft
    except SentilocError:
        return True


def check_webhook(url: str, secret: str | None, settings: Settings, place: str) -> None:
    """Refuse a webhook that cannot be sent. Its address is checked again at every delivery.

    `place` names the field in the request; empty for the whole body. Raises `InvalidRequest` and `url_forbidden`.
    """
    place = f"{place}." if place else ""
    try:
        # Checked here only for an early answer; names may resolve differently later, so delivery checks
        # again.
        Outbound(allow=settings.outbound_allow).check(url)
    except SentilocError as error:
        raise ProblemError(422, error.code, f"{place}url: {error.detail}") from error
    has_secret = secret or settings.webhook_secret or current_caller().key_id
    if not has_secret:
        raise InvalidRequest(
            f"{place}secret: required, because this server has no signing secret: set SENTILOC_WEBHOOK_SECRET on the "
            f"server, or send {place}secret."
        )


def known_models(settings: Settings) -> list[str]:
    """The model names that a job may request, sorted: the installed packages and the default."""
    # The default may only be installed at the workers.
    return sorted({*list_packages(_models_dir(settings)), settings.model})


def _models_dir(settings: Settings) -> Path:
    return settings.models_dir or shipped_models_dir()
