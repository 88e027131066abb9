"""Opens a video from a file object, chooses its streams and checks limits."""

from __future__ import annotations

from typing import BinaryIO, cast

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.confine import CODEC_THREADS
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.decoder.source.accepted import (
    AUDIO_CODECS,
    DECODERS,
    FORMATS,
    USUAL_CODECS,
    VIDEO_CODECS,
)
from sentiloc.worker.decoder.source.completeness import explain_damage, is_protected
from sentiloc.worker.decoder.source.containers import ENCRYPTED, WEBP
from sentiloc.worker.decoder.source.limits import (
    DURATION_MARGIN,
    check_size,
    exceeded,
    too_long,
    too_many_frames,
)
from sentiloc.worker.decoder.source.media import Media
from sentiloc.worker.decoder.source.webp import WebpStream
from sentiloc.worker.sound.channels import settle_layout
from sentiloc.worker.sound.tracks import choose_tracks

_PROTECTED_TAGS = {"encv", "drmi", "DRMI"}
_READ_BYTES = 128 * 1024
_BALANCED_PIXELS = 1280 * 720


def open_media(
    file: BinaryIO, container_format: str, limits: DecodeLimits, audio_track: int | None = None
) -> Media:
    """Open `file` as the format detected from its first bytes. No other format is probed and no path is opened.

    Raises no_video, unsupported_format, encrypted, limit_exceeded, or libav's own error for a damaged container.
    """
    if container_format == WEBP:
        file, container_format = cast("BinaryIO", WebpStream(file, limits)), "matroska"
    container = _open(file, container_format, limits)
    video = _choose_video(container)
    uses_edits = not _is_emptied_by_edits(video)
    if not uses_edits:
        container, video = _open_again(container, file, container_format, limits, uses_edits=False)
    usable = _usable_sound(container)
    choice = choose_tracks(container, usable, audio_track)
    if choice is not None and len(usable) > 1 and choice.reason != "asked":
        # Choosing a track read some packets: go back to the start.
        container, video = _open_again(container, file, container_format, limits, uses_edits=uses_edits)
    sounds = tuple(container.streams.audio[number - 1] for number in choice.numbers) if choice else ()
    if video.codec_context.codec_tag in _PROTECTED_TAGS:
        raise SentilocError(ErrorCode.ENCRYPTED, ENCRYPTED)
    media = Media(container, video, sounds, choice, file)
    _check(media, limits)
    _configure(media, limits)
    return media


def _is_emptied_by_edits(video: VideoStream) -> bool:
    """Whether a track has pictures, but its edit list shows none of them.

    Some muxers write edits of no length, which stand for the whole track only in fragmented files (ISO 14496-12,
    8.6.6). Browsers show the track.
    """
    return video.duration == 0 and video.frames > 1


def _open_again(
    container: InputContainer,
    file: BinaryIO,
    container_format: str,
    limits: DecodeLimits,
    *,
    uses_edits: bool,
) -> tuple[InputContainer, VideoStream]:
    container.close()
    file.seek(0)
    container = _open(file, container_format, limits, uses_edits=uses_edits)
    return container, _choose_video(container)


def _open(
    file: BinaryIO, container_format: str, limits: DecodeLimits, *, uses_edits: bool = True
) -> InputContainer:
    try:
        container = _open_container(file, container_format, limits, uses_edits=uses_edits)
    except av.error.InvalidDataError as error:
        if is_protected(file, container_format):
            raise SentilocError(ErrorCode.ENCRYPTED, ENCRYPTED) from error
        why = explain_damage(file, container_format)
        if why is None:
            raise
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, why) from error
    if len(container.streams) > limits.max_streams:
        raise exceeded(f"{len(container.streams)} streams, at most {limits.max_streams}")
    for sound in container.streams.audio:
        if sound.codec_context is not None:
            settle_layout(sound.codec_context)
    return container


def _open_container(
    file: BinaryIO, container_format: str, limits: DecodeLimits, *, uses_edits: bool
) -> InputContainer:
    return av.open(
        file,
        mode="r",
        format=container_format,
        options={
            "format_whitelist": FORMATS,
            "protocol_whitelist": "file,pipe",
            "codec_whitelist": f"{VIDEO_CODECS},{AUDIO_CODECS},{DECODERS}",
            "max_pixels": str(limits.max_frame_pixels),
            **({} if uses_edits else {"ignore_editlist": "1"}),
        },
        metadata_errors="replace",
        buffer_size=_READ_BYTES,
        io_open=_refuse_nested,
    )


def _refuse_nested(*_: object) -> BinaryIO:
    raise SentilocError(
        ErrorCode.UNSUPPORTED_FORMAT,
        "The file refers to other files, which are not read. Export the video as one file.",
    )


def _choose_video(container: InputContainer) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise SentilocError(ErrorCode.NO_VIDEO, "The file contains no video.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    if codec not in VIDEO_CODECS.split(","):
        detail = f"Video of the codec {codec} is not accepted. {USUAL_CODECS}"
        raise SentilocError(ErrorCode.UNSUPPORTED_FORMAT, detail)
    return stream


def _usable_sound(container: InputContainer) -> list[AudioStream]:
    accepted = AUDIO_CODECS.split(",")
    return [
        stream
        for stream in container.streams.audio
        if stream.codec_context and stream.codec_context.codec.canonical_name in accepted
    ]


def _check(media: Media, limits: DecodeLimits) -> None:
    """Refuse videos that exceed a limit by their header. Wrong headers are caught while decoding."""
    check_size(media.video.codec_context.width, media.video.codec_context.height, limits)
    if (
        max(media.stated_length, media.duration) > limits.max_duration_seconds + DURATION_MARGIN
        and media.is_seekable
    ):
        raise too_long(limits)
    if media.video.frames > limits.max_frames:
        raise too_many_frames(limits)


def _configure(media: Media, limits: DecodeLimits) -> None:
    context = media.video.codec_context
    context.options = {"max_pixels": str(limits.max_frame_pixels)}
    context.thread_type = "AUTO"
    context.thread_count = decoder_threads(context.width, context.height, limits.threads)
    for sound in media.sounds:
        sound.codec_context.thread_count = 1


def decoder_threads(width: int, height: int, threads: int) -> int:
    """Threads of the video decoder. Up to 720p one thread fewer is used, because the networks take as long as decoding.
    A second thread adds a tenth to the processor time of decoding.
    """
    wanted = max(1, threads - 1) if width * height <= _BALANCED_PIXELS else threads
    return min(wanted, CODEC_THREADS)
