"""The expression network on faces of unseen sources and subjects: confusion, ranking, and accuracy by group.

The faces are from `faces_wild`: every fifth press and stock face, and the held-out performers. The three-way result is
the likeliest of negative, positive and neutral; surprised faces belong to none of them and are left out. Intervals are
95 % of bootstraps over subjects (performers) or faces (press). Skin tone is the individual typology angle of the middle
of the face (Chardon, Cretois, Hourseau 1991), which also depends on the light. So it describes pictures rather than
people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from recipes.starter.faces.lessons import HELD_OUT_SUBJECTS, NAMES, crop_wild, read_wild_pictures
from recipes.starter.faces.teacher import BlendshapeTeacher
from sentiloc.model.extractors.expression import EMOTIONS, SENTIMENTS
from sentiloc.model.spec import NEGATIVE, NON_SENTIMENT, POSITIVE

_SENTIMENT = {"happiness": POSITIVE, "neutral": NON_SENTIMENT, "surprise": -1}
# Degrees of the individual typology angle. The usual six groups are joined to three, because there are few
# faces in each.
_TONES = (("light", 41.0, 180.0), ("medium", 10.0, 41.0), ("dark", -180.0, 10.0))
BOOTSTRAPS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnseenFaces:
    """Crops (n, 48, 48) of one source with emotion, subject (a unique number if unknown) and skin tone in degrees."""

    images: NDArray[np.uint8]
    emotions: NDArray[np.str_]
    subjects: NDArray[np.str_]
    tones: NDArray[np.float64]

    @property
    def sentiments(self) -> NDArray[np.int64]:
        """Class of each face, -1 for surprise."""
        return np.array([_SENTIMENT.get(emotion, NEGATIVE) for emotion in self.emotions.tolist()])


def read_unseen(data: Path) -> dict[str, UnseenFaces]:
    """Read the held-out press and stock faces and performers."""
    rows, pictures = read_wild_pictures(data / "faces_wild")
    teacher = BlendshapeTeacher(data / "weights")
    press = [i for i, row in enumerate(rows) if row["source"] == "unmasked_wild" and i % 5 == 0]
    performers = [i for i, row in enumerate(rows) if row["subject"] in HELD_OUT_SUBJECTS]
    chosen = {"press and stock": press, "performers": performers}
    return {
        name: _read([rows[i] for i in ids], [pictures[i] for i in ids], teacher)
        for name, ids in chosen.items()
    }


def _read(
    rows: list[dict[str, str]], pictures: list[NDArray[np.uint8]], teacher: BlendshapeTeacher
) -> UnseenFaces:
    faces = [teacher.find(picture) for picture in pictures]
    crops = [crop_wild(picture, face, whole=False) for picture, face in zip(pictures, faces, strict=True)]
    return UnseenFaces(
        images=np.stack(crops),
        emotions=np.array([NAMES.get(row["label"], row["label"]) for row in rows]),
        subjects=np.array([row["subject"] or f"face {index}" for index, row in enumerate(rows)]),
        tones=np.array([skin_tone(picture) for picture in pictures]),
    )


def skin_tone(picture: NDArray[np.uint8]) -> float:
    """Individual typology angle of the middle of an RGB face in degrees: atan2(L* - 50, b*); above 41 is light."""
    height, width = picture.shape[:2]
    middle = picture[int(0.45 * height) : int(0.65 * height), int(0.3 * width) : int(0.7 * width)]
    lab = cv2.cvtColor(middle.astype(np.float32) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3)
    light, _, yellow = np.median(lab, 0)
    return float(np.degrees(np.arctan2(light - 50, yellow)))


def measure_unseen(session: onnxruntime.InferenceSession, data: Path) -> dict[str, object]:
    """All metrics of both sources."""
    return {name: metrics(read(session, faces.images), faces) for name, faces in read_unseen(data).items()}


def read(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Emotion (n, 8) and sentiment (n, 3) of faces; before version 2, sentiment is a sum of emotions."""
    names = [o.name for o in session.get_outputs() if o.name in ("emotion", "sentiment")]
    faces = images[:, None].astype(np.float32) / 255
    parts = [session.run(names, {"faces": faces[i : i + 64]}) for i in range(0, len(faces), 64)]
    found = {name: np.concatenate([part[k] for part in parts]) for k, name in enumerate(names)}
    emotion = found["emotion"]
    summed = np.stack([emotion[:, 3:].sum(1), emotion[:, 1], emotion[:, 0]], 1)
    return {"emotion": emotion, "sentiment": found.get("sentiment", summed)}


def metrics(found: dict[str, NDArray[np.float32]], faces: UnseenFaces) -> dict[str, object]:
    """Confusion, recall, ranking and groups of one source."""
    truth, kept = faces.sentiments, faces.sentiments >= 0
    answer, scores = found["sentiment"].argmax(1), found["sentiment"]
    right = answer == truth
    table = {
        f"{SENTIMENTS[a]} read as {SENTIMENTS[b]}": int(((truth == a) & (answer == b)).sum())
        for a in range(3)
        for b in range(3)
    }
    groups = {tone: kept & (faces.tones >= low) & (faces.tones < high) for tone, low, high in _TONES}
    return {
        "faces": int(kept.sum()),
        "accuracy": interval(lambda chosen: right[chosen].mean(), faces.subjects, kept),
        "AUC negative": float(roc_auc_score(truth[kept] == NEGATIVE, scores[kept, NEGATIVE])),
        "AUC positive": float(roc_auc_score(truth[kept] == POSITIVE, scores[kept, POSITIVE])),
        **table,
        **{
            f"skin tone {tone}, {int(group.sum())} faces": interval(
                lambda c: right[c].mean(), faces.subjects, group
            )
            for tone, group in groups.items()
            if group.sum() >= 10
        },
        **_emotion_rows(found["emotion"], faces),
    }


def _emotion_rows(emotion: NDArray[np.float32], faces: UnseenFaces) -> dict[str, object]:
    """The share of each acted emotion that is classified as each emotion."""
    answer = np.array(EMOTIONS)[emotion.argmax(1)]
    rows: dict[str, object] = {}
    for name in sorted(set(faces.emotions.tolist())):
        mine = answer[faces.emotions == name]
        kinds, counts = np.unique(mine, return_counts=True)
        shares = sorted(zip(counts / len(mine), kinds, strict=True), reverse=True)
        rows[f"{name}, {len(mine)} faces, read as"] = ", ".join(
            f"{kind} {share:.2f}" for share, kind in shares
        )
    return rows


def interval(
    metric: Callable[[NDArray[np.int64]], float], subjects: NDArray[np.str_], chosen: NDArray[np.bool_]
) -> list[float]:
    """The metric of the chosen faces, and the 2.5 and 97.5 % quantiles of bootstraps over their subjects."""
    members = {name: np.flatnonzero(chosen & (subjects == name)) for name in set(subjects[chosen].tolist())}
    names, rng = sorted(members), np.random.default_rng(0)
    drawn = [
        float(metric(np.concatenate([members[names[i]] for i in rng.integers(0, len(names), len(names))])))
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return [round(float(metric(np.flatnonzero(chosen))), 4), round(float(low), 4), round(float(high), 4)]
