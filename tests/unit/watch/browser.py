"""Debian's chromium without a window, spoken to in its own protocol through pipes: no other program is needed.

https://chromedevtools.github.io/devtools-protocol/; messages are JSON that end with a zero byte.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium")
WHY_NOT = "needs chromium (Debian: apt install chromium)"
PATIENCE_SECS = 120.0


class Browser:
    """One page. `problems` are the exceptions and errors on its console so far."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        command_read, self._commands = os.pipe()
        self._answers, answer_write = os.pipe()

        def as_3_and_4() -> None:
            spare = os.dup(answer_write), os.dup(command_read)
            os.dup2(spare[1], 3)
            os.dup2(spare[0], 4)

        self._process = subprocess.Popen(
            [
                *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *(f"--user-data-dir={folder}", "--no-first-run", "--disable-background-networking"),
                *("--remote-debugging-pipe", "about:blank"),
            ],
            close_fds=False,
            preexec_fn=as_3_and_4,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_read)
        os.close(answer_write)
        self.problems: list[str] = []
        self._number = 0
        self._buffer = b""
        target = next(each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = ""
        attached = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def ask(self, method: str, **values: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": values}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                found: dict[str, Any] = answer["result"]
                return found

    def open(self, address: str) -> None:
        self.ask("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until it is true."""
        deadline = time.monotonic() + PATIENCE_SECS
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < deadline, (expression, self.value("document.body.innerText")[:2000])
            time.sleep(0.1)

    def resize(self, width: int, height: int, mobile: bool = False) -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def appear(self, media: str = "", scheme: str = "light") -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "char", "keyUp") if key == "Enter" else ("rawKeyDown", "keyUp"):
            text = {"text": "\r"} if kind == "char" else {}
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._answers], [], [], PATIENCE_SECS)[0], "chromium does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "chromium has ended"
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        self._note(message)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        values = message.get("params", {})
        told: dict[str, Callable[[], str]] = {
            "Runtime.exceptionThrown": lambda: json.dumps(values["exceptionDetails"])[:500],
            "Log.entryAdded": lambda: values["entry"]["text"] if values["entry"]["level"] == "error" else "",
            "Runtime.consoleAPICalled": lambda: json.dumps(values["args"])[:500] if values["type"] == "error" else "",
        }
        if (kind := message.get("method", "")) in told and (text := told[kind]()):
            self.problems.append(text)
