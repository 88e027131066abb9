"""The pipelines that turn a video into its result, one per task."""
