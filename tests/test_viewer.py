"""The HTML viewer page: its content, and its behaviour in a browser."""

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from chromium import Chromium, find_chromium
from facegeom import FacegeomError, FaceMesh, load_face_model
from facegeom.face_model.blendshapes import arkit_blendshapes
from facegeom.mesh import gltf, viewer

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "python" / "facegeom" / "mesh" / "viewer"

TRIANGLE = FaceMesh([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]], [[0, 1, 2]])
SHAPES = ("jawOpen", "eyeBlinkLeft", "mouthSmileLeft")
SMILE = 0.25
SKIN = np.array([206, 160, 136])


class Outline(HTMLParser):
    """Parser that collects the attributes of all tags, and the text of title, h1, style and scripts."""

    def __init__(self, page):
        super().__init__()
        self.attributes = []
        self.texts = {}
        self._open = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        self._open = dict(attrs).get("id", tag) if tag == "script" else tag

    def handle_data(self, data):
        self.texts[self._open] = self.texts.get(self._open, "") + data

    def handle_endtag(self, tag):
        self._open = None

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A replacement for the JavaScript bundle, so that the page can be tested without npm."""
    path = tmp_path / "lib" / "bundle.js"
    path.parent.mkdir()
    path.write_text("const braces = '{{title}}';")
    monkeypatch.setattr(viewer, "BUNDLE", path)
    return path


@pytest.fixture(scope="module")
def head():
    """The mean head with a skin-coloured texture, a visible front, three blendshapes and a smile."""
    model = load_face_model()
    shapes = arkit_blendshapes(model)
    return FaceMesh(
        model.mean,
        model.faces,
        uv=model.uv,
        uv_faces=model.uv_faces,
        texture=np.broadcast_to(SKIN.astype(np.uint8), (64, 64, 3)),
        seen=(model.mean[:, 2] > -20).astype(float),
        blendshapes={name: shapes[name] for name in SHAPES},
        weights={"mouthSmileLeft": SMILE},
    )


@pytest.mark.usefixtures("bundle")
def test_page_contains_the_complete_model(head):
    texts = Outline(viewer.page(head)).texts
    assert base64.b64decode(texts["model"], validate=True) == gltf.encode(head, "meshopt")


@pytest.mark.usefixtures("bundle")
def test_page_has_no_external_references():
    outline = Outline(viewer.page(TRIANGLE))
    assert outline.values("src") == []
    assert outline.values("href") == ["data:,"]
    assert "url(" not in outline.texts["style"]
    assert "@import" not in outline.texts["style"]
    policy = next(value for value in outline.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


@pytest.mark.usefixtures("bundle")
@pytest.mark.parametrize("title", ["</title><script>alert(1)</script>", '"><b>', "A & B", "{{model}}", "Zoë"])
def test_title_is_escaped(title):
    outline = Outline(viewer.page(TRIANGLE, title))
    assert outline.texts["title"] == outline.texts["h1"] == title
    assert outline.values("aria-label")[0] == title
    assert not [tag for tag, *_ in outline.attributes if tag == "b"]
    assert outline.texts["script"] == "const braces = '{{title}}';"  # braces in the script are not replaced


@pytest.mark.usefixtures("bundle")
def test_suffix_html_saves_a_page_titled_by_the_file_name(tmp_path):
    TRIANGLE.save(tmp_path / "my head.HTML")
    content = (tmp_path / "my head.HTML").read_text(encoding="utf-8")
    assert content == viewer.page(TRIANGLE, "my head")


def test_missing_bundle_is_an_error_and_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "BUNDLE", tmp_path / "absent.js")
    with pytest.raises(FacegeomError, match="make viewer"):
        TRIANGLE.save(tmp_path / "head.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("bundle")
def test_mesh_without_triangles_is_an_error():
    with pytest.raises(FacegeomError, match="triangles"):
        viewer.page(FaceMesh(np.zeros((3, 3)), np.zeros((0, 3), int)))


def test_script_uses_only_elements_that_the_page_has():
    template = (SOURCE / "page.html").read_text(encoding="utf-8")
    there = set(re.findall(r'\bid="([\w-]+)"', template))
    program = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "src").glob("*.js"))
    asked = set(re.findall(r'(?:byId|getElementById)\("([\w-]+)"\)', program))
    assert asked
    assert asked <= there


def test_dependencies_are_pinned_and_the_lock_file_names_no_host():
    package = json.loads((SOURCE / "package.json").read_text())
    lock = (SOURCE / "package-lock.json").read_text()
    packages = json.loads(lock)["packages"]
    for name, version in {**package["dependencies"], **package["devDependencies"]}.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert packages[f"node_modules/{name}"]["version"] == version
    assert all("integrity" in entry for path, entry in packages.items() if path)
    assert "http" not in lock
    assert f"three.js {package['dependencies']['three']} " in (ROOT / "NOTICE").read_text(encoding="utf-8")


needs_bundle = pytest.mark.skipif(not viewer.BUNDLE.exists(), reason="the viewer's bundle is absent: make viewer")


@needs_bundle
def test_bundle_is_one_small_script_with_its_licence():
    content = viewer.BUNDLE.read_text(encoding="utf-8")
    assert len(content) < 1e6
    assert "</script" not in content.lower()
    assert "@license" in content
    assert "Three.js Authors" in content


@pytest.fixture(scope="module")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip("Chromium is not installed (Debian: apt install chromium)")
    with Chromium(executable, 740, 400) as chromium:
        yield chromium


@pytest.fixture
def shown(browser, head, tmp_path):
    """The browser after loading the page of the head."""
    head.save(tmp_path / "head.html")
    browser.console_errors.clear()
    browser.requests.clear()
    browser.open(tmp_path / "head.html")
    return browser


def slide(browser, name, weight):
    browser.run(
        f"(slider => {{ slider.value = {weight}; slider.dispatchEvent(new Event('input')); }})"
        f"(document.getElementById('shape-{name}'))"
    )


def click(browser, name):
    browser.run(f"document.getElementById({name!r}).click()")


def change(a, b):
    """Return the mean absolute difference of two pictures in each of four horizontal strips, from top to bottom."""
    difference = np.abs(a.astype(int) - b.astype(int)).mean(axis=(1, 2))
    return np.array([rows.mean() for rows in np.array_split(difference, 4)])


@needs_bundle
def test_page_displays_the_head_and_loads_nothing(shown):
    assert shown.run("document.documentElement.dataset.state") == "ready"
    picture = shown.picture("#view").astype(int)
    height, width = picture.shape[:2]
    middle = picture[height // 4 : -height // 4, 2 * width // 5 : 3 * width // 5].reshape(-1, 3)
    assert np.abs(np.median(middle, axis=0) - SKIN).max() < 30
    assert (np.diff(middle, axis=1) < 0).all(axis=1).mean() > 0.95  # red > green > blue: skin colour
    assert middle.std(axis=0).min() > 5  # with shading
    corners = picture[[3, 3, -4, -4], [3, -4, 3, -4]]
    assert np.ptp(corners, axis=1).max() < 12  # gray background around it
    skin = picture[:, :, 0] - picture[:, :, 2] > 20
    rows, columns = np.flatnonzero(skin.any(axis=1)), np.flatnonzero(skin.any(axis=0))
    assert 0.6 * height < np.ptp(rows) < 0.98 * height  # the head fills the view and is not cropped
    assert abs(columns.mean() - width / 2) < 0.03 * width
    assert shown.console_errors == []
    assert [address.split(":")[0] for address in shown.requests if not address.startswith("data:")] == ["file", "blob"]


@needs_bundle
def test_slider_changes_its_part_of_the_face(shown):
    plain = shown.picture("#view")
    slide(shown, "jawOpen", 1)
    top, _, _, bottom = change(plain, shown.picture("#view"))
    assert bottom > 2
    assert top < 0.1
    click(shown, "reset")
    assert change(plain, shown.picture("#view")).max() < 0.1
    assert shown.run("document.getElementById('shape-mouthSmileLeft').value") == str(SMILE)
    click(shown, "neutral")
    assert shown.run("document.getElementById('shape-mouthSmileLeft').value") == "0"
    assert change(plain, shown.picture("#view")).max() > 0.1
    assert shown.console_errors == []


@pytest.mark.slow
@needs_bundle
def test_switches_show_visibility_and_wireframe(shown):
    plain = shown.picture("#view").astype(int)
    click(shown, "seen")
    front = shown.picture("#view").astype(int)
    height, width = plain.shape[:2]
    middle = np.s_[height // 2 - 20 : height // 2 + 20, width // 2 - 20 : width // 2 + 20]
    assert (front[middle][..., 2] > front[middle][..., 0]).all()  # blue: visible
    assert shown.run("document.getElementById('legend').hidden") is False
    shown.run("document.getElementById('view').focus()")
    for _ in range(30):  # rotation by 180 degrees
        shown.press("ArrowLeft")
    back = shown.picture("#view").astype(int)
    assert (back[middle][..., 0] > back[middle][..., 2] + 60).all()  # orange: inferred
    shown.press("Home")
    shown.run("document.activeElement.blur()")  # removes the focus ring
    click(shown, "seen")
    assert change(plain, shown.picture("#view")).max() < 0.1
    click(shown, "wireframe")
    wires = shown.picture("#view").astype(int)
    assert wires[middle][..., 0].mean() < plain[middle][..., 0].mean() - 10  # the wireframe is green
    assert shown.console_errors == []


@pytest.mark.slow
@needs_bundle
def test_touch_drag_rotates_the_head(shown):
    plain = shown.picture("#view")
    shown.drag("#view", 60, 0, finger=True)
    assert change(plain, shown.picture("#view")).max() > 5
    assert shown.console_errors == []


@pytest.mark.slow
@needs_bundle
def test_reset_stops_a_rotation_with_inertia(browser, head, tmp_path):
    head.save(tmp_path / "head.html")
    browser.media(motion="no-preference")
    try:
        browser.open(tmp_path / "head.html")
        plain = browser.picture("#view")
        browser.drag("#view", 60, 0)
        assert change(plain, browser.picture("#view")).max() > 5
        click(browser, "reset-view")
        assert change(plain, browser.picture("#view")).max() < 0.1
        assert change(plain, browser.picture("#view")).max() < 0.1
    finally:
        browser.media()


@needs_bundle
def test_slider_search_and_labels(shown):
    found = """(query => {
        const search = document.getElementById("search");
        search.value = query;
        search.dispatchEvent(new Event("input"));
        return [...document.querySelectorAll(".slider")].filter((row) => row.checkVisibility()).map((row) => row.title);
    })"""
    assert shown.run(f"{found}('')") == []  # groups are collapsed at first
    assert shown.run(f"{found}('left smile')") == ["mouthSmileLeft"]
    assert shown.run(f"{found}('nowhere')") == []
    labels = shown.run("[...document.querySelectorAll('.slider label')].map((label) => label.textContent)")
    assert labels == ["Eye blink left", "Jaw open", "Mouth smile left"]
    unnamed = "[...document.querySelectorAll('input')].filter((i) => !i.labels.length && !i.ariaLabel).length"
    assert shown.run(unnamed) == 0


@pytest.mark.slow
@needs_bundle
def test_view_adapts_to_the_window_size(shown):
    shown.call("Emulation.setDeviceMetricsOverride", width=390, height=600, deviceScaleFactor=1, mobile=False)
    try:
        picture = shown.picture("#view").astype(int)
        assert picture.shape[1] == 390
        columns = np.flatnonzero((picture[:, :, 0] - picture[:, :, 2] > 20).any(axis=0))
        assert 3 < columns[0] < columns[-1] < 387  # the whole head is visible
        assert np.ptp(columns) > 120
    finally:
        shown.call("Emulation.setDeviceMetricsOverride", width=740, height=400, deviceScaleFactor=1, mobile=False)


@pytest.mark.slow
@needs_bundle
@pytest.mark.parametrize("colored", [True, False], ids=["colours", "plain"])
def test_mesh_without_blendshapes_has_no_sliders(browser, head, tmp_path, colored):
    colors = np.broadcast_to(np.uint8([40, 60, 200]), head.vertices.shape) if colored else None
    browser.console_errors.clear()
    FaceMesh(head.vertices, head.faces, colors=colors).save(tmp_path / "face.html")
    browser.open(tmp_path / "face.html")
    assert browser.run("document.getElementById('expression').hidden") is True
    picture = browser.picture("#view").astype(int)
    red, _, blue = picture[picture.shape[0] // 2, picture.shape[1] // 2]
    assert (blue > red + 80) if colored else abs(blue - red) < 30
    assert browser.console_errors == []


@needs_bundle
def test_page_reports_a_damaged_model(browser, tmp_path):
    path = tmp_path / "bad.html"
    content = viewer.page(TRIANGLE)
    path.write_text(re.sub(r'(id="model">)[^<]+', r"\1AAAA", content), encoding="utf-8")
    browser.open(path)
    assert browser.run("document.documentElement.dataset.state") == "failed"
    assert browser.run("document.getElementById('message').textContent").startswith("The model cannot be shown")
