"""What `-o` may name: files, links, devices, pipes and open files; the folder never shows half a file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from sentiloc.cli.destinations import require_file
from sentiloc.cli.output import print_or_write, whole_file
from sentiloc.cli.training.predict import predict
from tests.cli.extracted import Sentiloc


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b"old, and longer")
    with whole_file(file) as partial:
        partial.write_bytes(b"new")
        assert file.read_bytes() == b"old, and longer"
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(b"old")
    file.chmod(0o604)
    print_or_write(b"new", file)
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o777 == 0o604


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Root may write everything; in the block, this process is another user."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach. Folders above `tmp_path` let nobody else in."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def test_a_file_that_is_read_only_stays(open_folder: Path) -> None:
    # Everybody may create files here, so only the file's own mode protects it.
    output = open_folder / "cut.edl"
    output.write_text("mine", encoding="utf-8")
    output.chmod(0o444)
    with ordinary_user():
        with pytest.raises(PermissionError, match="cut"):
            print_or_write(b"new", output)
        with pytest.raises(typer.BadParameter, match="is read-only"):
            require_file(output)
    assert output.read_text(encoding="utf-8") == "mine"
    open_folder.chmod(0o555)
    with ordinary_user(), pytest.raises(typer.BadParameter, match="no file can be created"):
        require_file(open_folder / "new.edl")
    open_folder.chmod(0o755)
    require_file(open_folder / "new.edl")


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with whole_file(tmp_path / "x.json") as partial:
            partial.write_bytes(b"half")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("is_there", [True, False])
def test_the_target_of_a_link_is_written(tmp_path: Path, is_there: bool) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "x.json", tmp_path / "link.json"
    if is_there:
        target.write_bytes(b"old")
    link.symlink_to(target)
    print_or_write(b"new", link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    file = tmp_path / f"{'x' * 250}.json"
    print_or_write(b"new", file)
    assert file.read_bytes() == b"new"


def test_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    print_or_write(b"new", pipe)
    assert pipe.is_fifo()
    reader.join(60)
    assert read == [b"new"]


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout"])
def test_a_device_is_written_itself(name: str) -> None:
    # Nothing is written: a fault here, as root, would replace the machine's device.
    with whole_file(Path(name)) as path:
        assert path == Path(name)


@pytest.mark.parametrize("name", ["/dev/fd/1", "/proc/self/fd/1"])
@pytest.mark.parametrize("to_a_file", [True, False])
def test_standard_output_has_names(tmp_path: Path, name: str, to_a_file: bool) -> None:
    """In a process of its own, whose standard output is a file that has text already, or a pipe."""
    script = (
        "from pathlib import Path; from sentiloc.cli.output import print_or_write; "
        f"print_or_write(b'new', Path({name!r}))"
    )
    log = tmp_path / "log"
    log.write_bytes(b"old, ")
    with log.open("ab") as file:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=file if to_a_file else subprocess.PIPE,
            stderr=subprocess.PIPE,
            check=True,
        )
    assert log.read_bytes() == (b"old, new" if to_a_file else b"old, ")
    assert to_a_file or done.stdout == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("output", ["None", "Path('/dev/stdout')"])
def test_a_reader_that_closes_the_pipe_ends_the_process_without_a_message(output: str) -> None:
    # More than a pipe holds, so that the process still writes when the reader closes it.
    script = (
        "from pathlib import Path; from sentiloc.cli.output import print_or_write; "
        f"print_or_write(b'x' * 2**22, {output})"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"x"
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (1, b"")


def test_a_write_that_fails_names_its_file() -> None:
    full = Path("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        print_or_write(b"x", full)
    script = "from sentiloc.cli.output import print_or_write; print_or_write(b'x', None)"
    with full.open("wb") as output:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=output, stderr=subprocess.PIPE, check=False
        )
    assert b"No space left on device: 'standard output'" in done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_slow_reader_of_a_pipe_that_does_not_block_gets_everything(unbuffered: str) -> None:
    # A program that shares the pipe, such as a shell's job, may have made it so. The output is more than it holds.
    script = (
        "from sentiloc.cli.output import print_or_write; import sys, time; "
        "print_or_write(b'x' * 2**20, None); print(time.process_time(), file=sys.stderr)"
    )
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=sink, stderr=subprocess.PIPE, env=environment) as process:
        os.close(sink)
        with os.fdopen(source, "rb") as reader:
            assert reader.read(1) == b"x"
            # The process must wait now, and not ask again and again.
            time.sleep(2.0)
            size = 1 + len(reader.read())
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    assert (process.returncode, size) == (0, 2**20), errors
    assert float(errors) < 1.0


def test_predictions_that_are_not_complete_are_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_half(path: Path, _found: object) -> None:
        path.write_bytes(b"half")
        raise OSError("no space")

    monkeypatch.setattr("sentiloc.cli.training.runs.open_run", lambda _: SimpleNamespace(task="sentiment"))
    monkeypatch.setattr("sentiloc.cli.training.predict.predict_run", lambda *_: ([], {}))
    monkeypatch.setattr("sentiloc.model.evaluation.evaluate.write_predictions", write_half)
    with pytest.raises(OSError, match="no space"):
        predict(tmp_path / "run", tmp_path / "found.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("missing/x.jsonl", "there is no folder"),
        (".", "is a folder; a file is needed"),
        ("urls.txt", "is also an input, and would be lost"),
    ],
)
def test_a_batch_is_not_sent_without_a_place_for_its_results(
    tmp_path: Path, sentiloc: Sentiloc, monkeypatch: pytest.MonkeyPatch, output: str, said: str
) -> None:
    monkeypatch.setattr("sentiloc.cli.remote.batch.connected", lambda *_: pytest.fail("it asked the server"))
    urls = tmp_path / "urls.txt"
    urls.write_text("https://example.org/a.mp4\n", encoding="utf-8")
    code, _, err = sentiloc("batch", urls, "-o", tmp_path / output)
    assert (code, said in err) == (2, True), err
