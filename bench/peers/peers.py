"""How each peer is made ready, started, and asked how many messages it has sent."""

import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

TABLE = """
CREATE TABLE dl (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id  TEXT NOT NULL UNIQUE,
    channel   TEXT NOT NULL,
    recipient TEXT NOT NULL,
    status    SMALLINT NOT NULL,
    attempts  INTEGER NOT NULL DEFAULT 1,
    answer    TEXT,
    made_at   TIMESTAMPTZ NOT NULL DEFAULT now(),
    sent_at   TIMESTAMPTZ
)
"""


class Node:
    """One process of amqplib, handlebars, nodemailer, undici and pg."""

    name = "node"
    sent = "SELECT count(*) FROM dl WHERE status = 2"

    def install(self, _stage):
        folder = HERE / "node"
        if not (folder / "node_modules").is_dir():
            quietly(["npm", "ci", "--no-audit", "--no-fund"], folder)

    def prepare(self, stage, _channel):
        stage.psql("peers", f'SET ROLE "{stage.role}"', TABLE)

    def command(self, stage, channel):
        environment = dict(stage.places(), NODE_ENV="production")
        return ["node", HERE / "node/worker.mjs", channel], HERE / "node", environment


class Celery:
    """As many prefork processes as there are cores, each with its connections kept."""

    name = "celery"
    sent = Node.sent

    def install(self, _stage):
        folder = HERE / "celery"
        if not (folder / ".venv").is_dir():
            # Debian's interpreter is built with profile-guided optimisation; others may not be.
            python = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"
            quietly([python, "-m", "venv", ".venv"], folder)
            quietly([".venv/bin/pip", "install", "-r", "requirements.txt"], folder)

    prepare = Node.prepare

    def command(self, stage, channel):
        options = ["-P", "prefork", "-c", str(os.cpu_count()), "-Q", "peer", "--without-gossip",
                   "--without-mingle", "--without-heartbeat", "--loglevel", "warning"]
        program = HERE / "celery/.venv/bin/celery"
        environment = dict(stage.places(), CHANNEL=channel)
        return [program, "-A", "tasks", "worker", *options], HERE / "celery", environment


class Loa:
    """One process with half as many threads as there are cores, and status events going out."""

    name = "loa"
    sent = "SELECT count(*) FROM delivery WHERE state = 'sent'"

    def install(self, stage):
        event_type = (ROOT / "src/rehearsal/bench/event_type.toml").read_text()
        catalogue = stage.work / "event-types"
        catalogue.mkdir()
        for channel in ("chat", "email"):
            file = catalogue / f"bench.{channel}.toml"
            file.write_text(event_type.replace("CHANNEL", channel))
        settings = (HERE / "loa.toml").read_text()
        host, port = stage.smtp.split(":")
        values = {"WORK": stage.work, "HTTP": stage.http, "SMTP_HOST": host, "SMTP_PORT": port,
                  "AMQP_URL": stage.amqp_url, "POSTGRES_URL": stage.postgres_url}
        for name, value in values.items():
            settings = settings.replace(f"@{name}@", str(value))
        (stage.work / "loa.toml").write_text(settings)

    def prepare(self, stage, _channel):
        # A first start declares exchanges and queues.
        with stage.start(self, "chat") as worker:
            worker.await_line("taking events from RabbitMQ")

    def command(self, stage, _channel):
        # PostgreSQL and RabbitMQ take the other half of a small machine.
        threads = max(1, (os.cpu_count() or 1) // 2)
        command = [stage.loa, "run", "--threads", threads, "--config", stage.work / "loa.toml"]
        return command, stage.work, {}


PEERS = {peer.name: peer for peer in (Loa(), Node(), Celery())}


def quietly(command, folder):
    """Runs a command whose output matters only if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"bench/peers: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
