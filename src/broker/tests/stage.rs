//! Exchanges and queues of one test alone, and someone beside Loa who uses them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::watch;

use super::proxy::Proxy;
use crate::broker::{BrokerState, Consumer, Delivered, Parts};
use crate::clock::Clock;
use crate::config::{RabbitSettings, Topology};
use crate::lifecycle::Tasks;
use crate::telemetry::Metrics;

/// Nothing in these tests takes longer unless it fails.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// One test's own corner of a broker.
pub(super) struct Stage {
    pub(super) settings: RabbitSettings,
    pub(super) tasks: Tasks,
    pub(super) proxy: Proxy,
    connection: Connection,
    /// Who carries the proxy; it outlives Loa's own tasks.
    carriers: Tasks,
}

#[expect(clippy::disallowed_methods, reason = "where the broker of the tests is")]
fn url() -> String {
    std::env::var("TEST_AMQP_URL").unwrap_or_else(|_| {
        panic!(
            "TEST_AMQP_URL is not set: run ./test, which starts a RabbitMQ of its own, or set it \
             to amqp://user:password@host:5672/%2f; ./test fast leaves this test out"
        )
    })
}

impl Stage {
    /// A corner with nothing in it, reached by an open proxy.
    pub(super) async fn new() -> Self {
        let stage = Self::unreachable().await;
        stage.proxy.open();
        stage
    }

    /// The same behind a closed proxy.
    pub(super) async fn unreachable() -> Self {
        let uri: AMQPUri = url().parse().unwrap();
        let (tasks, carriers) = (Tasks::new(), Tasks::new());
        let target = format!("{}:{}", uri.authority.host, uri.authority.port);
        let proxy = Proxy::closed(target, &carriers).await;
        let properties = ConnectionProperties::default();
        let connection = Connection::connect_uri(uri.clone(), properties).await.unwrap();
        // Loa may do here what docs/security.md says, as the services of the tests have it.
        let mut through = uri;
        "loa-tests".clone_into(&mut through.authority.userinfo.username);
        "canary-broker".clone_into(&mut through.authority.userinfo.password);
        through.authority.host = "127.0.0.1".to_owned();
        through.authority.port = proxy.port;
        let name = format!("loa-test-{:016x}", fastrand::u64(..));
        let settings = RabbitSettings {
            url: through.to_string().into(),
            exchange: format!("{name}.events"),
            queue: format!("{name}.intake"),
            dead_letter_exchange: format!("{name}.dropped"),
            dead_letter_queue: format!("{name}.dropped"),
            status_exchange: format!("{name}.status"),
            prefetch: 100,
            topology: Topology::Declare,
            bind: Vec::new(),
            heartbeat: Duration::from_secs(10),
        };
        Self { settings, tasks, proxy, connection, carriers }
    }

    pub(super) fn parts(&self) -> Parts {
        Parts {
            settings: Arc::new(self.settings.clone()),
            clock: Clock::manual(Timestamp::UNIX_EPOCH),
            tasks: self.tasks.clone(),
            metrics: Arc::new(Metrics::new("test")),
        }
    }

    /// A consumer that works already.
    pub(super) async fn consumer(&self) -> Consumer {
        let consumer = Consumer::start(&self.parts());
        await_state(&mut consumer.state(), |state| *state == BrokerState::Connected).await;
        consumer
    }

    /// Connects whoever is not Loa again, after the broker was away.
    pub(super) async fn reconnect(&mut self) {
        let properties = ConnectionProperties::default();
        self.connection = Connection::connect(&url(), properties).await.unwrap();
    }

    /// A channel of someone who is not Loa.
    pub(super) async fn channel(&self) -> Channel {
        self.connection.create_channel().await.unwrap()
    }

    pub(super) async fn publish(&self, bodies: impl IntoIterator<Item = u32>) {
        for body in bodies {
            self.publish_with(&body.to_string(), BasicProperties::default()).await;
        }
    }

    pub(super) async fn publish_with(&self, body: &str, properties: BasicProperties) {
        self.publish_to(&self.settings.exchange, body, properties).await;
    }

    pub(super) async fn publish_to(&self, exchange: &str, body: &str, properties: BasicProperties) {
        let exchange = exchange.into();
        let options = BasicPublishOptions::default();
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let confirm = channel
            .basic_publish(exchange, "order.delayed".into(), options, body.as_bytes(), properties)
            .await
            .unwrap();
        assert!(confirm.await.unwrap().is_ack());
        channel.close(200, "done".into()).await.unwrap();
    }

    pub(super) async fn declare_exchange(&self, name: &str) {
        let channel = self.channel().await;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let arguments = FieldTable::default();
        channel
            .exchange_declare(name.into(), ExchangeKind::Topic, options, arguments)
            .await
            .unwrap();
    }

    /// A durable classic queue, bound if an exchange is named.
    pub(super) async fn declare_queue(&self, name: &str, bound: Option<(&str, &str)>) {
        let channel = self.channel().await;
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(name.into(), options, FieldTable::default()).await.unwrap();
        if let Some((exchange, routing_key)) = bound {
            let options = QueueBindOptions::default();
            let (exchange, key) = (exchange.into(), routing_key.into());
            channel
                .queue_bind(name.into(), exchange, key, options, FieldTable::default())
                .await
                .unwrap();
        }
    }

    pub(super) async fn delete_queue(&self, name: &str) {
        let channel = self.channel().await;
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.unwrap();
    }

    /// Takes the next message out of a queue, if there is one.
    pub(super) async fn take(&self, queue: &str) -> Option<lapin::message::Delivery> {
        let channel = self.channel().await;
        let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap()?;
        got.delivery.ack(BasicAckOptions::default()).await.unwrap();
        channel.close(200, "done".into()).await.unwrap();
        Some(got.delivery)
    }

    /// Ends Loa's tasks and removes what the test has left in the broker.
    pub(super) async fn end(self) {
        self.tasks.stop(Duration::ZERO).await;
        let RabbitSettings { queue, dead_letter_queue, bind, .. } = &self.settings;
        for queue in [queue, dead_letter_queue] {
            self.delete_queue(queue).await;
        }
        let RabbitSettings { exchange, dead_letter_exchange, status_exchange, .. } = &self.settings;
        let own = [exchange, dead_letter_exchange, status_exchange];
        for name in own.into_iter().chain(bind.iter().map(|binding| &binding.exchange)) {
            let channel = self.channel().await;
            let options = ExchangeDeleteOptions::default();
            channel.exchange_delete(name.as_str().into(), options).await.unwrap();
        }
        self.carriers.stop(Duration::ZERO).await;
    }
}

/// Waits until a connection stands as wanted, and says how it stands then.
pub(super) async fn await_state(
    state: &mut watch::Receiver<BrokerState>,
    wanted: impl FnMut(&BrokerState) -> bool,
) -> BrokerState {
    let reached = tokio::time::timeout(PATIENCE, state.wait_for(wanted)).await;
    reached.expect("the connection did not come to the wanted state").unwrap().clone()
}

/// Waits until a connection is down, and says why.
pub(super) async fn await_fault(state: &mut watch::Receiver<BrokerState>) -> String {
    let down = await_state(state, |state| matches!(state, BrokerState::Down(_))).await;
    down.fault().unwrap().to_owned()
}

pub(super) async fn next(consumer: &mut Consumer) -> Delivered {
    let next = tokio::time::timeout(PATIENCE, consumer.next()).await;
    next.expect("no arrival came").expect("the arrivals ended")
}

/// The next arrivals, as the numbers in their bodies.
pub(super) async fn take(consumer: &mut Consumer, count: usize) -> Vec<(u32, Delivered)> {
    let mut taken = Vec::with_capacity(count);
    for _ in 0..count {
        let delivered = next(consumer).await;
        taken.push((number(&delivered.arrival.bytes), delivered));
    }
    taken
}

/// Takes and settles arrivals one by one, which is how a subscription begins.
pub(super) async fn take_and_settle(consumer: &mut Consumer, count: usize) -> Vec<u32> {
    let settler = consumer.settler();
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        let delivered = next(consumer).await;
        settler.settle([delivered.link]);
        numbers.push(number(&delivered.arrival.bytes));
    }
    numbers
}

fn number(bytes: &Bytes) -> u32 {
    std::str::from_utf8(bytes).unwrap().parse().unwrap()
}
