"""What operators deploy: the chart's objects are valid and locked down, and rules and panels name real metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from sentiloc.app.main import create_app
from sentiloc.app.settings import Settings
from tests.support.chart import CHART, UniqueKeys, render
from tests.support.services import private_redis

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/sentiloc.json"
EVERYTHING: dict[str, Any] = {
    "image": {"pullSecrets": ["registry", "mirror"]},
    "storage": {"endpoint": "http://s3:8333", "publicEndpoint": "https://s3.example"},
    "settings": {
        "SENTILOC_MAX_DURATION_SECONDS": 3600,
        "SENTILOC_MAX_UPLOAD_BYTES": 5368709120,
        "SENTILOC_TRUSTED_PROXIES": ["10.0.0.0", "10.0.0.2"],
        "SENTILOC_OIDC_ISSUER": "https://id.example",
        "SENTILOC_OIDC_CLIENT_ID": "clips",
        "SENTILOC_OIDC_SCOPES": {"editors": ["read", "write"]},
        "SENTILOC_OIDC_KEYS": {"editors": "3f9a1c07be52"},
        "SENTILOC_STALL_SECONDS": 25.5,
        "SENTILOC_SHARE_FEATURES": True,
        "SENTILOC_LOG_LEVEL": "debug",
        "SENTILOC_LOG_FORMAT": "text",
    },
    "api": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "tlsSecret": "tls",
            "annotations": {"a/b": "c", "nginx.ingress.kubernetes.io/proxy-body-size": "8g"},
        }
    },
    "gpuWorker": {
        "enabled": True,
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    },
    "keda": {"enabled": True},
    "networkPolicy": {
        "from": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        "ingressController": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nginx"}}}
        ],
        "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}]}],
    },
    "serviceMonitor": {"enabled": True},
}
# Kinds that other projects define; Kubernetes has no schema for them.
CUSTOM = {"ScaledObject", "ServiceMonitor"}


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [found["spec"]["template"]["spec"] for found in objects if "template" in found.get("spec", {})]


def one(kind: str, name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The object of this kind and name."""
    return next(
        found for found in render(changes) if (found["kind"], found["metadata"]["name"]) == (kind, name)
    )


def helm_objects(changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects as Helm renders them."""
    helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render(changes, name="clips", namespace="default")
    objects = [
        yaml.load_all(texts[name], Loader=UniqueKeys) for name in sorted(texts) if name.endswith(".yaml")
    ]
    return [found for part in objects for found in part if found]


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["as shipped", "everything on"])
def test_the_charts_objects_are_valid(changes: dict[str, Any]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="needs kubernetes-validate")
    objects = render(changes)
    assert len(objects) >= 7
    for found in objects:
        if found["kind"] not in CUSTOM:
            validate.validate(found, "1.30", strict=True)


@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["as shipped", "everything on"])
def test_helm_itself_renders_the_same(changes: dict[str, Any]) -> None:
    """The other tests use a small renderer of their own, because Helm is not everywhere."""
    helm = pytest.importorskip("helm_python", reason="needs helm-python-sdk")
    assert helm_objects(changes) == render(changes)
    found = helm.lint(str(CHART))
    assert found["errors"] == []
    # Helm recommends an icon, and says no more than that.
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


def test_all_pods_are_locked_down() -> None:
    found = pods(render(EVERYTHING))
    assert len(found) == 3
    for pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert "livenessProbe" in container
            # The image's entry point clears away ended processes; `command` would replace it.
            assert "command" not in container


def test_a_worker_is_replaced_only_when_that_helps() -> None:
    """Not while Redis is away or a model loads: the jobs that it runs would be lost."""
    found = [
        pod["containers"][0] for pod in pods(render(EVERYTHING)) if pod["containers"][0]["name"] == "worker"
    ]
    assert len(found) == 2
    for container in found:
        assert container["livenessProbe"]["exec"]["command"] == ["sentiloc", "worker", "--alive"]
        start = container["startupProbe"]
        assert start["exec"]["command"] == ["sentiloc", "worker", "--check"]
        assert start["periodSeconds"] * start["failureThreshold"] >= Settings().model_load_seconds


def test_what_is_given_takes_precedence_over_the_charts_own() -> None:
    """Each name stands there once: `render` refuses twins."""
    data = one("ConfigMap", "clips-settings", EVERYTHING)["data"]
    assert (data["SENTILOC_LOG_FORMAT"], data["SENTILOC_DATA_DIR"]) == ("text", "/data")
    assert one("ConfigMap", "clips-settings", {})["data"]["SENTILOC_LOG_FORMAT"] == "json"
    annotations = one("Ingress", "clips", EVERYTHING)["metadata"]["annotations"]
    assert annotations.pop("nginx.ingress.kubernetes.io/proxy-body-size") == "8g"
    assert annotations == {
        "a/b": "c",
        "nginx.ingress.kubernetes.io/proxy-request-buffering": "off",
        "nginx.ingress.kubernetes.io/proxy-buffering": "off",
        "nginx.ingress.kubernetes.io/affinity": "cookie",
    }


def test_an_empty_or_false_value_takes_precedence_too() -> None:
    """Helm's `merge` takes such a value for one that is not given."""
    given = {
        "nginx.ingress.kubernetes.io/affinity": "",
        "nginx.ingress.kubernetes.io/proxy-buffering": False,
    }
    changes = {
        **EVERYTHING,
        "settings": {"SENTILOC_STORAGE_ENDPOINT": ""},
        "api": {"ingress": {"enabled": True, "annotations": given}},
    }
    for objects in (render(changes), helm_objects(changes)):
        found = {one["kind"]: one for one in objects}
        assert found["ConfigMap"]["data"]["SENTILOC_STORAGE_ENDPOINT"] == ""
        annotations = found["Ingress"]["metadata"]["annotations"]
        assert [annotations[name] for name in given] == ["", "false"]


def test_images_may_lie_in_a_private_registry() -> None:
    for pod in pods(render(EVERYTHING)):
        assert pod["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert not [pod for pod in pods(render()) if "imagePullSecrets" in pod]


def test_pods_may_take_as_long_to_stop_as_they_are_told_to() -> None:
    changes = {**EVERYTHING, "worker": {"shutdownSeconds": 3600}, "api": {"shutdownSeconds": 120}}
    for pod in pods(render(changes)):
        container = pod["containers"][0]
        given = {found["name"]: found["value"] for found in container["env"]}
        if container["name"] == "worker":
            assert given["SENTILOC_SHUTDOWN_GRACE_SECONDS"] == "3600"
            assert pod["terminationGracePeriodSeconds"] == 3655
        else:
            assert given["SENTILOC_API_SHUTDOWN_SECONDS"] == "120"
            assert container["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
            assert pod["terminationGracePeriodSeconds"] == 135
    shipped = [pod["terminationGracePeriodSeconds"] for pod in pods(render())]
    assert shipped == [45, 60]


@pytest.mark.parametrize(("settings", "jobs"), [({}, "1"), ({"SENTILOC_WORKER_CONCURRENCY": 3}, "3")])
def test_workers_are_not_scaled_away_while_they_run_jobs(settings: dict[str, int], jobs: str) -> None:
    scaled = one("ScaledObject", "clips-worker", {"settings": settings, "keda": {"enabled": True}})
    triggers = {
        found["metadata"]["query"]: found["metadata"]["threshold"] for found in scaled["spec"]["triggers"]
    }
    assert triggers == {"max(sentiloc_oldest_queued_seconds)": "60", "max(sentiloc_jobs_running)": jobs}


def test_workers_are_not_scaled_away_while_redis_is_silent() -> None:
    """Then Prometheus has no samples. KEDA counts that as 0 unless it is told not to."""
    scaled = one("ScaledObject", "clips-worker", EVERYTHING)
    told = [found["metadata"]["ignoreNullValues"] for found in scaled["spec"]["triggers"]]
    assert told == ["false", "false"]


def test_the_ingress_controller_may_be_named_beside_others() -> None:
    rules = one("NetworkPolicy", "clips-api", EVERYTHING)["spec"]["ingress"]
    given = EVERYTHING["networkPolicy"]
    assert [rule["from"] for rule in rules] == [[*given["from"], *given["ingressController"]]]
    assert "from" not in one("NetworkPolicy", "clips-api", {})["spec"]["ingress"][0]


def test_what_pods_connect_to_may_be_limited() -> None:
    for name in ("clips-api", "clips-workers"):
        limited = one("NetworkPolicy", name, EVERYTHING)["spec"]
        assert limited["policyTypes"] == ["Ingress", "Egress"]
        assert limited["egress"] == EVERYTHING["networkPolicy"]["egress"]
        free = one("NetworkPolicy", name, {})["spec"]
        assert free["policyTypes"] == ["Ingress"]
        assert "egress" not in free


def templates(changes: dict[str, Any]) -> dict[str, Any]:
    """The pods' templates by the name of what makes them."""
    return {
        found["metadata"]["name"]: found["spec"]["template"]
        for found in render(changes)
        if "template" in found.get("spec", {})
    }


def test_a_changed_setting_replaces_every_pod() -> None:
    before = templates(EVERYTHING)
    after = templates({**EVERYTHING, "settings": {"SENTILOC_THREADS": 4}})
    assert len(before) == 3
    assert not [name for name in before if before[name]["metadata"] == after[name]["metadata"]]


def test_gpu_workers_keep_their_number_and_need_no_spare_gpu() -> None:
    gpu = one("Deployment", "clips-gpu-worker", {**EVERYTHING, "gpuWorker": {"enabled": True, "replicas": 3}})
    assert gpu["spec"]["replicas"] == 3
    assert gpu["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert "replicas" not in one("Deployment", "clips-worker", EVERYTHING)["spec"]


def images(changes: dict[str, Any]) -> dict[str, str]:
    """The pods' images by the name of what makes them."""
    return {name: found["spec"]["containers"][0]["image"] for name, found in templates(changes).items()}


def test_the_chart_runs_the_images_that_a_release_publishes() -> None:
    text = (ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8")
    job = yaml.safe_load(text)["jobs"]["images"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known = {
        "github.repository": project["urls"]["Source"].removeprefix("https://github.com/"),
        "steps.version.outputs.number": project["version"],
    }

    def filled(template: str, target: str) -> str:
        return re.sub(
            r"\$\{\{ (.*?) \}\}", lambda found: {**known, "matrix.target": target}[found[1]], template
        )

    steps = {step["uses"].partition("@")[0]: step.get("with", {}) for step in job["steps"] if "uses" in step}
    published = {
        filled(steps["docker/build-push-action"]["tags"], target)
        for target in job["strategy"]["matrix"]["target"]
    }
    assert published == set(images(EVERYTHING).values())
    # What is attested is the image without its version.
    attested = {
        filled(steps["actions/attest-build-provenance"]["subject-name"], target)
        for target in job["strategy"]["matrix"]["target"]
    }
    assert attested == {image.rpartition(":")[0] for image in published}
    # The step that cuts off the `v` of the tag.
    cut = next(step["run"] for step in job["steps"] if step.get("id") == "version")
    output = {"GITHUB_REF_NAME": f"v{project['version']}", "GITHUB_OUTPUT": "/dev/stdout"}
    done = subprocess.run(["sh", "-c", cut], env=output, capture_output=True, text=True, check=True)
    assert done.stdout == f"number={project['version']}\n"


def test_the_api_can_be_upgraded_before_the_workers() -> None:
    found = images({**EVERYTHING, "image": {"tag": "1.2.0"}, "worker": {"tag": "1.1.0"}})
    assert {name: image.rpartition(":")[2] for name, image in found.items()} == {
        "clips-api": "1.2.0",
        "clips-worker": "1.1.0",
        "clips-gpu-worker": "1.1.0",
    }


def test_every_setting_of_the_chart_exists() -> None:
    known = {f"SENTILOC_{name.upper()}" for name in Settings.model_fields}
    text = json.dumps(render({**EVERYTHING, "settings": {}}))
    assert set(re.findall(r"SENTILOC_[A-Z_]+", text)) - known == set()


def test_settings_of_every_type_arrive_as_they_were_given() -> None:
    given: dict[str, Any] = EVERYTHING["settings"]
    data = one("ConfigMap", "clips-settings", EVERYTHING)["data"]
    assert data["SENTILOC_MAX_UPLOAD_BYTES"] == "5368709120"
    read = {
        # As pydantic-settings reads the environment: lists and objects as JSON.
        name.removeprefix("SENTILOC_").lower(): json.loads(data[name])
        if isinstance(value, (list, dict))
        else data[name]
        for name, value in given.items()
    }
    # As a worker reads them, which listens on no address but shares the API's settings.
    settings = Settings(**read)
    assert settings.keys_required
    assert {name: getattr(settings, name.removeprefix("SENTILOC_").lower()) for name in given} == given


def metrics(tmp_path: Path) -> str:
    """What Prometheus reads from a service without workers."""
    with private_redis(tmp_path / "redis") as redis:
        settings = Settings(redis_url=redis.url, data_dir=tmp_path / "data", allowed_hosts=["*"])
        with TestClient(create_app(settings)) as client:
            for path in ("/jobs", "/healthz", "/readyz"):
                client.get(path)
            text: str = client.get("/metrics").text
    return text


def named(text: str) -> set[str]:
    """Metric families in expressions; the parts of a histogram have suffixes."""
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\bsentiloc_\w+", text)}


def panels() -> dict[str, str]:
    """The expressions of the dashboard by title."""
    found = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return {panel["title"]: panel["targets"][0]["expr"] for panel in found}


def test_panels_count_what_every_api_process_shows_once() -> None:
    """Only the requests are counted by each process for itself."""
    doubled = {
        title
        for title, expression in panels().items()
        if "sum" in expression
        and "sentiloc_http" not in expression
        and "histogram_quantile" not in expression
    }
    assert doubled == set()
    assert not [title for title, expression in panels().items() if expression.startswith("rate(")]


def test_the_dashboard_is_the_one_that_its_program_writes(tmp_path: Path) -> None:
    program = tmp_path / "make_dashboard.py"
    shutil.copy(DASHBOARD.with_name(program.name), program)
    subprocess.run([sys.executable, str(program)], check=True)
    assert program.with_name(DASHBOARD.name).read_bytes() == DASHBOARD.read_bytes()


def test_alerts_and_panels_name_metrics_that_exist(tmp_path: Path) -> None:
    scaling = one("ScaledObject", "clips-worker", EVERYTHING)["spec"]["triggers"]
    queries = [found["metadata"]["query"] for found in scaling]
    wanted = named(ALERTS.read_text(encoding="utf-8")) | named("\n".join([*panels().values(), *queries]))
    assert len(wanted) > 10
    assert wanted - set(re.findall(r"^# TYPE (sentiloc_\w+)", metrics(tmp_path), re.MULTILINE)) == set()


def test_an_alert_fires_once_for_all_api_processes() -> None:
    """Each of them shows every metric, so an expression takes one value of all: their sum, or the largest."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    for rule in [rule for group in groups for rule in group["rules"]]:
        assert re.match(r"\(?(absent|histogram_quantile|max|sum)\(", rule["expr"]), rule["alert"]


def test_an_alert_can_fire_when_a_metric_has_no_samples(tmp_path: Path) -> None:
    """A comparison with nothing is nothing. So what an alert compares has samples, or a fallback that has them."""
    sampled = named("\n".join(re.findall(r"^sentiloc_\w+", metrics(tmp_path), re.MULTILINE)))
    assert "sentiloc_worker_ready" not in sampled
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    assert len(alerts) > 5
    silent = {
        alert
        for alert, expression in alerts.items()
        if not any(named(part) <= sampled for part in expression.split(" or "))
    }
    assert silent == set()


def test_probes_of_a_service_without_workers_are_no_errors(tmp_path: Path) -> None:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    expression = next(
        rule["expr"] for group in groups for rule in group["rules"] if rule["alert"] == "SentilocErrors"
    )
    series = [
        dict(re.findall(r'(\w+)="(.*?)"', line))
        for line in re.findall(r"^sentiloc_http_request_seconds_count\{.*", metrics(tmp_path), re.MULTILINE)
    ]
    assert {"/readyz"} == {one["route"] for one in series if one["status"].startswith("5")}
    # The errors, and all requests.
    left_out = re.findall(r'route!~"(.*?)"', expression)
    assert len(left_out) == 2
    for routes in left_out:
        assert {one["route"] for one in series if not re.fullmatch(routes, one["route"])} == {"/jobs"}


def test_prometheus_accepts_the_rules() -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("needs promtool")
    done = subprocess.run(
        [program, "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
