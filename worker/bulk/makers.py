"""Extracts one video into a feature folder, and records the outcome in the ledger."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sentiloc.model.data.feature_store import VideoFacts, present_path, replace_array, write_arrays
from sentiloc.model.errors import ErrorCode, LostProcessError, SentilocError
from sentiloc.model.gim.spec import FLOW_FOLDER
from sentiloc.model.spec import ModelSpec
from sentiloc.worker.bulk.ledger import Entry, Ledger, State
from sentiloc.worker.config import RuntimeConfig
from sentiloc.worker.extraction.extract import load_extractor
from sentiloc.worker.pipelines.expression import extract_flow, load_flow_detector

logger = logging.getLogger(__name__)

NOT_THE_VIDEO = frozenset(
    {
        ErrorCode.STORAGE_FULL,
        ErrorCode.WEIGHTS_MISSING,
        ErrorCode.SPEC_MISMATCH,
        ErrorCode.DEVICE_UNAVAILABLE,
        ErrorCode.MODEL_UNAVAILABLE,
    }
)
"""Errors that would occur for every video, so they stop the whole extraction."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Maker(Protocol):
    """Extracts the features of a spec. `make` returns the video's frame rate and duration, and a function that writes
    its features.
    """

    def make(self, video: Path) -> tuple[VideoFacts, Callable[[str], None]]:
        """Raises what the decoder and the networks raise."""
        ...


def is_made(spec: ModelSpec, folder: Path, split: str, name: str) -> bool:
    """Whether the features of a video are complete."""
    return complete_file(spec, folder, split, name).exists()


def complete_file(spec: ModelSpec, folder: Path, split: str, name: str) -> Path:
    """The file whose existence says that the features of a video are complete."""
    return flow_path(folder, name) if spec.flow is not None else present_path(folder, split, name)


def flow_path(folder: Path, name: str) -> Path:
    """The file of a video's flow. GIM's folder has no splits."""
    return folder / FLOW_FOLDER / f"{name}.npy"


class StreamMaker:
    """Visual, audio and face features, for FSENet and CTEN."""

    def __init__(self, spec: ModelSpec, folder: Path, split: str, config: RuntimeConfig) -> None:
        self._extractor = load_extractor(spec, config)
        self._folder, self._split = folder, split

    def make(self, video: Path) -> tuple[VideoFacts, Callable[[str], None]]:
        """Decode all streams in one pass."""
        found = self._extractor.extract(video, _silent)

        def write(name: str) -> None:
            write_arrays(self._folder, self._split, name, found.features)

        return VideoFacts(found.info.fps, found.info.duration), write


class FlowMaker:
    """Block flow of the face in every frame, for GIM."""

    def __init__(self, spec: ModelSpec, folder: Path, config: RuntimeConfig) -> None:
        self._spec, self._folder, self._limits = spec, folder, config.decode_limits
        self._detector = load_flow_detector(config.thread_count)

    def make(self, video: Path) -> tuple[VideoFacts, Callable[[str], None]]:
        """Decode once, and follow the largest face."""
        found = extract_flow(video, self._spec, self._detector, self._limits, _silent)

        def write(name: str) -> None:
            replace_array(flow_path(self._folder, name), np.asarray(found.flow))

        return VideoFacts(), write


def _silent(_stage: str, _done: float) -> None:
    """Discards progress: with many videos, progress within one is not shown."""


def load_maker(spec: ModelSpec, folder: Path, split: str, config: RuntimeConfig) -> Maker:
    """Load the networks that the spec needs; raises what `load_extractor` raises."""
    if spec.flow is not None:
        return FlowMaker(spec, folder, config)
    return StreamMaker(spec, folder, split, config)


@dataclass(frozen=True, slots=True)
class BulkExtractor:
    """Extracts one video after another with a loaded maker, and records each in the ledger."""

    maker: Maker
    ledger: Ledger

    def extract(self, name: str, video: Path, owner: str) -> Entry:
        """Extract one video; returns its entry with the outcome.

        Raises:
            SentilocError: For an error that is not the video's (`NOT_THE_VIDEO`).
        """
        try:
            entry = self.ledger.begin(name, video, owner)
            return entry if entry.state == State.FAILED else self._make(name, video, entry)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return self._refuse(name, video)
            detail = f"{self.ledger.folder}: cannot be written: {error.strerror}"
            raise SentilocError(ErrorCode.STORAGE_FULL, detail) from error

    def _refuse(self, name: str, video: Path) -> Entry:
        """Record that the name is too long, if it is not too long for the ledger as well."""
        failed = Entry.misnamed(video, "its name is too long for the folder of features")
        with suppress(OSError):
            self.ledger.fail(name, failed, failed.code, failed.reason)
        return failed

    def _make(self, name: str, video: Path, entry: Entry) -> Entry:
        try:
            facts, write = self.maker.make(video)
        except LostProcessError as error:
            logger.warning("%s: %s", video, error.detail)
            # Another attempt, until there were too many.
            return self.extract(name, video, entry.owner)
        except SentilocError as error:
            if error.code in NOT_THE_VIDEO:
                self.ledger.uncount(name)
                raise
            return self.ledger.fail(name, entry, error.code, error.detail)
        except Exception as error:
            # `take` turns it into `storage_full`.
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                raise
            # A fault of the program on one video must not stop ten thousand others.
            logger.exception("%s: extraction failed", video)
            return self.ledger.fail(name, entry, ErrorCode.INTERNAL, f"{type(error).__name__}: {error}")
        # First the facts, then the features: a process that ends between them leaves a video that is
        # extracted again.
        done = self.ledger.finish(name, entry, facts)
        write(name)
        return done
