"""Debian's Chromium, headless, driven over its DevTools protocol through two pipes."""

import base64
import contextlib
import itertools
import json
import os
import selectors
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
)
PATIENCE = 60.0
PIXELS_PER_INCH = 96


def found() -> str | None:
    """Return the path of a Chromium, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(RuntimeError):
    """What the browser said went wrong."""


class Pipe:
    """Commands to the browser and its answers, each ended by a zero byte."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._out, self._in = to_browser, from_browser
        self._rest = b""
        self._numbers = itertools.count(1)
        self.events: list[Json] = []

    def send(self, method: str, session: str | None = None, **params: Any) -> Json:
        """Give a command and return its answer; events on the way are kept."""
        number = next(self._numbers)
        message: Json = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._next(until)
            if answer.get("id") != number:
                self.events.append(answer)
            elif "error" in answer:
                raise BrowserError(f"{method}: {answer['error']['message']}")
            else:
                return answer["result"]

    def wait_for(self, method: str, session: str) -> None:
        """Wait for an event that has not been taken yet, and take it."""
        until = time.monotonic() + PATIENCE
        while True:
            for event in self.events:
                if event.get("method") == method and event["sessionId"] == session:
                    self.events.remove(event)
                    return
            self.events.append(self._next(until))

    def _next(self, until: float) -> Json:
        with selectors.DefaultSelector() as selector:
            selector.register(self._in, selectors.EVENT_READ)
            while b"\0" not in self._rest:
                if not selector.select(max(until - time.monotonic(), 0)):
                    raise BrowserError(f"no answer within {PATIENCE:.0f} s")
                piece = os.read(self._in, 1 << 20)
                if not piece:
                    raise BrowserError("the browser has gone")
                self._rest += piece
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)


class Tab:
    """One page of the browser, in a context of its own."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._target = pipe.send("Target.createTarget", url="about:blank")["targetId"]
        attached = pipe.send(
            "Target.attachToTarget", targetId=self._target, flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> Json:
        """Give a command to this page."""
        return self._pipe.send(method, self._session, **params)

    def open(self, path: Path, *, scripts: bool = True) -> None:
        """Open a file, with scripts on or off, and wait until it is loaded."""
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.send("Page.navigate", url=path.as_uri())
        self._pipe.wait_for("Page.loadEventFired", self._session)

    def look(
        self,
        *,
        width: int,
        height: int = 900,
        media: str = "screen",
        scheme: str = "light",
    ) -> None:
        """Set the size of the window, the medium, and "light" or "dark"."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.send("Emulation.setEmulatedMedia", media=media, features=[feature])

    def run(self, expression: str) -> Any:
        """Return the value of an expression, a promise's once it is there."""
        answer = self.send(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        if "exceptionDetails" in answer:
            thrown = answer["exceptionDetails"]
            raise BrowserError(thrown.get("exception", thrown).get("description"))
        return answer["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and let go of a key."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def close(self) -> None:
        """Close this page."""
        self._pipe.send("Target.closeTarget", targetId=self._target)

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """Print the page on A4."""
        printed = self.send(
            "Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True
        )
        return base64.b64decode(printed["data"])

    def complaints(self) -> list[str]:
        """Return what the console and the log of this page say is wrong."""
        said = []
        for event in self._pipe.events:
            if event.get("sessionId") != self._session:
                continue
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                said.append(params["exceptionDetails"]["text"])
            if event["method"] == "Log.entryAdded":
                said.append(params["entry"]["text"])
            if event["method"] == "Runtime.consoleAPICalled":
                said.append(str(params["args"]))
        return said


@contextlib.contextmanager
def browser(program: str, profile: Path) -> Iterator[Pipe]:
    """Start a browser with a new profile, and end it and its children at the end."""
    to_us, from_browser = os.pipe()
    to_browser, from_us = os.pipe()
    process = os.posix_spawn(
        program,
        [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        {**os.environ, "HOME": str(profile)},
        # The protocol reads from file 3 and writes to file 4.
        file_actions=[
            (os.POSIX_SPAWN_DUP2, to_browser, 63),
            (os.POSIX_SPAWN_DUP2, from_browser, 64),
            (os.POSIX_SPAWN_DUP2, 63, 3),
            (os.POSIX_SPAWN_DUP2, 64, 4),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ],
        setpgroup=0,
    )
    os.close(to_browser)
    os.close(from_browser)
    pipe = Pipe(from_us, to_us)
    try:
        yield pipe
    finally:
        with contextlib.suppress(BrowserError, OSError):
            pipe.send("Browser.close")
        os.close(from_us)
        os.close(to_us)
        _end(process)


def _end(process: int) -> None:
    until = time.monotonic() + 5
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return
        time.sleep(0.02)
