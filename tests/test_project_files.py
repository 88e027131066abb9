"""The project's files agree: versions, Python versions, links between documents, workflows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from sentiloc.cli.verbs import VERBS, root

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


def repeated_lines(changelog: str) -> list[str]:
    """Headings and lines that one version has twice, as after a merge that kept both sides."""
    versions = [re.findall(r"^(?:###|-) .*", part, re.MULTILINE) for part in changelog.split("\n## ")]
    return [line for lines in versions for line in sorted(set(lines)) if lines.count(line) > 1]


def test_the_changelog_says_nothing_twice() -> None:
    """A merge that keeps the lines of both sides may bring an old arrangement back beside the new one."""
    assert repeated_lines("## [2]\n### Fixed\n- a\n### Fixed\n- a\n") == ["### Fixed", "- a"]
    assert repeated_lines((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")) == []


def test_unreleased_changes_are_grouped_by_reader() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = changelog.partition("## [Unreleased]")[2].partition("\n## ")[0]
    assert not re.findall(r"^### (?:Added|Changed|Fixed|Removed)$", unreleased, re.MULTILINE)


@pytest.mark.parametrize(("tag", "is_accepted"), [(f"v{PROJECT['version']}", True), ("v0.0.1", False)])
def test_a_release_needs_the_tag_of_the_version(tag: str, is_accepted: bool) -> None:
    """Run the check of release.yml itself, which otherwise runs for the first time when a tag is pushed."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]
    step = next(one for one in jobs["build"]["steps"] if one.get("name") == "The tag is the version")
    script = re.search(r"<<'PY'\n(.*)\nPY\b", step["run"], re.DOTALL)
    assert script
    command = [sys.executable, "-c", script[1]]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "GITHUB_REF_NAME": tag}, check=False)
    assert (done.returncode == 0) == is_accepted


def test_every_python_that_is_promised_is_tested() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == pythons(PROJECT) == pythons(CLIENT)
    assert f">={pythons(PROJECT)[0]}" == PROJECT["requires-python"] == CLIENT["requires-python"]


def test_the_one_machine_that_a_newest_python_cannot_serve_is_named() -> None:
    """ONNX Runtime has no wheel for it, so its installation could only fail."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]
    matrix = jobs["install"]["strategy"]["matrix"]
    assert matrix["exclude"] == [{"os": "macos-15-intel", "python": "3.14"}]
    for name in ("README.md", "CONTRIBUTING.md"):
        assert re.search(r"Macs with Intel processors", (ROOT / name).read_text(encoding="utf-8"))


def test_nothing_that_can_fail_comes_after_the_package_is_published() -> None:
    """PyPI takes a version once. What is left then is the page of the release, with the files of this run alone."""
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]
    assert {name for name, job in jobs.items() if "publish" in job.get("needs", ())} == {"release"}
    assert set(jobs["publish"]["needs"]) == {"build", "images"}
    named: dict[str, list[str]] = {
        name: [
            step["with"]["name"]
            for step in job.get("steps", ())
            if step.get("uses", "").startswith("actions/upload-artifact")
        ]
        for name, job in jobs.items()
    }
    taken = next(
        step["with"] for step in jobs["release"]["steps"] if "download-artifact" in step.get("uses", "")
    )
    assert set(taken["pattern"].strip("{}").split(",")) == {
        name for names in named.values() for name in names
    }


def test_images_are_built_for_their_processors_and_leave_no_record() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))["jobs"]
    steps = {step["uses"].partition("@")[0]: step for step in jobs["images"]["steps"] if "uses" in step}
    build = steps["docker/build-push-action"]
    assert "linux/arm64" in build["with"]["platforms"]
    assert "docker/setup-qemu-action" in steps
    # A record is one more artifact of the run.
    assert build["env"] == {"DOCKER_BUILD_RECORD_UPLOAD": "false"}


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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_anchors_between_documents_exist(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s:]*)#([^)\s]+)\)", path.read_text(encoding="utf-8"))
    lost = [
        f"{page}#{anchor}"
        for page, anchor in links
        if anchor not in anchors(path.parent / page if page else path)
    ]
    assert lost == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    code = re.compile(r"^\s*```.*?^\s*```", re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", code.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower()) for text in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_wrapped_line_begins_a_list(path: Path) -> None:
    """`the exit status is`, and `1. Later runs` on the next line, are shown as a list; so is `12. Later` in a list."""
    lines = path.read_text(encoding="utf-8").splitlines()
    numbers = [int(found[1]) if (found := re.match(r"\s*(\d+)[.)] ", line)) else None for line in lines]
    seen: set[int] = set()
    lost = []
    for before, line, number in zip(["", *lines], lines, numbers, strict=False):
        if not before.strip() or before.startswith("#"):
            seen = set() if number is None else {number}
        elif number is not None:
            lost += [] if number - 1 in seen else [line]
            seen.add(number)
    assert lost == []


def test_modules_that_documents_run_are_there() -> None:
    pages = [*PAGES, *ROOT.glob("exported/*/MODEL_CARD.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    own = re.compile(r"python -m ((?:bench|docs|experiments|recipes|sentiloc|tests)(?:\.\w+)*)")
    lost = [
        name
        for name in sorted(set(own.findall(text)))
        if not any((ROOT / name.replace(".", "/") / end).exists() for end in ("__main__.py", "__init__.py"))
        and not (ROOT / f"{name.replace('.', '/')}.py").exists()
    ]
    assert lost == []


def test_the_readme_names_every_command() -> None:
    table = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## Commands")[2].partition("## More")[0]
    )
    named = {word for cell in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) for word in cell.split(" · ")}
    assert named - {"sentiloc …"} == {*VERBS, "version"}


def options_of(words: list[str]) -> tuple[str, set[str]]:
    """The command that the words call, and its options."""
    command: Any = typer.main.get_command(root)
    name = "sentiloc"
    for word in words:
        if not hasattr(command, "resolve_command"):
            break
        _, found, _ = command.resolve_command(command.make_context(name, [], resilient_parsing=True), [word])
        command, name = found, f"{name} {word}"
    return name, {one for given in command.params for one in (*given.opts, *given.secondary_opts)} | {
        "--help"
    }


def unknown_options(text: str) -> list[str]:
    """Commands of `sentiloc` in a document with an option that they do not have."""
    verb = "|".join(VERBS)
    calls = re.findall(rf"(?<![\w/@.-])sentiloc ((?:{verb})\b[^`\n|;#]*)", text.replace("\\\n", " "))
    lost = []
    for call in calls:
        words = call.split()
        ends = next(
            (i for i, word in enumerate(words) if not re.fullmatch(r"[a-z][a-z-]*", word)), len(words)
        )
        name, known = options_of(words[:ends])
        given = {found[0] for word in words if (found := re.match(r"--[a-z][a-z0-9-]*", word))}
        lost += [f"{name} {option}" for option in sorted(given - known)]
    return lost


def test_options_in_documents_exist() -> None:
    assert unknown_options("`sentiloc train data --none 3`, `sentiloc keys create --name me`") == [
        "sentiloc train --none"
    ]
    pages = [*PAGES, *ROOT.glob("exported/*/MODEL_CARD.md")]
    past = ROOT / "CHANGELOG.md"
    lost = {str(path): unknown_options(path.read_text(encoding="utf-8")) for path in pages if path != past}
    assert {path: found for path, found in lost.items() if found} == {}
