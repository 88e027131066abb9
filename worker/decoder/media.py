"""The child's view of a container: opens it from a file object, chooses its streams and checks limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import inf
from typing import Any, BinaryIO

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.worker.decoder.containers import ENCRYPTED
from sentiloc.worker.decoder.request import DecodeLimits
from sentiloc.worker.decoder.wholeness import SEQUENTIAL, Reach, breaks_off, explain_damage, is_protected
from sentiloc.worker.sound.channels import settle_layout
from sentiloc.worker.sound.tracks import Choice, choose_tracks, describe_track
from sentiloc.worker.timeline.rate import RateMeter
from sentiloc.worker.timeline.stamps import in_seconds

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,mxf,dv,gif,apng,ivf,yuv4mpegpipe,"
    "mpegvideo"
)
VIDEO_CODECS = (
    "8bps,aic,apng,av1,cfhd,cinepak,dirac,dnxhd,dvvideo,dxv,ffv1,ffvhuff,flashsv,flashsv2,flv1,fraps,gif,h261,h263,"
    "h263i,h263p,h264,hap,hevc,hq_hqa,hqx,huffyuv,indeo3,indeo4,indeo5,jpeg2000,lagarith,magicyuv,mjpeg,mjpegb,"
    "mpeg1video,mpeg2video,mpeg4,msmpeg4v1,msmpeg4v2,msmpeg4v3,msrle,msvideo1,notchlc,png,prores,qtrle,r10k,r210,"
    "rawvideo,rpza,sheervideo,smc,speedhq,svq1,svq3,targa,theora,tscc,tscc2,utvideo,v210,v308,v408,v410,vc1,vp3,"
    "vp5,vp6,vp6a,vp6f,vp7,vp8,vp9,vvc,wmv1,wmv2,wmv3,y41p,yuv4,zmbv"
)
AUDIO_CODECS = (
    "aac,aac_latm,ac3,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,alac,amr_nb,amr_wb,amrnb,amrwb,ape,"
    "dca,dts,dvaudio,eac3,flac,gsm,gsm_ms,mace3,mace6,mlp,mp1,mp2,mp3,nellymoser,opus,pcm_alaw,pcm_bluray,pcm_dvd,"
    "pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,pcm_lxf,pcm_mulaw,pcm_s16be,pcm_s16be_planar,pcm_s16le,"
    "pcm_s16le_planar,pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_s8,"
    "pcm_s8_planar,pcm_u16be,pcm_u16le,pcm_u8,qdm2,qdmc,s302m,speex,truehd,tta,vorbis,wavpack,wmalossless,wmapro,"
    "wmav1,wmav2,wmavoice"
)
_USUAL_CODECS = (
    "Accepted are H.264, HEVC, VVC, AV1, VP8, VP9, MPEG-1, -2 and -4, ProRes, DNxHD, CineForm, DV, JPEG 2000, "
    "Motion JPEG, v210, WMV, VC-1, FFV1, HuffYUV, Ut Video, PNG, Animation and others that libav reads safely."
)
_PROTECTED_TAGS = {"encv", "drmi", "DRMI"}
_DECODERS = (
    "flv,libdav1d,libvpx,dirac,libvpx-vp9,libopus,libvorbis,libspeex,amrnb,amrwb,mp3float,mp2float,mp1float"
)
_INDEXED = {"mov", "mp4", "matroska", "webm"}
_DECLARING = _INDEXED | {"avi", "flv", "asf", "mxf", "ogg"}
"""Containers whose header states their duration."""
_FARTHEST_START = 30.0
"""Seconds. Streams that begin earlier than the used ones by more than this are on a different clock."""
_PRIMING_SECONDS = 0.1
DURATION_MARGIN = 2.0
"""Tolerance of the duration limit in seconds: headers are rounded, and the last frame has a duration, too."""
_MOST_REORDERED = 16
_MAX_ASPECT = 8
_DEFAULT_RATE = Fraction(25)
_READ_BYTES = 128 * 1024
_MICROSECONDS = 1_000_000
_BALANCED_PIXELS = 1280 * 720


@dataclass(slots=True)
class Media:
    """An open container with the streams that are decoded."""

    container: InputContainer
    video: VideoStream
    sounds: tuple[AudioStream, ...] = ()
    choice: Choice | None = None
    file: BinaryIO | None = None
    _decoder_delay: float | None = None
    _zero: float | None = None
    _bases: dict[int, Fraction | None] = field(default_factory=dict)

    @property
    def rate(self) -> Fraction:
        """The video's average frames per second; 25 if the container does not state it."""
        return self.video.average_rate or self.video.guessed_rate or _DEFAULT_RATE

    @property
    def audio(self) -> AudioStream | None:
        """The first of the sound tracks that are used."""
        return self.sounds[0] if self.sounds else None

    @property
    def zero(self) -> float:
        """The time stamp in seconds at which a player starts."""
        if self._zero is None:
            self._zero = self._find_zero()
        return self._zero

    def _find_zero(self) -> float:
        """The first time stamp of any stream, if those of the used streams are near it.

        Sound that starts slightly before the first picture only primes its decoder. In that case time 0 is the
        picture's.
        """
        if self.counts_packets:
            return 0.0
        picture, sound = _start(self.video), _start(self.audio)
        known = [start for start in (picture, sound) if start is not None]
        start = self.container.start_time
        first = min(known, default=0.0) if start is None else start / _MICROSECONDS
        if known and min(known) - first > _FARTHEST_START:
            first = min(known)
        return picture if picture is not None and picture - first <= _PRIMING_SECONDS else first

    @property
    def duration(self) -> float:
        """Declared length in seconds from time 0, 0 if unknown."""
        return self.declared_end or (self.container.duration or 0) / _MICROSECONDS

    @property
    def declared_end(self) -> float | None:
        """The end of the video in seconds from time 0, as the container states it."""
        stream = self.video
        if not stream.duration or stream.start_time is None or not stream.time_base:
            return None
        return float((stream.start_time + stream.duration) * stream.time_base) - self.zero

    @property
    def declared_length(self) -> float | None:
        """The duration in the header, in seconds from time 0; None if libav could only estimate it."""
        if not self._formats & _DECLARING:
            return None
        if self.counts_packets and self.video.frames:
            return float(self.video.frames / self.rate)
        if self.declared_end is not None:
            return self.declared_end
        if not self.container.duration:
            return None
        # Matroska's muxers write the last time stamp as the length, even where the first one is not 0.
        offset = max(0.0, self.zero) if "matroska" in self._formats else 0.0
        return self.container.duration / _MICROSECONDS - offset

    @property
    def trusted_end(self) -> float | None:
        """The time stamp up to which gaps are trusted; None if a long gap means a broken clock."""
        if not self._formats & _INDEXED:
            return None
        duration = self.container.duration
        return self.zero + duration / _MICROSECONDS if duration else inf

    @property
    def _formats(self) -> set[str]:
        return set(self.container.format.name.split(","))

    @property
    def is_seekable(self) -> bool:
        """Whether the container has an index of keyframes by time."""
        return bool(self.video.time_base and _INDEXED & self._formats)

    def seek(self, seconds: float) -> None:
        """Seek to the last keyframe at or before a time from time 0; raises libav's errors."""
        assert self.video.time_base  # noqa: S101
        stamp = self.zero + max(0.0, seconds)
        self.container.seek(int(stamp / self.video.time_base), stream=self.video)

    def seconds(self, frame: VideoFrame) -> float | None:
        """The time at which a frame is shown.

        AVI stores no time stamps, so there the order of packets is the only clock.
        """
        if not self.counts_packets:
            return None if frame.time is None else frame.time - self.zero
        if frame.dts is None or not frame.time_base:
            return None
        seconds = float(frame.dts * frame.time_base)
        if self._decoder_delay is None:
            is_delay = seconds <= float(_MOST_REORDERED * frame.time_base)
            self._decoder_delay = seconds if is_delay else 0.0
        return seconds - self._decoder_delay

    def packet_seconds(self, packet: Packet[Any]) -> float | None:
        """The time at which a packet is shown."""
        return self.seconds_of(
            packet, packet.dts if self.counts_packets or packet.pts is None else packet.pts
        )

    def seconds_of(self, packet: Packet[Any], ticks: int | None) -> float | None:
        """Convert a time stamp in a packet's time base to seconds from time 0."""
        if ticks is None:
            return None
        stream = packet.stream.index
        if stream not in self._bases:
            # PyAV makes a new fraction at each access, and a stream's base does not change.
            self._bases[stream] = packet.time_base
        base = self._bases[stream]
        return in_seconds(ticks, base) - self.zero if base else None

    @property
    def position(self) -> int:
        """Bytes of the file that were read."""
        return self.file.tell() if self.file is not None else 0

    @property
    def is_sequential(self) -> bool:
        """Whether packets come in the order of their bytes."""
        return self.container.format.name in SEQUENTIAL

    def new_reach(self) -> Reach:
        """A counter of the bytes up to which packets reach."""
        return Reach(self.container.format.name)

    def breaks_off(self, reached: int) -> bool:
        """Whether the file, read to its end, should be longer, or goes on far behind `reached`."""
        return self.file is not None and breaks_off(self.file, self.container.format.name, reached)

    @property
    def counts_packets(self) -> bool:
        """Whether the container stores no time stamps, so that the order of packets is the only clock."""
        return self.container.format.name == "avi"

    def duration_within(self, most: float) -> float:
        """The declared length in seconds from time 0, or 0 (unknown) if it is above `most`.

        Where a clock jumps, libav takes the jump for part of the length.
        """
        return max(0.0, self.duration) if self.duration <= most + DURATION_MARGIN else 0.0

    def describe(self, width: int, height: int, most_seconds: float) -> dict[str, Any]:
        """What is known at the first picture, which is `width` x `height` as displayed."""
        return {
            "duration": self.duration_within(most_seconds),
            "fps": float(self.rate),
            "width": width,
            "height": height,
            "has_audio": self.audio is not None,
            "start_timecode": self.start_timecode,
            "drop_frame": self.drop_frame,
            "audio_track": describe_track(self.choice, self.audio) if self.choice and self.audio else None,
        }

    def rate_meter(self) -> RateMeter:
        """A rate meter for the time stamps of the video's packets."""
        stream = self.video
        real = (stream.average_rate, stream.guessed_rate, stream.base_rate)
        return RateMeter(real, float(stream.time_base or 0))

    @property
    def start_timecode(self) -> str | None:
        """SMPTE timecode of the first frame, if the file has one."""
        for tags in (
            self.video.metadata,
            self.container.metadata,
            *(s.metadata for s in self.container.streams),
        ):
            if tags.get("timecode"):
                return str(tags["timecode"])[:32]
        return None

    @property
    def drop_frame(self) -> bool | None:
        """Whether the start timecode is drop-frame; None without one."""
        timecode = self.start_timecode
        return None if timecode is None else ";" in timecode or "." in timecode[-3:]


def _start(stream: VideoStream | AudioStream | None) -> float | None:
    if stream is None or stream.start_time is None or not stream.time_base:
        return None
    return float(stream.start_time * stream.time_base)


def open_media(
    file: BinaryIO, container_format: str, limits: DecodeLimits, audio_track: int | None = None
) -> Media:
    """Open `file` as the format detected from its first bytes. No other format is probed and no path is opened.

    Raises no_video, unsupported_format, encrypted, limit_exceeded, or libav's own error for a damaged container.
    """
    container = _open(file, container_format, limits)
    video = _choose_video(container)
    usable = _usable_sound(container)
    choice = choose_tracks(container, usable, audio_track)
    if choice is not None and len(usable) > 1 and choice.reason != "asked":
        # Choosing a track read some packets: go back to the start.
        container.close()
        file.seek(0)
        container = _open(file, container_format, limits)
        video = _choose_video(container)
    sounds = tuple(container.streams.audio[number - 1] for number in choice.numbers) if choice else ()
    if video.codec_context.codec_tag in _PROTECTED_TAGS:
        raise SentilocError(ErrorCode.ENCRYPTED, ENCRYPTED)
    media = Media(container, video, sounds, choice, file)
    _check(media, limits)
    _configure(media, limits)
    return media


def _open(file: BinaryIO, container_format: str, limits: DecodeLimits) -> InputContainer:
    try:
        container = _open_container(file, container_format, limits)
    except av.error.InvalidDataError as error:
        if is_protected(file, container_format):
            raise SentilocError(ErrorCode.ENCRYPTED, ENCRYPTED) from error
        why = explain_damage(file, container_format)
        if why is None:
            raise
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, why) from error
    if len(container.streams) > limits.max_streams:
        raise _exceeded(f"{len(container.streams)} streams, at most {limits.max_streams}")
    for sound in container.streams.audio:
        if sound.codec_context is not None:
            settle_layout(sound.codec_context)
    return container


def _open_container(file: BinaryIO, container_format: str, limits: DecodeLimits) -> InputContainer:
    return av.open(
        file,
        mode="r",
        format=container_format,
        options={
            "format_whitelist": FORMATS,
            "protocol_whitelist": "file,pipe",
            "codec_whitelist": f"{VIDEO_CODECS},{AUDIO_CODECS},{_DECODERS}",
            "max_pixels": str(limits.max_frame_pixels),
        },
        metadata_errors="replace",
        buffer_size=_READ_BYTES,
        io_open=_refuse_nested,
    )


def _refuse_nested(*_: object) -> BinaryIO:
    raise SentilocError(ErrorCode.UNSUPPORTED_FORMAT, "The file refers to other files.")


def _choose_video(container: InputContainer) -> VideoStream:
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise SentilocError(ErrorCode.NO_VIDEO, "The file holds no video.")
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
    if codec not in VIDEO_CODECS.split(","):
        detail = f"Video of the codec {codec} is not accepted. {_USUAL_CODECS}"
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
    durations = [(media.container.duration or 0) / _MICROSECONDS, media.duration]
    if max(durations) > limits.max_duration_seconds + DURATION_MARGIN and media.is_seekable:
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
    """Threads of the video decoder. Up to 720p one is left to the networks, which take as long as decoding there.

    A second thread adds a tenth to the processor time of decoding.
    """
    return max(1, threads - 1) if width * height <= _BALANCED_PIXELS else threads


def check_size(width: int, height: int, limits: DecodeLimits) -> None:
    """Raise limit_exceeded for a frame with too many pixels or too long a side."""
    if max(width, height) > limits.max_side_pixels or width * height > limits.max_frame_pixels:
        most = f"{limits.max_side_pixels} a side and {limits.max_frame_pixels} in all"
        raise _exceeded(f"{width}x{height} pixels, at most {most}")


def too_long(limits: DecodeLimits) -> SentilocError:
    """The error for a video beyond the duration limit."""
    return _exceeded(f"more than {limits.max_duration_seconds:g} seconds")


def too_fast(limits: DecodeLimits) -> SentilocError:
    """The error for a video beyond the frame rate limit."""
    return _exceeded(f"more than {limits.max_frame_rate:g} frames per second")


def too_many_frames(limits: DecodeLimits) -> SentilocError:
    """The error for a video beyond the frame count limit."""
    return _exceeded(f"more than {limits.max_frames} frames")


def _exceeded(what: str) -> SentilocError:
    return SentilocError(ErrorCode.LIMIT_EXCEEDED, f"The video has {what}.")


def pixel_aspect(stream: VideoStream) -> float:
    """Width of a pixel over its height; 1 if unknown or implausible."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 1 / _MAX_ASPECT <= ratio <= _MAX_ASPECT else 1.0
