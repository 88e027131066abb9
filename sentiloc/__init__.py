"""Sentiloc finds when a video conveys positive or negative sentiment.

    import sentiloc

    model = sentiloc.load_model("fsenet-starter")
    result = model.localize("holiday.mp4")
    for segment in result.segments:
        print(segment.start, segment.end, segment.label, segment.confidence)

`import sentiloc` itself loads nothing; modules are loaded at the first use of a name. It switches off the telemetry of
ONNX Runtime.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentiloc.api import Model as Model
    from sentiloc.api import Progress as Progress
    from sentiloc.api import list_models as list_models
    from sentiloc.api import load_model as load_model
    from sentiloc.app.version import version
    from sentiloc.model.errors import ErrorCode as ErrorCode
    from sentiloc.model.errors import SentilocError as SentilocError
    from sentiloc.model.results.result import Curve as Curve
    from sentiloc.model.results.result import ModelIdentity as ModelIdentity
    from sentiloc.model.results.result import SegmentOptions as SegmentOptions
    from sentiloc.model.results.task_result import SeriesCurve as SeriesCurve
    from sentiloc.model.results.warnings import ResultWarning as ResultWarning
    from sentiloc.model.segments import AudioTrack as AudioTrack
    from sentiloc.model.segments import Evidence as Evidence
    from sentiloc.model.segments import Segment as Segment
    from sentiloc.model.segments import VideoInfo as VideoInfo
    from sentiloc.result import Result as Result
    from sentiloc.result import formats as formats
    from sentiloc.worker.config import CacheConfig as CacheConfig
    from sentiloc.worker.config import RuntimeConfig as RuntimeConfig
    from sentiloc.worker.decoder.request import DecodeLimits as DecodeLimits
    from sentiloc.worker.pipelines.base import TimeRange as TimeRange
    from sentiloc.worker.runtime.device import Device as Device
    from sentiloc.worker.runtime.device import Precision as Precision

    __version__ = version()

_PLACES = {
    "sentiloc.api": ("Model", "Progress", "list_models", "load_model"),
    "sentiloc.model.errors": ("ErrorCode", "SentilocError"),
    "sentiloc.model.results.result": ("Curve", "ModelIdentity", "SegmentOptions"),
    "sentiloc.model.results.task_result": ("SeriesCurve",),
    "sentiloc.model.results.warnings": ("ResultWarning",),
    "sentiloc.model.segments": ("AudioTrack", "Evidence", "Segment", "VideoInfo"),
    "sentiloc.result": ("Result", "formats"),
    "sentiloc.worker.config": ("CacheConfig", "RuntimeConfig"),
    "sentiloc.worker.decoder.request": ("DecodeLimits",),
    "sentiloc.worker.pipelines.base": ("TimeRange",),
    "sentiloc.worker.runtime.device": ("Device", "Precision"),
}
_MODULE_OF = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "AudioTrack",
    "CacheConfig",
    "Curve",
    "DecodeLimits",
    "Device",
    "ErrorCode",
    "Evidence",
    "Model",
    "ModelIdentity",
    "Precision",
    "Progress",
    "Result",
    "ResultWarning",
    "RuntimeConfig",
    "Segment",
    "SegmentOptions",
    "SentilocError",
    "SeriesCurve",
    "TimeRange",
    "VideoInfo",
    "__version__",
    "formats",
    "list_models",
    "load_model",
]

# Where Git may not create links (Windows, `core.symlinks=false`), it writes a link as a text file.
if (Path(__file__).parent / "app").is_file():
    raise ImportError(
        "this checkout has no symbolic links, which its package needs. On Windows, clone it inside WSL or run the "
        "Docker image; elsewhere, run `git config core.symlinks true && git checkout -- sentiloc`"
    )

# Builds of ONNX Runtime from 1.32 on record how it is used, and send that to their maker. They read this when they are
# imported, which no module of this package does before this line. A value that is set already is left.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


if not TYPE_CHECKING:
    # Hidden from type checkers, because it would make every name valid for them.
    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return import_module("sentiloc.app.version").version()
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'sentiloc' has no attribute {name!r}")
        return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
