"""Files appear whole or not at all, under keys that cannot lead anywhere else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.storage import LocalStorage
from model.errors import ErrorCode, SentilocError

KEY = "uploads/abcdefgh"


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def test_a_file_is_seen_only_once_it_is_whole(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.writer(KEY) as writer:
        writer.write(b"one")
        with pytest.raises(SentilocError):
            storage.read(KEY)
        writer.write(b"two")
        writer.commit()
    assert storage.read(KEY) == b"onetwo"
    with storage.local_path(KEY) as path:
        assert path.read_bytes() == b"onetwo"
    storage.delete(KEY)
    storage.delete(KEY)
    assert files(tmp_path) == []


def test_an_abandoned_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), LocalStorage(tmp_path).writer(KEY) as writer:
        writer.write(b"half")
        raise RuntimeError
    assert files(tmp_path) == []


def test_a_missing_file_is_typed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with pytest.raises(SentilocError) as caught, storage.local_path(KEY):
        pass
    assert caught.value.code is ErrorCode.SOURCE_MISSING


@pytest.mark.parametrize(
    "key",
    ["../x", "uploads/../../etc/passwd", "/etc/passwd", "uploads/a/b", "other/abcdefgh", "uploads/", ""],
)
def test_other_keys_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="not a storage key"):
        LocalStorage(tmp_path).delete(key)


def test_only_old_unfinished_files_are_swept(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.writer(KEY) as writer:
        writer.write(b"done")
        writer.commit()
    for name in ("old.part", "new.part"):
        (tmp_path / "uploads" / name).write_bytes(b"half")
    past = time.time() - 1000
    for name in ("old.part", "abcdefgh"):
        os.utime(tmp_path / "uploads" / name, (past, past))
    assert storage.sweep(500) == 1
    assert files(tmp_path) == ["abcdefgh", "new.part"]
