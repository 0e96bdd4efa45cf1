"""The goals of docs/performance.md beside what was found."""


def table(found):
    """A table of Markdown; what was not measured or failed, which is kept as `None`, says so."""
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
    if ratio <= 0:
        return "no"
    # As many digits as show that it is off at all.
    digits = next((digits for digits in (1, 2) if round(1 / ratio, digits) > 1), 3)
    return f"no: {1 / ratio:.{digits}f} times off"


def gap(found, key):
    """What stands where there is no figure."""
    return "failed" if found.get(key, 0) is None else "not measured"


def ways(found):
    for key, store in (("ways-sqlite", "SQLite"), ("ways-postgres", "PostgreSQL + RabbitMQ")):
        for channel in ("chat", "email"):
            what = f"durable ÷ unstored, {channel}, {store}"
            goal = "≥ 0.65, or storing costs ≤ 0.06 s CPU per 1,000"
            one = found.get(key)
            if not one:
                yield what, goal, gap(found, key), None
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
            yield what, goal, gap(found, "ways-postgres"), None
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
        one = beside_peers(found, channel).get(peer)
        name = peer.title()
        for what, goal, key in (
            (f"worker CPU, {name} ÷ Loa, {channel}", cpu_goal, "uses_more_cpu"),
            (f"messages/s, Loa ÷ {name}, {channel}", speed_goal, "loa_is_faster"),
        ):
            if one:
                yield what, f"≥ {goal}", f"**{one[key]:.1f}**", one[key] / goal
            else:
                yield what, f"≥ {goal}", gap(found, f"peers-{channel}"), None


def beside_peers(found, channel):
    return (found.get(f"peers-{channel}") or {}).get("channels", {}).get(channel, {})


def alone(found):
    what, goal = "SMTP alone, 16 connections", "≥ 8,000/s"
    one = found.get("smtp")
    if not one:
        yield what, goal, gap(found, "smtp"), None
        return
    short, order = one["short_per_second"], one["order_per_second"]
    yield what, goal, f"**{short:,.0f}/s** short mails; {order:,.0f}/s of 24 KiB", short / 8_000


def urgent(found):
    what = "urgent, while bulk deliveries wait and send"
    goal = "p99 ≤ 100 ms while a million wait"
    one = found.get("urgent")
    if not one:
        yield what, goal, gap(found, "urgent"), None
        return
    bulk = f"{one['bulk_per_second']:,.0f} bulk/s meanwhile, {one['still_waiting']:,} left"
    measured = f"**{one['p99_ms']}** ms (p50 {one['p50_ms']} ms; {bulk})"
    yield what, goal, measured, 100 / one["p99_ms"]


def growth(found):
    goal = "within 1.5 × of the smallest"
    for key, store in (("growth", "PostgreSQL"), ("growth-sqlite", "SQLite")):
        one = found.get(key)
        if not one:
            yield (f"growth on {store}: accept, claim, record, search", goal, gap(found, key),
                   None)
            continue
        first, *others = one["sizes"]
        basic = ["accept", "claim", "record"]
        if not others:
            times = ", ".join(f"{what} {first[what]['ms']} ms" for what in basic)
            yield (f"growth on {store}: {first['rows']:,} rows", goal,
                   f"{times}; one size: nothing to compare", None)
        for size in others:
            figures = {what: value["times_the_smallest"] for what, value in size.items()
                       if isinstance(value, dict)}
            worst = max(figures, key=figures.get)
            parts = [f"{what.replace('_', ' ')} {figures[what]:.2f}"
                     for what in [*(what for what in basic if what != worst), worst]]
            what = f"growth on {store}: {size['rows']:,} rows against {first['rows']:,}"
            yield what, goal, f"{', '.join(parts)} (the worst)", 1.5 / figures[worst]


def slow(found):
    what, goal = "a fast provider beside one that hangs", "keeps ≥ 90 % of its rate"
    one = found.get("slow")
    if not one:
        yield what, goal, gap(found, "slow"), None
        return
    yield what, goal, f"**{one['share_kept'] * 100:.0f} %**", one["share_kept"] / 0.9


def audience(found):
    one = found.get("audience")
    recipients = one["recipients"] if one else 100_000
    what, goal = f"{recipients:,} recipients from one event", "accepted ≤ 50 ms, planned ≤ 12 s"
    if not one:
        yield what, goal, gap(found, "audience"), None
        return
    parts, ratios = [], []
    for when, key in (("", ""), ("if they are sent meanwhile, ", "_while_sending")):
        if f"planned_in_s{key}" not in one:
            continue
        accepted, planned = one[f"accepted_in_ms{key}"], one[f"planned_in_s{key}"]
        grew = f"memory + {one[f'memory_grew_by_mib{key}']:.0f} MiB"
        parts.append(f"{when}accepted in **{accepted:.0f}** ms, "
                     f"planned in **{planned:.1f}** s, {grew}")
        ratios += [50 / accepted, 12 / planned]
    yield what, goal, "; ".join(parts), min(ratios) if recipients >= 100_000 else None


def memory(found):
    for key, store in STARTS.items():
        one = found.get(key)
        rest = one and one["memory_at_rest_mib"]
        yield (f"memory at rest, {store}", "≤ 40 MiB",
               f"**{rest}** MiB" if rest else gap(found, key), 40 / rest if rest else None)
    own = {f"peers-{channel}": beside_peers(found, channel).get("loa", {}).get("peak_rss_mib")
           for channel in ("chat", "email")}
    own |= {key: (found.get(key) or {}).get("peak_memory_mib") for key in STARTS}
    shared = {key: (one or {}).get("peak_memory_mib") for key, one in found.items()
              if key not in own}
    for what, peaks in (("peak memory of the worker, a process of its own", own),
                        ("peak memory of benches, receivers and events included", shared)):
        figures = [f"{key} **{peak:.0f}** MiB" for key, peak in peaks.items() if peak]
        failed = [f"{key} failed" for key in peaks if gap(found, key) == "failed"]
        worst = max(filter(None, peaks.values()), default=None)
        yield (what, "≤ 120 MiB", ", ".join([*figures, *failed]) or "not measured",
               120 / worst if worst and not failed else None)


def start(found):
    for (key, store), most in zip(STARTS.items(), (150, None)):
        one = found.get(key)
        rows = f"{one['rows']:,}" if one else "1,000,000"
        what = f"start to ready on {store} with {rows} rows"
        goal = f"≤ {most} ms" if most else "–"
        if not one:
            yield what, goal, gap(found, key), None
            continue
        more = [f"{name} {one[figure]:.0f}" for name, figure in
                (("the slowest", "slowest_ms"), ("the first, not counted,", "first_ms"))
                if figure in one]
        yield (what, goal, f"**{one['ready_ms']:.0f}** ms ({', '.join(more)})",
               most and most / one["ready_ms"])


STARTS = {"start": "SQLite", "start-postgres": "PostgreSQL + RabbitMQ"}
PARTS = [ways, peers, alone, pace, urgent, growth, slow, audience, memory, start]
