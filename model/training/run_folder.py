"""A run's folder: config.json, log.jsonl, TensorBoard scalars, best.pt and last.pt; on request also a run of W&B."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sentiloc.model.data.text import read_json
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.files import remove_abandoned, write_whole
from sentiloc.model.training.checkpoint import save_atomic
from sentiloc.model.training.parallel import is_first
from sentiloc.model.training.record import COMMIT, DATA, VERSIONS, WANDB, changed_data
from sentiloc.model.training.wandb_run import WandbRun

_held: dict[Path, int] = {}
"""The folders that this process trains in, each with the descriptor whose lock keeps other processes out."""


class RunFolder:
    """Writes a run's files; without a path it writes nothing, so in-memory training needs no second code path.

    Of several processes that train together, the first one writes. Another training, of another process, is an error
    until this one closes the folder or ends. With `resume`, a run with the same configuration
    continues; without it, a folder with a run is an error.
    """

    def __init__(
        self,
        path: Path | None,
        config: dict[str, Any],
        *,
        resume: bool = False,
        record: dict[str, Any] | None = None,
    ) -> None:
        """record: the origin of the run (`model/training/record.py`), stored with the options in config.json.

        It may name `wandb`, a project of Weights & Biases that also receives the log; that is not stored.

        Raises `invalid_data` for a folder with a run (without `resume`), for a run with other options or other data
        (with it), and for a folder in which another process trains.
        """
        self.path = path if is_first() else None
        self._writer: Any = None
        self._online: WandbRun | None = None
        if path is None:
            return
        self.best, self.last, self._log = path / "best.pt", path / "last.pt", path / "log.jsonl"
        if not is_first():
            return
        content = {**config, **(record or {})}
        project = content.pop(WANDB, None)
        is_new = _hold(path)
        try:
            self._claim(path / "config.json", content, resume=resume)
            if project is not None:
                self._online = WandbRun(project, path, content)
        except BaseException:
            # Nothing trains here, so another process may.
            if is_new:
                _leave(path)
            raise

    def _claim(self, file: Path, content: dict[str, Any], *, resume: bool) -> None:
        if file.exists() and not resume:
            raise SentilocError(
                ErrorCode.INVALID_DATA, f"{file.parent} contains a run; resume it or name another folder"
            )
        # Through JSON, so that tuples compare equal to the lists that were stored.
        wanted = json.loads(json.dumps(content))
        if file.exists():
            self._check_same(file, wanted)
            # Each kill while a checkpoint is written leaves a file of its size.
            remove_abandoned(file.parent)
        write_whole(file, json.dumps(wanted, indent=2, sort_keys=True))

    def _check_same(self, file: Path, wanted: dict[str, Any]) -> None:
        """Versions and the commit may differ; options and data may not."""
        stored = read_json(file)
        if not isinstance(stored, dict):
            raise SentilocError(ErrorCode.INVALID_DATA, f"{file}: not the configuration of a run")
        changed = changed_data(stored.get(DATA, {}), wanted.get(DATA, {}))
        if changed:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{file}: the run was begun on other data; changed since: {', '.join(changed)}",
            )
        keys = sorted({*stored, *wanted} - {DATA, VERSIONS, COMMIT})
        different = [key for key in keys if _given(stored.get(key)) != _given(wanted.get(key))]
        if different:
            raise SentilocError(
                ErrorCode.INVALID_DATA,
                f"{file}: {', '.join(different)} differs from the configuration asked for",
            )

    def resumed_checkpoint(self) -> Path | None:
        """last.pt, if there is one to resume from."""
        return self.last if self.path is not None and self.last.exists() else None

    def forget_after(self, epoch: int) -> None:
        """Drop log lines of epochs that will run again."""
        if self.path is not None and self._log.exists():
            # A damaged line is dropped below, so its bytes need not be text.
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            kept = [line for line in lines if _epoch_of(line) < epoch]
            write_whole(self._log, "".join(line + "\n" for line in kept))

    def log(self, record: dict[str, float]) -> None:
        """One line per epoch, and the same values as TensorBoard scalars."""
        if self.path is None:
            return
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._scalars(record, self.path / "tensorboard")
        if self._online is not None:
            self._online.log(record)

    def _scalars(self, record: dict[str, float], folder: Path) -> None:
        epoch = int(record["epoch"])
        if self._writer is None:
            # Imported late: it takes a second, and in-memory training does not need it.
            from torch.utils.tensorboard import SummaryWriter

            # purge_step hides what a resumed run had already written for these epochs.
            self._writer = SummaryWriter(str(folder), purge_step=epoch)
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, epoch)

    def save_best(self, content: dict[str, Any]) -> None:
        """Write best.pt."""
        if self.path is not None:
            save_atomic(content, self.best)

    def save_last(self, content: dict[str, Any]) -> None:
        """Write last.pt."""
        if self.path is not None:
            save_atomic(content, self.last)

    def close(self) -> None:
        """Flush TensorBoard, end the run of W&B, and leave the folder to other processes."""
        if self._writer is not None:
            self._writer.close()
        if self._online is not None:
            self._online.close()
        if self.path is not None:
            _leave(self.path)


def _hold(folder: Path) -> bool:
    """Make the folder and claim it for this process; False if it has it already.

    Raises `invalid_data` if another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder.resolve()
    # After an interruption, such as in a notebook, the same process may resume a run that it has not closed.
    if place in _held:
        return False
    descriptor = os.open(place, os.O_RDONLY)
    try:
        # The operating system releases the lock when the process ends, even if it is killed.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise SentilocError(ErrorCode.INVALID_DATA, f"{folder}: another process trains in it") from error
    except OSError:
        # A file system without locks.
        os.close(descriptor)
    else:
        _held[place] = descriptor
    return True


def _leave(folder: Path) -> None:
    descriptor = _held.pop(folder.resolve(), None)
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)


def _given(value: Any) -> Any:
    """A configuration without the fields that are None: a run of an older version has no fields added since."""
    if isinstance(value, dict):
        return {key: _given(one) for key, one in value.items() if one is not None}
    return value


def _epoch_of(line: str) -> float:
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # A line that was cut off by a power failure is dropped as well.
        return float("inf")
