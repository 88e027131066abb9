"""The project's files agree: versions, Python versions, links between documents, workflows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from sentiloc.cli.verbs import VERBS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CLIENT = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")])


def pythons(project: dict[str, list[str]]) -> list[str]:
    return [
        line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r"Python :: 3\.\d+$", line)
    ]


def test_every_file_has_the_same_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_python_that_is_promised_is_tested() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == pythons(PROJECT) == pythons(CLIENT)
    assert f">={pythons(PROJECT)[0]}" == PROJECT["requires-python"] == CLIENT["requires-python"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_asks_for_no_more_than_it_needs(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"]["contents"] == "read"
    steps = [step for job in workflow["jobs"].values() for step in job.get("steps", ())]
    assert all(re.search(r"@(v\d+|release/v\d+)$", step["uses"]) for step in steps if "uses" in step)


def test_scripts_that_workflows_run_are_there() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    scripts = set(re.findall(r"npm run (\w+)", text))
    assert scripts <= set(yaml.safe_load((ROOT / "package.json").read_text(encoding="utf-8"))["scripts"])
    modules = set(re.findall(r"python -m (tests[\w.]*)", text))
    assert all((ROOT / (name.replace(".", "/") + ".py")).exists() for name in modules)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    lost = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert lost == []


def test_the_readme_names_every_command() -> None:
    table = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## Commands")[2].partition("## More")[0]
    )
    named = {word for cell in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) for word in cell.split(" · ")}
    assert named - {"sentiloc …"} == {*VERBS, "version"}
