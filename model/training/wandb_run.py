"""A run's log in Weights & Biases, on request. The package is an extra and imported on demand.

WANDB_MODE=offline keeps everything in the run folder; `wandb sync` sends it later.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentiloc.model.errors import ErrorCode, SentilocError

_ID_FILE = "wandb_id.txt"


class WandbRun:
    """One run of a project. A resumed training continues the run named in its folder."""

    def __init__(self, project: str, folder: Path, config: dict[str, Any]) -> None:
        """Raises `invalid_data` where the package is missing or W&B refuses the run."""
        try:
            import wandb
        except ModuleNotFoundError as error:
            detail = "--wandb needs the package wandb. Run in Sentiloc's folder: pip install '.[wandb]'"
            raise SentilocError(ErrorCode.INVALID_DATA, detail) from error
        file = folder / _ID_FILE
        known = file.read_text(encoding="utf-8").strip() if file.exists() else None
        try:
            self._run: Any = wandb.init(
                project=project,
                name=folder.resolve().name,
                dir=str(folder),
                config=config,
                # None starts a new run; a known id continues it.
                id=known,
                resume="allow",
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off"),
            )
        except wandb.Error as error:
            raise SentilocError(ErrorCode.INVALID_DATA, f"W&B project {project}: {error}") from error
        file.write_text(f"{self._run.id}\n", encoding="utf-8")

    def log(self, record: dict[str, float]) -> None:
        """The metrics of one epoch."""
        metrics = {name: value for name, value in record.items() if name != "epoch"}
        self._run.log(metrics, step=int(record["epoch"]))

    def close(self) -> None:
        """End the run, so that everything is sent or stored."""
        self._run.finish()
