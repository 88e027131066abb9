"""What a selection of packets chooses, of a real file."""

from __future__ import annotations

from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from sentiloc.worker.decoder.disposable import disposable_test
from sentiloc.worker.decoder.selection import Samples, Selection


def choices(
    path: Path, looks: Samples, *, keeps_cuts: bool = False
) -> list[tuple[Packet[VideoStream], bool]]:
    """The packets of a file's pictures, each with whether it is decoded for `looks`."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        is_disposable = disposable_test(container, video)
        assert is_disposable is not None
        zero = float((video.start_time or 0) * (video.time_base or 0))
        selection = Selection(
            video.index,
            is_disposable,
            looks,
            lambda packet, ticks: None if ticks is None else float(ticks * packet.time_base) - zero,
            keeps_cuts=keeps_cuts,
        )
        selection.begin()
        return [
            (packet, chosen) for packet, chosen in selection.choose(container.demux(video)) if packet.size
        ]
