//! What becomes of a call whose answer drips, or whose kept connection is cut under it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that counts requests over all its connections, and does what `answer` says of each.
struct CountingGateway {
    port: u16,
    requests: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl CountingGateway {
    #[expect(clippy::disallowed_methods, reason = "a test's own gateway outlives no test")]
    async fn start<A>(answer: impl Fn(u32, TcpStream) -> A + Clone + Send + 'static) -> Self
    where
        A: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests: Arc<AtomicU32> = Arc::default();
        let counted = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counted, answer) = (Arc::clone(&counted), answer.clone());
                tokio::spawn(async move {
                    let mut open = Some(stream);
                    while let Some(mut stream) = open {
                        if read_request(&mut stream).await.is_none() {
                            break;
                        }
                        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                        open = answer(number, stream).await;
                    }
                });
            }
        });
        Self { port, requests, task }
    }
}

impl Drop for CountingGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    Some(())
}

#[tokio::test]
async fn an_answer_that_drips_is_not_waited_for_to_its_end() {
    let gateway = CountingGateway::start(|_, mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
        stream.write_all(head).await.ok()?;
        while stream.write_all(b"x").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        None
    })
    .await;
    let providers = providers_within("400ms", gateway.port, true);

    for (name, expected) in [("slack", "unknown"), ("hook", "accepted"), ("gateway", "unknown")] {
        let envelope = envelope(address(name, None));
        let sent = timeout(PATIENCE, providers[name].send(&envelope)).await;

        let outcome = sent.unwrap_or_else(|_| panic!("{name} waits as long as it drips"));
        assert_eq!(told(&outcome.verdict), expected, "{name}: {:?}", outcome.answer);
    }
}

#[tokio::test]
async fn a_message_is_posted_once_though_its_kept_connection_was_cut() {
    for name in ["slack", "hook", "gateway"] {
        let gateway = CountingGateway::start(|number, mut stream| async move {
            if number == 2 {
                return None;
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.ok()?;
            Some(stream)
        })
        .await;
        let providers = providers(gateway.port, true);
        let envelope = envelope(address(name, None));

        let first = providers[name].send(&envelope).await;
        let second = providers[name].send(&envelope).await;

        assert_eq!(told(&first.verdict), "accepted", "{name}: {:?}", first.answer);
        assert_eq!(told(&second.verdict), "unknown", "{name}: {:?}", second.answer);
        assert_eq!(gateway.requests.load(Ordering::SeqCst), 2, "{name} posted by itself again");
    }
}
