"""Why a request is refused: no key, no permission, too many requests, no minutes left."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sentiloc.app.access.caller import Scope as KeyScope
from sentiloc.app.http.problems import ProblemCode, TypedProblem

CHALLENGE = 'Bearer realm="sentiloc"'


class Unauthorized(TypedProblem):
    """The request has no API key, or one that is not valid."""

    of_status = 401
    of_code = ProblemCode.UNAUTHORIZED
    example = "This server needs an API key. Send `Authorization: Bearer KEY`."

    def __init__(self, detail: str | None = None, challenge: str = CHALLENGE) -> None:
        super().__init__(detail, {"WWW-Authenticate": challenge})


class Forbidden(TypedProblem):
    """The key lacks a scope."""

    of_status = 403
    of_code = ProblemCode.FORBIDDEN
    example = "This request needs a key with the scope `write`."

    def __init__(self, scope: KeyScope) -> None:
        super().__init__(f"This request needs a key with the scope `{scope}`.")


class RateLimited(TypedProblem):
    """Too many requests; `wait` is the number of seconds until the next one is allowed."""

    of_status = 429
    of_code = ProblemCode.RATE_LIMITED
    example = "The key may send 1200 requests per minute. Try again later."

    def __init__(self, detail: str, wait: float, standing: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, {**_retry_after(wait), **(standing or {})})


class QuotaExceeded(TypedProblem):
    """The key's minutes of this month are used up; `wait` is the number of seconds until the next month."""

    of_status = 429
    of_code = ProblemCode.QUOTA_EXCEEDED
    example = "The key's 600 minutes of this month are used up."

    def __init__(self, minutes: float, wait: float) -> None:
        super().__init__(f"The key's {minutes:g} minutes of this month are used up.", _retry_after(wait))


def _retry_after(seconds: float) -> dict[str, str]:
    # The header takes whole seconds; 0 would invite an immediate repetition.
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
