"""Headless Chromium, controlled by the DevTools protocol over a pipe; it needs no driver program and no web socket."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

# The browser reads commands from file descriptor 3 and writes responses to 4. The wrapper process moves the pipes there
# and then replaces itself by the browser (exec), so that terminating the process terminates the browser.
WRAPPER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); os.execv(sys.argv[3], sys.argv[3:])"
)
SWITCHES = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next((path for path in map(shutil.which, names) if path), None)


class Chromium:
    """A browser with one page, used as a context manager.

    Attributes
    ----------
    console_errors : list of str
        Warnings and errors on the console, uncaught exceptions, blocked requests.
    requests : list of str
        The URLs of all requests of the page.
    """

    def __init__(self, executable: str, width: int = 1000, height: int = 700) -> None:
        self.size = (width, height)
        self.console_errors: list[str] = []
        self.requests: list[str] = []
        self._numbers = itertools.count(1)
        self._events: list[dict[str, Any]] = []
        self._inbox = b""
        self._profile = tempfile.TemporaryDirectory(prefix="facegeom_chromium_", ignore_cleanup_errors=True)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # Descriptors above 4: the first dup2 of the wrapper must not close a descriptor that the second one needs.
        passed = [os.dup(to_read), os.dup(to_write)]
        while min(passed) <= 4:
            passed.append(os.dup(passed.pop(0)))
        command = [
            sys.executable, "-c", WRAPPER, *map(str, passed), executable, *SWITCHES,
            f"--user-data-dir={self._profile.name}", f"--window-size={width},{height}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, pass_fds=passed, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for descriptor in (to_read, to_write, *passed):
            os.close(descriptor)
        self._session: str | None = None
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            self.media()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Terminate the browser and delete its profile."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for descriptor in (self._to, self._from):
            os.close(descriptor)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; return its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._to, content) :]
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    def media(self, *, scheme: str = "light", motion: str = "reduce") -> None:
        """Set user preferences: colour scheme "light" or "dark", motion "reduce" or "no-preference"."""
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        self.call("Emulation.setEmulatedMedia", features=[{"name": k, "value": v} for k, v in features.items()])

    def open(self, path: Path) -> None:
        """Load a page from a file and wait until its `data-state` is no longer "loading"."""
        self.call("Page.navigate", url=path.resolve().as_uri())
        end = time.monotonic() + 60
        while self.run("document.documentElement?.dataset.state ?? 'loading'") == "loading":
            if time.monotonic() > end:
                raise TimeoutError(f"{path.name} is still loading; {self.console_errors}")
            time.sleep(0.05)

    def run(self, script: str) -> Any:
        """Evaluate a JavaScript expression, wait for its promise if it is one, and return the value."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def picture(self, selector: str = "body") -> npt.NDArray[np.uint8]:
        """Wait for two frames, then return a screenshot of an element, (h, w, 3) uint8 array."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")
        rectangle = self.run(f"(({{x, y, width, height}}) => ({{x, y, width, height}}))"
                             f"(document.querySelector({selector!r}).getBoundingClientRect())")  # fmt: skip
        answer = self.call("Page.captureScreenshot", format="png", clip={**rectangle, "scale": 1})
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["data"]))).convert("RGB"))

    def drag(self, selector: str, dx: float, dy: float, *, finger: bool = False) -> None:
        """Drag the mouse, or a finger on a touch screen, from the centre of an element by (dx, dy) pixels."""
        x, y = self.run(f"(({{x, y, width, height}}) => [x + width / 2, y + height / 2])"
                        f"(document.querySelector({selector!r}).getBoundingClientRect())")  # fmt: skip
        path = [(x + dx * i / 5, y + dy * i / 5) for i in range(6)]
        if finger:
            for i, (left, top) in enumerate(path):
                kind = "touchMove" if i else "touchStart"
                self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": left, "y": top}])
            self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        kinds = ["mousePressed", *["mouseMoved"] * 5, "mouseReleased"]
        for kind, (left, top) in zip(kinds, [*path, path[-1]], strict=True):
            self.call("Input.dispatchMouseEvent", type=kind, x=left, y=top, button="left", buttons=1, clickCount=1)

    def press(self, key: str) -> None:
        """Press and release a key, given by its DevTools name such as "ArrowLeft"."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def _receive(self, seconds: float = 60) -> dict[str, Any]:
        while b"\0" not in self._inbox:
            if not select.select([self._from], [], [], seconds)[0]:
                raise TimeoutError(f"no message from Chromium for {seconds} s")
            content = os.read(self._from, 1 << 20)
            if not content:
                raise RuntimeError("Chromium terminated unexpectedly")
            self._inbox += content
        line, _, self._inbox = self._inbox.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        given = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled" if given["type"] in ("error", "warning", "assert"):
                words = [str(part.get("value", part.get("description", ""))) for part in given["args"]]
                self.console_errors.append(" ".join(words))
            case "Runtime.exceptionThrown":
                details = given["exceptionDetails"]
                self.console_errors.append(details.get("exception", {}).get("description", details["text"]))
            case "Log.entryAdded" if given["entry"]["level"] in ("error", "warning"):
                self.console_errors.append(given["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(given["request"]["url"])
