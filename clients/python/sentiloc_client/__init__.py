"""The Python client of a Sentiloc server: upload a video, follow its job, read the result.

    with Client("http://127.0.0.1:8000") as client:
        for segment in client.localize("holiday.mp4").segments:
            print(segment.start, segment.end, segment.label, segment.confidence)

`AsyncClient` has the same methods as coroutines. Only httpx is required.
"""

from .account import ApiKey, OwnKey, RegisteredWebhook, SentEvent
from .asynchronous import AsyncClient
from .batches import Batch, BatchItem, BatchLine, BatchPage, Summary
from .errors import (
    ApiError,
    AuthenticationError,
    BatchTimeoutError,
    ClientError,
    ConnectionFailedError,
    InvalidKeyError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    RateLimitedError,
    ResultGoneError,
    ResultNotReadyError,
    ServerError,
    UnexpectedAnswerError,
    WaitTimeoutError,
    WrongVideoError,
)
from .models import (
    Cut,
    Delivery,
    Difference,
    Event,
    Feedback,
    FeedbackPoint,
    FeedbackSegment,
    Filters,
    Job,
    JobOptions,
    JobPage,
    JobState,
    TimelineOptions,
    TimeRange,
    Webhook,
    WebhookLog,
)
from .reels import Clip, Highlight, HighlightOptions, Highlights, Reel, ReelOptions
from .results import Curve, Result, Segment, Sound
from .retries import Retry
from .service import InstalledModel, Limits
from .synchronous import Client
from .version import __version__

__all__ = [
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "AuthenticationError",
    "Batch",
    "BatchItem",
    "BatchLine",
    "BatchPage",
    "BatchTimeoutError",
    "Client",
    "ClientError",
    "Clip",
    "ConnectionFailedError",
    "Curve",
    "Cut",
    "Delivery",
    "Difference",
    "Event",
    "Feedback",
    "FeedbackPoint",
    "FeedbackSegment",
    "Filters",
    "Highlight",
    "HighlightOptions",
    "Highlights",
    "InstalledModel",
    "InvalidKeyError",
    "InvalidRequestError",
    "Job",
    "JobFailedError",
    "JobOptions",
    "JobPage",
    "JobState",
    "Limits",
    "NotFoundError",
    "OwnKey",
    "RateLimitedError",
    "Reel",
    "ReelOptions",
    "RegisteredWebhook",
    "Result",
    "ResultGoneError",
    "ResultNotReadyError",
    "Retry",
    "Segment",
    "SentEvent",
    "ServerError",
    "Sound",
    "Summary",
    "TimeRange",
    "TimelineOptions",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "Webhook",
    "WebhookLog",
    "WrongVideoError",
    "__version__",
]
