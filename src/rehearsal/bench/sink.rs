//! Receivers on loopback that take everything at once: an HTTP gateway and an SMTP relay.
//!
//! They live on a thread of their own, so that what they use is not counted as Loa's.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{usage, work};
use crate::clock::Clock;
use crate::lifecycle::Tasks;

/// The longest head of a request, and the longest body, in bytes.
const LONGEST: usize = 1 << 20;

/// Both receivers.
pub(super) struct Sinks {
    /// Where the gateway listens.
    pub(super) http: SocketAddr,
    /// Where the relay listens.
    pub(super) smtp: SocketAddr,
    /// What they were sent.
    pub(super) tally: Arc<Tally>,
    thread: String,
    tasks: Tasks,
}

/// Counts messages, and notes when each came.
pub(super) struct Tally {
    clock: Clock,
    count: AtomicU64,
    target: AtomicU64,
    reached: Notify,
    /// Numbers and times of arrival, while somebody wants to know.
    times: Mutex<Option<Vec<(u64, Duration)>>>,
}

impl Sinks {
    /// Starts both on free ports of loopback.
    ///
    /// # Errors
    /// When the system gives no port or no thread.
    pub(super) fn start(clock: &Clock) -> io::Result<Self> {
        let tally = Arc::new(Tally::new(clock.clone()));
        let tasks = Tasks::new();
        let (sender, receiver) = mpsc::channel();
        let (counting, running) = (Arc::clone(&tally), tasks.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("sinks".to_owned()).spawn(move || {
            runtime.block_on(async move {
                let bound = bind(&counting, &running).await;
                let stop = running.soft().clone();
                // Nobody waits for the answer only if the run is over already.
                if sender.send(bound.map(|ports| (ports, usage::this_thread()))).is_ok() {
                    stop.cancelled().await;
                }
            });
        })?;
        let bound = receiver.recv().map_err(|_| io::Error::other("the sinks did not start"))?;
        let ((http, smtp), thread) = bound?;
        Ok(Self { http, smtp, tally, thread, tasks })
    }

    /// Processor time of the receivers so far.
    pub(super) fn time(&self) -> Duration {
        usage::thread_time(&self.thread)
    }
}

impl Drop for Sinks {
    fn drop(&mut self) {
        self.tasks.soft().cancel();
        self.tasks.hard().cancel();
    }
}

impl Tally {
    /// The clock by which messages are timed.
    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn new(clock: Clock) -> Self {
        let (count, target) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        Self { clock, count, target, reached: Notify::new(), times: Mutex::new(None) }
    }

    /// How many messages came so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Returns once `count` messages came in all.
    pub(super) async fn reach(&self, count: u64) {
        self.target.store(count, Ordering::SeqCst);
        while self.count() < count {
            self.reached.notified().await;
        }
    }

    /// From now on notes when each message comes.
    pub(super) fn begin_times(&self) {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Ends that; the number of each message and when it came.
    pub(super) fn take_times(&self) -> Vec<(u64, Duration)> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
    }

    /// Takes note of one message by the bytes that hold its number.
    fn note(&self, bytes: &[u8]) {
        if let Some(times) = &mut *self.times.lock().unwrap_or_else(PoisonError::into_inner)
            && let Some(number) = work::number_in(bytes)
        {
            times.push((number, self.clock.monotonic()));
        }
        if self.count.fetch_add(1, Ordering::SeqCst) + 1 == self.target.load(Ordering::SeqCst) {
            self.reached.notify_one();
        }
    }
}

async fn bind(tally: &Arc<Tally>, tasks: &Tasks) -> io::Result<(SocketAddr, SocketAddr)> {
    let http = TcpListener::bind("127.0.0.1:0").await?;
    let smtp = TcpListener::bind("127.0.0.1:0").await?;
    let addresses = (http.local_addr()?, smtp.local_addr()?);
    listen(http, tally, tasks, take_requests);
    listen(smtp, tally, tasks, take_mails);
    Ok(addresses)
}

/// Serves each connection by `serve`; one that breaks is its sender's affair.
fn listen<F, S>(listener: TcpListener, tally: &Arc<Tally>, tasks: &Tasks, serve: F)
where
    F: Fn(TcpStream, Arc<Tally>) -> S + Send + 'static,
    S: Future<Output = io::Result<()>> + Send + 'static,
{
    let (tally, all) = (Arc::clone(tally), tasks.clone());
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = stream.set_nodelay(true).map(|()| serve(stream, Arc::clone(&tally)));
            if let Ok(served) = served {
                all.spawn(async move { drop(served.await) });
            }
        }
    });
}

/// HTTP/1.1 with kept connections; every request is answered "ok".
async fn take_requests(mut stream: TcpStream, tally: Arc<Tally>) -> io::Result<()> {
    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
    let mut buffer = Vec::with_capacity(16 << 10);
    while buffer.len() < LONGEST {
        while let Some((head, end)) = whole_request(&buffer) {
            tally.note(buffer.get(head..end).unwrap_or_default());
            buffer.drain(..end);
            stream.write_all(OK).await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Where the head and the body of the first request end, once all of it is there.
fn whole_request(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(buffer.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
    });
    let end = head + length.unwrap_or(0_usize);
    (buffer.len() >= end).then_some((head, end))
}

/// SMTP with pipelining (RFC 2920); answers go out when there is nothing left to read.
async fn take_mails(stream: TcpStream, tally: Arc<Tally>) -> io::Result<()> {
    let (reading, writing) = stream.into_split();
    let (mut reading, mut writing) =
        (BufReader::with_capacity(32 << 10, reading), BufWriter::new(writing));
    let (mut line, mut recipient) = (Vec::new(), Vec::new());
    writing.write_all(b"220 sink ready\r\n").await?;
    loop {
        if reading.buffer().is_empty() {
            writing.flush().await?;
        }
        line.clear();
        if reading.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        // Some clients write their commands small.
        let mut verb: [u8; 4] = line.first_chunk().copied().unwrap_or_default();
        verb.make_ascii_uppercase();
        let answer: &[u8] = match &verb {
            b"EHLO" => b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10485760\r\n",
            b"RCPT" => {
                recipient.clone_from(&line);
                b"250 2.1.5 ok\r\n"
            }
            b"DATA" => {
                writing.write_all(b"354 go on\r\n").await?;
                writing.flush().await?;
                skip_mail(&mut reading).await?;
                tally.note(&recipient);
                b"250 2.0.0 taken\r\n"
            }
            b"QUIT" => b"221 2.0.0 bye\r\n",
            _ => b"250 2.0.0 ok\r\n",
        };
        writing.write_all(answer).await?;
    }
}

/// Reads up to the line that is a dot alone.
async fn skip_mail<R: AsyncReadExt + Unpin>(reading: &mut BufReader<R>) -> io::Result<()> {
    let mut line = Vec::new();
    while line != b".\r\n" {
        line.clear();
        if reading.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_once_its_body_is_there() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
        let mut bytes = head.to_vec();
        assert_eq!(whole_request(&bytes), None);

        bytes.extend_from_slice(b"helloPOST");

        assert_eq!(whole_request(&bytes), Some((head.len(), head.len() + 5)));
    }

    #[tokio::test]
    async fn a_pipelined_mail_is_counted_by_its_recipient() {
        let sinks = Sinks::start(&Clock::system()).unwrap();
        sinks.tally.begin_times();
        let mut stream = TcpStream::connect(sinks.smtp).await.unwrap();

        let mail = b"EHLO a\r\nMAIL FROM:<a@b.c>\r\nrcpt TO:<bench-7@sink.example>\r\ndata\r\n\
                     Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n";
        stream.write_all(mail).await.unwrap();
        sinks.tally.reach(1).await;

        assert_eq!(sinks.tally.take_times().first().map(|(number, _)| *number), Some(7));
    }
}
