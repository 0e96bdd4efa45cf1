"""The goals of docs/performance.md beside what was found."""


def table(found):
    """A table of Markdown; what was not measured says so."""
    rows = [row for part in PARTS for row in part(found)]
    lines = ["| what | goal | measured | met |", "|---|---|---|---|"]
    for what, goal, measured, ratio in rows:
        lines.append(f"| {what} | {goal} | {measured} | {verdict(ratio)} |")
    return "\n".join(lines)


def verdict(ratio):
    """`ratio` is how much of the goal was reached: 1 or more meets it."""
    if ratio is None:
        return "–"
    if ratio >= 1:
        return "yes"
    return f"no: {1 / ratio:.1f} times off" if ratio > 0 else "no"


def ways(found):
    for key, store in (("ways-sqlite", "SQLite"), ("ways-postgres", "PostgreSQL + RabbitMQ")):
        for channel in ("chat", "email"):
            what = f"durable ÷ unstored, {channel}, {store}"
            goal = "≥ 0.65, or storing costs ≤ 0.06 s CPU per 1,000"
            one = found.get(key)
            if not one:
                yield what, goal, "not measured", None
                continue
            of = one["channels"][channel]
            cost = of["c"]["cpu_seconds_per_1000"] - of["a"]["cpu_seconds_per_1000"]
            speeds = f"{of['c']['per_second']:,.0f} ÷ {of['a']['per_second']:,.0f}/s"
            ratio = max(one["ratio"][channel] / 0.65, 0.06 / max(cost, 0.001))
            measured = f"**{one['ratio'][channel]:.2f}** ({speeds}); storing costs {cost:.3f} s"
            yield what, goal, measured, ratio


def pace(found):
    for channel in ("chat", "email"):
        what = f"200 events/s, {channel}, PostgreSQL + RabbitMQ"
        goal = "p50 ≤ 4 ms, p99 ≤ 10 ms, CPU ≤ 1.1 s per 1,000"
        one = found.get("ways-postgres")
        if not one:
            yield what, goal, "not measured", None
            continue
        of = one["channels"][channel]["paced"]
        cpu = of["cpu_seconds_per_1000"]
        measured = f"p50 **{of['p50_ms']}** ms, p99 **{of['p99_ms']}** ms, CPU **{cpu:.2f}** s"
        ratio = min(4 / of["p50_ms"], 10 / of["p99_ms"], 1.1 / max(cpu, 0.001))
        yield what, goal, measured, ratio


def peers(found):
    goals = {
        ("node", "chat"): (10, 8), ("node", "email"): (10, 8),
        ("celery", "chat"): (30, 30), ("celery", "email"): (25, 20),
    }
    for (peer, channel), (cpu_goal, speed_goal) in goals.items():
        one = found.get(f"peers-{channel}", {}).get("channels", {}).get(channel, {}).get(peer)
        name = peer.title()
        for what, goal, key in (
            (f"worker CPU, {name} ÷ Loa, {channel}", cpu_goal, "uses_more_cpu"),
            (f"messages/s, Loa ÷ {name}, {channel}", speed_goal, "loa_is_faster"),
        ):
            if one:
                yield what, f"≥ {goal}", f"**{one[key]:.1f}**", one[key] / goal
            else:
                yield what, f"≥ {goal}", "not measured", None


def alone(found):
    what, goal = "SMTP alone, 16 connections", "≥ 8,000/s"
    one = found.get("smtp")
    if not one:
        yield what, goal, "not measured", None
        return
    short, order = one["short_per_second"], one["order_per_second"]
    yield what, goal, f"**{short:,.0f}/s** short mails; {order:,.0f}/s of 24 KiB", short / 8_000


def urgent(found):
    what, goal = "urgent, while a million bulk deliveries wait and send", "p99 ≤ 100 ms"
    one = found.get("urgent")
    if not one:
        yield what, goal, "not measured", None
        return
    bulk = f"{one['bulk_per_second']:,.0f} bulk/s meanwhile"
    yield what, goal, f"**{one['p99_ms']}** ms (p50 {one['p50_ms']} ms; {bulk})", 100 / one["p99_ms"]


def growth(found):
    goal = "within 1.5 × of the smallest"
    for key, store in (("growth", "PostgreSQL"), ("growth-sqlite", "SQLite")):
        one = found.get(key)
        if not one:
            yield f"growth on {store}: accept, claim, record, search", goal, "not measured", None
            continue
        for size in one["sizes"][1:]:
            figures = {key: value["times_the_smallest"] for key, value in size.items()
                       if isinstance(value, dict)}
            worst = max(figures, key=figures.get)
            parts = [f"{key.replace('_', ' ')} {figures[key]:.2f}"
                     for key in dict.fromkeys(["accept", "claim", "record", worst])]
            what = (f"growth on {store}: {size['rows']:,} rows against "
                    f"{one['sizes'][0]['rows']:,}")
            yield what, goal, f"{', '.join(parts)} (the worst)", 1.5 / figures[worst]


def slow(found):
    what, goal = "a fast provider beside one that hangs", "keeps ≥ 90 % of its rate"
    one = found.get("slow")
    if not one:
        yield what, goal, "not measured", None
        return
    yield what, goal, f"**{one['share_kept'] * 100:.0f} %**", one["share_kept"] / 0.9


def audience(found):
    what, goal = "100,000 recipients from one event", "accepted ≤ 50 ms, planned ≤ 12 s"
    one = found.get("audience")
    if not one:
        yield what, goal, "not measured", None
        return
    accepted, planned = one["accepted_in_ms"], one["planned_in_s"]
    grew = f"memory + {one['memory_grew_by_mib']:.0f} MiB"
    measured = f"accepted in **{accepted:.0f}** ms, planned in **{planned:.1f}** s; {grew}"
    yield what, goal, measured, min(50 / accepted, 12 / planned)


def memory(found):
    peaks = []
    for channel in ("chat", "email"):
        one = found.get(f"peers-{channel}", {}).get("channels", {}).get(channel, {}).get("loa")
        peaks += [one["peak_rss_mib"]] if one else []
    for key, store in (("start", "SQLite"), ("start-postgres", "PostgreSQL + RabbitMQ")):
        start = found.get(key)
        rest = start and start["memory_at_rest_mib"]
        yield (f"memory at rest, {store}", "≤ 40 MiB", f"**{rest}** MiB" if rest else "not measured",
               rest and 40 / rest)
    start = found.get("start")
    peak = max(peaks, default=None)
    yield ("peak memory of the worker beside its peers", "≤ 120 MiB",
           f"**{peak:.0f}** MiB" if peak else "not measured", peak and 120 / peak)
    what = "start to ready on SQLite with a million rows"
    ready = start and start["ready_ms"]
    measured = f"**{ready:.0f}** ms" if ready else "not measured"
    yield what, "≤ 150 ms", measured, ready and 150 / ready


PARTS = [ways, peers, alone, pace, urgent, growth, slow, audience, memory]
