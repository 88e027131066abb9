"""Limits of videos, of their decoding and fetching, and of thumbnails and reels."""

from __future__ import annotations

from ipaddress import ip_network

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from sentiloc.app.places import parse_prefix


class MediaSettings(BaseSettings):
    """Limits of videos, of their decoding and fetching, and of thumbnails and reels."""

    max_duration_seconds: float = Field(4 * 3600, gt=0, description="Maximum length of a video")
    max_side_pixels: int = Field(8192, gt=0, description="Maximum width and height of a video's pictures")
    # The upper limit is libav's: it would refuse every video.
    max_frame_pixels: int = Field(
        50_000_000, gt=0, le=2**31 - 1, description="Maximum number of pixels of one picture"
    )
    max_frames: int = Field(1_000_000, gt=0, description="Maximum number of pictures of a video")
    max_frame_rate: float = Field(240.0, gt=0, description="Maximum number of pictures per second")
    max_streams: int = Field(
        32, gt=0, description="Maximum number of streams in a file, such as sound tracks"
    )
    decoder_memory_bytes: int = Field(2 * 1024**3, gt=0, description="Maximum memory of a decoder process")
    decoder_cpu_seconds: int = Field(
        4 * 3600, gt=0, description="Maximum processor time of a decoder process"
    )
    decoder_wall_seconds: float = Field(
        6 * 3600, gt=0, description="How long a worker may wait for one decoder process in all"
    )
    outbound_allow: list[str] = Field(
        [], description="Private networks (CIDR) that user-supplied URLs may lead to, as a JSON list"
    )
    s3_sources: list[str] = Field(
        [],
        description=(
            "Places `s3://bucket/prefix` whose videos requests without an API key may name, as a JSON list; a key has "
            "its own"
        ),
    )
    fetch_seconds: float = Field(1800.0, gt=0, description="Time limit for fetching a video from its URL")
    thumbnail_side_pixels: int = Field(
        320, ge=0, le=2048, description="Longer side of thumbnails in pixels; 0: none are made"
    )
    thumbnail_quality: int = Field(80, ge=1, le=100, description="JPEG quality of thumbnails")
    max_thumbnails: int = Field(100, ge=0, description="Maximum number of thumbnails per job")
    thumbnail_seconds: float = Field(20.0, gt=0, description="Time limit for the thumbnails of a job")
    max_highlight_videos: int = Field(
        200, ge=1, description="Maximum number of videos in one request for highlights"
    )
    max_highlight_hours: float = Field(
        100.0, gt=0, description="Maximum total length of the videos in one request for highlights, in hours"
    )
    max_reel_clips: int = Field(100, ge=1, le=500, description="Maximum number of clips in one reel")
    max_reel_seconds: float = Field(1800.0, gt=0, description="Maximum length of a reel")
    reel_side_pixels: int = Field(
        1920, ge=64, le=3840, description="Maximum length of the longer side of a reel's picture, in pixels"
    )
    reel_quality: int = Field(
        20,
        ge=0,
        le=51,
        description="Constant rate factor (CRF) of reels; a lower one gives better pictures and larger files",
    )

    @field_validator("s3_sources")
    @classmethod
    def _places(cls, value: list[str]) -> list[str]:
        for place in value:
            parse_prefix(place)
        return value

    @field_validator("outbound_allow")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        return [str(ip_network(network, strict=False)) for network in value]
