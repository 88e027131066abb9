"""The commands that talk to a server, with scripted answers: what they check first, and what they print at once."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from tests.cli.extracted import Sentiloc
from tests.client.scripted import answer, problem, scripted
from tests.client.test_clients import JOB

FORMATS = answer(200, [{"name": "vtt", "title": "WebVTT", "media_type": "text/vtt", "extension": ".vtt"}])
PROBLEM = {"type": "about:blank", "title": "Unprocessable Entity", "status": 422, "request_id": "r"}
NOWHERE = ("--server", "http://127.0.0.1:9")
HOOK = ("--webhook", "https://edit.example/hook")
GIVEN, SET = (f"whsec_{b64encode(bytes([number] * 32)).decode()}" for number in (1, 2))


def test_the_format_of_a_batch_is_checked_before_it_is_sent(sentiloc: Sentiloc, tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text("https://media.example/a.mp4\n", encoding="utf-8")
    with scripted(FORMATS) as server:
        code, _, err = sentiloc("batch", urls, "--server", server.url, "-o", tmp_path / "a.zip", "-f", "docx")
    assert (code, "'docx' is not one of json, vtt" in err) == (2, True), err
    assert [request.path for request in server.requests] == ["/v1/formats"]


def test_a_refused_item_of_a_batch_is_named_with_its_line(sentiloc: Sentiloc, tmp_path: Path) -> None:
    """The server counts items from 0 and does not know of blank lines and comments."""
    urls = tmp_path / "urls.txt"
    urls.write_text("# week 12\n\nhttps://media.example/a.mp4\n\nhttp://10.0.0.1/b.mp4\n", encoding="utf-8")
    body = {**PROBLEM, "code": "url_forbidden", "detail": "items.1.url: The URL leads elsewhere."}
    with scripted(answer(422, body, "application/problem+json")) as server:
        code, _, err = sentiloc("batch", urls, "--server", server.url)
    assert (code, err) == (1, "sentiloc: line 5: items.1.url: The URL leads elsewhere. (url_forbidden)\n")


@pytest.mark.parametrize("flags", [(), ("--json",), ("--wait",), ("--wait", "--json")])
def test_the_id_of_a_video_is_known_if_a_later_one_is_refused(
    sentiloc: Sentiloc, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    videos = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    for video in videos:
        video.write_bytes(b"video")
    with scripted(answer(202, JOB), problem(422, "unsupported_format")) as server:
        code, out, err = sentiloc("submit", *videos, *flags, "--server", server.url)
    assert code == 1
    assert JOB["id"] in (err if "--wait" in flags else out)
    assert len(server.requests) == 2


def test_a_webhook_s_secret_is_sent(
    sentiloc: Sentiloc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    with scripted(answer(202, JOB), answer(202, JOB)) as server:
        at = ("--server", server.url)
        assert sentiloc("submit", video, *HOOK, "--webhook-secret", GIVEN, *at)[0] == 0
        monkeypatch.setenv("SENTILOC_JOB_WEBHOOK_SECRET", SET)
        assert sentiloc("submit", video, *HOOK, *at)[0] == 0
    first, second = (one.body for one in server.requests)
    assert (GIVEN.encode() in first, GIVEN.encode() in second, SET.encode() in second) == (True, False, True)
    # Set for all commands, it asks for no webhook.
    assert sentiloc("submit", video, *NOWHERE)[0] == 5


def test_a_secret_needs_a_webhook_and_an_empty_webhook_is_none(sentiloc: Sentiloc, tmp_path: Path) -> None:
    video, urls = tmp_path / "a.mp4", tmp_path / "urls.txt"
    video.write_bytes(b"video")
    urls.write_text("https://media.example/a.mp4\n", encoding="utf-8")
    for words in (("submit", video), ("batch", urls)):
        for none in ((), ("--webhook", "")):
            code, _, err = sentiloc(*words, *none, "--webhook-secret", GIVEN, *NOWHERE)
            assert (code, "--webhook-secret: needs --webhook" in err) == (2, True), err
    with scripted(answer(202, JOB)) as server:
        assert sentiloc("submit", video, "--webhook", "", "--server", server.url)[0] == 0
    assert b"webhook" not in server.requests[0].body


@pytest.mark.parametrize("secret", ["", "x", "whsec_c2hvcnQ=", f"whsec_{'a' * 31}!"])
def test_a_secret_of_a_wrong_form_is_refused_before_the_upload(
    sentiloc: Sentiloc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    code, _, err = sentiloc("submit", video, *HOOK, "--webhook-secret", secret, *NOWHERE)
    assert code == 2
    assert "Invalid value for --webhook-secret: must be `whsec_` and 24 to 64 bytes in base64" in err
    # Click takes an empty variable for none.
    if secret:
        monkeypatch.setenv("SENTILOC_JOB_WEBHOOK_SECRET", secret)
        code, _, err = sentiloc("submit", video, *HOOK, *NOWHERE)
        assert (code, "Invalid value for SENTILOC_JOB_WEBHOOK_SECRET: must" in err) == (2, True), err


@pytest.mark.parametrize("verb", ["status", "watch", "result", "cancel"])
def test_any_other_refusal_of_a_server_ends_with_1_as_the_help_says(sentiloc: Sentiloc, verb: str) -> None:
    with scripted(problem(422, "invalid_request")) as server:
        assert sentiloc(verb, "abc", "--server", server.url)[0] == 1
    assert "any other refusal" in " ".join(sentiloc(verb, "--help")[1].replace("│", " ").split())


def test_an_empty_list_of_jobs_is_said(sentiloc: Sentiloc) -> None:
    nothing = answer(200, {"jobs": [], "next_cursor": None})
    with scripted(nothing, nothing) as server:
        assert sentiloc("status", "--state", "failed", "--server", server.url) == (0, "", "No job matches.\n")
        assert sentiloc("status", "--server", server.url) == (0, "", "There are no jobs.\n")


def test_wrong_formats_outputs_and_ranges_of_jobs(sentiloc: Sentiloc, tmp_path: Path) -> None:
    with scripted(FORMATS) as server:
        code, _, err = sentiloc("result", "abc", "-f", "foo", "--server", server.url)
    assert (code, "'foo' is not one of json, vtt, text" in err) == (2, True), err
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    for words in (
        ("result", "abc", "-o", f"{tmp_path}/new/"),
        ("result", "abc", "-f", "edl", "--fps", "7"),
        ("submit", video, "--start", "5", "--end", "2"),
    ):
        assert sentiloc(*words, *NOWHERE)[0] == 2


def test_a_key_that_cannot_be_sent_is_no_valid_key(sentiloc: Sentiloc) -> None:
    code, _, err = sentiloc("status", "--api-key", "k\u00e4", *NOWHERE)
    assert code == 6
    assert err == (
        "sentiloc: the API key has characters that cannot be sent; --api-key or SENTILOC_API_KEY gives a key\n"
    )


def test_a_share_is_a_number(sentiloc: Sentiloc) -> None:
    code, _, err = sentiloc("trial", "mine", "--share", "nan", *NOWHERE)
    assert (code, "Invalid value for '--share'" in err) == (2, True), err


def test_a_trial_of_no_job_claims_nothing(sentiloc: Sentiloc) -> None:
    told = {"version": "1.0.0", "task": "sentiment", "is_default": False, "streams": [], "classes": []}
    numbers = {"confidence_threshold": 0.5, "snippet_seconds": 0.64, "spec_hash": "0"}
    models = answer(200, [{"name": "next", **told, **numbers}])
    nothing = answer(200, {"jobs": [], "next_cursor": None})
    with scripted(models, nothing, models) as server:
        code, out, err = sentiloc("trial", "next", "--server", server.url)
        assert (code, "%" in out) == (0, False), out
        assert err == "This share has no finished job of another model.\n"
        code, _, err = sentiloc("trial", "nxt", "--server", server.url)
    assert (code, "'nxt' is not one of next" in err) == (2, True), err


def test_metadata_of_one_key_is_not_lost(sentiloc: Sentiloc, tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    code, _, err = sentiloc("submit", video, "--metadata", "a=1", "--metadata", "a=2", *NOWHERE)
    assert (code, "'a' is given twice" in err) == (2, True), err


def test_an_unreadable_list_of_a_batch_is_refused_in_plain_words(sentiloc: Sentiloc, tmp_path: Path) -> None:
    (tmp_path / "video").write_bytes(b"\xff")
    for name, said in (
        ("none", "cannot be read: No such file or directory"),
        ("video", "is not a text in UTF-8"),
    ):
        code, _, err = sentiloc("batch", tmp_path / name, *NOWHERE)
        assert (code, said in err, "Errno" in err) == (2, True, False), err


def test_an_unknown_field_of_a_batch_is_named_beside_the_known_ones(
    sentiloc: Sentiloc, tmp_path: Path
) -> None:
    items = tmp_path / "items.txt"
    items.write_text('{"url": "https://media.example/a.mp4", "label": "positive"}\n', encoding="utf-8")
    code, _, err = sentiloc("batch", items, *NOWHERE)
    said = "line 1 has an unknown field 'label'; known are metadata, name, tags, upload, url"
    assert (code, said in " ".join(err.split())) == (2, True), err
