//! What is looked for is found, page by page, and always by an index.

use super::stage::{Stage, email};
use crate::model::contact::{DirectoryChange, Partner};
use crate::model::delivery::{Reason, State};
use crate::model::event::RejectReason;
use crate::model::id::EventId;
use crate::model::outcome::VerdictClass;
use crate::store::engine::Value;
use crate::store::search::lists;
use crate::store::{Cursor, DeliveryFilter, Dimension, EventFilter, RejectedFilter, events};

on_both_stores!(
    a_list_is_walked_in_pages_without_gap_or_repeat,
    a_delivery_is_found_by_each_of_its_marks,
    what_was_captured_is_told_apart_from_what_was_sent,
    a_code_of_two_words_is_found_by_each_of_them,
    a_delivery_is_found_by_the_name_of_its_partner,
    every_single_filter_uses_an_index,
);

async fn a_list_is_walked_in_pages_without_gap_or_repeat(stage: Stage) {
    for id in ["1", "2", "3"] {
        stage.plan(id, 5).await;
    }

    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = stage.store.deliveries(DeliveryFilter::default(), after, 4).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(Cursor { at: last.created_at, id: last.id.0 });
        seen.extend(page.iter().map(|delivery| delivery.id));
    }

    assert_eq!(seen.len(), 15);
    assert!(seen.is_sorted_by(|one, next| one > next), "the newest first, each once");
}

async fn a_delivery_is_found_by_each_of_its_marks(stage: Stage) {
    let ids = stage.plan("1", 1).await;
    let mut other = stage.planned("2", 1);
    let delivery = &mut other.deliveries[0].delivery;
    delivery.recipient.name = Some("100% Đặng\\".to_owned());
    delivery.recipient_key = "someone".to_owned();
    stage.accept(other).await;
    let claims = stage.claim().await;
    let mine = claims.iter().find(|claim| claim.delivery.id == ids[0]).unwrap();
    stage.store.finish(vec![stage.sent(mine)]).await.unwrap();

    let text = |text: &str| Some(text.to_owned());
    let filters = [
        DeliveryFilter { event_id: text("1"), ..Default::default() },
        DeliveryFilter { business_key: text("DH-1"), ..Default::default() },
        DeliveryFilter { contact: text("contact-0"), ..Default::default() },
        DeliveryFilter { name: text("MINH PHAT"), ..Default::default() },
        DeliveryFilter { states: vec![State::Sent, State::Failed], ..Default::default() },
        DeliveryFilter { reason: Some(Reason::Accepted), ..Default::default() },
        DeliveryFilter { code: text("250"), ..Default::default() },
    ];
    for filter in filters {
        let found = stage.store.deliveries(filter.clone(), None, 10).await.unwrap();
        let found: Vec<_> = found.iter().map(|delivery| delivery.id).collect();
        assert_eq!(found, ids, "{filter:?}");
        assert_eq!(stage.store.count_deliveries(filter).await.unwrap(), 1);
    }
    for (name, count) in [("0% dang\\", 1), ("dang\\", 1), ("d_ng", 0), ("%", 1)] {
        let filter = DeliveryFilter { name: text(name), ..Default::default() };
        assert_eq!(stage.store.count_deliveries(filter).await.unwrap(), count, "{name}");
    }
    let by = vec![Dimension::State, Dimension::Code];
    let counts = stage.store.count_deliveries_by(DeliveryFilter::default(), by).await.unwrap();
    let words = |words: [&str; 2]| words.map(str::to_owned).to_vec();
    assert_eq!(counts, [(words(["sent", "250"]), 1), (words(["waiting", ""]), 1)]);
}

async fn a_delivery_is_found_by_the_name_of_its_partner(stage: Stage) {
    let partner = |id, name| DirectoryChange::Partner(Partner::named(id, name, stage.now()));
    let known = vec![partner("minh-phat", "Công ty Hạt Điều"), partner("other", "Gốm Sứ")];
    stage.store.change_directory(known).await.unwrap();
    let ids = stage.plan("1", 1).await;
    let mut other = stage.planned("2", 1);
    other.deliveries[0].delivery.partner = Some("other".into());
    stage.accept(other).await;

    for (name, count) in [("hat dieu", 1), ("HẠT ĐIỀU", 1), ("minh phat", 2), ("hat dieu x", 0)]
    {
        let filter = DeliveryFilter { name: Some(name.to_owned()), ..Default::default() };
        assert_eq!(stage.store.count_deliveries(filter).await.unwrap(), count, "{name}");
    }
    let filter = DeliveryFilter { name: Some("hat dieu".to_owned()), ..Default::default() };
    let found = stage.store.deliveries(filter, None, 10).await.unwrap();
    assert_eq!(found.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids);
}

async fn what_was_captured_is_told_apart_from_what_was_sent(stage: Stage) {
    stage.plan("1", 2).await;
    let claims = stage.claim().await;
    let mut ends: Vec<_> = claims.iter().map(|claim| stage.sent(claim)).collect();
    ends[0].captured = Some("{}".into());
    let captured = ends[0].claimed.delivery.id;
    stage.store.finish(ends).await.unwrap();

    let found = stage.store.deliveries(DeliveryFilter::default(), None, 10).await.unwrap();
    let story = stage.store.find_delivery(captured).await.unwrap().unwrap();

    let told: Vec<_> = found.iter().filter(|one| one.is_captured).map(|one| one.id).collect();
    assert_eq!((found.len(), told), (2, vec![captured]));
    assert!(story.delivery.is_captured);
}

async fn a_code_of_two_words_is_found_by_each_of_them(stage: Stage) {
    stage.plan("1", 3).await;
    let claims = stage.claim().await;
    let codes = ["550 5.1.1", "550", "421 4.7.0"];
    let ends = claims.iter().zip(codes).map(|(claim, code)| {
        let (class, state) = (VerdictClass::BadAddress, State::Bounced);
        let mut end = stage.answered(claim, class, state, Reason::BadAddress);
        end.attempt.as_mut().unwrap().answer.code = Some(code.to_owned());
        end
    });
    stage.store.finish(ends.collect()).await.unwrap();

    for (code, count) in [("550", 2), ("5.1.1", 1), ("550 5.1.1", 1), ("421", 1), ("55", 0)] {
        let filter = DeliveryFilter { code: Some(code.to_owned()), ..Default::default() };
        let found = stage.store.deliveries(filter.clone(), None, 10).await.unwrap();
        assert_eq!(found.len(), count, "{code}");
        assert_eq!(stage.store.count_deliveries(filter).await.unwrap(), count as u64, "{code}");
    }
}

/// How the database would go about a statement.
pub(super) async fn explain(stage: &Stage, sql: String, params: Vec<Value>) -> String {
    let plan = stage.store.read(move |tx| {
        Box::pin(async move {
            let explain = if tx.is_postgres() { "EXPLAIN" } else { "EXPLAIN QUERY PLAN" };
            let column = if tx.is_postgres() { 0 } else { 3 };
            let rows = tx.query(&format!("{explain} {sql}"), &params).await?;
            rows.iter().map(|row| row.text(column)).collect::<Result<Vec<_>, _>>()
        })
    });
    plan.await.unwrap().join("\n")
}

/// Whether `plan` goes straight to the rows of `table` instead of looking at each; of partners, who
/// are few, each may be looked at.
fn is_by_index(plan: &str, table: &str) -> bool {
    let is_sqlite = plan.contains(&format!("SEARCH {table} USING"));
    is_sqlite || (plan.contains("Index Cond") && !plan.contains(&format!("Seq Scan on {table}")))
}

async fn assert_lists_use_indexes(stage: &Stage, wanted: &[(DeliveryFilter, Option<Cursor>)]) {
    for (filter, after) in wanted {
        for (sql, params) in lists(filter, *after, 50) {
            let plan = explain(stage, sql, params).await;
            let tables = ["delivery", "waiting", "notable"].into_iter();
            for table in tables.filter(|table| plan.contains(&format!(" {table} "))) {
                assert!(is_by_index(&plan, table), "{filter:?}:\n{plan}");
            }
        }
    }
}

async fn every_single_filter_uses_an_index(stage: Stage) {
    for number in 0..30 {
        stage.plan(&number.to_string(), 10).await;
    }
    let text = || Some("x".to_owned());
    let after = Cursor { at: stage.now(), id: EventId::new(stage.now()).0 };
    let none = DeliveryFilter::default();
    let deliveries = [
        (DeliveryFilter { event: Some(EventId::new(stage.now())), ..none.clone() }, None),
        (DeliveryFilter { event_id: text(), ..none.clone() }, None),
        (DeliveryFilter { business_key: text(), ..none.clone() }, None),
        (DeliveryFilter { partner: text(), ..none.clone() }, None),
        (DeliveryFilter { contact: text(), ..none.clone() }, None),
        (DeliveryFilter { address: Some(email("x").value()), ..none.clone() }, None),
        (DeliveryFilter { event_type: text(), ..none.clone() }, None),
        (DeliveryFilter { provider: text(), ..none.clone() }, None),
        (DeliveryFilter { states: vec![State::Failed], ..none.clone() }, None),
        (DeliveryFilter { states: vec![State::Waiting], ..none.clone() }, Some(after)),
        (DeliveryFilter { reason: Some(Reason::Refused), ..none.clone() }, None),
        (DeliveryFilter { code: text(), ..none.clone() }, None),
        (DeliveryFilter { since: Some(stage.now()), ..none.clone() }, None),
        (DeliveryFilter { until: Some(stage.now()), ..none.clone() }, None),
        (none, Some(after)),
    ];
    assert_lists_use_indexes(&stage, &deliveries).await;
    let none = EventFilter::default();
    let filters = [
        (EventFilter { loa_id: Some(EventId::new(stage.now())), ..none.clone() }, None),
        (EventFilter { id: text(), ..none.clone() }, None),
        (EventFilter { business_key: text(), ..none.clone() }, None),
        (EventFilter { event_type: text(), ..none.clone() }, None),
        (EventFilter { partner: text(), ..none.clone() }, None),
        (EventFilter { state: Some("planning".to_owned()), ..none.clone() }, Some(after)),
        (EventFilter { since: Some(stage.now()), ..none.clone() }, None),
        (none, Some(after)),
    ];
    for (filter, after) in filters {
        let (sql, params) = events::list(&filter, after, 50);
        let plan = explain(&stage, sql, params).await;
        assert!(is_by_index(&plan, "event"), "{filter:?}:\n{plan}");
    }
    let none = RejectedFilter::default();
    let filters = [
        (RejectedFilter { reason: Some(RejectReason::Schema), ..none.clone() }, None),
        (RejectedFilter { event_type: text(), ..none.clone() }, None),
        (RejectedFilter { id: text(), ..none.clone() }, None),
        (none, Some(after)),
    ];
    for (filter, after) in filters {
        let (sql, params) = events::list_rejected(&filter, after, 50);
        let plan = explain(&stage, sql, params).await;
        assert!(is_by_index(&plan, "rejected"), "{filter:?}:\n{plan}");
    }
}
