//! An empty store, and rows to put into it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::clock::Clock;
use crate::model::address::{Address, Channel};
use crate::model::catalogue::{Category, Lane};
use crate::model::delivery::{Delivery, Reason, RecipientFacts, Settlement, State};
use crate::model::event::{Arrival, Digest, Event, EventKey, Properties, Transport};
use crate::model::id::{DeliveryId, EventId, RunId};
use crate::model::outcome::{Answer, Attempt, VerdictClass};
use crate::store::{
    Acceptance, Claimed, Finish, NewDelivery, Place, PlannedEvent, Settings, Store,
};

/// How long claims of these tests last.
pub(super) const LEASE: Duration = Duration::from_mins(1);
/// The provider of all deliveries.
pub(super) const RELAY: &str = "relay";

/// An empty store and the folder that it may need.
pub(super) struct Stage {
    pub(super) store: Store,
    _folder: TempDir,
}

impl Stage {
    pub(super) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("loa.db"));
        Self { store: open(place).await, _folder: folder }
    }

    /// In a database that sorts text by the rules of English: `a` before `B`, other than bytes.
    #[expect(clippy::disallowed_methods, reason = "where the PostgreSQL of the tests is")]
    pub(super) async fn postgres(test: &str) -> Self {
        let url = std::env::var("TEST_POSTGRES_URL").unwrap_or_else(|_| {
            panic!("TEST_POSTGRES_URL is not set: run ./test; ./test fast leaves this test out")
        });
        let name: String = format!("contract_{test}").chars().take(63).collect();
        let (client, connection) =
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let create = async {
            client.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await.unwrap();
            let create = format!(
                "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' \
                 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
            );
            client.batch_execute(&create).await.unwrap();
        };
        tokio::select! {
            () = create => {}
            ended = connection => panic!("the connection ended: {ended:?}"),
        }
        let (base, _) = url.rsplit_once('/').unwrap();
        let url = format!("{base}/{name}").into();
        let store = open(Place::Postgres { url, connections: 6 }).await;
        Self { store, _folder: tempfile::tempdir().unwrap() }
    }
}

async fn open(place: Place) -> Store {
    let settings = Settings {
        place,
        outbox: true,
        keys_last: Duration::from_hours(24),
        derived_keys_last: Duration::from_hours(1),
    };
    let clock = Clock::system();
    let run = RunId::new(clock.now());
    Store::open(settings, clock, run).await.unwrap()
}

/// The present moment.
pub(super) fn now() -> Timestamp {
    Clock::system().now()
}

/// An event with this id whose data says `says`.
pub(super) fn event(id: &str, says: &str) -> Event {
    let now = now();
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().zip(says.bytes()) {
        *at = byte;
    }
    Event {
        id: EventId::new(now),
        key: EventKey { source: "shop".to_owned(), id: id.to_owned() },
        key_is_derived: false,
        event_type: "order.delayed".into(),
        time: now,
        received_at: now,
        not_before: None,
        business_key: Some(format!("DH-{id}")),
        partner: None,
        correlation_id: None,
        traceparent: None,
        only: None,
        data: Arc::new(json!({ "says": says })),
        digest: Digest(digest),
        transport: Transport::Http,
    }
}

/// A delivery of `event` that is due now.
pub(super) fn delivery(event: &Event, recipient: &str) -> Delivery {
    let now = now();
    let day = SignedDuration::from_hours(24);
    Delivery {
        id: DeliveryId::new(now),
        event: event.id,
        event_type: event.event_type.clone(),
        step: "tell".into(),
        recipient_key: recipient.to_owned(),
        contact: None,
        partner: None,
        business_key: event.business_key.clone(),
        channel: Channel::Email,
        provider: Some(RELAY.into()),
        address: Some(Address::email(&format!("{recipient}@example.test")).unwrap()),
        locale: "vi".into(),
        time_zone: "Asia/Ho_Chi_Minh".into(),
        recipient: RecipientFacts::default(),
        template: "order.delayed".into(),
        category: Category::Transactional,
        lane: Lane::Normal,
        state: State::Waiting,
        reason: Reason::Scheduled,
        detail: None,
        due_at: now,
        expires_at: now.saturating_add(day).unwrap(),
        attempts: 0,
        after: None,
        version: 1,
        provider_message_id: None,
        created_at: now,
        updated_at: now,
    }
}

/// An event and its deliveries as they are handed to the store.
pub(super) fn planned(event: Event, deliveries: Vec<Delivery>) -> Acceptance {
    let new = |delivery| NewDelivery { delivery, unless: Vec::new(), lease: None };
    let arrival = Arrival {
        bytes: Bytes::from(event.data.to_string()),
        properties: Properties::default(),
        transport: Transport::Http,
        at: event.received_at,
    };
    Acceptance::Planned(Box::new(PlannedEvent {
        arrival,
        event,
        deliveries: deliveries.into_iter().map(new).collect(),
        cancels: Vec::new(),
        change: None,
        pages: Vec::new(),
    }))
}

/// Accepts one event with a delivery for each recipient.
pub(super) async fn accept(store: &Store, id: &str, recipients: &[&str]) -> Vec<DeliveryId> {
    let event = event(id, "late");
    let deliveries: Vec<_> = recipients.iter().map(|name| delivery(&event, name)).collect();
    let ids = deliveries.iter().map(|delivery| delivery.id).collect();
    store.accept(vec![planned(event, deliveries)]).await.unwrap();
    ids
}

/// Claims up to `limit` for the relay.
pub(super) async fn claim(store: &Store, limit: usize) -> Vec<Claimed> {
    store.claim(&RELAY.into(), limit, LEASE).await.unwrap()
}

/// The record of a try that ended in `state`.
pub(super) fn finish(claimed: &Claimed, state: State, reason: Reason) -> Finish {
    let now = now();
    let class = match state == State::Sent {
        true => VerdictClass::Accepted,
        false => VerdictClass::Refused,
    };
    Finish {
        delivery: claimed.delivery.id,
        token: claimed.token,
        attempt: Some(Attempt {
            delivery: claimed.delivery.id,
            number: claimed.attempt,
            started_at: now,
            finished_at: now,
            provider: RELAY.into(),
            class,
            answer: Answer::new(Some("250".to_owned()), "taken"),
            template_version: None,
        }),
        settlement: Settlement { counts: true, ..Settlement::uncounted(state, reason, now) },
        captured: None,
    }
}

/// The ledger closes, and the rows say the same.
pub(super) async fn assert_closed(store: &Store) {
    assert!(store.ledger().await.unwrap().closes);
    assert_eq!(store.audit().await.unwrap(), Vec::new());
}
