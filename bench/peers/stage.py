"""What the runs stand on: RabbitMQ, PostgreSQL and receivers of their own, and the clock."""

import json
import os
import re
import select
import subprocess
import time
from pathlib import Path

from process import Worker, tree_time

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# A run that takes longer is broken, not slow.
PATIENCE = 300
# Before a steady pace is measured, so many messages; and how long it is kept up.
WARM_UP, PACED_SECONDS = 400, 10


class Broken(Exception):
    """A run that does not count, and why."""


class Stage:
    def __init__(self, work, loa):
        self.work, self.loa = work, loa.resolve()
        self.installed = set()

    def __enter__(self):
        try:
            self.postgres = self._service("postgres", "durable")
            self.rabbitmq = self._service("rabbitmq")
            self.amqp_url = self.control("rabbitmq", "url")
            base = self.control("postgres", "url").rsplit("/", 1)[0]
            # Loa and its peers have no rights over others; what is between their runs needs some.
            self.role = base.split("//")[1].split("@")[0].split(":")[0]
            admin = re.sub("//[^@]*@", "//postgres@", base)
            self.postgres_url, self.admin_url = f"{base}/peers", f"{admin}/postgres"
            # Loa serves its console as well, so it may take what ports it likes; these are the sinks'.
            self.sinks = subprocess.Popen([self.loa, "bench", "--receive"], bufsize=0,
                                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.unread = b""
            places = self.told()
            self.http, self.smtp = places["http"], places["smtp"]
            version = self.control("rabbitmq", "ctl", "version")
            self.rabbitmq_version = version.splitlines()[-1]
            self.postgres_version = self.ask("postgres", "SHOW server_version").split()[0]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if getattr(self, "sinks", None):
            self.sinks.stdin.close()
            self.sinks.wait()
        for service in ("rabbitmq", "postgres"):
            subprocess.run([ROOT / "tests/services.sh", service, self.work / service, "remove"],
                           capture_output=True)

    def _service(self, name, *options):
        command = [ROOT / "tests/services.sh", name, self.work / name, "create", *options]
        if subprocess.run(command, stdout=subprocess.DEVNULL).returncode:
            raise Broken(f"{name} does not start")
        return self.work / name

    def control(self, service, *verb):
        done = subprocess.run([self.work / service / "control", *verb], capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"{service} {' '.join(verb)}: {done.stderr}")
        return done.stdout.strip()

    def psql(self, database, *statements):
        url = self.admin_url.rsplit("/", 1)[0] + f"/{database}"
        options = [argument for statement in statements for argument in ("-c", statement)]
        done = subprocess.run([newest_psql(), url, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1",
                               *options], capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"psql: {done.stderr}")
        return done.stdout

    ask = psql

    def places(self):
        """What a peer is told by its environment."""
        return {"AMQP_URL": self.amqp_url, "POSTGRES_URL": self.postgres_url,
                "HTTP_SINK": self.http, "SMTP_SINK": self.smtp}

    def start(self, peer, channel):
        command, folder, environment = peer.command(self, channel)
        return Worker(command, folder, dict(os.environ, **environment), self.work / "worker.log")

    def told(self, worker=None):
        """The next answer of the receivers; none comes from a worker that has gone or is stuck."""
        until = time.monotonic() + PATIENCE
        while b"\n" not in self.unread:
            if select.select([self.sinks.stdout], [], [], 1)[0]:
                read = os.read(self.sinks.stdout.fileno(), 4096)
                if not read:
                    raise Broken("the receivers have gone")
                self.unread += read
            elif time.monotonic() > until or (worker and worker.is_gone()):
                raise Broken(f"the worker is gone or stuck; its last words:\n{worker.last_words()}")
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def tell(self, line):
        self.sinks.stdin.write(f"{line}\n".encode())

    # --- One run -----------------------------------------------------------------------------------

    def run(self, peer, channel, count):
        """Fills the queue, then starts the worker and watches it until all is sent."""
        self.prepare(peer, channel)
        self.fill(peer, channel, count)
        self.psql("peers", "CHECKPOINT")
        self.tell(count)
        with self.start(peer, channel) as worker:
            began = self.mark(worker, 10)
            ended = self.mark(worker, 95)
            self.mark(worker, 100)
            self.await_rows(peer, count)
            peak, share = worker.peak_memory()
        self.tell("count")
        came = self.told()["count"]
        if came != count:
            raise Broken(f"{peer.name}: {came} messages came of {count}")
        return figures(peer, channel, count, (began, ended), (peak, share))

    def pace(self, peer, channel, rate):
        """Publishes at a steady pace to a worker that is warm, and says what each message costs."""
        self.prepare(peer, channel)
        self.fill(peer, channel, WARM_UP)
        count = rate * PACED_SECONDS
        with self.start(peer, channel) as worker:
            self.await_rows(peer, WARM_UP)
            time.sleep(2)
            began = self.used(worker)
            self.fill(peer, channel, count, WARM_UP, rate)
            self.await_rows(peer, WARM_UP + count)
            ended = self.used(worker)
        used = {what: (ended[what] - began[what]) * 1000 / count for what in ended}
        return {"peer": peer.name, "channel": channel, "rate": rate, "messages": count, **used}

    def prepare(self, peer, channel):
        if peer.name not in self.installed:
            peer.install(self)
            self.installed.add(peer.name)
        self.psql("postgres", "DROP DATABASE IF EXISTS peers WITH (FORCE)", f"CREATE DATABASE peers OWNER {self.role}")
        peer.prepare(self, channel)

    def fill(self, peer, channel, count, *pace):
        if not (HERE / "node/node_modules").is_dir():
            subprocess.run(["npm", "ci", "--silent"], cwd=HERE / "node", check=True)
        numbers = [str(number) for number in (count, *pace)]
        done = subprocess.run(["node", HERE / "node/fill.mjs", peer.name, channel, *numbers],
                              env=dict(os.environ, **self.places()), capture_output=True, text=True)
        if done.returncode:
            raise Broken(f"the queue could not be filled: {done.stderr}")

    def mark(self, worker, percent):
        """Waits until so many messages came; what everything had used by then."""
        told = self.told(worker)
        if told.get("percent") != percent:
            raise Broken(f"the receivers said {told}")
        return {"at": told["at"], **self.used(worker)}

    def used(self, worker):
        """Processor time of everything so far, in seconds."""
        return {"worker": worker.time(), "postgres": self._used("postgres"),
                "rabbitmq": self._used("rabbitmq")}

    def _used(self, service):
        file = {"postgres": "data/postmaster.pid", "rabbitmq": "pid"}[service]
        first = (self.work / service / file).read_text().split()[0]
        return tree_time(int(first))

    def await_rows(self, peer, count):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            sent = int(self.ask("peers", peer.sent))
            if sent == count:
                return
            time.sleep(0.1)
        raise Broken(f"{peer.name}: {sent} rows say sent of {count}")


def figures(peer, channel, count, marks, memory):
    began, ended = marks
    took = ended["at"] - began["at"]
    messages = count * 0.85

    def per_1000(what):
        return (ended[what] - began[what]) * 1000 / messages

    return {
        "peer": peer.name, "channel": channel, "messages": count, "seconds": round(took, 2),
        "per_second": messages / took, "cpu_per_1000": per_1000("worker"),
        "postgres_cpu_per_1000": per_1000("postgres"), "rabbitmq_cpu_per_1000": per_1000("rabbitmq"),
        "cores": (ended["worker"] - began["worker"]) / took,
        "peak_rss_mib": memory[0] / 1024, "pss_mib": memory[1] / 1024,
    }


def newest_psql():
    found = Path("/usr/lib/postgresql").glob("*/bin/psql")
    newest = max(found, key=lambda path: int(re.sub(r"\D", "", path.parts[4]) or 0), default="psql")
    return str(newest)
