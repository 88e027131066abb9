"""Which pipeline a package runs in: its spec's task decides."""

from __future__ import annotations

from pathlib import Path

from sentiloc.app.settings import Settings
from sentiloc.model.package import load_package
from sentiloc.worker.pipelines.emotion import EmotionPipeline, load_emotion_pipeline
from sentiloc.worker.pipelines.expression import ExpressionPipeline, load_expression_pipeline
from sentiloc.worker.pipelines.sentiment import Pipeline, load_pipeline

AnyPipeline = Pipeline | EmotionPipeline | ExpressionPipeline


def load_task_pipeline(
    settings: Settings, model_name: str | None = None, features_dir: Path | None = None
) -> AnyPipeline:
    """Load a package and everything that its spec needs; raises `SentilocError` that names what is missing."""
    package = load_package(model_name or settings.model, settings.models_dir)
    if package.spec.task == "emotion":
        return load_emotion_pipeline(settings, package, features_dir)
    if package.spec.task == "expression":
        return load_expression_pipeline(settings, package)
    return load_pipeline(settings, model_name, features_dir)
