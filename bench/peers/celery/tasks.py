"""A Celery application that sends a message for each event, and keeps what became of it.

AMQP_URL, POSTGRES_URL, HTTP_SINK and SMTP_SINK say where things are; the queue is called `peer`, the
table `dl`. Each process of the pool keeps its connections to all of them.
"""

import os
import smtplib
import socket

import psycopg
import requests
from celery import Celery
from celery.signals import worker_process_init
from kombu import Queue

import message

CHANNEL = os.environ["CHANNEL"]

app = Celery("tasks", broker=os.environ["AMQP_URL"])
app.conf.update(
    task_queues=[Queue("peer", durable=True, queue_arguments={"x-queue-type": "quorum"})],
    task_default_queue="peer",
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=100,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"socket_settings": {socket.TCP_NODELAY: 1}},
)

INSERT = (
    "INSERT INTO dl (event_id, channel, recipient, status) VALUES (%s, %s, %s, 1) "
    "ON CONFLICT (event_id) DO UPDATE SET attempts = dl.attempts + 1 RETURNING id"
)
UPDATE = "UPDATE dl SET status = 2, answer = %s, sent_at = now() WHERE id = %s"

db = gateway = relay = None


@worker_process_init.connect
def connect(**_):
    """Opens what this process keeps for all its tasks."""
    global db, gateway, relay
    # TLS on loopback would be a burden that nobody else carries here.
    db = psycopg.connect(os.environ["POSTGRES_URL"], autocommit=True, sslmode="disable")
    if CHANNEL == "chat":
        gateway = requests.Session()
        # Else every request looks for proxies in the environment.
        gateway.trust_env = False
    else:
        host, port = os.environ["SMTP_SINK"].split(":")
        relay = smtplib.SMTP(host, int(port), local_hostname="localhost")
        relay.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        relay.ehlo()


def send(data, recipient):
    """Hands the message over; returns what the other side said."""
    if CHANNEL == "chat":
        answer = gateway.post(
            f"http://{os.environ['HTTP_SINK']}/",
            data=message.chat_body(data),
            headers={"content-type": "application/json"},
        )
        answer.raise_for_status()
        return str(answer.status_code)
    sender, mail = message.mail(data, recipient)
    relay.sendmail(sender, recipient["email"], mail)
    return "250"


@app.task(name="tasks.notify")
def notify(event):
    """Sends the message of one event."""
    data = event["data"]
    recipient = data["recipients"][0]
    to = recipient.get("email") or recipient["chat"]
    row = db.execute(INSERT, (event["id"], CHANNEL, to)).fetchone()
    answer = send(data, recipient)
    db.execute(UPDATE, (answer, row[0]))
