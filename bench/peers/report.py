"""Medians of the runs, and how Loa stands to each peer."""

from statistics import median

FIGURES = ["per_second", "cpu_per_1000", "postgres_cpu_per_1000", "rabbitmq_cpu_per_1000", "cores",
           "peak_rss_mib", "pss_mib"]


def line(run):
    return (f"{run['per_second']:.0f}/s, CPU {run['cpu_per_1000']:.3f} s per 1,000, "
            f"peak {run['peak_rss_mib']:.0f} MiB, {run['seconds']:.1f} s measured")


def summary(runs):
    """The runs, the medians of each peer, and the ratios of one to the other."""
    result = {"runs": runs, "channels": {}}
    for channel in dict.fromkeys(run["channel"] for run in runs):
        peers = {}
        for peer in dict.fromkeys(run["peer"] for run in runs if run["channel"] == channel):
            own = [run for run in runs if (run["peer"], run["channel"]) == (peer, channel)]
            peers[peer] = {name: median(run[name] for run in own) for name in FIGURES}
            peers[peer]["runs"] = len(own)
            for name in ("per_second", "cpu_per_1000"):
                peers[peer][f"{name}_range"] = [min(run[name] for run in own),
                                                max(run[name] for run in own)]
        for peer, figures in peers.items():
            if peer != "loa" and "loa" in peers:
                loa = peers["loa"]
                figures["loa_is_faster"] = loa["per_second"] / figures["per_second"]
                figures["uses_more_cpu"] = figures["cpu_per_1000"] / loa["cpu_per_1000"]
        result["channels"][channel] = peers
    return result


def table(result):
    """A table of Markdown for each channel."""
    lines = []
    for channel, peers in result["channels"].items():
        lines += [f"{channel}", "",
                  "| peer | runs | messages/s (from..to) | Loa ÷ peer | worker CPU s per 1,000 (from..to) "
                  "| peer ÷ Loa | PostgreSQL CPU | RabbitMQ CPU | cores | peak RSS MiB (PSS) |",
                  "|---|---|---|---|---|---|---|---|---|---|"]
        for peer, one in peers.items():
            low, high = one["per_second_range"]
            least, most = one["cpu_per_1000_range"]
            cells = [
                peer, one["runs"], f"{one['per_second']:.0f} ({low:.0f}..{high:.0f})",
                f"{one.get('loa_is_faster', 1):.1f}",
                f"{one['cpu_per_1000']:.3f} ({least:.3f}..{most:.3f})",
                f"{one.get('uses_more_cpu', 1):.1f}",
                f"{one['postgres_cpu_per_1000']:.3f}", f"{one['rabbitmq_cpu_per_1000']:.3f}",
                f"{one['cores']:.2f}", f"{one['peak_rss_mib']:.0f} ({one['pss_mib']:.0f})",
            ]
            lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)


def paces(runs):
    """A table of Markdown of what a message costs each peer at a steady pace."""
    lines = ["| peer | messages/s | channel | worker CPU s per 1,000 | PostgreSQL CPU | RabbitMQ CPU |",
             "|---|---|---|---|---|---|"]
    for run in runs:
        used = " | ".join(f"{run[what]:.2f}" for what in ("worker", "postgres", "rabbitmq"))
        lines.append(f"| {run['peer']} | {run['rate']} | {run['channel']} | {used} |")
    return "\n".join(lines)
