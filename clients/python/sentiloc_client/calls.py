"""Every request of the clients and the parsing of its answer, shared by the synchronous and the asynchronous client."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from .answers import deleted, file_content, json_of, many, one, readiness, require_stored, sentiment
from .decoding import decode, encode
from .errors import ConnectionFailedError, InvalidKeyError
from .models import (
    Cut,
    Difference,
    Feedback,
    FeedbackList,
    Filters,
    Job,
    JobOptions,
    JobPage,
    KeptFeedback,
    TimelineOptions,
    WebhookLog,
)
from .results import Curve, Result
from .retries import parse_retry_after
from .service import InstalledModel, Limits, Readiness, ResultFormat
from .uploads import Body, FormBody, Progress, Video, VideoFile
from .version import __version__

T = TypeVar("T")
DEFAULT_SERVER = "http://127.0.0.1:8000"
API = "/v1"
"""The version of the API that this client was written for."""
_PLAIN_FILTERS = ("q", "batch", "min_duration", "max_duration", "min_confidence", "corrected", "sort")
# An object store explains its refusal in XML, which the parser of problems cannot read. A redirect is one of these: it
# names the region of the bucket.
STORE_REFUSALS = range(300, 500)
_LONGEST_PAUSE = 60.0
DEFAULT_TIMEOUT = httpx.Timeout(60.0, connect=10.0)
# Event streams send a heartbeat every ten seconds; after three missed ones the connection is dead.
EVENTS_TIMEOUT = httpx.Timeout(35.0, connect=10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request. `repeatable`: sending it twice has the same effect as once. `accepted`: statuses that are not
    errors.

    `foreign`: `path` is a URL of another server, which must not receive the API key. `linked`: the answer may be a
    redirect to an object store, which has the file. `is_file`: the answer may have any size.
    """

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    body: Body | None = None
    repeatable: bool = True
    accepted: Container[int] = ()
    foreign: bool = False
    linked: bool = False
    is_file: bool = False

    def at_store(self, response: httpx.Response) -> Call[T] | None:
        """The call that reads the file from the object store, if the answer is a link to it."""
        if not self.linked or response.status_code != 307 or "location" not in response.headers:
            return None
        url = response.url.join(response.headers["location"])
        if url.path == response.url.path:
            # A proxy's redirect to the same API at another address.
            return None

        def parse(answer: httpx.Response) -> T:
            require_stored(answer)
            return self.parse(answer)

        return Call(
            method="GET", path=str(url), parse=parse, accepted=STORE_REFUSALS, foreign=True, is_file=True
        )


@dataclass(frozen=True, slots=True)
class Polled:
    """The current state of a job (None: unchanged), its ETag, and when to poll again."""

    job: Job | None
    etag: str
    wait: float


def connection(server: str | None, api_key: str | None) -> dict[str, Any]:
    """Arguments of the httpx client. Defaults come from SENTILOC_SERVER and SENTILOC_API_KEY."""
    # Empty variables count as unset, because a shell sets `SENTILOC_SERVER=` to an empty text.
    url = server or os.environ.get("SENTILOC_SERVER") or DEFAULT_SERVER
    # Without the line end that a key read from a file has.
    key = (api_key or os.environ.get("SENTILOC_API_KEY") or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise InvalidKeyError("the API key has characters that cannot be sent")
    address = _address(url.strip())
    headers = {"User-Agent": f"sentiloc-client/{__version__}"}
    if key and address.userinfo:
        # httpx sends a proxy's password in the header that a key usually has.
        headers["X-API-Key"] = key
    elif key:
        headers["Authorization"] = f"Bearer {key}"
    return {"base_url": address, "headers": headers}


def _address(url: str) -> httpx.URL:
    try:
        # So `localhost:8000` works as well.
        return httpx.URL(url if "://" in url else f"http://{url}")
    except httpx.InvalidURL as error:
        raise ConnectionFailedError(f"{url!r} is not an address: {error}") from error


def submit(
    video: Video,
    options: JobOptions | None,
    name: str | None,
    idempotency_key: str | None,
    progress: Progress | None,
) -> Call[Job]:
    """Upload a video, with an idempotency key, so that a retry creates no second job."""
    asked = {} if options is None else {"options": ("application/json", json.dumps(encode(options)))}
    body = FormBody(VideoFile(video, name, progress), "video", asked)
    headers = {**body.headers, "Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return Call(method="POST", path=f"{API}/localize", parse=one(Job), headers=headers, body=body)


def submit_url(url: str, options: JobOptions | None, idempotency_key: str | None) -> Call[Job]:
    """Submit a URL that the server fetches, also with an idempotency key."""
    asked = {"url": url} if options is None else {"url": url, "options": encode(options)}
    headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return Call(method="POST", path=f"{API}/localize/url", parse=one(Job), headers=headers, json=asked)


def localize_upload(upload: str, options: JobOptions | None) -> Call[Job]:
    """Create the job of an upload, which has at most one."""
    asked = {"upload": upload} if options is None else {"upload": upload, "options": encode(options)}
    return Call(method="POST", path=f"{API}/localize/upload", parse=one(Job), json=asked)


def status(job_id: str) -> Call[Job]:
    """The current state of the job."""
    return Call(method="GET", path=_job(job_id), parse=one(Job))


def poll(job_id: str, etag: str) -> Call[Polled]:
    """The job if it has changed since the answer with this ETag."""
    headers = {"If-None-Match": etag} if etag else {}
    accepted = (304,) if etag else ()
    return Call(method="GET", path=_job(job_id), parse=_polled, headers=headers, accepted=accepted)


def cancel(job_id: str) -> Call[Job]:
    """Cancel the job if it has not ended; never deletes."""
    return Call(method="POST", path=_job(job_id, "/cancel"), parse=one(Job))


def delete(job_id: str) -> Call[bool]:
    """True if it was deleted; False if it was only cancelled, in which case the next call deletes it."""
    return Call(method="DELETE", path=_job(job_id), parse=deleted(Job))


def rerun(job_id: str, options: Mapping[str, Any], key: str | None) -> Call[Job]:
    """Create a new job of the same video; `options` are those that change."""
    return Call(
        method="POST",
        path=_job(job_id, "/rerun"),
        parse=one(Job),
        json={"options": {name: encode(value) for name, value in options.items()}},
        headers={"Idempotency-Key": key or str(uuid.uuid4())},
    )


def difference(job_id: str, other_id: str) -> Call[Difference]:
    """Compare a job's segments with those of another job."""
    return Call(method="GET", path=_job(job_id, f"/diff/{quote(other_id, safe='')}"), parse=one(Difference))


def result(job_id: str, cut: Cut | None) -> Call[Result]:
    """The result as JSON."""
    params = {**_given(cut), "format": "json"}
    return Call(method="GET", path=_job(job_id, "/result"), parse=sentiment, params=params)


def render(
    job_id: str, name: str, cut: Cut | None, timeline: TimelineOptions | None, *, corrected: bool = False
) -> Call[bytes]:
    """The result in a format."""
    params = {**_given(cut), **_given(timeline), "format": name}
    if corrected:
        params["corrected"] = "true"
    return Call(method="GET", path=_job(job_id, "/result"), parse=file_content, params=params, is_file=True)


def curve(job_id: str) -> Call[Curve]:
    """The scores of every snippet."""
    return Call(method="GET", path=_job(job_id, "/curve"), parse=one(Curve))


def page(limit: int, cursor: str | None, filters: Filters) -> Call[JobPage]:
    """One page of the list of jobs."""
    params = {**filter_params(filters), "limit": limit}
    if cursor is not None:
        params["cursor"] = cursor
    return Call(method="GET", path=f"{API}/jobs", parse=one(JobPage), params=params)


def filter_params(filters: Filters) -> dict[str, Any]:
    """Filters as parameters of a query."""
    after, before = filters.get("created_after"), filters.get("created_before")
    params: dict[str, Any] = {
        "state": [str(one) for one in filters.get("state", ())],
        "label": filters.get("label"),
        "created_after": after.isoformat() if after else None,
        "created_before": before.isoformat() if before else None,
        "metadata": [f"{key}={value}" for key, value in filters.get("metadata", {}).items()],
        "tag": list(filters.get("tag", ())),
        **{name: filters.get(name) for name in _PLAIN_FILTERS},
    }
    return {key: value for key, value in params.items() if value not in (None, [])}


def give_feedback(job_id: str, feedback: Feedback) -> Call[KeptFeedback]:
    """Store a correction. It is only resent if it certainly did not arrive."""
    return Call(
        method="POST",
        path=_job(job_id, "/feedback"),
        parse=one(KeptFeedback),
        json=encode(feedback),
        repeatable=False,
    )


def feedback(job_id: str) -> Call[FeedbackList]:
    """All corrections of a job."""
    return Call(method="GET", path=_job(job_id, "/feedback"), parse=one(FeedbackList))


def webhooks(job_id: str, *, again: bool) -> Call[WebhookLog]:
    """The deliveries of a job's event; `again` requests another one, which has the same event id. Each request for
    another one sends one, so it is only resent if it certainly did not arrive.
    """
    method, path = "POST" if again else "GET", _job(job_id, "/webhooks")
    return Call(method=method, path=path, parse=one(WebhookLog), repeatable=not again)


def limits() -> Call[Limits]:
    """The server's limits."""
    return Call(method="GET", path=f"{API}/limits", parse=one(Limits))


def models() -> Call[tuple[InstalledModel, ...]]:
    """The models that a job can name."""
    return Call(method="GET", path=f"{API}/models", parse=many(InstalledModel))


def formats() -> Call[tuple[ResultFormat, ...]]:
    """The formats that a result can be rendered in, besides JSON."""
    return Call(method="GET", path=f"{API}/formats", parse=many(ResultFormat))


def ready() -> Call[Readiness]:
    """Whether a video that is uploaded now will be localized."""
    return Call(method="GET", path="/readyz", parse=readiness, accepted=(503,))


def events_path(job_id: str) -> str:
    """The path of a job's events."""
    return _job(job_id, "/events")


def _job(job_id: str, rest: str = "") -> str:
    return f"{API}/jobs/{quote(job_id, safe='')}{rest}"


def _given(options: Cut | TimelineOptions | None) -> dict[str, Any]:
    return {} if options is None else {**encode(options)}


def _polled(response: httpx.Response) -> Polled:
    # The server knows how fast a job changes, so it sets the pace of polling.
    wait = min(_LONGEST_PAUSE, parse_retry_after(response.headers.get("retry-after"), 1.0) or 1.0)
    job = None if response.status_code == 304 else decode(Job, json_of(response))
    return Polled(job, response.headers.get("etag", ""), wait)
