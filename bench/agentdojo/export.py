"""Writes what a writer of plans may see, and nothing else: `SUITE/tools.json`, `SUITE/declared.json` and `SUITE/prompts.json`.

    python export.py FOLDER

`tools.json` has for each tool its name at the MCP server, the name by which the model and a plan call it, its description, and the
schemas of arguments and result. `declared.json` has the same as `check_plans` reads it, with what `labels/SUITE.yaml` says of effects, content,
recipients and trust. `prompts.json` has the user tasks' texts by id. No environment, no ground truth and no injection
is read by this program: of AgentDojo's suites it touches `tools` and each task's `PROMPT`.
"""

import json
import sys
from pathlib import Path

from labels import labels
from suites import SUITES, input_schema, output_schema, suite


def main(folder: Path) -> None:
    for name in SUITES:
        tools = [
            {
                "name": tool.name,
                "called": f"{name}_{tool.name}",
                "description": tool.description,
                "arguments": input_schema(tool),
                "result": output_schema(tool),
            }
            for tool in suite(name).tools
        ]
        declared = [
            {
                "name": tool["called"],
                "arguments": tool["arguments"],
                "result": tool["result"],
                "effect": said.effect != "pure",
                "content": said.content,
                "recipients": said.recipients,
                "trust": said.trust,
                "readers": said.readers,
            }
            for tool in tools
            for said in [labels(name)[tool["name"]]]
        ]
        prompts = {task: suite(name).user_tasks[task].PROMPT for task in sorted(suite(name).user_tasks, key=number)}
        out = folder / name
        out.mkdir(parents=True, exist_ok=True)
        for file, content in (("tools.json", tools), ("declared.json", declared), ("prompts.json", prompts)):
            (out / file).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {len(tools)} tools, {len(prompts)} prompts")


def number(task: str) -> int:
    """`user_task_12` -> 12."""
    return int(task.rsplit("_", 1)[1])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python export.py FOLDER")
    main(Path(sys.argv[1]))
