//! A mail relay that takes mail, refuses receivers or breaks off, as scripted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use loa::lifecycle::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Arrivals;

/// What the relay does with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Takes,
    /// Says at RCPT that nobody has this address.
    KnowsNobody,
    /// Takes the whole message and cuts the connection instead of answering.
    CutsAfterTheDot,
    /// Takes the whole message, and answers once [`Relay::release`] lets it.
    HoldsAfterTheDot,
    /// The same, but answers that it should come again later.
    PutsOffAfterTheDot,
}

/// A message as it arrived, headers and all.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Mail {
    /// The first header called `name`.
    pub(crate) fn header(&self, name: &str) -> &str {
        let lines = self.text.lines().take_while(|line| !line.is_empty());
        let found = lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name);
        found.unwrap().1
    }
}

/// Serves until it is dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    /// Messages that came whole, whatever was answered.
    pub(crate) mails: Arrivals<Mail>,
    script: Arc<Script>,
    tasks: Tasks,
}

struct Script {
    next: Mutex<VecDeque<Manner>>,
    usual: Mutex<Manner>,
    gate: Semaphore,
}

impl Relay {
    /// A relay that takes everything until told otherwise.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Script {
            next: Mutex::default(),
            usual: Mutex::new(Manner::Takes),
            gate: Semaphore::new(0),
        });
        let (mails, tasks) = (Arrivals::none(), Tasks::new());
        let (kept, followed, carriers) = (mails.clone(), Arc::clone(&script), tasks.clone());
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, followed) = (kept.clone(), Arc::clone(&followed));
                carriers.spawn(async move {
                    converse(stream, kept, followed).await;
                });
            }
        });
        Self { port, mails, script, tasks }
    }

    /// Manners for the next messages, one each.
    pub(crate) fn script(&self, manners: impl IntoIterator<Item = Manner>) {
        self.script.next.lock().unwrap().extend(manners);
    }

    /// The manner for every message that no script has one for.
    pub(crate) fn usually(&self, manner: Manner) {
        *self.script.usual.lock().unwrap() = manner;
    }

    /// Lets `count` messages that are held be answered.
    pub(crate) fn release(&self, count: usize) {
        self.script.gate.add_permits(count);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.hard().cancel();
    }
}

/// One session; `None` as soon as either side ends it.
async fn converse(stream: TcpStream, kept: Arrivals<Mail>, script: Arc<Script>) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 relay.test ready\r\n").await.ok()?;
    let (mut to, mut manner) = (String::new(), Manner::Takes);
    while let Some(line) = lines.next_line().await.ok()? {
        let verb = line.split([' ', ':']).next()?.to_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250-relay.test\r\n250 PIPELINING\r\n",
            "MAIL" => {
                let next = script.next.lock().unwrap().pop_front();
                manner = next.unwrap_or_else(|| *script.usual.lock().unwrap());
                "250 2.1.0 ok\r\n"
            }
            "RCPT" => {
                let (_, address) = line.split_once('<')?;
                address.trim_end_matches('>').clone_into(&mut to);
                match manner {
                    Manner::KnowsNobody => "550 5.1.1 no such user\r\n",
                    Manner::Takes
                    | Manner::CutsAfterTheDot
                    | Manner::HoldsAfterTheDot
                    | Manner::PutsOffAfterTheDot => "250 2.1.5 ok\r\n",
                }
            }
            "DATA" if manner == Manner::KnowsNobody => "554 5.5.1 no valid recipients\r\n",
            "DATA" => {
                write.write_all(b"354 go on\r\n").await.ok()?;
                let text = read_message(&mut lines).await?;
                kept.put(Mail { to: to.clone(), text });
                match manner {
                    Manner::CutsAfterTheDot => return None,
                    Manner::HoldsAfterTheDot | Manner::PutsOffAfterTheDot => {
                        script.gate.acquire().await.ok()?.forget();
                    }
                    Manner::Takes | Manner::KnowsNobody => {}
                }
                if manner == Manner::PutsOffAfterTheDot {
                    "451 4.3.0 come again later\r\n"
                } else {
                    "250 2.0.0 queued\r\n"
                }
            }
            "QUIT" => return None,
            _ => "250 2.0.0 ok\r\n",
        };
        write.write_all(answer.as_bytes()).await.ok()?;
    }
    Some(())
}

async fn read_message(
    lines: &mut tokio::io::Lines<impl AsyncBufReadExt + Unpin>,
) -> Option<String> {
    let mut text = String::new();
    loop {
        let line = lines.next_line().await.ok()??;
        if line == "." {
            return Some(text);
        }
        text.push_str(&line);
        text.push('\n');
    }
}
