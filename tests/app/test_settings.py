"""Settings that contradict each other are refused at the start, with the reason."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from docs.tools.settings import PAGE, page
from sentiloc.app.settings import Settings, get_settings
from sentiloc.app.settings.unknown import unknown_settings
from sentiloc.model.errors import SentilocError
from tests.support.services import sentiloc_command

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook_backoff_seconds": 100, "webhook_backoff_max_seconds": 50}, "webhook_backoff_seconds"),
        ({"fault_pause_seconds": 60, "fault_pause_max_seconds": 30}, "fault_pause_seconds"),
        ({"upload_idle_seconds": 30, "upload_expiry_seconds": 10}, "upload_idle_seconds"),
        ({"stall_cpu_seconds": 50, "stall_busy_seconds": 45}, "stall_cpu_seconds"),
        ({"stall_seconds": 60}, "stall_seconds"),
        ({"model_load_seconds": 40_000}, "model_load_seconds"),
        ({"fetch_seconds": 7200, "job_time_limit_seconds": 3600}, "fetch_seconds"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, float], reason: str) -> None:
    with pytest.raises(ValidationError, match=f"SENTILOC_{reason.upper()} is .* must not be greater than"):
        Settings(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("threads", "100000", "must be at most 1024"),
        ("worker_concurrency", "100000", "must be at most 256"),
        ("webhook_senders", "100000", "must be at most 256"),
        ("trusted_proxies", '["proxy.example"]', "'proxy.example' is not an address or a network"),
        ("cors_origins", '["https://a.example/"]', "'https://a.example/' is not a site without a path"),
        ("cors_origins", '["a.example"]', "is not a site without a path"),
        ("allowed_hosts", '["https://a.example"]', "is not a name without a port"),
        ("allowed_hosts", '["a.example:8000"]', "is not a name without a port"),
        ("data_dir", str(Path(__file__)), "must be a folder"),
        ("data_dir", "~nobody-has-this-name/a", "the home folder of an unknown user"),
        ("storage_url", "  ", "must have the form s3://bucket/key"),
        ("storage_url", "https://s3.example.org/bucket", "must have the form s3://bucket/key"),
        ("storage_endpoint", "s3.example.org", "must be a URL"),
        ("storage_endpoint", "http://[", "must be a URL"),
        ("storage_endpoint", "https://s3.example.org:99999", "must be a URL"),
        ("storage_public_endpoint", "https://s3.example.org?x", "must be a URL"),
        ("storage_public_endpoint", "https://s3.example.org", "needs SENTILOC_STORAGE_URL"),
        ("oidc_client_id", "sentiloc", "needs SENTILOC_OIDC_ISSUER"),
        ("oidc_scopes", '{"*": ["read"]}', "needs SENTILOC_OIDC_ISSUER"),
        ("redis_prefix", "a\udcff", "must be text in UTF-8"),
        ("redis_url", "localhost:6379", "must begin with redis://"),
        ("redis_url", "redis://:geheim@host:x/0", "must be redis://host:port/database"),
        ("redis_url", "redis://:geheim/1@host:6379/0", "must have %2F for /"),
        ("redis_url", "redis://:geheim#1@host:6379/0", "%23 for #"),
        ("redis_url", "redis://:geheim?1@host:6379/0", "must be redis://host:port/database"),
        ("redis_url", "redis+sentinel://:geheim/1@host:6379/jobs", "must have %2F for /"),
        ("redis_url", "redis://host/jobs", "must have a number as its database"),
    ],
)
def test_an_unusable_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, reason: str
) -> None:
    monkeypatch.setenv(f"SENTILOC_{name.upper()}", value)
    get_settings.cache_clear()
    try:
        with pytest.raises(SentilocError, match=f"SENTILOC_{name.upper()}.*{re.escape(reason)}") as caught:
            get_settings()
    finally:
        get_settings.cache_clear()
    assert "geheim" not in str(caught.value)


def test_a_data_folder_that_cannot_be_looked_at_stops_no_command() -> None:
    """Such as one that another user made: `sentiloc keys` needs only Redis."""
    name = f"/{'x' * 300}"
    assert str(Settings(data_dir=Path(name)).data_dir) == name


def test_values_of_use_are_taken() -> None:
    for url in (
        *(
            "redis://host",
            "redis://:p%2F@host:6379/2?ssl_ca_certs=/a/b",
            "rediss://u:p@[::1]:6379/0",
            "unix:///a/b@c",
        ),
        *("redis+sentinel://:p@one:26379,two/jobs/2?sentinel_password=a@b", "unix://:p@/a/socket?db=1"),
    ):
        assert Settings(redis_url=url).redis_url == url
    given = {
        "trusted_proxies": ["*", "10.0.0.2", "10.0.0.0/8", "::1", "fd00::/8"],
        "cors_origins": [
            "*",
            "null",
            "https://a.example:8443",
            "chrome-extension://abc",
            "http://[::1]:5173",
        ],
        "allowed_hosts": ["*", "a.example", "127.0.0.1", "::1", "fd00::1"],
        "storage_endpoint": "http://127.0.0.1:9000",
    }
    assert Settings.model_validate(given).allowed_hosts == given["allowed_hosts"]


def test_the_defaults_fit_together() -> None:
    assert Settings().fault_pause_seconds <= Settings().fault_pause_max_seconds


def test_the_page_of_settings_has_every_setting_with_its_default() -> None:
    """`python -m docs.tools.settings` writes it."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert all(f"`SENTILOC_{name.upper()}`" in page() for name in Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


def test_a_misspelled_setting_is_named() -> None:
    given = {
        "SENTILOC_APIKEYS": "on",
        "sentiloc_port": "80",
        "SENTILOC_CACHE_DIR": "/cache",
        "SENTILOC_XYZZY": "1",
        "SENTILOC_OLD": "",
        "HOME": "/root",
        "XYZZY": "a variable of another program",
    }
    assert unknown_settings(given) == [
        "SENTILOC_APIKEYS is not a setting; did you mean SENTILOC_API_KEYS?",
        "SENTILOC_XYZZY is not a setting",
    ]


def test_every_variable_that_the_code_reads_is_known() -> None:
    read = re.compile(r'(?:environ(?:\.get)?[\[(]|envvar=)"(SENTILOC_\w+)"')
    folders = (
        "app",
        "worker",
        "model",
        "sentiloc",
        "clients/python",
        "bench",
        "experiments",
        "recipes",
        "tests",
    )
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    named = {name for path in paths for name in read.findall(path.read_text(encoding="utf-8"))}
    assert {"SENTILOC_SERVER", "SENTILOC_CACHE_DIR", "SENTILOC_GOLDEN"} <= named
    assert unknown_settings(dict.fromkeys(named, "1")) == []


@pytest.mark.parametrize("command", ["api", "worker", "keys", "doctor", "serve"])
def test_no_command_starts_with_a_wrong_setting(tmp_path: Path, command: str) -> None:
    given = {"SENTILOC_REDIS_URL": f"unix://{tmp_path}/none", "SENTILOC_STORAGE_URL": "bucket/prefix"}
    environment = {**os.environ, "SENTILOC_DATA_DIR": str(tmp_path), **given}
    done = subprocess.run(
        sentiloc_command(command, *(["list"] if command == "keys" else [])),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    line = "bad settings: SENTILOC_STORAGE_URL: must have the form s3://bucket/key"
    assert (done.returncode, (done.stdout + done.stderr).count(line)) == (1, 1)
    assert "Traceback" not in done.stderr


def test_a_worker_without_the_client_of_its_object_store_ends_at_once(tmp_path: Path) -> None:
    """Celery would log the error, and go on with a worker that can run no job."""
    program = "import sys; sys.modules['boto3'] = None; from sentiloc.cli.main import main; main()"
    given = {"SENTILOC_REDIS_URL": f"unix://{tmp_path}/none", "SENTILOC_STORAGE_URL": "s3://bucket/prefix"}
    environment = {**os.environ, "SENTILOC_DATA_DIR": str(tmp_path), **given}
    done = subprocess.run(
        [sys.executable, "-c", program, "worker"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "SENTILOC_STORAGE_URL needs the object store's client" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [("api",), ("worker",), ("serve", "--host", "203.0.113.1")])
def test_the_service_warns_of_a_misspelled_setting(tmp_path: Path, command: tuple[str, ...]) -> None:
    """None of the commands can start here: no Redis is named, or there is no such address."""
    own = {name: value for name, value in os.environ.items() if name != "SENTILOC_REDIS_URL"}
    environment = {**own, "SENTILOC_DATA_DIR": str(tmp_path), "SENTILOC_THREDS": "3"}
    done = subprocess.run(
        sentiloc_command(*command), env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("SENTILOC_THREDS is not a setting; did you mean SENTILOC_THREADS?") == 1
