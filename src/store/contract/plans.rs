//! No statement of everyday work looks at every row of a table that grows.
//!
//! The statements are those that the work itself ran: what is added to it is looked at too.

use std::time::Duration;

use super::stage::{LEASE, Stage, email, relay};
use crate::model::audience::{AudienceQuery, InlineRecipient};
use crate::model::catalogue::Category;
use crate::model::contact::{Consent, Suppression};
use crate::model::delivery::{Lease, Reason, State};
use crate::model::id::LeaseToken;
use crate::model::outcome::VerdictClass;
use crate::store::engine::{Row, Value};
use crate::store::{Acceptance, Ages, DeliveryFilter, NewPage, Repair, StoreError};

on_both_stores!(no_statement_of_everyday_work_looks_at_every_row);

/// The tables that grow with what is sent, with who is known, or with what cannot be told.
const GROWING: [&str; 15] = [
    "attempt",
    "captured",
    "consent",
    "contact",
    "contact_address",
    "deed",
    "delivery",
    "event",
    "event_key",
    "marker",
    "notable",
    "outbox_bundle",
    "rejected",
    "suppression",
    "waiting",
];

/// Indexes of what is being done right now, which may be looked through.
const OF_THE_MOMENT: [&str; 3] = ["waiting_to_claim", "waiting_to_expire", "waiting_due"];

async fn no_statement_of_everyday_work_looks_at_every_row(stage: Stage) {
    work(&stage).await;
    let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
    let is_work = |sql: &std::sync::Arc<str>| verbs.iter().any(|verb| sql.starts_with(verb));
    let everyday: Vec<_> = stage.statements().into_iter().filter(is_work).collect();
    assert!(everyday.len() > 60, "only {} statements were run", everyday.len());
    let is_postgres = stage.store.describe().starts_with("PostgreSQL");
    for written in ["INTO event ", "UPDATE delivery "] {
        let joined =
            |sql: &&std::sync::Arc<str>| sql.starts_with("WITH w") && sql.contains(written);
        let are_joined = everyday.iter().filter(joined).count();
        assert!(are_joined >= 2 || !is_postgres, "{written}: {are_joined}");
    }

    let mut faults = Vec::new();
    for sql in everyday {
        let plan = explain(&stage, sql.to_string()).await.unwrap_or_else(|error| {
            panic!("cannot explain {sql}: {error}");
        });
        if plan.lines().any(|line| looks_at_every_row(line, &sql)) {
            faults.push(format!("{sql}\n{plan}"));
        }
    }

    assert!(faults.is_empty(), "\n{}\n", faults.join("\n\n"));
}

/// Whether a step of a plan goes through all of a table that grows.
fn looks_at_every_row(line: &str, sql: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let follows = |before: &[&str]| {
        let at = words.windows(before.len()).position(|window| window == before)?;
        words.get(at + before.len()).copied()
    };
    if let Some(table) = follows(&["Seq", "Scan", "on"]) {
        return GROWING.contains(&table);
    }
    if is_search_of_all(line) {
        return follows(&["SEARCH"]).is_some_and(|table| GROWING.contains(&table));
    }
    let Some(table) = follows(&["SCAN"]) else { return false };
    // A list in the order of an index ends with its page.
    let index = follows(&["INDEX"]);
    let is_bounded =
        index.is_some_and(|name| OF_THE_MOMENT.contains(&name) || sql.contains("LIMIT"));
    GROWING.contains(&table) && !is_bounded
}

/// Whether SQLite calls it a search, for the first or last of a column, though no index leads
/// there. One that goes through an index of other columns first looks the same as one that is led,
/// and is not seen.
pub(super) fn is_search_of_all(line: &str) -> bool {
    line.contains("SEARCH ") && !line.contains(" INDEX ") && !line.contains('(')
}

/// How the database goes about a statement, whatever its parameters are.
async fn explain(stage: &Stage, sql: String) -> Result<String, StoreError> {
    let plan = stage.store.read(move |tx| {
        Box::pin(async move {
            let sign = if tx.is_postgres() { '$' } else { '?' };
            let is_there = |number: &usize| sql.contains(&format!("{sign}{number}"));
            let params = (1..100).take_while(is_there).count();
            if !tx.is_postgres() {
                let nulls = vec![Value::from(None::<i64>); params];
                return lines(tx.query(&format!("EXPLAIN QUERY PLAN {sql}"), &nulls).await?, 3);
            }
            tx.query("SET LOCAL plan_cache_mode = force_generic_plan", &[]).await?;
            tx.query(&format!("PREPARE explained AS {sql}"), &[]).await?;
            let nulls = vec!["NULL"; params].join(", ");
            let nulls = if params == 0 { String::new() } else { format!("({nulls})") };
            let plan = tx.query(&format!("EXPLAIN EXECUTE explained{nulls}"), &[]).await?;
            tx.query("DEALLOCATE explained", &[]).await?;
            lines(plan, 0)
        })
    });
    plan.await
}

fn lines(plan: Vec<Row>, column: usize) -> Result<String, StoreError> {
    let lines: Result<Vec<_>, _> = plan.iter().map(|row| row.text(column)).collect();
    Ok(lines?.join("\n"))
}

/// Everything that a Loa does all day, once.
async fn work(stage: &Stage) {
    directory(stage).await;
    accept(stage).await;
    deliver(stage).await;
    look_after(stage).await;
}

async fn directory(stage: &Stage) {
    let address = email("somebody");
    let (at, source) = (stage.now(), "form".to_owned());
    let consent = Consent { address: address.clone(), granted: true, at, source };
    stage.store.record_consent(consent).await.unwrap();
    let suppression = Suppression { address: address.clone(), reason: "operator".to_owned(), at };
    stage.store.suppress(suppression).await.unwrap();
    stage.store.put_segment("everyone".into(), Default::default()).await.unwrap();
    let inline = InlineRecipient { addresses: vec![address], ..InlineRecipient::default() };
    let queries = vec![
        AudienceQuery::Inline(vec![inline]),
        AudienceQuery::Contacts(vec!["lan".into()]),
        AudienceQuery::Partner { partner: "minh-phat".into(), duties: vec!["buyer".to_owned()] },
        AudienceQuery::Manager("minh-phat".into()),
        AudienceQuery::Superior("minh-phat".into()),
        AudienceQuery::Team("managers".into()),
        AudienceQuery::Segment("everyone".into()),
    ];
    stage.store.resolve(queries, 100).await.unwrap();
}

async fn accept(stage: &Stage) {
    for _ in 0..2 {
        let mut batch: Vec<_> = ["1", "2", "3"].map(|id| stage.planned(id, 4)).into();
        batch[0].cancels = vec![("order.delayed".into(), "notice".into())];
        batch[1].deliveries[0].unless = vec!["order.delay_resolved".into()];
        batch[1].deliveries[1].delivery.category = Category::Marketing;
        let before = batch[2].deliveries[0].delivery.id;
        batch[2].deliveries[1].delivery.after = Some(before);
        let planned = batch.into_iter().map(|planned| Acceptance::Planned(Box::new(planned)));
        // The second time they are repeats.
        stage.store.accept(planned.collect()).await.unwrap();
    }
    for count in [1, 2] {
        // What is leased at once is written as one statement, of one row or of some.
        let mut leased = stage.planned(&format!("leased {count}"), count);
        for new in &mut leased.deliveries {
            new.lease = Some(Lease { token: LeaseToken::new(stage.now()), lasts: LEASE });
        }
        stage.accept(leased).await;
    }
    let mut big = stage.planned("4", 0);
    let query = AudienceQuery::Segment("everyone".into());
    big.pages = vec![NewPage { step: "notice".into(), query }];
    stage.accept(big).await;
    let page = stage.store.claim_page(LEASE).await.unwrap().unwrap();
    let deliveries = vec![stage.delivery(&page.event, 0), stage.delivery(&page.event, 1)];
    stage.store.finish_page(page, deliveries, None).await.unwrap();
}

async fn deliver(stage: &Stage) {
    let mut claims = stage.claim().await;
    // What ended well is written as one statement, of one row or of some.
    for count in [1, 2] {
        let sent = claims.drain(..count).map(|claim| stage.sent(&claim)).collect();
        stage.store.finish(sent).await.unwrap();
    }
    let held = claims.iter().map(|claim| (claim.delivery.id, claim.token)).collect();
    stage.store.renew(held, LEASE).await.unwrap();
    let ends = claims.iter().enumerate().map(|(number, claim)| match number % 3 {
        0 => stage.sent(claim),
        1 => {
            let (class, state) = (VerdictClass::BadAddress, State::Bounced);
            let mut bounced = stage.answered(claim, class, state, Reason::BadAddress);
            (bounced.settlement.suppresses, bounced.captured) = (true, Some("{}".into()));
            bounced
        }
        _ => stage.answered(claim, VerdictClass::Later, State::Waiting, Reason::Retry),
    });
    stage.store.finish(ends.collect()).await.unwrap();
    let again = stage.claim().await;
    stage.clock.advance(LEASE + Duration::from_secs(1));
    let ours = again.iter().map(|claim| (claim.delivery.id, claim.token)).collect();
    stage.store.claim_expired(10, LEASE, ours).await.unwrap();
    let taken = stage.store.claim_expired(10, LEASE, Vec::new()).await.unwrap();
    let fallback = (taken[0].delivery.id, taken[0].token);
    for claim in &taken {
        stage.store.take_over_from(claim.delivery.id, fallback).await.unwrap();
    }
    stage.store.adopt_outbox().await.unwrap();
    stage.store.take_back_unreadable().await.unwrap();
    stage.told().await;
}

/// Lists by names, which are long enough to be looked through in part, with what else sets apart.
async fn search(stage: &Stage) {
    stage.plan("6", 110).await;
    let (none, text) = (DeliveryFilter::default(), |text: &str| Some(text.to_owned()));
    let none = DeliveryFilter { name: text("nobody"), ..none };
    let filters = [
        none.clone(),
        DeliveryFilter { partner: text("minh-phat"), ..none.clone() },
        DeliveryFilter { event_type: text("order.delayed"), ..none.clone() },
        DeliveryFilter { provider: text("relay"), ..none.clone() },
        DeliveryFilter { states: vec![State::Waiting], ..none.clone() },
        DeliveryFilter { states: vec![State::Failed], ..none },
    ];
    for filter in filters {
        stage.store.deliveries(filter, None, 1).await.unwrap();
    }
}

async fn look_after(stage: &Stage) {
    let ids = stage.plan("5", 3).await;
    for repair in [Repair::Hold, Repair::Release, Repair::Cancel] {
        stage.store.repair(ids.clone(), repair, "lan").await.unwrap();
    }
    stage.store.find_delivery(ids[0]).await.unwrap();
    search(stage).await;
    stage.store.expire(10).await.unwrap();
    stage.store.release_render_held(10).await.unwrap();
    stage.store.hold_provider(relay(), "broken".to_owned(), "lan".to_owned()).await.unwrap();
    stage.store.provider_holds().await.unwrap();
    stage.store.release_provider(relay()).await.unwrap();
    stage.store.beat().await.unwrap();
    stage.store.fold_counters().await.unwrap();
    stage.store.ledger().await.unwrap();
    stage.store.backlog().await.unwrap();
    stage.store.agenda().await.unwrap();
    stage.store.leased().await.unwrap();
    stage.store.rejected_events(None, 50).await.unwrap();
    stage.clock.advance(Duration::from_hours(24 * 500));
    let day = Duration::from_hours(24);
    let ages = Ages { deliveries: day, rejected: day, captured: day };
    while stage.store.purge(ages, 5).await.unwrap() {}
}
