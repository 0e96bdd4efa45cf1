//! No address, secret, header or message text reaches a log line, however much goes wrong.

use loa::lifecycle::Tasks;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Running, as_loa, as_publisher, delay, event, http, own_database, service};

/// What stands in every address, secret, header and message of this journey.
const CANARIES: [&str; 3] = ["canary", "5550100", "15550100"];
/// The trace of the events that are published.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn settings(smtp: u16, hook: u16, more: &str) -> String {
    format!(
        "[log]\nlevel = \"debug\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://loa.test\"\n\
         [unsubscribe]\nsecret = \"canary-secret-0123456789abcdef012\"\n\
         [email]\nfrom = \"canary-sender@loa.test\"\ndkim = \"relay\"\n\
         [send]\nallow_private_addresses = true\n\
         [channels]\nemail = \"relay\"\nchat = \"hook\"\nsms = \"sandbox\"\n\
         [providers.relay]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {smtp}\ntls = \"none\"\n\
         [providers.hook]\nkind = \"webhook\"\nallow_plain_http = true\n\
         allow_addresses = [\"127.0.0.0/8\"]\nurl = \"http://127.0.0.1:{hook}/canary-path\"\n\
         [providers.sandbox]\nkind = \"sandbox\"\n{more}"
    )
}

/// A mail server that refuses every recipient and says whom it refused.
async fn refuse_mail(tasks: Tasks, listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tasks.spawn(async move { drop(refuse_recipients(stream).await) });
    }
}

async fn refuse_recipients(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.test\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = match line.to_uppercase() {
            verb if verb.starts_with("RCPT") => format!("550 5.1.1 no such user: {line}"),
            verb if verb.starts_with("EHLO") => "250 mail.test\r\n".to_owned(),
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// A receiver of chat messages that fails and repeats the address in what it says.
async fn fail_posts(tasks: Tasks, listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tasks.spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            drop(stream.read(&mut buffer).await);
            let body = "no room canary-room for +15550100999";
            let head = format!("HTTP/1.1 500 canary\r\ncontent-length: {}\r\n\r\n", body.len());
            drop(stream.write_all(format!("{head}{body}").as_bytes()).await);
        });
    }
}

/// A company whose every address is a canary.
fn company() -> Vec<Value> {
    let at = "2026-01-01T00:00:00Z";
    let contact = |id: &str, partner: Option<&str>, email: &str| {
        json!({ "id": id, "name": format!("canary {id}"), "partner": partner, "duty": "buyer",
                "changed_at": at, "addresses": [
                    { "channel": "email", "email": email },
                    { "channel": "sms", "phone": "+15550100123" },
                    { "channel": "chat", "provider": "hook" } ] })
    };
    vec![
        event("contact.changed", "c-1", contact("boss", None, "canary-boss@loa.test")),
        event(
            "partner.changed",
            "p-1",
            json!({ "id": "minh-phat", "name": "canary company", "manager": "boss",
                    "changed_at": at }),
        ),
        event(
            "contact.changed",
            "c-2",
            contact("lan", Some("minh-phat"), "canary-lan@minhphat.test"),
        ),
    ]
}

/// Events whose every text is a canary; some of them cannot be planned.
fn events() -> Vec<Value> {
    let mut late = delay(1);
    late["data"]["reason"] = json!({ "vi": "canary: xe hỏng", "en": "canary: the lorry broke" });
    let mut broken = delay(2);
    broken["data"]["order_id"] = json!({ "email": "canary-order@example.test" });
    let mut reused = delay(1);
    reused["data"]["order_id"] = json!("canary-other");
    let complaint = json!({ "complaint_id": "KN-1", "partner_id": "minh-phat",
                            "subject": "canary subject", "text": "canary text" });
    let mut all = vec![late, broken, reused, event("complaint.opened", "k-1", complaint)];
    all.push(event("canary.type", "x", json!({ "phone": "+15550100777" })));
    for event in &mut all {
        event["traceparent"] = json!(format!("00-{TRACE}-00f067aa0ba902b7-01"));
    }
    all
}

/// Starts Loa among servers that refuse and repeat what they were told.
async fn among_gossips(more: &str) -> (TempDir, Tasks, Running) {
    let tasks = Tasks::new();
    let mail = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ports = [&mail, &hook].map(|listener| listener.local_addr().unwrap().port());
    tasks.spawn(refuse_mail(tasks.clone(), mail));
    tasks.spawn(fail_posts(tasks.clone(), hook));
    let folder = TempDir::new().unwrap();
    let loa = Running::start(&folder, &settings(ports[0], ports[1], more)).await;
    (folder, tasks, loa)
}

/// Asserts that much was logged, the trace too, but nothing that stands for a person or a secret.
fn assert_silent(log: &str) {
    let lines: Vec<_> = log.lines().collect();
    assert!(lines.len() > 10, "too little was logged to prove anything: {log}");
    assert!(lines.iter().any(|line| line.contains("planned") && line.contains(TRACE)), "{log}");
    assert!(lines.iter().any(|line| line.contains("delivery.id") && line.contains(TRACE)), "{log}");
    for line in lines {
        for canary in CANARIES {
            assert!(!line.to_lowercase().contains(canary), "`{canary}` in the log: {line}");
        }
    }
}

/// What Loa tells those who are not let in, and those whose events it refuses.
async fn told_outside(loa: &Running) -> Vec<(String, String)> {
    let (url, token) = loa.door();
    let http = http();
    let mut told = Vec::new();
    let open = ["/metrics", "/readyz", "/healthz", "/login", "/u/canary", "/v1/deliveries", "/"];
    for path in open {
        let answer = http.get(format!("{url}{path}")).bearer_auth("loa_canary_x").send().await;
        told.push((path.to_owned(), answer.unwrap().text().await.unwrap()));
    }
    // Wrong in each member that can hold something of a person.
    let mut refused = Vec::new();
    for (kind, event) in events().iter().enumerate() {
        for member in event["data"].as_object().unwrap().keys() {
            let mut wrong = event.clone();
            wrong["id"] = json!(format!("w-{kind}-{member}"));
            wrong["data"][member] = json!([{ "canary-member": "canary-lan@minhphat.test" }]);
            refused.push(wrong.to_string());
        }
    }
    refused.push("{\"canary\": \"+15550100\", ".to_owned());
    for body in refused {
        let request = http.post(format!("{url}/v1/events")).bearer_auth(&token);
        let request = request.header("content-type", "application/cloudevents+json");
        let answer = request.body(body.clone()).send().await.unwrap();
        told.push((body, answer.text().await.unwrap()));
    }
    told
}

async fn ask_with_canaries(loa: &Running) {
    for path in [
        "/v1/deliveries?address=canary-lan@minhphat.test&name=canary",
        "/v1/events?id=canary",
        "/v1/deliveries/canary",
        "/u/canary-token",
        "/login/canary-token",
        "/canary-page?token=canary",
    ] {
        loa.ask(path).await;
    }
}

#[tokio::test]
async fn no_log_line_holds_an_address_a_secret_a_header_or_a_text() {
    let (_folder, _tasks, loa) = among_gossips("").await;
    loa.publish(&company()).await.unwrap();

    loa.publish(&events()).await.unwrap();
    loa.publish_raw("{\"specversion\": \"canary\", ").await;
    loa.publish_raw("canary").await;
    ask_with_canaries(&loa).await;

    loa.wait_for_count("/v1/deliveries/count?state=bounced", 2).await;
    loa.wait_for_log("is waiting (retry)", 1).await;
    loa.signal("HUP");
    loa.wait_for_log("read everything anew", 1).await;
    for (asked, told) in told_outside(&loa).await {
        // A type that is unknown is named, and nothing else of what was sent.
        let told = told.to_lowercase().replace("canary.type", "");
        for canary in CANARIES {
            assert!(!told.contains(canary), "`{canary}` in the answer to {asked}: {told}");
        }
    }
    assert_silent(&loa.log());
}

#[tokio::test]
async fn no_log_line_holds_a_canary_with_rabbitmq_and_postgres_either() {
    let store = own_database("journey_canaries").await;
    let url = as_loa(&service("TEST_AMQP_URL"));
    let names = "exchange = \"canaries.events\"\nqueue = \"canaries.intake\"\n\
                 dead_letter_exchange = \"canaries.dropped\"\n\
                 dead_letter_queue = \"canaries.dropped\"\nstatus_exchange = \"canaries.status\"\n";
    let names = names.replace("canaries", "journey.birds");
    let more = format!("[store]\nurl = \"{store}\"\n[rabbitmq]\nurl = \"{url}\"\n{names}");
    let (folder, _tasks, loa) = among_gossips(&more).await;
    loa.publish(&company()).await.unwrap();
    loa.wait_for_log("taking events from RabbitMQ", 1).await;
    let complaint = events().remove(3);
    let file = folder.path().join("complaint.json");
    std::fs::write(&file, complaint["data"].to_string()).unwrap();

    for kind in ["complaint.opened", "order.delayed"] {
        let publish = crate::stage::loa()
            .args(["publish", kind, "--only", "canary-lan@minhphat.test", "--data"])
            .arg(&file)
            .args(["--amqp", &as_publisher(&url), "--exchange", "journey.birds.events"])
            .arg("--config")
            .arg(folder.path().join("loa.toml"))
            .output()
            .unwrap();
        assert!(publish.status.success(), "{}", String::from_utf8_lossy(&publish.stderr));
    }
    loa.publish(&events()).await.unwrap();

    loa.wait_for_count("/v1/deliveries/count?state=bounced", 1).await;
    loa.wait_for_log("rejected an event: schema", 2).await;
    loa.wait_for_log("\"name\":\"delivery\"", 1).await;
    assert_silent(&loa.log());
}
