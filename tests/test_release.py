"""The files of a release agree: versions, Python versions, workflows, extras, the lists of dependencies."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]

MANIFESTS = {
    "github-actions": [".github/workflows"],
    "npm": ["package-lock.json"],
    "pip": ["requirements.txt", "pyproject.toml"],
}


def load_yaml(path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def load_check_release():
    spec = importlib.util.spec_from_file_location("check_release", ROOT / "tools" / "check_release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_numbers(version):
    return tuple(int(part) for part in version.split("."))


def python_matrix():
    matrix = load_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    return sorted(matrix["python"], key=as_numbers)


def test_citation_has_the_version_of_the_project():
    assert load_check_release().cited_version(ROOT) == PROJECT["version"]


def test_lowest_python_is_the_same_everywhere():
    (lowest,) = re.findall(r"^>=(3\.\d+)$", PROJECT["requires-python"])
    assert python_matrix()[0] == lowest
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + lowest.replace(".", "")


def test_tested_pythons_get_a_wheel_and_a_classifier():
    tested = python_matrix()
    assert PYPROJECT["tool"]["cibuildwheel"]["build"] == [f"cp{version.replace('.', '')}-*" for version in tested]
    declared = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in PROJECT["classifiers"]]
    assert [found[1] for found in declared if found] == tested


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path):
    used = re.findall(r"^\s*-?\s*uses:\s*(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert used
    assert [line for line in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_an_action_has_one_commit_in_all_workflows():
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    commits = {}
    for action, commit in re.findall(r"uses:\s*(\S+)@(\S+)", text):
        commits.setdefault(action, set()).add(commit)
    assert {action: found for action, found in commits.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_has_least_permissions_and_time_limits(path):
    workflow = load_yaml(path)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        assert job["timeout-minutes"] > 0, name
        writes = {scope for scope, access in job["permissions"].items() if access == "write"}
        assert writes == ({"id-token"} if name == "publish" else set()), name
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False, name


def test_gate_job_needs_every_other_job():
    jobs = load_yaml(ROOT / ".github/workflows/tests.yml")["jobs"]
    assert set(jobs["pass"]["needs"]) == set(jobs) - {"pass"}


def test_dependabot_finds_a_manifest_in_each_directory():
    updates = load_yaml(ROOT / ".github/dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == set(MANIFESTS)
    for update in updates:
        for directory in update.get("directories") or [update["directory"]]:
            folder = ROOT / directory.lstrip("/")
            manifests = MANIFESTS[update["package-ecosystem"]]
            assert any((folder / manifest).exists() for manifest in manifests), directory


@pytest.mark.parametrize("form", ["bug", "question"])
def test_issue_form_has_unique_ids_and_labels(form):
    body = load_yaml(ROOT / f".github/ISSUE_TEMPLATE/{form}.yml")["body"]
    parts = [part for part in body if part["type"] != "markdown"]
    assert all(part["attributes"]["label"] for part in parts)
    ids = [part["id"] for part in parts]
    assert len(ids) == len(set(ids)) > 2


def test_make_targets_that_files_name_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    sources = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", ROOT / ".ci" / "run", *WORKFLOWS]
    for path in sources:
        text = path.read_text(encoding="utf-8")
        named = re.findall(r"(?:`|run: |step |^)make ((?:[a-z][a-z-]*\b(?![=.]) ?)+)", text, re.MULTILINE)
        assert {target for names in named for target in names.split()} <= targets, path.name


def test_extras_that_files_name_exist():
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile", *WORKFLOWS]
    extras = PROJECT["optional-dependencies"].keys()
    found = {}
    for path in sources:
        for names in re.findall(r"(?:facegeom|whl\)?|\.)\[([a-z0-9, -]+)\]", path.read_text(encoding="utf-8")):
            found[path.name] = found.get(path.name, set()) | {name.strip() for name in names.split(",")}
    assert {"CONTRIBUTING.md", "Makefile", "tests.yml", "audit.yml"} <= found.keys()
    assert {file: names - extras for file, names in found.items() if names - extras} == {}


def test_lock_files_agree_with_their_manifests_and_name_no_host():
    locks = [path for folder in ("python", "tools") for path in (ROOT / folder).rglob("package-lock.json")]
    assert len(locks) == 2
    for path in locks:
        lock = json.loads(path.read_text(encoding="utf-8"))
        manifest = json.loads((path.parent / "package.json").read_text(encoding="utf-8"))
        for kind in ("version", "dependencies", "devDependencies"):
            assert lock["packages"][""].get(kind) == manifest.get(kind), path
        packages = [entry for name, entry in lock["packages"].items() if name]
        assert all("integrity" in entry and "resolved" not in entry for entry in packages), path


COMPLETE = {
    "pyproject.toml": '[project]\nversion = "1.2.3"\nurls = {Source = "https://example.org/someone/facegeom"}\n',
    "CITATION.cff": "cff-version: 1.2.0\nversion: 1.2.3\n",
    "CHANGELOG.md": "# Changelog\n\n## [1.2.3] - 2027-01-31\n",
}


def problems_of_release(folder, changes):
    for name, text in (COMPLETE | changes).items():
        (folder / name).write_text(text, encoding="utf-8")
    return load_check_release().release_problems(folder, "v1.2.3")


def test_check_release_accepts_a_complete_release(tmp_path):
    assert problems_of_release(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("pyproject.toml", "1.2.3", "1.2.4", "the tag is v1.2.3, but pyproject.toml has version 1.2.4"),
        ("CITATION.cff", "version: 1.2.3", "version: 1.2.2", "CITATION.cff has version 1.2.2"),
        ("CHANGELOG.md", "[1.2.3] - 2027-01-31", "[Unreleased]", "CHANGELOG.md has no line '## [1.2.3]"),
        ("pyproject.toml", "someone", "OWNER", "still has the placeholder OWNER: Source"),
    ],
    ids=["tag", "citation", "changelog", "urls"],
)
def test_check_release_reports_a_problem(tmp_path, name, old, new, problem):
    assert problem in "\n".join(problems_of_release(tmp_path, {name: COMPLETE[name].replace(old, new)}))
