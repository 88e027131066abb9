"""The models that a worker process holds: each is loaded once and stays warm over all jobs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sentiloc.app.settings import Settings
from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.worker.pipelines.tasks import AnyPipeline

logger = logging.getLogger(__name__)


class Pipelines:
    """Loaded pipelines by model name, one process's worth."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, AnyPipeline] = {}
        self._lock = threading.Lock()
        self.error: SentilocError | None = None

    def get(self, name: str) -> AnyPipeline:
        """The pipeline, loaded if need be; raises `SentilocError` when that is not possible."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def default(self) -> AnyPipeline | None:
        """The default model's pipeline, if it is loaded."""
        return self._loaded.get(self._settings.model)

    def _load(self, name: str) -> AnyPipeline:
        is_default = name == self._settings.model
        try:
            pipeline = _load_pipeline(self._settings, name, is_news=self.error is None)
        except SentilocError as error:
            self.error = error if is_default else self.error
            raise
        self.error = None if is_default else self.error
        logger.info("model %s %s is loaded on %s", name, pipeline.version, pipeline.device)
        return pipeline


def _load_pipeline(settings: Settings, name: str, is_news: bool) -> AnyPipeline:
    # Only a worker's child may load what runs models: their threads do not survive the fork.
    try:
        from sentiloc.worker.pipelines.tasks import load_task_pipeline

        return load_task_pipeline(settings, name, settings.features_dir)
    except SentilocError:
        raise
    except Exception as error:
        if is_news:
            logger.exception("model %s cannot be loaded", name)
        detail = f"The model {name} cannot be loaded on this worker; its log says why."
        raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
