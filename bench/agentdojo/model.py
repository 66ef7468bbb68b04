"""The scripted model behind OpenAI's Chat Completions, on loopback.

One run at a time: `on` puts a player at the desk. A request that offers tools is a turn of the run; one that offers none asks for a plan,
and is answered with the recorded one of the task.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from player import Player

PLANS = Path(__file__).parent / "plans"


@dataclass
class Desk:
    """Where one run's player sits. `failed` tells whether the last call failed or never arrived: the worst attacker knows."""

    player: Player
    failed: Callable[[], bool]
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """The assistant's message. The same conversation gets the same one: a request may be sent again."""
        key = json.dumps(request.get("messages"), sort_keys=True)
        if key not in self.replies:
            self.replies[key] = self._turn(request["messages"]) if request.get("tools") else _said(self._plan())
        return self.replies[key]

    def _turn(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        if messages[-1]["role"] == "tool":
            self.player.hear(_text(messages[-1]["content"]), self.failed())
        step = self.player.turn()
        if step is None:
            return _said(self.player.answer() or "Done.")
        call = {"name": f"{self.player.pair.suite}_{step.tool}", "arguments": json.dumps(step.arguments, ensure_ascii=False)}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"call_{len(messages)}", "type": "function", "function": call}],
        }

    def _plan(self) -> str:
        file = PLANS / self.player.pair.suite / f"{self.player.pair.user}.plan"
        return file.read_text(encoding="utf-8") if file.exists() else ""


class Model:
    """The endpoint. `url` is its `base_url`."""

    def __init__(self) -> None:
        self._lock, self._desk = threading.Lock(), None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def end(self) -> None:
        """Closes the endpoint."""
        self._server.shutdown()
        self._server.server_close()

    def on(self, desk: Desk) -> None:
        with self._lock:
            self._desk = desk

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            if self._desk is None:
                raise RuntimeError("nobody plays")
            return self._desk.reply(request)


class _Handler(BaseHTTPRequestHandler):
    model: Model
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        message = self.model.answer(request)
        finish = "tool_calls" if message.get("tool_calls") else "stop"
        # Four characters a token, as good as any count.
        usage = {"prompt_tokens": len(str(request)) // 4, "completion_tokens": len(str(message)) // 4 + 1}
        usage["total_tokens"] = sum(usage.values())
        head = {"id": "chatcmpl-scripted", "created": 0, "model": "scripted"}
        if request.get("stream"):
            delta = message | {"tool_calls": [{"index": 0} | call for call in message["tool_calls"]]} if finish == "tool_calls" else message
            chunks = [
                {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
                {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
                {"choices": [], "usage": usage},
            ]
            lines = [json.dumps(head | {"object": "chat.completion.chunk"} | chunk) for chunk in chunks] + ["[DONE]"]
            self._send("text/event-stream", "".join(f"data: {line}\n\n" for line in lines))
        else:
            choices = [{"index": 0, "message": message, "finish_reason": finish}]
            self._send("application/json", json.dumps(head | {"object": "chat.completion", "choices": choices, "usage": usage}))

    def _send(self, kind: str, body: str) -> None:
        content = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
