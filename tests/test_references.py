"""Every citation in the C++ sources has an entry in docs/references.bib, with a title and with authors or a key."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for path in (ROOT / "cpp").rglob("*") if path.suffix in (".h", ".cpp"))
ENTRY = re.compile(r"^@\w+\{([^,\s]+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def entries():
    return ENTRY.findall((ROOT / "docs" / "references.bib").read_text(encoding="utf-8"))


def test_every_citation_has_an_entry():
    cited = {
        (key, path.relative_to(ROOT).as_posix())
        for path in SOURCES
        if "third_party" not in path.parts
        for key in re.findall(r"\\cite[ \n]?(\w*)", path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 10
    known = {key for key, _ in entries()}
    assert {(key, path) for key, path in cited if key not in known} == set()


def test_every_entry_is_complete_and_unique():
    keys = [key for key, _ in entries()]
    assert len(keys) == len(set(keys))
    for key, fields in entries():
        # `key` sorts a work whose author is unknown.
        assert re.search(r"^\s+(author|key) = \{.+", fields, re.MULTILINE), key
        assert re.search(r"^\s+title = \{.+", fields, re.MULTILINE), key
