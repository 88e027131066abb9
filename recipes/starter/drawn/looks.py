"""Which parts of an avatar style show which emotion, by eye: only clear combinations; the rest has no label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Look = Mapping[str, str]
"""Variants by component, separated by spaces; one of each is chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AvatarStyle:
    """A style: `features` are the components whose extent gives the face's box; `looks` by emotion."""

    name: str
    features: tuple[str, ...]
    looks: Mapping[str, tuple[Look, ...]]
    never: tuple[str, ...] = ()
    seldom: tuple[str, ...] = ()
    held_out: bool = False
    extent: tuple[float, float, float] = field(default=(0.2, 0.25, 0.3))
    """What the box adds to the features at each side, above and below, as shares of their width and height."""


def _numbers(digits: str) -> str:
    return " ".join(f"variant{number}" for number in digits.split())


_EYES_BROWS_MOUTH = ("eyes", "eyebrows", "mouth")
_ADVENTURER = {"eyes": _numbers("01 02 03 04 05 06 11 12 13 15 16 23 24 25 26")}
_CALM_ADVENTURER = {**_ADVENTURER, "eyebrows": _numbers("05 06 08 09 12 13 14 15")}
_PLAIN_AVATAAARS = {"eyes": "default side happy closed", "eyebrows": "default defaultNatural flatNatural"}
_PEOPLE = (
    AvatarStyle(
        name="adventurer",
        features=_EYES_BROWS_MOUTH,
        looks={
            "happiness": ({**_CALM_ADVENTURER, "mouth": _numbers("01 05 22 23 25 26 27 28 30")},),
            "sadness": ({**_ADVENTURER, "eyebrows": _numbers("07 10"), "mouth": _numbers("04 14")},),
            "anger": ({**_ADVENTURER, "eyebrows": _numbers("01 02"), "mouth": _numbers("09 11 14 15")},),
            "neutral": ({**_CALM_ADVENTURER, "mouth": _numbers("02 09 10 19")},),
        },
        seldom=("glasses", "features"),
    ),
    AvatarStyle(
        name="avataaars",
        features=_EYES_BROWS_MOUTH,
        looks={
            "happiness": (
                {
                    "eyes": "default happy hearts side squint wink",
                    "eyebrows": "default defaultNatural flatNatural raisedExcited raisedExcitedNatural upDown",
                    "mouth": "smile tongue twinkle default",
                },
            ),
            "sadness": (
                {
                    "eyes": "cry default side closed",
                    "eyebrows": "sadConcerned sadConcernedNatural frownNatural",
                    "mouth": "sad concerned disbelief",
                },
                {"eyes": "cry", "eyebrows": "default defaultNatural", "mouth": "sad concerned"},
            ),
            "anger": (
                {
                    "eyes": "default squint side",
                    "eyebrows": "angry angryNatural",
                    "mouth": "sad serious grimace disbelief screamOpen concerned",
                },
            ),
            "fear": (
                {
                    "eyes": "surprised",
                    "eyebrows": "sadConcerned sadConcernedNatural raisedExcited",
                    "mouth": "screamOpen grimace concerned",
                },
            ),
            "disgust": ({"eyes": "xDizzy squint closed", "mouth": "vomit"},),
            "neutral": ({**_PLAIN_AVATAAARS, "mouth": "serious"},),
        },
        seldom=("accessories", "facialHair"),
    ),
    AvatarStyle(
        name="big-ears",
        features=("eyes", "mouth"),
        looks={
            "happiness": (
                {
                    "eyes": _numbers("02 03 04 05 08 09 10 13 14 15 24 26 27 28 29 30 32"),
                    "mouth": _numbers("0201 0202 0203 0204 0205 0301 0302 0303 0304 0305 0702"),
                },
            ),
            "sadness": (
                {
                    "eyes": _numbers("03 05 06 07 22 24 26 31"),
                    "mouth": _numbers("0401 0402 0404 0405 0501 0502 0504 0505 0704 0705"),
                },
            ),
            "anger": (
                {"eyes": _numbers("01 25"), "mouth": _numbers("0401 0404 0501 0504 0601 0604 0704 0705")},
            ),
        },
    ),
    AvatarStyle(
        name="big-smile",
        features=("eyes", "mouth"),
        looks={
            "happiness": (
                {
                    "eyes": "cheery normal starstruck winking",
                    "mouth": "braces gapSmile kawaii openedSmile teethSmile",
                },
            ),
            "sadness": ({"eyes": "sad", "mouth": "openSad unimpressed"},),
            "anger": ({"eyes": "angry", "mouth": "openSad unimpressed"},),
            "neutral": ({"eyes": "normal", "mouth": "unimpressed"},),
        },
    ),
    AvatarStyle(
        name="croodles",
        features=("eyes", "mouth"),
        looks={
            "happiness": ({"mouth": _numbers("04 07 10 11 16 17")},),
            "neutral": ({"mouth": _numbers("01 05 06")},),
        },
    ),
    AvatarStyle(
        name="dylan",
        features=("mood",),
        looks={
            "happiness": ({"mood": "happy superHappy"},),
            "sadness": ({"mood": "sad"},),
            "anger": ({"mood": "angry"},),
            "neutral": ({"mood": "neutral"},),
        },
        seldom=("facialHair",),
        extent=(0.35, 0.25, 0.3),
    ),
    AvatarStyle(
        name="lorelei",
        features=_EYES_BROWS_MOUTH,
        looks={
            "happiness": (
                {
                    "eyebrows": _numbers("02 05 07 09 11"),
                    "mouth": "happy01 happy02 happy03 happy05 happy06 happy07 happy12 happy16",
                },
            ),
            "anger": ({"eyebrows": _numbers("10 13"), "mouth": "sad01 sad05 sad06 sad07 sad09"},),
        },
        seldom=("glasses", "beard"),
    ),
    AvatarStyle(
        name="miniavs",
        features=("eyes", "mouth"),
        looks={"happiness": ({"eyes": "happy normal", "mouth": "default"},)},
        never=("mustache",),
        extent=(0.35, 0.6, 0.5),
    ),
    AvatarStyle(
        name="notionists",
        features=_EYES_BROWS_MOUTH,
        looks={
            "happiness": ({"eyebrows": _numbers("01 04 09 10 12"), "mouth": _numbers("03 14 22 23 25 30")},),
            "sadness": ({"eyebrows": _numbers("06 13"), "mouth": _numbers("07 11 24 27")},),
            "anger": ({"eyebrows": _numbers("02 05 07 08"), "mouth": _numbers("07 08 11 26 27")},),
            "neutral": ({"eyebrows": _numbers("01 04 09 12"), "mouth": _numbers("04 13 21")},),
        },
        seldom=("beard", "glasses"),
    ),
    AvatarStyle(
        name="open-peeps",
        features=("expression",),
        looks={
            "happiness": (
                {"expression": "smile smileBig smileLOL smileTeethGap lovingGrin1 lovingGrin2 cute cheeky"},
            ),
            "anger": ({"expression": "rage veryAngry angryWithFang"},),
            "fear": ({"expression": "fear concernedFear"},),
            "neutral": ({"expression": "blank calm solemn serious"},),
        },
        never=("mask",),
        seldom=("accessories", "facialHair"),
        extent=(0.12, 0.15, 0.12),
    ),
    AvatarStyle(
        name="personas",
        features=("eyes", "mouth"),
        looks={
            "happiness": ({"eyes": "happy open wink", "mouth": "bigSmile smile"},),
            "sadness": ({"eyes": "open happy", "mouth": "frown"},),
            "neutral": ({"eyes": "open", "mouth": "lips"},),
        },
        never=("facialHair",),
        extent=(0.15, 0.5, 0.35),
    ),
    AvatarStyle(
        name="pixel-art",
        features=("eyes", "mouth"),
        looks={
            "happiness": ({"mouth": "happy06 happy08 happy09 happy12"},),
            "sadness": ({"mouth": "sad01 sad02 sad03 sad07 sad10"},),
        },
        never=("beard",),
        seldom=("glasses",),
    ),
    AvatarStyle(
        name="voxel-art",
        features=("eyes", "mouth"),
        looks={
            "happiness": ({"eyes": "open soft happy wide star", "mouth": "smile laugh wideSmile"},),
            "sadness": ({"eyes": "sleepy closed soft", "eyebrows": "soft flat", "mouth": "frown"},),
            "anger": ({"eyes": "open wide", "eyebrows": "angry", "mouth": "frown flat"},),
            "neutral": ({"eyes": "open soft", "eyebrows": "flat soft", "mouth": "flat"},),
        },
        never=("beard",),
        seldom=("glasses",),
    ),
    AvatarStyle(
        name="cutouts",
        features=("eyes", "mouth"),
        looks={"happiness": ({"mouth": "tornSmile smile"},), "neutral": ({"mouth": "strip"},)},
    ),
)
_EMOTICONS = (
    AvatarStyle(
        name="fun-emoji",
        features=("eyes", "mouth"),
        looks={
            "happiness": (
                {
                    "eyes": "cute plain wink wink2 stars love glasses closed",
                    "mouth": "lilSmile smileLol smileTeeth wideSmile tongueOut cute",
                },
            ),
            "sadness": ({"eyes": "sad tearDrop plain", "mouth": "sad drip"},),
            "anger": ({"eyes": "pissed", "mouth": "pissed shout sad"},),
            "disgust": ({"eyes": "sad plain", "mouth": "sick"},),
            "neutral": ({"eyes": "plain cute", "mouth": "plain"},),
        },
    ),
    AvatarStyle(
        name="marbles",
        features=("eyes", "mouth"),
        looks={
            "happiness": ({"eyes": "dots wide happy oval", "mouth": "smile grin"},),
            "sadness": ({"eyes": "dots sleepy oval closed", "mouth": "pout"},),
            "neutral": ({"eyes": "dots oval wide", "mouth": "line"},),
        },
        extent=(0.3, 0.5, 0.4),
    ),
    AvatarStyle(
        name="critters",
        features=("eyes", "mouth"),
        looks={
            "happiness": (
                {"eyes": "round dots bigPupils happy wide close", "mouth": "smile tinySmile grin laugh"},
            ),
            "sadness": ({"eyes": "round dots sleepy bigPupils close", "mouth": "frown sad"},),
            "anger": ({"eyes": "angry", "mouth": "frown zigzag line sad"},),
            "neutral": ({"eyes": "round dots bigPupils", "mouth": "line"},),
        },
        extent=(0.3, 0.5, 0.4),
    ),
    AvatarStyle(
        name="moods",
        features=("eyes", "mouth"),
        looks={
            "happiness": (
                {
                    "eyes": "pupils bigPupils sparkle happy tallPupils wink",
                    "mouth": "smile wide bigSmile smileOpen laugh",
                },
            ),
            "sadness": ({"eyes": "pupils bigPupils sleepy lookDown closed", "mouth": "frown"},),
            "anger": ({"eyes": "angry", "mouth": "frown line wavy"},),
            "neutral": ({"eyes": "pupils bigPupils calm", "mouth": "line"},),
        },
        extent=(0.4, 0.5, 0.5),
        held_out=True,
    ),
)
_HELD_OUT_PEOPLE = (
    AvatarStyle(
        name="toon-head",
        features=_EYES_BROWS_MOUTH,
        looks={
            "happiness": (
                {"eyes": "happy wide humble", "eyebrows": "happy neutral raised", "mouth": "laugh smile"},
            ),
            "sadness": ({"eyes": "humble wide", "eyebrows": "sad", "mouth": "sad"},),
            "anger": ({"eyes": "wide humble", "eyebrows": "angry", "mouth": "angry sad"},),
        },
        seldom=("beard",),
        held_out=True,
    ),
    AvatarStyle(
        name="micah",
        features=_EYES_BROWS_MOUTH,
        looks={
            "happiness": ({"mouth": "laughing smile"},),
            "sadness": ({"eyes": "eyes eyesShadow round", "mouth": "frown sad"},),
        },
        seldom=("glasses", "facialHair"),
        held_out=True,
    ),
)
STYLES = (*_PEOPLE, *_EMOTICONS, *_HELD_OUT_PEOPLE)
"""Every style that is used. Test styles are held out as a whole: training has no picture of theirs."""
