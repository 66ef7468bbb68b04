"""Stead as a process of its own: started once for a suite, asked over its API."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = 60.0
"""Seconds that a process may take to answer."""


class Stead:
    """`stead serve` on a fresh data folder. A context manager; its end is SIGTERM."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary, self._data = binary, folder / "data"
        self._url = f"http://127.0.0.1:{free_port()}"
        config = folder / "stead.toml"
        config.write_text(
            f'listen = "{self._url.removeprefix("http://")}"\ndata_dir = "{self._data}"\n\n[agents]\nenv = ["AGENTDOJO_KEY"]\n', encoding="utf-8"
        )
        self._command = [str(binary), "serve", "--config", str(config)]
        self._log = folder / "stead.log"

    def __enter__(self) -> "Stead":
        environment = os.environ | {"AGENTDOJO_KEY": "none-is-needed"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        try:
            # It listens before it has written its token.
            answers(lambda: self._process.poll() is None, self._url, self._data / "token")
            self._token = (self._data / "token").read_text(encoding="utf-8").strip()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.terminate()
        self._process.wait()

    def apply(self, manifest: str) -> None:
        """Applies an agent."""
        self._ask("POST", "/v1/agents", {"bundle": {"format": 1, "manifest": manifest}})

    def start(self, agent: str, text: str) -> str:
        """Starts a run; gives its id."""
        return self._ask("POST", "/v1/runs", {"agent": agent, "input": text})["run"]

    def stands(self, run: str, until: float) -> dict[str, Any]:
        """The run, when it has ended or waits for a human. `until`, by the monotonic clock, it must."""
        while True:
            if time.monotonic() > until:
                raise RuntimeError(f"{run} takes too long")
            shown = self._ask("GET", f"/v1/runs/{run}?wait=60s&until=waiting")
            if shown["status"] in ("completed", "failed", "cancelled") or (shown["status"] == "waiting" and self.asked(run)):
                return shown

    def asked(self, run: str) -> list[dict[str, Any]]:
        """What a human is asked in a run."""
        return self._ask("GET", f"/v1/approvals?run={run}&limit=500")["items"]

    def settle(self, approval: str, approved: bool) -> None:
        """Answers for the human."""
        self._ask("POST", f"/v1/approvals/{approval}/{'approve' if approved else 'deny'}", {})

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(self._url + path, method=method, headers={"Authorization": f"Bearer {self._token}"})
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


def answers(alive: Callable[[], bool], url: str, file: Path | None = None) -> None:
    """Returns when something accepts connections at `url`, and `file` is there; `alive` tells whether that can still be."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    end = time.monotonic() + START
    while time.monotonic() < end:
        if not alive():
            raise RuntimeError(f"what should listen at {url} has ended before it answered")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            if file is None or file.exists():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"nothing answers at {url}")
