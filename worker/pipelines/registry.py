"""Loads packages into pipelines, and holds the loaded pipelines of a worker process, each once, for all jobs."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.config import RuntimeConfig

# Only a worker's child may load ONNX Runtime, because its threads do not survive a fork. So the modules of the
# pipelines are imported when a package is loaded, not here.
if TYPE_CHECKING:
    from sentiloc.model.package import ModelPackage
    from sentiloc.worker.pipelines.base import PackagePipeline

logger = logging.getLogger(__name__)


def load_pipeline(name: str, config: RuntimeConfig) -> PackagePipeline:
    """Load a package and everything that its spec needs. The spec's task selects the pipeline.

    Raises:
        SentilocError: The package, its weights or its device is missing; the detail says which.
    """
    from sentiloc.model.package import load_package

    return open_pipeline(load_package(name, config.models_dir), config)


def open_pipeline(package: ModelPackage, config: RuntimeConfig) -> PackagePipeline:
    """Load what a package needs; raises a `SentilocError` that names what is missing."""
    if package.spec.task == "emotion":
        from sentiloc.worker.pipelines.emotion import load_emotion_pipeline

        return load_emotion_pipeline(package, config)
    if package.spec.task == "expression":
        from sentiloc.worker.pipelines.expression import load_expression_pipeline

        return load_expression_pipeline(package, config)
    from sentiloc.worker.pipelines.sentiment import load_sentiment_pipeline

    return load_sentiment_pipeline(package, config)


class Pipelines:
    """The loaded pipelines of this process by model name."""

    def __init__(self, config: RuntimeConfig, default: str) -> None:
        self._config, self._default = config, default
        self._loaded: dict[str, PackagePipeline] = {}
        self._lock = threading.Lock()
        self.error: SentilocError | None = None

    def get(self, name: str) -> PackagePipeline:
        """The pipeline, loaded if necessary; raises `SentilocError` if that is not possible."""
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            return self._loaded[name]

    def default(self) -> PackagePipeline | None:
        """The default model's pipeline, if it is loaded."""
        return self._loaded.get(self._default)

    def _load(self, name: str) -> PackagePipeline:
        is_default = name == self._default
        try:
            pipeline = self._open(name)
        except SentilocError as error:
            self.error = error if is_default else self.error
            raise
        self.error = None if is_default else self.error
        logger.info("model %s %s is loaded on %s", name, pipeline.version, pipeline.device)
        return pipeline

    def _open(self, name: str) -> PackagePipeline:
        """Open a pipeline.

        An unexpected error is logged once with its traceback; clients only get a general message.
        """
        try:
            return load_pipeline(name, self._config)
        except SentilocError:
            raise
        except Exception as error:
            if self.error is None:
                logger.exception("model %s cannot be loaded", name)
            detail = f"The model {name} cannot be loaded on this worker; its log says why."
            raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
