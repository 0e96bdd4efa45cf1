//! Exchanges and queues of one test alone, and a publisher and listener beside Loa.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use serde_json::Value;

use super::{PATIENCE, service};

/// A virtual host of the test's own on the shared RabbitMQ, with nothing in it and every right;
/// returns its URL.
pub(crate) fn own_virtual_host(name: &str) -> String {
    // Nobody minds if there was none.
    rabbitmq(&["ctl", "delete_vhost", name]);
    assert!(rabbitmq(&["ctl", "add_vhost", name]));
    assert!(rabbitmq(&["ctl", "set_permissions", "-p", name, "guest", ".*", ".*", ".*"]));
    let url = service("TEST_AMQP_URL");
    let (base, _) = url.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

fn rabbitmq(arguments: &[&str]) -> bool {
    let program = service("TEST_RABBITMQ_CONTROL");
    Command::new(program).args(arguments).output().unwrap().status.success()
}

/// The same way to the broker for Loa, which may do there what docs/security.md says and nothing
/// else: the tests' services make such users.
pub(crate) fn as_loa(url: &str) -> String {
    as_user(url, "loa-tests")
}

/// The same for a system that publishes.
pub(crate) fn as_publisher(url: &str) -> String {
    as_user(url, "loa-tests-shop")
}

fn as_user(url: &str, user: &str) -> String {
    let (_, host) = url.rsplit_once('@').unwrap();
    format!("amqp://{user}:canary-broker@{host}")
}

/// One test's own corner of the broker.
pub(crate) struct Rabbit {
    name: String,
    url: String,
    channel: Channel,
}

/// What a listener hears on the status exchange.
pub(crate) struct Heard {
    pub(crate) key: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) body: Value,
}

impl Rabbit {
    /// A corner with nothing in it.
    pub(crate) async fn corner() -> Self {
        let url = service("TEST_AMQP_URL");
        let name = format!("journey-{:016x}", fastrand::u64(..));
        Self { name, channel: channel(&url).await, url }
    }

    /// The settings that make Loa use it, with the rights of docs/security.md.
    pub(crate) fn settings(&self) -> String {
        self.settings_through(&as_loa(&self.url))
    }

    /// The same, by another way to the broker.
    pub(crate) fn settings_through(&self, url: &str) -> String {
        let name = &self.name;
        format!(
            "[rabbitmq]\nurl = \"{url}\"\nexchange = \"{name}.events\"\nqueue = \"{name}.intake\"\n\
             dead_letter_exchange = \"{name}.dropped\"\ndead_letter_queue = \"{name}.dropped\"\n\
             status_exchange = \"{name}.status\"\n"
        )
    }

    /// Publishes CloudEvents until the broker has each of them, however often it goes away
    /// meanwhile.
    pub(crate) async fn publish_stubbornly(&mut self, events: &[Value]) {
        for event in events {
            let (key, body) = (event["type"].as_str().unwrap(), event.to_string());
            while self.try_publish(key, &body, structured()).await.is_none() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if let Some(channel) = try_channel(&self.url).await {
                    self.channel = channel;
                }
            }
        }
    }

    /// Publishes one message, and returns once the broker has it.
    pub(crate) async fn publish(&self, key: &str, body: &str, properties: BasicProperties) {
        assert!(self.try_publish(key, body, properties).await.is_some());
    }

    async fn try_publish(&self, key: &str, body: &str, properties: BasicProperties) -> Option<()> {
        let exchange = format!("{}.events", self.name).into();
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        // What the broker shall keep over a restart must say so.
        let properties = properties.with_delivery_mode(2);
        let body = body.as_bytes();
        let sent = self.channel.basic_publish(exchange, key.into(), options, body, properties);
        matches!(sent.await.ok()?.await.ok()?, Confirmation::Ack(None)).then_some(())
    }

    /// Publishes many messages, and returns once the broker has each of them.
    pub(crate) async fn publish_fast(
        &self,
        key: &str,
        bodies: impl Iterator<Item = &[u8]>,
        properties: &BasicProperties,
    ) {
        let sent = bodies.map(|body| {
            let exchange = format!("{}.events", self.name).into();
            let options = BasicPublishOptions::default();
            let properties = properties.clone().with_delivery_mode(2);
            async move {
                let sent =
                    self.channel.basic_publish(exchange, key.into(), options, body, properties);
                assert!(matches!(sent.await.unwrap().await.unwrap(), Confirmation::Ack(None)));
            }
        });
        futures_util::stream::iter(sent).buffer_unordered(200).collect::<Vec<()>>().await;
    }

    /// Publishes CloudEvents in structured mode.
    pub(crate) async fn publish_events(&self, events: &[Value]) {
        for event in events {
            let key = event["type"].as_str().unwrap();
            self.publish(key, &event.to_string(), structured()).await;
        }
    }

    /// Listens to the status exchange, from now on, to what fits `pattern`.
    pub(crate) async fn listen(&self, pattern: &str) -> Listener {
        let durable = format!("{}.listener", self.name);
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let queue = self
            .channel
            .queue_declare(durable.into(), options, FieldTable::default())
            .await
            .unwrap();
        let (exchange, bind) = (format!("{}.status", self.name), QueueBindOptions::default());
        let name = queue.name().clone();
        let none = FieldTable::default();
        self.channel.queue_bind(name, exchange.into(), pattern.into(), bind, none).await.unwrap();
        self.listen_again().await
    }

    /// Goes on listening after the broker was away.
    pub(crate) async fn listen_again(&self) -> Listener {
        let queue = format!("{}.listener", self.name);
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let none = FieldTable::default();
        Listener(self.channel.basic_consume(queue.into(), "".into(), options, none).await.unwrap())
    }

    /// How many events wait in the queue that Loa consumes, without those it was given.
    pub(crate) async fn waiting(&self) -> usize {
        let queue = format!("{}.intake", self.name);
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let none = FieldTable::default();
        let queue = self.channel.queue_declare(queue.into(), options, none).await.unwrap();
        usize::try_from(queue.message_count()).unwrap()
    }

    /// Deletes the queue that Loa consumes.
    pub(crate) async fn delete_queue(&self) {
        let queue = format!("{}.intake", self.name);
        let options = QueueDeleteOptions::default();
        self.channel.queue_delete(queue.into(), options).await.unwrap();
    }

    /// Removes what the test has left in the broker.
    pub(crate) async fn remove(self) {
        for queue in ["intake", "dropped", "listener"] {
            let queue = format!("{}.{queue}", self.name);
            let options = QueueDeleteOptions::default();
            self.channel.queue_delete(queue.into(), options).await.unwrap();
        }
        for exchange in ["events", "dropped", "status"] {
            let exchange = format!("{}.{exchange}", self.name);
            let options = ExchangeDeleteOptions::default();
            self.channel.exchange_delete(exchange.into(), options).await.unwrap();
        }
    }
}

/// Status events as they come.
pub(crate) struct Listener(Consumer);

impl Listener {
    /// Listens until `enough` has heard what it wants, and returns all that was said.
    pub(crate) async fn until(&mut self, mut enough: impl FnMut(&Heard) -> bool) -> Vec<Heard> {
        let mut all = Vec::new();
        let listen = async {
            loop {
                let message = self.0.next().await.unwrap().unwrap();
                let correlation = message.properties.correlation_id().as_ref();
                let heard = Heard {
                    key: message.routing_key.to_string(),
                    correlation_id: correlation.map(ToString::to_string),
                    body: serde_json::from_slice(&message.data).unwrap(),
                };
                let is_enough = enough(&heard);
                all.push(heard);
                if is_enough {
                    return;
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, listen).await;
        let keys: Vec<_> = all.iter().map(|heard| heard.key.as_str()).collect();
        assert!(in_time.is_ok(), "heard only {keys:?}");
        all
    }
}

/// The headers of a CloudEvents event in binary mode.
pub(crate) fn binary_headers(event: &Value) -> FieldTable {
    let names = ["specversion", "type", "source", "id"];
    let text = |name: &&str| event[*name].as_str().unwrap().to_owned();
    let pairs = names.iter().map(|name| {
        (format!("cloudEvents:{name}").into(), AMQPValue::LongString(text(name).into()))
    });
    FieldTable::from(pairs.collect::<BTreeMap<_, _>>())
}

fn structured() -> BasicProperties {
    BasicProperties::default().with_content_type("application/cloudevents+json".into())
}

async fn channel(url: &str) -> Channel {
    try_channel(url).await.unwrap()
}

async fn try_channel(url: &str) -> Option<Channel> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.ok()?;
    let channel = connection.create_channel().await.ok()?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.ok()?;
    Some(channel)
}
