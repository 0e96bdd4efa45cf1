//! `loa publish`: to a running Loa and to RabbitMQ.

use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{Running, as_loa, as_publisher, delay, loa, partner, service, settings};

/// A folder with a Loa on it, and files to publish from.
struct Post {
    folder: TempDir,
    loa: Running,
    /// The settings of whoever publishes.
    settings: &'static str,
}

impl Post {
    async fn open(more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let loa = Running::start(&folder, &settings(more)).await;
        loa.publish(&partner()).await.unwrap();
        Self { folder, loa, settings: "loa.toml" }
    }

    /// A Loa that takes events from queues called after `name`.
    async fn with_rabbitmq(name: &str) -> Self {
        let names = "exchange = \"NAME.events\"\nqueue = \"NAME.intake\"\n\
                     dead_letter_exchange = \"NAME.dropped\"\n\
                     dead_letter_queue = \"NAME.dropped\"\nstatus_exchange = \"NAME.status\"\n";
        let (url, names) = (service("TEST_AMQP_URL"), names.replace("NAME", name));
        let broker = |url: String| format!("[rabbitmq]\nurl = \"{url}\"\n{names}");
        let post = Self::open(&broker(as_loa(&url))).await;
        post.loa.wait_for_log("taking events from RabbitMQ", 1).await;
        // Loa itself may not publish events.
        post.write("shop.toml", &settings(&broker(as_publisher(&url))));
        Self { settings: "shop.toml", ..post }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn publish(&self, arguments: &[&str]) -> Output {
        let arguments = arguments.iter().copied().chain(["--config", self.settings]);
        let mut command = loa();
        command.current_dir(self.folder.path()).args(["publish", "order.delayed"]).args(arguments);
        command.args(["--data-dir", "data"]).output().unwrap()
    }

    /// Publishes, and returns what it printed for programs.
    fn results(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--output", "json"]).collect();
        let output = self.publish(&arguments);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
    }

    fn write_orders(&self, count: usize) {
        let lines = (0..count).map(|number| delay(number)["data"].to_string() + "\n\n");
        self.write("orders.ndjson", &lines.collect::<String>());
    }
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test]
async fn a_file_of_lines_is_published_once_however_often_it_is_handed_in() {
    let post = Post::open("").await;
    post.write_orders(450);

    let first = post.publish(&["--data", "orders.ndjson", "--id", "import-1"]);
    let again = post.publish(&["--data", "orders.ndjson", "--id", "import-1"]);

    assert!(first.status.success(), "{}", said(&first));
    assert!(said(&first).contains("450 events: 450 planned"), "{}", said(&first));
    assert!(said(&again).contains("450 events: 450 repeat"), "{}", said(&again));
    let ledger = post.loa.drain().await;
    assert_eq!(ledger["ledger"]["closes"], true);
}

#[tokio::test]
async fn a_rejected_line_is_named_and_the_rest_is_planned() {
    let post = Post::open("").await;
    let good = delay(1)["data"].to_string();
    post.write("orders.ndjson", &format!("{good}\n{{\"order_id\": 7}}\n{{\"order_id\":\n"));

    let output = post.publish(&["--data", "orders.ndjson"]);

    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("orders.ndjson:2: rejected (schema)"), "{}", said(&output));
    assert!(said(&output).contains("orders.ndjson:3:12: not JSON: "), "{}", said(&output));
    let summary = "3 events: 1 planned, 1 rejected, 1 unread";
    assert!(said(&output).contains(summary), "{}", said(&output));
}

#[tokio::test]
async fn a_test_event_says_whether_its_address_gets_anything() {
    let post = Post::open("").await;
    post.write("one.json", &delay(1)["data"].to_string());

    let told = post.publish(&["--data", "one.json", "--only", "lan@minhphat.test"]);
    let missed = post.publish(&["--data", "one.json", "--only", "nobody@minhphat.test"]);

    assert!(told.status.success(), "{}", said(&told));
    assert!(said(&told).contains("sends 1 to this address, and nobody else"), "{}", said(&told));
    assert_eq!(missed.status.code(), Some(1), "{}", said(&missed));
    assert!(said(&missed).contains("nobody it would tell has this address"), "{}", said(&missed));
}

#[tokio::test]
async fn events_reach_loa_by_rabbitmq_with_confirms() {
    let post = Post::with_rabbitmq("journey.publish").await;
    post.write_orders(300);
    post.write("one.json", &delay(999)["data"].to_string());

    let many = post.results(&["--data", "orders.ndjson", "--id", "import-1", "--amqp"]);
    let url = as_publisher(&service("TEST_AMQP_URL"));
    let later = ["--not-before", "2040-01-01T00:00:00Z", "--only", "lan@minhphat.test"];
    let one = ["--data", "one.json", "--id", "one", "--amqp", &url];
    let one: Vec<_> =
        one.into_iter().chain(later).chain(["--exchange", "journey.publish.events"]).collect();
    let one = post.results(&one);

    assert_eq!(many["results"].as_array().unwrap().len(), 300);
    assert!(many["results"].as_array().unwrap().iter().all(|r| r["result"] == "confirmed"));
    assert_eq!(one["results"][0]["result"], "confirmed", "{one}");
    let events = "/v1/deliveries/count?type=order.delayed&channel=email";
    post.loa.wait_for_count(&format!("{events}&state=sent"), 300).await;
    post.loa.wait_for_count(&format!("{events}&state=waiting&business_key=DH-999"), 1).await;
}

#[tokio::test]
async fn what_rabbitmq_cannot_take_is_said_and_fails() {
    let post = Post::with_rabbitmq("journey.unbound").await;
    post.write("one.json", &delay(1)["data"].to_string());
    let url = service("TEST_AMQP_URL");
    let wrong = url.replace("guest:guest", "guest:nonsense");
    let publish = |more: &[&str]| {
        let one: Vec<_> = ["--data", "one.json"].iter().chain(more).copied().collect();
        post.publish(&one)
    };

    let nobody = publish(&["--amqp", &url, "--exchange", "amq.topic"]);
    let nowhere = publish(&["--amqp", &url, "--exchange", "journey.none"]);
    let refused = publish(&["--amqp", &wrong]);
    let unreachable = publish(&["--amqp", "amqp://127.0.0.1:1"]);
    let rehearsed = publish(&["--amqp", &url, "--dry-run"]);

    assert_eq!(nobody.status.code(), Some(1));
    assert!(said(&nobody).contains("no queue is bound"), "{}", said(&nobody));
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(said(&nowhere).contains("`journey.none` does not exist"), "{}", said(&nowhere));
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("user `guest`"), "{}", said(&refused));
    assert!(!said(&refused).contains("nonsense"), "{}", said(&refused));
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(said(&unreachable).contains("connection refused"), "{}", said(&unreachable));
    assert_eq!(rehearsed.status.code(), Some(2));
    assert!(said(&rehearsed).contains("--dry-run"), "{}", said(&rehearsed));
}
