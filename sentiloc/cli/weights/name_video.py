"""Classifies what a video shows with I3D's training classes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sentiloc.model.errors import ErrorCode, SentilocError

if TYPE_CHECKING:
    from sentiloc.model.extractors.i3d import I3D
    from sentiloc.worker.decoder.decode import DecodeLimits

BEST = 3
# 7.7 s of video (0.64 s each): enough to classify it, and little to decode.
_SNIPPETS = 12


def name_video(network: I3D, video: Path, limits: DecodeLimits) -> list[tuple[str, float]]:
    """The best classes of a video and their probabilities, from the mean logits over its first snippets.

    Frames are decoded, scaled and cropped by the serving code.

    Raises:
        SentilocError: The video cannot be read, or none of its pictures.
    """
    import torch

    from sentiloc.model.extractors.i3d_kinetics import class_names
    from sentiloc.worker.decoder.decode import DecodeRequest, SnippetFrames, decode
    from sentiloc.worker.features.visual import VISUAL_SIZE

    logits = []
    # After `break` the decoder would still run; closing ends it.
    with closing(decode(video, DecodeRequest(visual_size=VISUAL_SIZE), limits)) as events:
        for event in events:
            if isinstance(event, SnippetFrames) and event.visual is not None:
                frames = torch.tensor(event.visual).permute(3, 0, 1, 2)[None]
                with torch.inference_mode():
                    # The network was trained on pixels from -1 to 1.
                    logits.append(network.classify(frames.float() * (2 / 255) - 1)[0])
            if len(logits) == _SNIPPETS:
                break
    if not logits:
        raise SentilocError(ErrorCode.CORRUPT_MEDIA, f"{video}: no frame of the video could be decoded")
    shares, places = torch.stack(logits).mean(0).softmax(0).topk(BEST)
    names = class_names()
    return [(names[place], share) for share, place in zip(shares.tolist(), places.tolist(), strict=True)]
