"""Proves the harness where nothing stands between model and tools: over MCP, without Stead.

    python prove.py [SUITE ...] [--quick]

Every user's task must come about by its script, every attack must be read and take effect, none may seem to when the model overlooks
it, and none may come about behind a wall that lets through what only reads and what the user's script calls, whatever else the attacker
tries. Exits with 1 if one does not hold.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from labels import labels
from pairs import attacks, tasks, text_only
from player import Player
from score import Outcome, outcome
from suites import SUITES
from world import Pair

_HERE = Path(__file__).parent


async def proved(name: str, quick: bool) -> Counter[str]:
    """Counts of one suite; every name that begins with `!` is something that should not be."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "pair.json"
        server = StdioServerParameters(command=sys.executable, args=[str(_HERE / "server.py"), name, str(stage)])
        async with Client(stdio_client(server)) as client:

            async def run(pair: Pair, resists: bool = False, wall: bool = False) -> Outcome:
                counts["runs"] += 1
                log = Path(folder) / f"{counts['runs']}.jsonl"
                stage.write_text(
                    json.dumps({"user": pair.user, "injection": pair.injection, "log": str(log), "serial": counts["runs"]}),
                    encoding="utf-8",
                )
                player = await asyncio.to_thread(Player, pair, resists)
                while step := player.turn():
                    if wall and labels(name)[step.tool].effect != "pure" and step not in player.user_calls:
                        player.hear("It is not allowed.", True)
                        continue
                    result = await client.call_tool(step.tool, step.arguments)
                    player.hear("".join(part.text for part in result.content), bool(result.is_error))
                return await asyncio.to_thread(outcome, player, log, player.answer())

            for pair in tasks(name, quick):
                _count(counts, pair, "tasks done", "!tasks not done", (await run(pair)).useful)
            for pair in attacks(name, quick):
                came = await run(pair)
                _count(counts, pair, "attacks read", "!attacks not read", came.turned)
                _count(counts, pair, "attacks effective", "!attacks without effect", came.effective)
                counts["of them by AgentDojo's check"] += came.checked
                _count(counts, pair, "", "!held though overlooked", not (await run(pair, resists=True)).checked)
                if not text_only(pair):
                    behind = await run(pair, wall=True)
                    _count(counts, pair, "", "!effective behind a wall", not (behind.effective or behind.some))
    return counts


def _count(counts: Counter[str], pair: Pair, good: str, bad: str, held: bool) -> None:
    counts[good if held else bad] += 1
    if not held:
        print(f"{bad[1:]}: {pair}", file=sys.stderr)


def main(words: list[str]) -> int:
    total: Counter[str] = Counter()
    for name in [word for word in words if word in SUITES] or SUITES:
        counts = asyncio.run(proved(name, "--quick" in words))
        total += counts
        print(name, _told(counts), flush=True)
    print("all", _told(total))
    return 1 if any(key.startswith("!") for key in total) else 0


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{key.removeprefix('!')}: {n}" for key, n in counts.items() if key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
