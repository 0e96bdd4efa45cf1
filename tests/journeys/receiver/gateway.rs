//! A gateway behind chat and SMS providers, answering as scripted.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use loa::lifecycle::Tasks;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Arrivals;

/// What the gateway does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Answers with a status, headers of its own (each ending in CRLF) and a body.
    Answer { status: u16, headers: String, body: String },
    /// Answers 200 once [`Gateway::release`] lets it.
    Hold,
    /// Cuts the connection before it has read the body.
    CutBeforeTheBody,
    /// Reads the whole request and cuts the connection instead of answering.
    CutAfterTheBody,
}

impl Reply {
    /// 200 in the words that Slack uses.
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: String::new(), body: "ok".to_owned() }
    }

    /// 429 with `Retry-After`.
    pub(crate) fn too_many(retry_after: &str) -> Self {
        let headers = format!("retry-after: {retry_after}\r\n");
        Self::Answer { status: 429, headers, body: "slow down".to_owned() }
    }
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// When it had arrived.
    pub(crate) at: Instant,
    pub(crate) path: String,
    /// Headers by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body; a text if it is no JSON.
    pub(crate) body: Value,
}

impl Request {
    /// The delivery it is a try of, as the `webhook` provider says it.
    pub(crate) fn delivery(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// The order or complaint it is about.
    pub(crate) fn business_key(&self) -> &str {
        self.body["data"]["business_key"].as_str().unwrap()
    }
}

/// Serves until it is dropped.
pub(crate) struct Gateway {
    port: u16,
    /// What arrived, whatever was answered.
    pub(crate) requests: Arrivals<Request>,
    /// The path of each request that was answered and not cut off.
    pub(crate) answers: Arrivals<String>,
    script: Arc<Script>,
    tasks: Tasks,
}

struct Script {
    next: Mutex<VecDeque<Reply>>,
    usual: Mutex<Reply>,
    gate: Semaphore,
}

impl Gateway {
    /// A gateway that answers everything with 200 until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Script {
            next: Mutex::default(),
            usual: Mutex::new(Reply::ok()),
            gate: Semaphore::new(0),
        });
        let (requests, answers, tasks) = (Arrivals::none(), Arrivals::none(), Tasks::new());
        let (kept, followed, carriers) =
            ((requests.clone(), answers.clone()), Arc::clone(&script), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, followed) = (kept.clone(), Arc::clone(&followed));
                carriers.spawn(async move {
                    serve(stream, kept, followed).await;
                });
            }
        });
        Self { port, requests, answers, script, tasks }
    }

    /// Where it listens.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Replies for the next requests, one each.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.next.lock().unwrap().extend(replies);
    }

    /// The reply for every request that no script has one for.
    pub(crate) fn usually(&self, reply: Reply) {
        *self.script.usual.lock().unwrap() = reply;
    }

    /// Lets `count` requests that are held be answered.
    pub(crate) fn release(&self, count: usize) {
        self.script.gate.add_permits(count);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

/// Takes requests one after the other until the connection ends, by either side.
async fn serve(
    stream: TcpStream,
    (requests, answers): (Arrivals<Request>, Arrivals<String>),
    script: Arc<Script>,
) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let (path, headers) = read_head(&mut read).await?;
        let length = headers.get("content-length").and_then(|length| length.parse().ok());
        let reply = script.next.lock().unwrap().pop_front();
        let reply = reply.unwrap_or_else(|| script.usual.lock().unwrap().clone());
        let mut body = vec![0; length.unwrap_or(0)];
        if !matches!(reply, Reply::CutBeforeTheBody) {
            read.read_exact(&mut body).await.ok()?;
        }
        let body = serde_json::from_slice(&body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&body).into_owned()));
        requests.put(Request { at: Instant::now(), path: path.clone(), headers, body });
        answer(reply, &script, &mut write).await?;
        answers.put(path);
    }
}

async fn read_head(
    read: &mut (impl AsyncBufReadExt + Unpin),
) -> Option<(String, BTreeMap<String, String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        read.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let pairs = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let headers = pairs.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    Some((path, headers.collect()))
}

/// Answers; `None` ends the connection.
async fn answer(
    reply: Reply,
    script: &Script,
    write: &mut (impl AsyncWriteExt + Unpin),
) -> Option<()> {
    let (status, headers, body) = match reply {
        Reply::Answer { status, headers, body } => (status, headers, body),
        Reply::Hold => {
            script.gate.acquire().await.ok()?.forget();
            (200, String::new(), "ok".to_owned())
        }
        Reply::CutBeforeTheBody | Reply::CutAfterTheBody => return None,
    };
    let length = body.len();
    let text = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\n\r\n{body}");
    write.write_all(text.as_bytes()).await.ok()
}
