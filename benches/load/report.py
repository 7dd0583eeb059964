"""Medians, ratios against the bars, the Markdown and the plots."""

import pathlib
from statistics import median

import plot

KIB = 1 << 10
MIB = 1 << 20
BEGIN, END = "<!-- scripts/load --write-docs: begin -->", "<!-- scripts/load --write-docs: end -->"
# In README.md the short form comes before this.
NEXT_IN_README = "## Configuration"
HEADING = "## Hits against other caches"
NGINX, OURS = "nginx", "Freshet"

# CPU a hit, 64 connections, one hot key: at most so many times the other's.
CPU_BARS = {
    "nginx": {KIB: 0.75, 20 * KIB: 0.80, 200 * KIB: 1.03},
    "HAProxy": {KIB: 0.75, 20 * KIB: 0.75, 200 * KIB: 0.70},
    "Varnish": {KIB: 0.35, 20 * KIB: 0.45, 200 * KIB: 0.80},
    "bare hyper": {KIB: 1.20},
}
P99_BAR, THREADS_BAR, PURGES_BAR, CROWD_BAR, MEMORY_BAR, CONNECTION_BAR = 1.1, 1.10, 1.5, 1.5, 1.15, 32 * KIB
ALLOCATIONS_BAR = 3
OWN_ALLOCATIONS = "a hit, in our own code"


def size_name(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def middle(row, figure):
    return median(turn[figure] for turn in row["rounds"])


def select(rows, **wanted):
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def paired(ours, other, figure):
    """The median of the rounds' ratios: what is common to a round, such as a busy machine, cancels out."""
    return median(mine[figure] / max(theirs[figure], 1e-9) for mine, theirs in zip(ours["rounds"], other["rounds"]))


def best(rows, figure):
    return min(rows, key=lambda row: middle(row, figure), default=None)


def ratios(rows):
    """[(what, value, bar or None)], each at most the bar."""
    found = []
    top = max((row["connections"] for row in rows if row["scenario"] in ("hot", "equal")), default=0)
    for size in sorted({row["size"] for row in rows}):
        for scenario in ("hot", "zipf"):
            at = select(rows, scenario=scenario, size=size, connections=top)
            ours = best([row for row in at if row["server"] == OURS], "cpu_us")
            for name, bars in CPU_BARS.items():
                other = best([row for row in at if row["server"].startswith(name)], "cpu_us")
                if ours and other:
                    bar = bars.get(size) if scenario == "hot" else None
                    key = "one hot key" if scenario == "hot" else "Zipf"
                    what = f"CPU a hit, {size_name(size)}, {top} connections, {key}: against {other['server']}"
                    found.append((what, paired(ours, other, "cpu_us"), bar))
        at = select(rows, scenario="equal", size=size, connections=top)
        ours = best([row for row in at if row["server"] == OURS], "p99_us")
        peer = best([row for row in at if row["server"].startswith((NGINX, "HAProxy", "Varnish"))], "p99_us")
        if ours and peer:
            what = f"p99 at {ours['offered']:.0f} requests a second, {size_name(size)}: against {peer['server']}"
            found.append((what, paired(ours, peer, "p99_us"), P99_BAR))
    at = {row["server"]: row for row in select(rows, scenario="threads")}
    if at:
        what = "CPU a hit, two listener threads on one core, against one"
        found.append((what, paired(at["Freshet, two threads"], at[OURS], "cpu_us"), THREADS_BAR))
    at = {row["server"]: row for row in select(rows, scenario="purges")}
    if at:
        what = f"hits' p99 under purges, at {at['without']['offered']:.0f} requests a second, against without"
        found.append((what, paired(at["under purges"], at["without"], "p99_us"), PURGES_BAR))
    at = {row["server"]: row for row in select(rows, scenario="crowd")}
    if at:
        what = f"hits' p99 beside slow clients, at {at['without']['offered']:.0f} requests a second, against without"
        found.append((what, paired(at["beside slow clients"], at["without"], "p99_us"), CROWD_BAR))
    for row in select(rows, scenario="parts", server=OWN_ALLOCATIONS):
        found.append(("allocations a hit in our own code", row["rounds"][0]["allocations"], ALLOCATIONS_BAR))
    for row in select(rows, scenario="memory"):
        turn = row["rounds"][0]
        what = (f"resident set less 64 MiB against cache.max_bytes = {turn['max_bytes'] // MIB} MiB, "
                f"after {row['keys']} bodies of {size_name(row['size'])}")
        found.append((what, turn["ratio"], MEMORY_BAR))
    for row in select(rows, scenario="idle connection"):
        what = f"KiB of an idle connection, of {row['connections']}"
        found.append((what, row["rounds"][0]["bytes"] / KIB, CONNECTION_BAR / KIB))
    return found


def verdict(value, bar):
    return "" if bar is None else "met" if value <= bar else "**missed**"


def ratio_table(rows):
    lines = ["| figure | value | bar | |", "|---|---|---|---|"]
    for what, value, bar in ratios(rows):
        lines.append(f"| {what} | {value:.2f} | {'' if bar is None else f'≤ {bar:.2f}'} | {verdict(value, bar)} |")
    return "\n".join(lines)


def figure_table(rows):
    lines = [
        "| load | size | connections | server | CPU µs a request | requests a second | p50 µs | p99 µs | p99.9 µs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if "cpu_us" in row["rounds"][0]:
            load = row["scenario"] + (f", {row['keys']} keys" if row["keys"] > 1 else "")
            figures = " | ".join(
                plot.shown(middle(row, figure)) for figure in ("cpu_us", "rate", "p50_us", "p99_us", "p999_us")
            )
            lines.append(f"| {load} | {size_name(row['size'])} | {row['connections']} | {row['server']} | {figures} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def parts_table(rows):
    lines = []
    for row in select(rows, scenario="parts"):
        turn = row["rounds"][0]
        nanoseconds = "" if turn["ns"] is None else plot.shown(turn["ns"])
        lines.append(f"| {row['server']} | {nanoseconds} | {turn['allocations']:.1f} |")
    head = ["| part | ns | allocations |", "|---|---|---|"]
    return "\n".join(head + lines) if lines else ""


def parts(rows):
    """The table with what it shows, or nothing where the parts were not measured."""
    table = parts_table(rows)
    return table and f"""\
Part by part, in one process (`benches/hit.rs`); a whole request is one over loopback with client and server on one
thread, and our own code's allocations are those that a bare hyper server with as many fields does not make:

{table}"""


def purge_lines(rows):
    """What the purges themselves took, and how a cold start went."""
    lines = []
    for row in select(rows, scenario="purges", server="under purges"):
        for name, lane in (("of one URL", 0), ("of a prefix", 1)):
            turns = [turn["purges"][lane] for turn in row["rounds"]]
            count = sum(turn["requests"] for turn in turns)
            p50, p99 = (median(turn[figure] for turn in turns) / 1e3 for figure in ("p50_us", "p99_us"))
            lines.append(f"- {count} purges {name}, acknowledged after p50 {p50:.1f} ms, p99 {p99:.1f} ms.")
    for row in select(rows, scenario="cold"):
        lines.append(f"- Cold start of {row['server']}: the first answer after {middle(row, 'start_ms'):.0f} ms; then "
                     f"{middle(row, 'origin_share') * 100:.1f} % of {middle(row, 'rate'):.0f} requests a second "
                     f"went to the origin.")
    return "\n".join(lines)


def plots(rows):
    """SVG by file name."""
    drawn = {}
    for name, scenario, figure, title, axis in [
        ("load-cpu.svg", "hot", "cpu_us", "CPU of a hit, one hot key", "µs of CPU a hit (less is better)"),
        ("load-cpu-zipf.svg", "zipf", "cpu_us", "CPU of a hit, Zipf's law", "µs of CPU a hit (less is better)"),
        ("load-rate.svg", "hot", "rate", "Hits a second on one core", "hits a second (more is better)"),
        ("load-p99.svg", "equal", "p99_us", "99th percentile at equal load", "µs (less is better)"),
        ("load-misses.svg", "misses", "cpu_us", "CPU of a miss", "µs of CPU a request (less is better)"),
    ]:
        at = select(rows, scenario=scenario)
        top = max((row["connections"] for row in at), default=0)
        panels = []
        for size in sorted({row["size"] for row in at}):
            of_size = select(at, size=size, connections=top)
            entries = []
            for row in of_size:
                turns = [turn[figure] for turn in row["rounds"]]
                entries.append((row["server"], median(turns), min(turns), max(turns)))
            offered = of_size[0].get("offered")
            more = f", {offered:.0f} requests a second" if offered else ""
            panels.append((f"{size_name(size)}, {top} connections{more}", entries))
        if panels:
            drawn[name] = plot.bars(title, axis, panels)
    return drawn


def markdown(result, images):
    rows = result["rows"]
    captions = {
        "load-cpu.svg": "CPU of a hit by server and size", "load-cpu-zipf.svg": "The same over many keys",
        "load-rate.svg": "Hits a second by server and size", "load-p99.svg": "p99 at equal load by server and size",
        "load-misses.svg": "CPU of a miss by server and size",
    }
    pictures = "\n\n".join(f"![{captions[name]}](plots/{name})" for name in images)
    return f"""{BEGIN}
{HEADING}

Command: `{result["command"]}`. Machine: {result["machine"]}. {result["date"]}, Freshet at {result["commit"]}.

{result["rounds"]} rounds of {result["seconds"]} s a turn, the servers in turn; the server on one core, load and origin
on another. Before its turns every variant is checked: the origin's bytes, from its store. A turn in which the origin was
asked, or any answer was an error, ends the bench. CPU is user and system time of the server and its workers. What is
shown is the median of the rounds; a ratio is the median of the rounds' ratios. At equal load all are asked
half of what the slowest bears, in four times as many turns of half the time, and a time counts from when its request was
due. Hits come by `wrk`; all else, and all at a constant rate, by the bench's own client, which compares every byte, at
equal load those of every 16th answer.

{ratio_table(rows)}

{purge_lines(rows)}

{pictures}

{parts(rows)}

{figure_table(rows)}

{END}
"""


def short_form(result):
    """README's: the CPU of a hit by size, each server with its best settings for the size."""
    at = select(result["rows"], scenario="hot")
    top = max((row["connections"] for row in at), default=0)
    sizes = sorted({row["size"] for row in at})
    names = [OURS, NGINX, "HAProxy", "Varnish", "bare hyper"]
    lines = ["| µs of CPU a hit | " + " | ".join(map(size_name, sizes)) + " |", "|---" * (len(sizes) + 1) + "|"]
    for name in names:
        of_size = [best([row for row in select(at, size=size, connections=top) if row["server"].startswith(name)],
                        "cpu_us") for size in sizes]
        if any(of_size):
            cells = (plot.shown(middle(row, "cpu_us")) if row else "" for row in of_size)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    table = "\n".join(lines)
    return f"""{BEGIN}
## How fast

{top} connections on one core, one hot key, each server with its best settings for the size; the bare server over hyper
keeps no rules of HTTP's. More, and how it was measured: `docs/performance.md`.

{table}

{END}
"""


def write_docs(result, root):
    """The sections in docs/performance.md and README.md, in their places if they are there, and the plots."""
    root = pathlib.Path(root)
    images = plots(result["rows"])
    (root / "docs" / "plots").mkdir(parents=True, exist_ok=True)
    for name, svg in images.items():
        (root / "docs" / "plots" / name).write_text(svg)
    put(root / "docs" / "performance.md", markdown(result, images), None, "# Performance\n")
    if select(result["rows"], scenario="hot"):
        put(root / "README.md", short_form(result), NEXT_IN_README, "")


def put(page, section, before, otherwise):
    """Replaces the section that stands between the marks, or adds it before a heading, or at the end."""
    text = page.read_text() if page.exists() else otherwise
    if BEGIN in text:
        head, rest = text.split(BEGIN, 1)
        tail = rest.split(END, 1)[1].lstrip("\n")
    elif before and before in text:
        head, tail = text.split(before, 1)
        tail = before + tail
    else:
        head, tail = text.rstrip("\n") + "\n\n", ""
    page.write_text(head + section + ("\n" + tail if tail else ""))
