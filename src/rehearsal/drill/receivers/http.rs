//! The gateway behind webhook, Slack and SMS: one connection.

use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::{LONGEST, say_nothing};
use crate::rehearsal::drill::manner::Manner;
use crate::rehearsal::drill::tally::{Mark, Tally};

/// The head of a request, as far as it matters.
#[derive(Debug, Default)]
struct Head {
    path: String,
    length: usize,
    webhook_id: Option<String>,
}

/// Takes requests one after the other until either side ends the connection.
pub(super) async fn take_requests(stream: TcpStream, tally: Arc<Tally>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let head = read_head(&mut read).await?;
        let manner = tally.next_manner();
        if manner == Some(Manner::CutsBefore) || head.length > LONGEST {
            return None;
        }
        let mut body = vec![0; head.length];
        read.read_exact(&mut body).await.ok()?;
        tally.note(mark(&head, &body), manner);
        let Some(manner) = manner else {
            write.write_all(&answer(200, "", "ok")).await.ok()?;
            continue;
        };
        match manner {
            Manner::TooMany => write.write_all(&answer(429, "retry-after: 1\r\n", "slow")).await,
            Manner::Broken => write.write_all(&answer(500, "", "broken")).await,
            Manner::Refuses => write.write_all(&answer(400, "", "no")).await,
            Manner::Hangs => return say_nothing(&mut read).await,
            Manner::CutsBefore | Manner::CutsAfter => return None,
            Manner::BreaksOff => {
                let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nok";
                write.write_all(half).await.ok()?;
                return None;
            }
            Manner::Garbage => {
                write.write_all(b"\x16\x03\x01\x02\x00\x01 no HTTP at all\r\n\r\n").await.ok()?;
                return None;
            }
        }
        .ok()?;
    }
}

async fn read_head(read: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Head> {
    let mut head = Head::default();
    let mut line = String::new();
    loop {
        line.clear();
        read.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
        let text = line.trim_end();
        if text.is_empty() {
            return Some(head);
        }
        if head.path.is_empty() {
            text.split(' ').nth(1)?.clone_into(&mut head.path);
            continue;
        }
        let (name, value) = text.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.trim().parse().ok()?;
        } else if name.eq_ignore_ascii_case("webhook-id") {
            head.webhook_id = Some(value.trim().to_owned());
        }
    }
}

/// What tells this message from others, as a receiver of its sort would look for it.
fn mark(head: &Head, body: &[u8]) -> Mark {
    match head.path.as_str() {
        "/hook" => head.webhook_id.as_deref().map_or(Mark::Unknown, Mark::of_id),
        "/team" => Mark::of_text(body),
        "/sms" => {
            let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
            body.get("id").and_then(Value::as_str).map_or(Mark::Unknown, Mark::of_id)
        }
        _ => Mark::Unknown,
    }
}

fn answer(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}
