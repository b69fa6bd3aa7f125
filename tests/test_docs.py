"""The documentation: complete, without dead links, and its code runs."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import facegeom
import facegeom.geometry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
TEXTS = [ROOT / "README.md", *PAGES]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
REMOTE = re.compile(r"""(?:src|href)=["'](?:https?:)?//|url\(["']?(?:https?:)?//|@import\s|from\s+["']https?://""")


@pytest.fixture(scope="module")
def generate():
    """The module that generates the pages of the command line, the reference and the model cards."""
    pytest.importorskip("scipy", reason="needs facegeom[train]")
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(generate, tmp_path_factory):
    """A folder with all generated pages."""
    folder = tmp_path_factory.mktemp("generated")
    generate.write_all(folder)
    return folder


def names_of_targets(text):
    """Last names of everything that autodoc is told to document."""
    return {path.rsplit(".", 1)[-1] for path in re.findall(r"^\.\. auto\w+:: (\S+)", text, re.MULTILINE)}


def code_blocks(path):
    return re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_every_public_name_is_in_the_reference(generated):
    package = names_of_targets((generated / "reference" / "facegeom.rst").read_text(encoding="utf-8"))
    assert set(facegeom.__all__) - {"geometry"} <= package
    operators = names_of_targets((generated / "reference" / "geometry.rst").read_text(encoding="utf-8"))
    assert set(facegeom.geometry.__all__) == operators


def test_public_methods_are_in_the_reference(generated):
    text = (generated / "reference" / "facegeom.rst").read_text(encoding="utf-8")
    for directive in ("automethod:: save", "automethod:: project", "automethod:: to_trimesh", "autoproperty:: affine"):
        assert directive in text


def test_every_command_and_option_is_on_the_page(generate, generated):
    text = (generated / "command_line.md").read_text(encoding="utf-8")
    commands = generate.commands()
    assert {"facegeom reconstruct", "facegeom info", "facegeom train facevision"} <= set(commands)
    for name, parser in commands.items():
        section = re.search(rf"^#+ {re.escape(name)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, name
        for action in parser._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or f"`{option}`" in section[1], f"{name} {option}"
    assert len(commands["facegeom train facevision"]._actions) > 10  # options of modules that are imported on use


def test_global_options_are_on_the_page(generated):
    text = (generated / "command_line.md").read_text(encoding="utf-8")
    for option in ("--version", "-v", "--verbose"):
        assert option in text


def test_every_model_card_is_a_page(generated):
    cards = {path.stem for path in (Path(facegeom.__file__).parent / "weights").glob("*.json")}
    assert cards == {path.stem for path in (generated / "models").glob("*.md")}
    page = (generated / "models" / "facevision.md").read_text(encoding="utf-8")
    assert "facegeom train facevision PORTRAITS" in page
    assert "| depth percent of range | 2.09 |" in page


def test_picture_of_layers_has_every_module_once(generate, generated):
    named = [name for names, _ in generate.LAYERS for name in names]
    assert len(named) == len(set(named))
    package = Path(facegeom.__file__).parent
    folders = {path.name for path in package.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    assert set(named) - {"weights"} == folders | modules
    picture = (generated / "layers.svg").read_text(encoding="utf-8")
    assert all(name in picture for name in named)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_relative_links_lead_somewhere(path):
    for target in LINK.findall(path.read_text(encoding="utf-8")) + PICTURE.findall(path.read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        if "://" in target or file.startswith("generated/"):  # Sphinx resolves generated pages, strictly
            continue
        place = path.parent / file if file else path
        assert place.exists(), f"{path.name}: {target}"
        if heading:
            headings = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}


def test_every_page_is_in_the_table_of_contents():
    contents = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/]+)$", contents, re.MULTILINE))
    assert {path.stem for path in PAGES} - {"index"} <= listed


def test_sources_refer_to_no_remote_asset():
    files = [path for path in DOCS.rglob("*") if path.suffix in {".html", ".css", ".js", ".md", ".svg"}]
    assert len(files) > 10
    for path in files:
        assert not REMOTE.search(path.read_text(encoding="utf-8")), path


def test_every_result_is_one_row_with_its_command():
    rows = re.findall(r"^\|(.*)\|$", (DOCS / "results.md").read_text(encoding="utf-8"), re.MULTILINE)
    rows = [[cell.strip() for cell in row.split("|")] for row in rows if not set(row) <= set("-|")]
    rows = [row for row in rows if row != ["what", "figure", "command"]]
    assert len(rows) > 50
    for row in rows:
        assert len(row) == 3
        assert re.search(r"\d|all", row[1]), row
        command = re.fullmatch(r"`(?:facegeom evaluate [^`]+|make bench|python (bench/\w+\.py))`", row[2])
        assert command, row
        assert command[1] is None or (ROOT / command[1]).is_file(), row


def test_commands_in_the_texts_exist(generate):
    commands = generate.commands()
    for path in TEXTS:
        for name in re.findall(r"facegeom (?:evaluate|prepare|train) [a-z][\w-]+", path.read_text(encoding="utf-8")):
            assert name in commands, f"{path.name}: {name}"
        for line in re.findall(r"`(facegeom [^`\n]+)`", path.read_text(encoding="utf-8")):
            command = next((name for name in commands if line.startswith(f"{name} ")), None)
            options = (
                {option for action in commands[command]._actions for option in action.option_strings} if command else ()
            )
            if command:
                assert set(re.findall(r" (--[\w-]+)", line)) <= set(options), f"{path.name}: {line}"


def test_readme_states_axes_and_units_on_its_first_page():
    first_page = "\n".join((ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:60])
    for row in (
        "| axes | right-handed: +x to the subject's left, +y up, +z out of the face toward the camera |",
        "| units | millimetres in Python, OBJ, PLY and STL; metres in GLB, as glTF requires |",
        "| scale | 63 mm between the eye centres of the mean face; a person's own distance may differ |",
        "| mesh and landmarks | in the face's own frame: frontal, origin midway between the eye centres |",
        "| pixels | centres at integers, origin at the top-left pixel, y down |",
    ):
        assert row in first_page


def test_code_in_the_texts_is_python():
    for path in TEXTS:
        for block in code_blocks(path):
            compile(block, path.name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/index.md", "docs/tutorial.md"])
def test_code_in_the_texts_runs(name, tmp_path, monkeypatch):
    from facegeom.reconstruction import demo_photo

    monkeypatch.chdir(tmp_path)
    shutil.copy(demo_photo(), "photo.jpg")
    blocks = code_blocks(ROOT / name)
    assert blocks
    code = "\n".join(block.replace('shutil.copy(demo_photo(), "photo.jpg")', "") for block in blocks)
    exec(compile(code, name, "exec"), {})
    assert Path("head.glb").stat().st_size > 1e6


@pytest.mark.slow
def test_site_builds_without_a_warning_and_loads_nothing_remote(tmp_path):
    for package in ("sphinx", "furo", "myst_parser", "numpydoc", "sphinx_copybutton", "sphinxcontrib.bibtex"):
        pytest.importorskip(package, reason="needs facegeom[docs]")
    sources = shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("generated"))
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    command = [sys.executable, "-P", "-m", "sphinx", "-W", "--keep-going", "-n", "-q", str(sources), "site"]
    env = {"PYTHONPATH": str(Path(facegeom.__file__).parents[1]), "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for path in pages:
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(
            r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]*)\"|<link\b[^>]*\bhref=\"([^\"]*)\"", text
        )
        assert not [address for pair in loaded for address in pair if re.match(r"(https?:)?//", address)], path.name
    for path in (tmp_path / "site" / "_static").rglob("*.css"):
        assert not REMOTE.search(path.read_text(encoding="utf-8")), path.name
