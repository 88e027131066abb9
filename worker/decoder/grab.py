"""Decodes single frames: those on screen at given seconds, on the same time line as everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from av.packet import Packet
from av.video.frame import VideoFrame

from sentiloc.worker.decoder.disposable import IsDisposable, disposable_test
from sentiloc.worker.decoder.pictures.scaling import ColourScaler, fit, shape_of
from sentiloc.worker.decoder.request import ROUNDING_SECONDS
from sentiloc.worker.decoder.selection import Moment, Selection
from sentiloc.worker.decoder.source.media import Media, pixel_aspect
from sentiloc.worker.decoder.source.packets import PacketSource, decode_packet, video_frames
from sentiloc.worker.decoder.task import Output, SnippetImages, Task
from sentiloc.worker.timeline.stamps import FrameOrder

_MOST_HELD = 3000
"""Maximum number of packets of a group of pictures that are held back; longer groups are decoded at once."""
_REORDER_SECONDS = 1.0


def grab(media: Media, task: Task, times: Sequence[float], output: Output) -> None:
    """The frames on screen at `times` (seconds), each as a snippet of one face picture, in the order of `times`.

    Times before the first picture give the first one; times after the last one give the last one.
    """
    order, find = list(range(len(times))), _by_seeking
    if not media.is_seekable:
        order.sort(key=times.__getitem__)
        find = _in_one_pass
    ready: dict[int, SnippetImages] = {}
    sent = 0
    for index, frame in zip(order, find(media, [times[index] for index in order]), strict=False):
        shape = shape_of(frame, pixel_aspect(media.video))
        image = ColourScaler(shape, *fit(shape, task.request.face_max_side))(frame)
        ready[index] = SnippetImages(faces=[image], narrow=[False])
        while sent in ready:
            output.snippet(sent, ready.pop(sent))
            sent += 1
        output.tick()


def _by_seeking(media: Media, times: Sequence[float]) -> Iterator[VideoFrame]:
    first = next(video_frames(media))
    is_disposable = None if media.counts_packets else disposable_test(media.container, media.video)
    for seconds in times:
        chosen = first
        if seconds > 0:
            media.seek(seconds)
            frames = preroll(media, is_disposable, seconds) if is_disposable else video_frames(media)
            for count, (frame, stamp) in enumerate(_ordered(media, frames)):
                is_late = stamp > seconds + ROUNDING_SECONDS
                chosen = frame if count == 0 or not is_late else chosen
                if is_late:
                    break
        yield chosen


def preroll(media: Media, is_disposable: IsDisposable, seconds: float) -> Iterator[VideoFrame]:
    """Decode from the current position on, but skip pictures that the one on screen at `seconds` does not need.

    Args:
        media: The video, just after a seek.
        is_disposable: The test for packets of pictures from which no other is predicted.
        seconds: The time of the wanted picture. All pictures after it are decoded, too.
    """
    selection = Selection(media.video.index, is_disposable, Moment(seconds), media.seconds_of)
    source = PacketSource(media, [media.video])
    for packet, is_needed in selection.choose(source):
        if source.clock.breaks or source.clock.outliers:
            selection.stop()
        if not is_needed:
            continue
        for frame in decode_packet(packet, selection.stop):
            # As in `Decoding`: the two fields of an interlaced picture may come in separate packets.
            if frame.is_corrupt or frame.interlaced_frame:
                selection.stop()
            else:
                selection.begin()
            yield frame


def _ordered(media: Media, frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, float]]:
    """Frames with their repaired times in seconds."""
    ready: list[tuple[VideoFrame, float]] = []
    order: FrameOrder[VideoFrame] = FrameOrder(
        lambda frame, seconds: ready.append((frame, seconds)), float(1 / media.rate), goes_on=True
    )
    for frame in frames:
        order.push(frame, media.seconds(frame))
        yield from ready
        ready.clear()
    order.finish()
    yield from ready


def _in_one_pass(media: Media, times: Sequence[float]) -> Iterator[VideoFrame]:
    """For files without reliable seeking: read all packets, but decode only the needed groups of pictures. `times` must
    rise.
    """
    wanted, shown = list(times), None
    for frame, seconds in _ordered(media, _looked_at(media, wanted)):
        while wanted and shown is not None and seconds > wanted[0] + ROUNDING_SECONDS:
            wanted.pop(0)
            yield shown
        shown = frame
        if not wanted:
            return
    if shown is not None:
        yield from (shown for _ in wanted)


def _looked_at(media: Media, wanted: list[float]) -> Iterator[VideoFrame]:
    """Frames of the groups of pictures that contain a requested time, and of the group before each."""
    group: list[Packet[Any]] = []
    before: list[Packet[Any]] = []
    reached = 0.0
    for packet in PacketSource(media, [media.video]):
        if packet.is_keyframe or not packet.size:
            if _is_wanted(wanted, reached):
                yield from _decode_all([*before, *group])
                before, group = [], []
            else:
                before, group = group, []
        group.append(packet)
        seconds = media.packet_seconds(packet)
        reached = reached if seconds is None else max(reached, seconds)
        if len(group) > _MOST_HELD:
            yield from _decode_all([*before, *group])
            before, group = [], []
        if not wanted:
            return
    yield from _decode_all([*before, *group])


def _is_wanted(wanted: list[float], reached: float) -> bool:
    return bool(wanted) and wanted[0] <= reached + _REORDER_SECONDS


def _decode_all(packets: list[Packet[Any]]) -> Iterator[VideoFrame]:
    for packet in packets:
        yield from (frame for frame in decode_packet(packet) if isinstance(frame, VideoFrame))
