"""Renders the message that Loa's own templates make of the event: order.shipped in Vietnamese."""

import json
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

FROM = "tin@saomai.example"


def day(date):
    return f"{date[8:10]}/{date[5:7]}/{date[:4]}"


def clock(date):
    return date[11:16]


def number(value):
    return f"{value:,}".replace(",", ".")


def environment(escape):
    """Templates are compiled once and kept."""
    folder = FileSystemLoader(Path(__file__).parent / "templates")
    made = Environment(loader=folder, autoescape=escape, auto_reload=False, trim_blocks=True)
    made.filters.update(day=day, clock=clock, number=number)
    return made


html = environment(True).get_template("email.html")
text = environment(False).get_template("email.txt")
chat = environment(False).get_template("chat.txt")


def chat_body(data):
    return json.dumps({"text": chat.render(data)}, ensure_ascii=False).encode()


def mail(data, recipient):
    # The older classes of `email` take half the time of EmailMessage, and base64 a part of
    # quoted-printable's.
    made = MIMEMultipart("alternative")
    made["From"] = formataddr(("Cà phê Sao Mai", FROM))
    made["To"] = formataddr((recipient["name"], recipient["email"]))
    made["Date"] = formatdate()
    made["Message-ID"] = make_msgid(domain="saomai.example")
    made["Subject"] = Header(f"Đơn hàng {data['order_id']} đang trên đường giao", "utf-8")
    made.attach(MIMEText(text.render(data, recipient=recipient), "plain", "utf-8"))
    made.attach(MIMEText(html.render(data, recipient=recipient), "html", "utf-8"))
    return FROM, made.as_bytes()
