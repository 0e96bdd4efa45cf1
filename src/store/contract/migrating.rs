//! A store of an earlier version in full use is brought up to date: nothing is lost, and work goes
//! on.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::stage::{LEASE, Stage};
use crate::model::delivery::{Reason, State};
use crate::model::id::DeliveryId;
use crate::model::outcome::VerdictClass;
use crate::store::engine::Value;
use crate::store::{Claimed, DeliveryFilter, Repair};

#[tokio::test]
async fn a_store_of_schema_7_in_full_use_loses_nothing_sqlite() {
    carry(Stage::bare_sqlite()).await;
}

#[tokio::test]
async fn a_store_of_schema_7_in_full_use_loses_nothing_postgres() {
    carry(Stage::bare_postgres("schema_7").await).await;
}

/// The schema before bundles and before the narrow tables.
const BEFORE: usize = 7;

/// A delivery as the version before left it.
struct Left {
    state: State,
    reason: Reason,
    /// How often it was tried, what is being tried counted too.
    attempts: i64,
    /// The code of the last answer.
    code: Option<&'static str>,
    /// How many minutes from now it is due.
    due_in: i64,
    /// Whether a worker holds it.
    is_claimed: bool,
    /// What was asked meanwhile.
    intent: Option<&'static str>,
}

fn left(state: State, reason: Reason, attempts: i64) -> Left {
    Left { state, reason, attempts, code: None, due_in: 0, is_claimed: false, intent: None }
}

/// One of each sort.
fn all_left() -> Vec<Left> {
    use Reason as R;
    use State as S;
    vec![
        left(S::Waiting, R::Scheduled, 0),
        Left { due_in: 60, ..left(S::Waiting, R::Scheduled, 0) },
        Left { code: Some("451"), ..left(S::Waiting, R::Retry, 2) },
        Left { is_claimed: true, ..left(S::Waiting, R::Scheduled, 1) },
        Left { is_claimed: true, intent: Some("cancel:operator"), ..left(S::Waiting, R::Retry, 3) },
        left(S::Held, R::Operator, 0),
        left(S::Held, R::RenderFault, 0),
        Left { code: Some("250"), ..left(S::Sent, R::Accepted, 1) },
        Left { code: Some("202"), ..left(S::Delivered, R::Receipt, 1) },
        Left { code: Some("550"), ..left(S::Bounced, R::BadAddress, 1) },
        Left { code: Some("554"), ..left(S::Failed, R::Refused, 1) },
        left(S::Skipped, R::NoConsent, 0),
        left(S::Expired, R::Expiry, 0),
        left(S::Cancelled, R::Overtaken, 0),
    ]
}

/// Writes a row as the version before did.
async fn insert(stage: &Stage, table: &str, columns: &[(&str, Value)]) {
    let (names, values): (Vec<&str>, Vec<Value>) = columns.iter().cloned().unzip();
    let places: Vec<String> = (1..=values.len()).map(|number| format!("${number}")).collect();
    let (names, places) = (names.join(", "), places.join(", "));
    let sql: Arc<str> = format!("INSERT INTO {table} ({names}) VALUES ({places})").into();
    let write = stage.store.write(move |tx| {
        let (sql, values) = (Arc::clone(&sql), values.clone());
        Box::pin(async move { tx.execute(&sql, &values).await })
    });
    assert_eq!(write.await.unwrap(), 1);
}

/// What the version before has: an event with one delivery of each sort, and status events that
/// wait.
async fn fill(stage: &Stage, all: &[Left]) -> Vec<DeliveryId> {
    let (event, now) = (stage.event("1"), stage.now());
    let row = [
        ("id", event.id.0.into()),
        ("source", "shop".into()),
        ("external_id", "1".into()),
        ("event_type", "order.delayed".into()),
        ("time", now.into()),
        ("received_at", now.into()),
        ("business_key", "DH-1".into()),
        ("data", "{}".into()),
        ("transport", "http".into()),
        ("state", "planned".into()),
        ("deliveries", all.len().into()),
    ];
    insert(stage, "event", &row).await;
    count(stage, "event.received", 1).await;
    count(stage, "event.planned", 1).await;
    let mut ids = Vec::new();
    for (number, left) in all.iter().enumerate() {
        let mut delivery = stage.delivery(&event, number).delivery;
        delivery.due_at += jiff::SignedDuration::from_mins(left.due_in);
        ids.push(delivery.id);
        insert(stage, "delivery", &delivery_row(&delivery, left, stage)).await;
        count(stage, "delivery.planned", 1).await;
        count(stage, &format!("delivery.{}", left.state.as_str()), 1).await;
        for tried in 1..=left.attempts - i64::from(left.is_claimed) {
            let attempt = [
                ("delivery", delivery.id.0.into()),
                ("number", tried.into()),
                ("started_at", now.into()),
                ("finished_at", now.into()),
                ("provider", "relay".into()),
                ("class", "later".into()),
                ("answer", "".into()),
            ];
            insert(stage, "attempt", &attempt).await;
        }
    }
    for id in 1..=3 {
        let told = [
            ("id", Uuid::from_u128(id).into()),
            ("routing_key", "status.email.sent.order.delayed".into()),
            ("at", now.into()),
            ("body", "{}".into()),
        ];
        insert(stage, "outbox", &told).await;
    }
    ids
}

fn delivery_row(
    delivery: &crate::model::delivery::Delivery,
    left: &Left,
    stage: &Stage,
) -> Vec<(&'static str, Value)> {
    let lease = |value: Value| if left.is_claimed { value } else { None::<i64>.into() };
    let uuid = |id: u128| left.is_claimed.then(|| Uuid::from_u128(id));
    let until = (stage.now() + LEASE).as_microsecond();
    vec![
        ("id", delivery.id.0.into()),
        ("event", delivery.event.0.into()),
        ("event_type", "order.delayed".into()),
        ("step", "notice".into()),
        ("recipient_key", delivery.recipient_key.as_str().into()),
        ("business_key", "DH-1".into()),
        ("channel", "email".into()),
        ("provider", "relay".into()),
        ("address", format!("{}@example.test", delivery.recipient_key).into()),
        ("locale", "vi".into()),
        ("time_zone", "Asia/Ho_Chi_Minh".into()),
        ("recipient", "{}".into()),
        ("template", "order.delayed".into()),
        ("category", "transactional".into()),
        ("lane", 1_i64.into()),
        ("state", left.state.as_str().into()),
        ("reason", left.reason.as_str().into()),
        ("due_at", delivery.due_at.into()),
        ("expires_at", delivery.expires_at.into()),
        ("attempts", left.attempts.into()),
        ("version", 1_i64.into()),
        ("last_code", left.code.map(str::to_owned).into()),
        ("created_at", stage.now().into()),
        ("updated_at", stage.now().into()),
        ("lease_token", uuid(1).into()),
        ("lease_until", lease(until.into())),
        ("lease_run", uuid(2).into()),
        ("intent", left.intent.map(str::to_owned).into()),
    ]
}

/// Counts as the version before did.
async fn count(stage: &Stage, name: &str, by: i64) {
    let slot = Uuid::from_u128(fastrand::u128(..)).to_string();
    let (kind, value) = ("order.delayed".into(), by.into());
    let row = [
        ("slot", slot.into()),
        ("event_type", kind),
        ("name", name.to_owned().into()),
        ("value", value),
    ];
    insert(stage, "counter", &row).await;
}

async fn carry(stage: Stage) {
    stage.store.migrate_to(BEFORE).await.unwrap();
    let all = all_left();
    let ids = fill(&stage, &all).await;

    let applied = stage.store.migrate().await.unwrap();

    assert_eq!(applied.first(), Some(&"0008_outbox_bundles"));
    assert!(applied.contains(&"0009_waiting"));
    stage.assert_closed().await;
    for (left, id) in all.iter().zip(&ids) {
        let story = stage.store.find_delivery(*id).await.unwrap().unwrap();
        let found = (story.delivery.state, story.delivery.reason, story.delivery.attempts);
        assert_eq!(found, (left.state, left.reason, u32::try_from(left.attempts).unwrap()));
    }
    assert_found_by_what_sets_them_apart(&stage, &ids).await;
    assert_eq!(stage.store.leased().await.unwrap(), 2);
    assert_eq!(stage.store.backlog().await.unwrap().outbox, 3);
    go_on(&stage, &ids).await;
}

async fn assert_found_by_what_sets_them_apart(stage: &Stage, ids: &[DeliveryId]) {
    let find = async |filter: DeliveryFilter| {
        let found = stage.store.deliveries(filter, None, 100).await.unwrap();
        found.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    let states = vec![State::Failed];
    assert_eq!(find(DeliveryFilter { states, ..Default::default() }).await, [ids[10]]);
    let reason = Some(Reason::RenderFault);
    assert_eq!(find(DeliveryFilter { reason, ..Default::default() }).await, [ids[6]]);
    let code = Some("550".to_owned());
    assert_eq!(find(DeliveryFilter { code, ..Default::default() }).await, [ids[9]]);
    let states = vec![State::Waiting];
    assert_eq!(find(DeliveryFilter { states, ..Default::default() }).await.len(), 5);
}

/// Everything that has not ended comes to its end, and what waited is told.
async fn go_on(stage: &Stage, ids: &[DeliveryId]) {
    let of = |claims: &[Arc<Claimed>]| -> Vec<(DeliveryId, u32)> {
        let mut claims: Vec<_> =
            claims.iter().map(|claim| (claim.delivery.id, claim.attempt)).collect();
        claims.sort_unstable();
        claims
    };
    let due = stage.claim().await;
    assert_eq!(of(&due), [(ids[0], 1), (ids[2], 3)]);
    let sent = due.iter().map(|claim| stage.sent(claim)).collect();
    stage.store.finish(sent).await.unwrap();
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let lost = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();
    assert_eq!(of(&lost), [(ids[3], 1), (ids[4], 3)]);
    let unknown =
        |claim| stage.answered(claim, VerdictClass::Unknown, State::Waiting, Reason::Retry);
    stage.store.finish(lost.iter().map(unknown).collect()).await.unwrap();
    assert_eq!(stage.state(ids[4]).await, State::Cancelled);
    stage.store.repair(vec![ids[5], ids[6]], Repair::Release, "lan").await.unwrap();
    let retry = Repair::Retry { new_expiry: None };
    stage.store.repair(vec![ids[9], ids[10]], retry, "lan").await.unwrap();
    stage.clock.advance(Duration::from_hours(1));
    let rest = stage.claim().await;
    assert_eq!(rest.len(), 6, "the later one, the lost one, two released, two tried again");
    stage.store.finish(rest.iter().map(|claim| stage.sent(claim)).collect()).await.unwrap();

    let states = stage.store.ledger().await.unwrap().deliveries.states;
    assert_eq!((states["sent"], states["waiting"], states["held"]), (9, 0, 0));
    assert_eq!(stage.store.adopt_outbox().await.unwrap(), 3);
    let told = stage.told().await;
    assert_eq!(told.iter().filter(|told| told.body == "{}").count(), 3);
    stage.assert_closed().await;
}
