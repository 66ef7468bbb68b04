"""Serves one suite's tools over MCP.

    python server.py SUITE PAIR.json [--http PORT]

Over stdio without `--http`, else streamable HTTP on 127.0.0.1. `PAIR.json` says which pair is on (`user`, `injection` or null, `log`: a file,
`serial`: any number): each new `serial` begins with a fresh environment. Each call is a line of the log: an object of `tool`, `arguments`
and `failed`. What the tools changed is judged from there (`world.judged`), by the same code on the same calls.
"""

import argparse
import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from suites import SUITES, input_schema, suite
from world import Pair, World


class Stage:
    """The pair that is on."""

    def __init__(self, name: str, file: Path) -> None:
        self._name, self._file = name, file
        self._text, self._log = "", Path()
        self._world: World | None = None

    def call(self, tool: str, arguments: dict[str, Any]) -> tuple[str, bool]:
        text = self._file.read_text(encoding="utf-8")
        if self._world is None or text != self._text:
            said = json.loads(text)
            self._world = World(Pair(self._name, said["user"], said["injection"]))
            self._text, self._log = text, Path(said["log"])
        result, failed = self._world.call(tool, arguments)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"tool": tool, "arguments": arguments, "failed": failed}) + "\n")
        return result, failed


def server(name: str, file: Path) -> Server[Any]:
    """The MCP server of the suite `name`."""
    stage = Stage(name, file)
    tools = [
        types.Tool(name=tool.name, description=tool.description, input_schema=input_schema(tool)) for tool in suite(name).tools
    ]

    async def list_tools(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def call_tool(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        text, failed = stage.call(params.name, params.arguments or {})
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)

    return Server(f"agentdojo-{name}", on_list_tools=list_tools, on_call_tool=call_tool)


async def over_stdio(it: Server[Any]) -> None:
    async with stdio_server() as (read, write):
        await it.run(read, write, it.create_initialization_options())


class Served:
    """The tools over streamable HTTP on 127.0.0.1, by a thread of this process: importing AgentDojo takes longer than many pairs. A context
    manager."""

    def __init__(self, name: str, file: Path, port: int) -> None:
        config = uvicorn.Config(server(name, file).streamable_http_app(), host="127.0.0.1", port=port, log_level="warning")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self.url = f"http://127.0.0.1:{port}/mcp"

    def __enter__(self) -> "Served":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def alive(self) -> bool:
        return self._thread.is_alive()


def main() -> None:
    arguments = argparse.ArgumentParser(description="AgentDojo's tools over MCP")
    arguments.add_argument("suite", choices=SUITES)
    arguments.add_argument("pair", type=Path)
    arguments.add_argument("--http", type=int, metavar="PORT")
    given = arguments.parse_args()
    it = server(given.suite, given.pair)
    if given.http is None:
        asyncio.run(over_stdio(it))
    else:
        uvicorn.run(it.streamable_http_app(), host="127.0.0.1", port=given.http, log_level="warning")


if __name__ == "__main__":
    main()
