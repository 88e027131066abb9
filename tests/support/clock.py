"""Moves the times that Redis holds, which has the same effect as moving Redis's clock. No test has to wait."""

from __future__ import annotations

import json
from typing import Any, cast

from redis import Redis


def set_clock(redis: Redis, prefix: str, by: float) -> None:
    """Act as if Redis's clock had jumped forward by `by` seconds (backward if negative)."""
    for key in redis.scan_iter(f"{prefix}job:*"):
        for name, value in cast("dict[str, str]", redis.hgetall(key)).items():
            if name.endswith(("_at", "lease_until")) and value:
                redis.hset(key, name, f"{float(value) - by:.6f}")
    for name in ("leases", "jobs"):
        scores: Any = redis.zrange(f"{prefix}{name}", 0, -1, withscores=True)
        for member, score in scores:
            redis.zadd(f"{prefix}{name}", {member: float(score) - by})
    workers = cast("dict[str, str]", redis.hgetall(f"{prefix}workers"))
    for name, text in workers.items():
        seen = json.loads(text)
        redis.hset(f"{prefix}workers", name, json.dumps({**seen, "seen_at": seen["seen_at"] - by}))
