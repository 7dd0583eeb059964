"""The scenarios. Each yields rows: the figures of every round of one server under one load."""

import base64
import json
import re
import time
import urllib.request

import process
import servers
from turn import KIB, template

MIB = 1 << 20
ZIPF_KEYS = 100_000
# Of the slowest server's saturation: what all of them bear.
SHARE_OF_SATURATION = 0.5
# At equal load, of every so many answers one is compared byte by byte.
COMPARE_EVERY = 16
# Of Freshet's own saturation, while purges take their part of the core.
SHARE_UNDER_PURGES = 0.3
EXACT_PURGES_PER_SECOND = 1000
KEYS_UNDER_A_PREFIX = 10_000
PREFIXES = 60
SLOW_CLIENTS = 5000
# Until what was purged in a turn is removed.
SWEEP_SECONDS_MAX = 5
# What a stored entry takes beside its body, at most, in any of the servers.
ENTRY_OVERHEAD_BYTES = 8 * KIB
# Room that a store has over what is put into it: one that is made of several parts has some that get more than others.
SLACK = 1.15


def row(scenario, server, size, connections, keys, rounds, **more):
    return {
        "scenario": scenario, "server": server, "size": size, "connections": connections, "keys": keys,
        "rounds": rounds, **more,
    }


def in_turn(bench, running, measure, rounds=None):
    """Rounds of one turn for each variant of each server, as many as the bench has; the turns' figures by variant."""
    turns = [(server, variant) for server in running for variant in server.ports]
    figures = {variant: [] for _, variant in turns}
    for number in range(rounds or bench.rounds):
        first = number % len(turns)  # Another one begins each round, so that none always follows the same one.
        for server, variant in turns[first:] + turns[:first]:
            figures[variant].append(measure(server, variant))
    return figures


def started(bench, kinds, store_bytes, size):
    """Servers that are checked; Freshet comes first, so that the bare server gives as many fields."""
    running, fields = [], None
    try:
        for kind in kinds:
            server = kind(bench)
            if kind is servers.Bare and fields:
                server.fields = fields
            server.start(store_bytes)
            running.append(server)
            count = bench.turns.check_hits(server, size)
            if kind is servers.Bare and fields and count != fields:
                raise process.Failed(f"the bare server gives {count} fields, Freshet {fields}")
            fields = count if kind is servers.Freshet else fields
    except BaseException:
        stop(running)
        raise
    return running


def stop(running):
    for server in running:
        server.stop()


def caches(bench):
    """Those that have an origin."""
    return [kind for kind in bench.kinds if kind is not servers.Bare]


def hits(bench, scenarios):
    """Hot and Zipf at 1 and 64 connections, and the times at a load that all bear."""
    for size in bench.sizes:
        rows = []
        keys = ZIPF_KEYS if not bench.quick else 1000
        if "zipf" in scenarios:
            # Every server holds all keys at once; a machine that has less memory takes fewer keys.
            bound = process.available_bytes() // 2 // len(bench.kinds) // (size + ENTRY_OVERHEAD_BYTES)
            keys = max(100, min(keys, bound))
            if keys < ZIPF_KEYS and not bench.quick:
                bench.say(f"{size} B: {keys} keys instead of {ZIPF_KEYS}, for want of memory")
        else:
            keys = 1
        store_bytes = max(64 * MIB, round(SLACK * keys * (size + ENTRY_OVERHEAD_BYTES)))
        running = started(bench, bench.kinds, store_bytes, size)
        try:
            if keys > 1:
                bench.say(f"{size} B: {keys} keys are filled")
                for server in running:
                    bench.turns.fill(server, size, keys)
            for scenario, count in (("hot", 1), ("zipf", keys)):
                if scenario not in scenarios:
                    continue
                for connections in bench.connections:
                    bench.say(f"{scenario}, {size} B, {connections} connections")
                    figures = in_turn(bench, running, lambda server, variant: bench.turns.wrk(
                        server, variant, size, connections, count, bench.seconds))
                    rows += [row(scenario, variant, size, connections, count, rounds)
                             for variant, rounds in figures.items()]
            if "equal" in scenarios:
                rows += equal(bench, running, size)
        finally:
            stop(running)
        yield rows


def equal(bench, running, size):
    """Times at half of what the slowest bears, at a constant rate, each counted from when it was due.

    In many short turns: where the machine itself stops for a moment, few of them and not their median are its own. And of
    most bodies the bytes are counted alone: copying and comparing them all, the client had no time for the next answer.
    """
    connections = max(bench.connections)
    saturation = in_turn_once(bench, running, size, connections)
    rate = SHARE_OF_SATURATION * min(saturation.values())
    bench.say(f"equal load, {size} B: {rate:.0f} requests a second")
    plan = {"rate": rate, "seconds": bench.seconds / 2, "order": "one", "compare_every": COMPARE_EVERY}
    rounds = bench.rounds if bench.quick else 4 * bench.rounds
    figures = in_turn(bench, running, lambda server, variant: bench.turns.drive(
        server, variant, size, connections, **plan), rounds)
    return [row("equal", variant, size, connections, 1, rounds, offered=rate) for variant, rounds in figures.items()]


def in_turn_once(bench, running, size, connections):
    seconds = min(bench.seconds, 2)
    return {
        variant: bench.turns.wrk(server, variant, size, connections, 1, seconds)["rate"]
        for server in running for variant in server.ports
    }


def threads(bench):
    """Freshet with two listener threads on one core, and with one, at the same load."""
    size, connections = bench.sizes[0], max(bench.connections)
    running = started(bench, [servers.Freshet, servers.TwoThreads], 64 * MIB, size)
    try:
        rate = SHARE_OF_SATURATION * min(in_turn_once(bench, running, size, connections).values())
        bench.say(f"two threads on one core: {rate:.0f} requests a second")
        figures = in_turn(bench, running, lambda server, variant: bench.turns.drive(
            server, variant, size, connections, rate=rate, seconds=bench.seconds, order="one"))
    finally:
        stop(running)
    return [row("threads", variant, size, connections, 1, rounds, offered=rate)
            for variant, rounds in figures.items()]


def purges(bench):
    """Hits with and without purges: 1000 URLs a second, and one prefix of 10 000 filled entries a second.

    In many short turns: a p99 of seconds is the machine's own as much as the server's, and its median is not.
    """
    size, connections = KIB, max(bench.connections)
    seconds = 2
    turns = bench.rounds if bench.quick else max(bench.rounds, PREFIXES // seconds)
    prefixes = seconds * turns
    under = 500 if bench.quick else KEYS_UNDER_A_PREFIX
    keys = 1000 if bench.quick else ZIPF_KEYS
    exact = EXACT_PURGES_PER_SECOND * prefixes
    entries = prefixes * under + keys + exact
    server = servers.Freshet(bench)
    server.start(max(64 * MIB, entries * 3 * KIB))
    variant = next(iter(server.ports))
    figures = {"without": [], "under purges": []}
    try:
        bench.turns.check_hits(server, size)
        bench.say(f"purges: {entries} entries are filled")
        bench.turns.fill(server, size, keys)
        bench.turns.fill(server, size, exact, template=template(size, "exact"))
        for prefix in range(prefixes):
            bench.turns.fill(server, size, under, template=template(size, f"prefix-{prefix}"))
        rate = SHARE_UNDER_PURGES * bench.turns.wrk(server, variant, size, connections, keys, 2)["rate"]
        bench.say(f"purges: {rate:.0f} hits a second, {turns} turns of {seconds} s each with and without")
        plan = {"rate": rate, "seconds": seconds, "order": "zipf", "keys": keys}
        for turn in range(turns):
            figures["without"].append(bench.turns.drive(server, variant, size, connections, **plan))
            before = stored(server)
            figures["under purges"].append(bench.turns.drive(
                server, variant, size, connections, **plan, seed=turn + 8,
                purge_to=f"127.0.0.1:{server.admin_port}", purge_key=servers.FRESHET_KEY,
                purge_template=f"http://{process.HOST}" + template(size, "exact"),
                purge_rate=EXACT_PURGES_PER_SECOND, purge_from=EXACT_PURGES_PER_SECOND * seconds * turn,
                prefix_template=f"http://{process.HOST}/{size}/prefix-{{}}/*", prefix_rate=1,
                prefix_from=seconds * turn,
            ))
            for lane in figures["under purges"][-1]["purges"]:
                if lane["errors"]:
                    raise process.Failed(f"purges: {lane}")
            # A purge of nothing would cost no hit anything. The store counts the last removals a little late, and what is
            # swept after a turn is no part of the next.
            exact_lane, prefix_lane = figures["under purges"][-1]["purges"]
            wanted = exact_lane["requests"] + under * prefix_lane["requests"]
            end = time.monotonic() + SWEEP_SECONDS_MAX
            while (removed := before - stored(server)) < 0.99 * wanted and time.monotonic() < end:
                time.sleep(0.1)
            if removed < 0.9 * wanted:
                raise process.Failed(f"purges: {removed} keys went, of {wanted} that were purged")
    finally:
        server.stop()
    return [row("purges", kind, size, connections, keys, rounds, offered=rate) for kind, rounds in figures.items()]


def stored(server):
    """How many keys it has, once nothing is under way in it."""
    settle(server)
    credentials = base64.b64encode(f"{servers.FRESHET_KEY}:".encode()).decode()
    fields = {"Authorization": f"Basic {credentials}"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.admin_port}/metrics", headers=fields)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(float(re.search(r"^freshet_cache_entries (\S+)$", answer.read().decode(), re.M)[1]))


def crowd(bench):
    """Hits with and without a crowd of slow clients on the same listener (`crowd.py`)."""
    size, connections = KIB, max(bench.connections)
    count, large = (500 if bench.quick else SLOW_CLIENTS), MIB
    server = servers.Freshet(bench)
    server.start(64 * MIB)
    variant = next(iter(server.ports))
    figures = {"without": [], "beside slow clients": []}
    try:
        bench.turns.check_hits(server, size)
        bench.turns.check_hits(server, large)
        rate = SHARE_OF_SATURATION * bench.turns.wrk(server, variant, size, connections, 1, 2)["rate"]
        bench.say(f"crowd: {count} slow clients, {rate:.0f} hits a second")
        plan = {"rate": rate, "seconds": bench.seconds, "order": "one"}
        for _ in range(bench.rounds):
            figures["without"].append(bench.turns.drive(server, variant, size, connections, **plan))
            held = bench.turns.crowd(server, variant, count, template(large).replace("{}", "0"))
            settle(server)  # Their answers' beginnings have gone out: from here on they only wait.
            figures["beside slow clients"].append(bench.turns.drive(server, variant, size, connections, **plan))
            bench.processes.end(held)
    finally:
        server.stop()
    return [row("crowd", kind, size, connections, 1, rounds, offered=rate) for kind, rounds in figures.items()]


def settle(server):
    """Until it uses next to no CPU."""
    busy = True
    while busy:
        before = process.cpu(server.process.pid)
        time.sleep(0.3)
        busy = process.cpu_since(before, server.process.pid) > 0.02


def misses(bench, name, fresh_share):
    """Requests of which a share is for what was never asked for before."""
    rows = []
    connections = max(bench.connections)
    for size in [size for size in bench.sizes if size <= 20 * KIB]:
        keys = 1000
        store_bytes = 1024 * MIB
        running = started(bench, caches(bench), store_bytes, size)
        try:
            for server in running:
                bench.turns.fill(server, size, keys)
            bench.say(f"{name}, {size} B")
            serial = iter(range(1, 1_000_000))
            figures = in_turn(bench, running, lambda server, variant: bench.turns.drive(
                server, variant, size, connections, seconds=bench.seconds, order="zipf", keys=keys,
                fresh_share=fresh_share, fresh_template=template(size, "fresh"), seed=next(serial)))
            rows += [row(name, variant, size, connections, keys, rounds) for variant, rounds in figures.items()]
        finally:
            stop(running)
    return rows


def cold(bench):
    """From the start of the process: until the first answer, and then a load by Zipf's law on an empty store."""
    size, connections = bench.sizes[0], max(bench.connections)
    keys = 1000 if bench.quick else ZIPF_KEYS
    figures = {}
    bench.say("cold start")
    for _ in range(bench.rounds):
        for kind in caches(bench):
            server = kind(bench)
            took = server.start(1024 * MIB)
            variant = next(iter(server.ports))
            try:
                turn = bench.turns.drive(server, variant, size, connections, seconds=bench.seconds, order="zipf",
                                         keys=keys)
            finally:
                server.stop()
            turn["start_ms"] = took * 1e3
            turn["origin_share"] = turn["asked_of_origin"] / turn["requests"]
            figures.setdefault(variant, []).append(turn)
    return [row("cold", variant, size, connections, keys, rounds) for variant, rounds in figures.items()]


def memory(bench):
    """The resident set at rest against cache.max_bytes, after churn; and what an idle connection takes."""
    # Each: the bound, then bodies and how many of them are asked for, in turn: twice what fits, at least.
    big = [
        (1700 * MIB, [(KIB, 1_300_000), (20 * KIB, 100_000), (KIB, 1_300_000)]),
        (3100 * MIB, [(300 * KIB, 13_000), (KIB, 1_000_000), (300 * KIB, 13_000)]),
    ]
    small = [(64 * MIB, [(KIB, 60_000), (20 * KIB, 4_000), (300 * KIB, 300), (KIB, 60_000)])]
    rows = idle_connections(bench)
    for max_bytes, fills in small if bench.quick else big:
        server = servers.Freshet(bench)
        server.start(max_bytes)
        try:
            variant = next(iter(server.ports))
            for number, (size, count) in enumerate(fills):
                bench.say(f"memory: {max_bytes // MIB} MiB, {count} bodies of {size} B")
                bench.turns.fill(server, size, count, template=template(size, f"churn-{number}"))
                turn = {"resident": at_rest(server.pid), "max_bytes": max_bytes}
                turn["ratio"] = max(0, turn["resident"] - 64 * MIB) / max_bytes
                rows.append(row("memory", variant, size, 16, count, [turn]))
        finally:
            server.stop()
    return rows


def idle_connections(bench):
    """What one takes after its first answer, in a server that has freed nothing that it could use again."""
    connections = 200 if bench.quick else 1000
    server = servers.Freshet(bench)
    server.start(64 * MIB)
    try:
        bench.turns.check_hits(server, KIB)
        before = at_rest(server.pid)
        holder = bench.turns.hold(server, next(iter(server.ports)), connections)
        turn = {"bytes": (at_rest(server.pid) - before) / connections}
        bench.processes.end(holder)
    finally:
        server.stop()
    return [row("idle connection", "Freshet", KIB, connections, 1, [turn])]


def at_rest(pid):
    """The resident set once it has stopped to change."""
    last, same = process.resident_bytes(pid), 0
    while same < 4:
        time.sleep(0.5)
        now = process.resident_bytes(pid)
        same = same + 1 if abs(now - last) < MIB else 0
        last = now
    return last


def parts(bench):
    """benches/hit.rs: nanoseconds and allocations of each part of a hit, in one process."""
    bench.say("parts of a hit")
    home = bench.folder / "criterion"
    command = ["env", f"CRITERION_HOME={home}", bench.hit, "--bench", *(["--quick"] if bench.quick else [])]
    output = bench.turns.run(command, bench.server_core)
    counted = dict(re.findall(r"^(\S.*?) +allocations: ([0-9.]+)$", output, re.MULTILINE))
    nanoseconds = {}
    for path in home.glob("**/new/benchmark.json"):
        name = json.loads(path.read_text())["full_id"]
        nanoseconds[name] = json.loads(path.with_name("estimates.json").read_text())["median"]["point_estimate"]
    return [row("parts", name, KIB, 1, 1, [{"allocations": float(count), "ns": nanoseconds.get(name)}])
            for name, count in counted.items()]


ALL = ["parts", "hot", "zipf", "equal", "threads", "purges", "crowd", "misses", "mix", "cold", "memory"]


def run(bench, names):
    """The rows of the named scenarios, as they come."""
    if "parts" in names:
        yield parts(bench)
    if {"hot", "zipf", "equal"} & set(names):
        yield from hits(bench, names)
    for name, scenario in (("threads", threads), ("purges", purges), ("crowd", crowd)):
        if name in names:
            yield scenario(bench)
    for name, fresh_share in (("misses", 1.0), ("mix", 0.1)):
        if name in names:
            yield misses(bench, name, fresh_share)
    for name, scenario in (("cold", cold), ("memory", memory)):
        if name in names:
            yield scenario(bench)
