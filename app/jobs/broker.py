"""The Celery configuration that the API and the workers share.

A message only means "check job N". The records, leases and the reaper keep jobs safe, so a lost or repeated message is
harmless.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, cast

from celery import Celery
from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

from sentiloc.app.jobs.keys import job_key
from sentiloc.app.jobs.options import Priority
from sentiloc.app.redis.client import broker_options, broker_tls, broker_url
from sentiloc.app.settings import Settings

# Pause between messages, so that requests get processor time while a large batch is sent.
_MESSAGE_PAUSE_SECONDS = 0.002
# A redelivered message starts its job at most this long after its visibility timeout.
_MOST_RESTORE_SECONDS = 10.0
# Between a worker's attempts to reach Redis.
_RECONNECT_SECONDS = 3.0
logger = logging.getLogger(__name__)

LOCALIZE_TASK = "sentiloc.localize"
LOCALIZE_QUEUE = "localize"
BATCH_QUEUE = "localize_batch"
_QUEUES = {Priority.INTERACTIVE: LOCALIZE_QUEUE, Priority.BATCH: BATCH_QUEUE}


class BrokerConnection(Connection):
    """A connection that retries a lost Redis at a constant interval.

    kombu waits two seconds longer after each attempt, up to 32. So after a long outage, workers that report themselves
    as ready would take no job for half a minute.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Any:
        """As in kombu, with a constant pause between attempts unless the caller asks for another."""
        pauses = {
            "interval_start": _RECONNECT_SECONDS,
            "interval_step": 0.0,
            "interval_max": _RECONNECT_SECONDS,
        }
        return super().ensure_connection(*args, **{**pauses, **options})  # type: ignore[no-untyped-call]


class BrokerConnections(AMQP):  # type: ignore[misc]
    """Creates the broker connections of a Celery app."""

    Connection = BrokerConnection


def make_celery(settings: Settings) -> Celery:
    """A Celery app with at-least-once delivery on Redis. Results are not kept in Celery.

    Without a Redis URL the app can be imported but not run; `sentiloc worker` reports that before it starts.
    """
    broker = broker_url(settings) if settings.redis_url else None
    # Tests create several apps in one process; none of them may become the global one.
    celery = Celery("sentiloc", broker=broker, set_as_current=False, amqp=BrokerConnections)
    celery.conf.update(
        task_default_queue=LOCALIZE_QUEUE,
        task_queues={name: {"exchange": name, "routing_key": name} for name in _QUEUES.values()},
        # Results are in the job store; Celery's backend would only hold a second copy.
        task_ignore_result=True,
        task_serializer="json",
        # Unpickling would let anyone who can write to Redis run code in the worker.
        accept_content=["json"],
        # The message stays in Redis until the job has ended, so the message of a killed worker is delivered again.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # A worker must not reserve messages of jobs that another worker could start.
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.worker_concurrency,
        worker_max_tasks_per_child=settings.worker_max_jobs,
        # Celery counts in KiB.
        worker_max_memory_per_child=settings.worker_max_memory_bytes // 1024,
        # Celery's default of 4 s is shorter than the import and start of a child on a busy machine.
        worker_proc_alive_timeout=120.0,
        worker_soft_shutdown_timeout=settings.shutdown_grace_seconds,
        worker_enable_soft_shutdown_on_idle=False,
        # Logging is configured by telemetry.logs alone.
        worker_hijack_root_logger=False,
        # The lease decides who works on a job, not the connection to the broker.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Nobody sends such commands. Their subscription would wait for ever if its Redis becomes a replica while the
        # worker is busy: the worker would take no further job, and not stop.
        worker_enable_remote_control=False,
        # The last safety net; the stall checks end hanging work much earlier.
        task_time_limit=settings.job_time_limit_seconds,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        # None: a worker waits for Redis forever instead of exiting.
        broker_connection_max_retries=None,
        # The same for a Redis that refuses writes, because its memory is full or it has become a replica.
        broker_channel_error_retry=True,
        broker_transport_options=_transport_options(settings),
        broker_use_ssl=broker_tls(settings) or False,
        # A request waits for the message, so there is one quick retry; the reaper sends what is still
        # missing.
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.05},
        enable_utc=True,
    )
    return celery


def _transport_options(settings: Settings) -> dict[str, object]:
    return {
        "visibility_timeout": settings.visibility_timeout_seconds,
        # Queues are read in order: a batch job starts only when no interactive job waits.
        "queue_order_strategy": "priority",
        "unacked_restore_limit": 100,
        # By default kombu looks for messages to deliver again every 100 s: at every tenth of its rounds of 10 s.
        "unacked_restore_interval": _restore_seconds(settings.visibility_timeout_seconds),
        # kombu multiplies its interval by this number of rounds.
        "unacked_restore_throttle": 1,
        "global_keyprefix": settings.redis_prefix,
        # Longer than the blocking read of a worker's loop, which would otherwise end in an error.
        "socket_timeout": 30.0,
        "socket_connect_timeout": 2.0,
        "socket_keepalive": True,
        # Finds connections that a firewall or a lost primary dropped without a reset.
        "health_check_interval": 10,
        "retry_on_timeout": True,
        **broker_options(settings),
    }


def _restore_seconds(visibility_seconds: float) -> float:
    """How often a worker looks for messages whose visibility timeout has passed."""
    return max(1.0, min(_MOST_RESTORE_SECONDS, visibility_seconds / 4))


class Dispatcher:
    """Sends the messages that wake workers."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        self._celery = make_celery(settings)
        self._redis = redis
        self._prefix = settings.redis_prefix

    def send(self, job_id: str) -> None:
        """Send the job's message to its queue. Raises `kombu.exceptions.OperationalError` and `redis.RedisError`."""
        # The priority comes from the record, so that the reaper can send a message with the id alone.
        priority = cast("str | None", self._redis.hget(job_key(self._prefix, job_id), "priority"))
        queue = _QUEUES[Priority(priority or Priority.INTERACTIVE)]
        self._celery.send_task(LOCALIZE_TASK, args=[job_id], queue=queue)

    def send_soon(self, job_ids: Sequence[str], priority: Priority) -> None:
        """Send the messages of many jobs in a separate thread, over one connection, in this order.

        The reaper later sends the messages that could not be sent because the process ended or Redis was away.
        """
        thread = threading.Thread(
            # A daemon, because a stop must not wait for a thousand messages: the reaper sends the rest.
            target=self._send_all,
            args=(job_ids, priority),
            name="batch-messages",
            daemon=True,
        )
        thread.start()

    def _send_all(self, job_ids: Sequence[str], priority: Priority) -> None:
        sent = 0
        try:
            with self._celery.producer_or_acquire() as producer:
                for job_id in job_ids:
                    self._celery.send_task(
                        LOCALIZE_TASK, args=[job_id], queue=_QUEUES[priority], producer=producer
                    )
                    sent += 1
                    # Workers take one job at a time, so these messages can wait: sending them must not delay requests.
                    time.sleep(_MESSAGE_PAUSE_SECONDS)
        except (RedisError, OperationalError) as error:
            logger.warning("%d messages could not be sent yet: %s", len(job_ids) - sent, error)

    def is_empty(self) -> bool:
        """True if no message waits for a worker."""
        return not any(self.depths().values())

    def depths(self) -> dict[str, int]:
        """The number of waiting messages by queue."""
        return {name: self._redis.llen(f"{self._prefix}{name}") for name in _QUEUES.values()}
