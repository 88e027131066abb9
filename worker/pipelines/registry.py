"""Loads packages into pipelines, and holds the loaded pipelines of a worker process, each once, for all jobs."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.package import list_packages, load_package, shipped_models_dir
from sentiloc.model.weights import require_i3d
from sentiloc.worker.config import RuntimeConfig

# Only a worker's child may load ONNX Runtime, because its threads do not survive a fork. So the modules of the
# pipelines are imported when a package is loaded, not here.
if TYPE_CHECKING:
    from sentiloc.model.package import ModelPackage
    from sentiloc.worker.pipelines.base import PackagePipeline

logger = logging.getLogger(__name__)

# A package that failed to load is not offered for this long, although its files look complete.
_FAILURE_SECONDS = 60.0
# A check reads the spec of every package, so it is not made for each report and each claim.
_LOOK_SECONDS = 5.0


def load_pipeline(name: str, config: RuntimeConfig) -> PackagePipeline:
    """Load a package and everything that its spec needs. The spec's task selects the pipeline.

    Raises:
        SentilocError: The package, its weights or its device is missing; the detail says which.
    """
    return open_pipeline(load_package(name, config.models_dir), config)


def open_pipeline(package: ModelPackage, config: RuntimeConfig) -> PackagePipeline:
    """Load what a package needs; raises a `SentilocError` that names what is missing."""
    if package.spec.task == "emotion":
        from sentiloc.worker.pipelines.emotion import load_emotion_pipeline

        return load_emotion_pipeline(package, config)
    if package.spec.task == "expression":
        from sentiloc.worker.pipelines.expression import load_expression_pipeline

        return load_expression_pipeline(package, config)
    from sentiloc.worker.runtime.onnx_session import create_session

    # Opening a network releases the interpreter's lock, so the following imports and opens run in parallel.
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(create_session, package.network, config.device, config.threads)
        from sentiloc.worker.pipelines.sentiment import load_sentiment_pipeline

        return load_sentiment_pipeline(package, config, opening)


def check_needs(name: str, config: RuntimeConfig) -> None:
    """Check, without loading, that a package, its weights and its device are available.

    Raises:
        SentilocError: They are not; the detail says what is missing and how to get it.
    """
    from sentiloc.worker.runtime.onnx_session import check_precision, require_installed

    visual = load_package(name, config.models_dir).spec.visual
    require_installed(config.device)
    if visual is not None:
        check_precision(config.device, config.precision)
        require_i3d(config.precision, visual.extractor)


class Pipelines:
    """The loaded pipelines of this process by model name."""

    def __init__(self, config: RuntimeConfig, default: str) -> None:
        self._config, self._default = config, default
        self._loaded: dict[str, PackagePipeline] = {}
        self._lock = threading.Lock()
        self.error: SentilocError | None = None
        self._failures: dict[str, tuple[float, SentilocError]] = {}
        self._served: tuple[tuple[str, ...], dict[str, str]] = ((), {})
        self._looked_at = -_LOOK_SECONDS
        # Not the lock above, which is held while a model is loaded.
        self._look_lock = threading.Lock()

    def served(self) -> tuple[tuple[str, ...], dict[str, str]]:
        """Names of the models that this process can run, and what it lacks for the others, by name.

        A model that is not loaded is only checked, every five seconds: its package, weights and device must exist. A
        model that failed to load counts as missing for a minute.
        """
        with self._look_lock:
            if time.monotonic() - self._looked_at > _LOOK_SECONDS:
                # The time is set first, because a load that fails meanwhile makes this check out of date.
                self._looked_at = time.monotonic()
                self._served = self._look()
            return self._served

    def _look(self) -> tuple[tuple[str, ...], dict[str, str]]:
        able, missing = [], {}
        for name in list_packages(self._config.models_dir or shipped_models_dir()):
            fault = None if name in self._loaded else self._fault(name)
            if fault is None:
                able.append(name)
            else:
                missing[name] = f"{fault.code}: {fault.detail}"
        return tuple(able), missing

    def _fault(self, name: str) -> SentilocError | None:
        failed_at, failure = self._failures.get(name, (0.0, None))
        try:
            check_needs(name, self._config)
        except SentilocError as error:
            return error
        return failure if time.monotonic() - failed_at < _FAILURE_SECONDS else None

    def get(self, name: str) -> PackagePipeline:
        """The pipeline, loaded if necessary; raises `SentilocError` if that is not possible."""
        # Jobs and the presence thread may ask for the same model at once; loading it twice would double the
        # memory.
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
            self._failures[name] = (time.monotonic(), error)
            self._looked_at = -_LOOK_SECONDS
            raise
        self._failures.pop(name, None)
        self._looked_at = -_LOOK_SECONDS
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
            # The load is retried; the traceback is logged once.
            if self.error is None:
                logger.exception("model %s cannot be loaded", name)
            detail = f"The model {name} cannot be loaded on this worker; its log says why."
            raise SentilocError(ErrorCode.MODEL_UNAVAILABLE, detail) from error
