"""The table of captures in fixtures/README.md, written anew after each recording."""

BEGIN, END = "<!-- captures: written by tests/lab/record.py -->\n", "<!-- end of captures -->\n"
PARTS = (
    "ws", "websockets", "aiohttp", "tornado", "uvicorn", "wsproto", "chromium", "nginx", "haproxy", "node", "python", "tcpdump", "tshark",
)


def refresh(path, scenarios, known):
    """Replaces what stands between the two marks. `scenarios`: name -> loaded scenario."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    path.write_text(before + BEGIN + table(scenarios, known) + END + after, encoding="utf-8")


def table(scenarios, known):
    used = "; ".join(f"{name} {known[name]}" for name in PARTS)
    lines = [f"Recorded with {used}; {known['kernel']}.\n\n", "| scenario | pairs (client--server) | vantages | what happens |\n", "|---|---|---|---|\n"]
    for name, scenario in sorted(scenarios.items()):
        vantages = ", ".join(one["vantage"] for one in scenario["capture"])
        lines.append(f"| `{name}` | {', '.join(scenario['pairs'])} | {vantages} | {scenario['description']} |\n")
    return "".join(lines)
