"""Check that the tree is ready to be published under a tag; the workflow of the wheels runs it.

python tools/check_release.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def release_problems(root: Path, tag: str) -> list[str]:
    """Return one sentence for each reason not to publish the tree `root` under `tag`; none if it is ready."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    problems = []
    if tag != f"v{version}":
        problems.append(f"the tag is {tag}, but pyproject.toml has version {version}: expected v{version}")
    if cited_version(root) != version:
        problems.append(f"CITATION.cff has version {cited_version(root)}, pyproject.toml {version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        problems.append(f"CHANGELOG.md has no line '## [{version}] - YYYY-MM-DD'")
    placeholders = [name for name, url in project["urls"].items() if "OWNER" in url]
    if placeholders:
        problems.append(f"[project.urls] of pyproject.toml still has the placeholder OWNER: {', '.join(placeholders)}")
    return problems


def cited_version(root: Path) -> str | None:
    """Return the version in CITATION.cff."""
    found = re.search(r"^version: \"?([^\s\"]+)\"?$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def main(arguments: list[str]) -> int:
    """Print the problems; return 0 if there are none, 1 if there are, 2 for a usage error."""
    if len(arguments) != 1:
        print("usage: python tools/check_release.py TAG", file=sys.stderr)
        return 2
    problems = release_problems(ROOT, arguments[0])
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
