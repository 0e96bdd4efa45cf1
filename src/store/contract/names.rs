//! What is looked for by a part of a name is found as if every delivery had been looked at, however
//! the store goes about it: in the order of the list, or name by name.

use std::time::Duration;

use jiff::Timestamp;

use super::plans::is_search_of_all;
use super::search::explain;
use super::stage::Stage;
use crate::model::address::{Address, Channel};
use crate::model::contact::{DirectoryChange, Partner};
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::fold::fold;
use crate::model::id::{PartnerId, ProviderName};
use crate::model::outcome::VerdictClass;
use crate::store::search::list_by_name;
use crate::store::{Cursor, DeliveryFilter, Engine};

on_both_stores!(
    a_part_of_a_name_finds_what_looking_at_every_delivery_finds,
    a_name_leads_straight_to_its_deliveries,
);

/// Partners by their ids, with their names.
const PARTNERS: [(&str, &str); 3] =
    [("minh-phat", "Công ty Minh Phát"), ("hat-dieu", "Hạt Điều Sông Bé"), ("gom", "Gốm Sứ")];

/// Names of recipients: one that a third have, one of each of seven, and below one that two have.
fn name(number: usize) -> Option<String> {
    match number {
        3 | 77 => Some("Tố Hữu Sông".to_owned()),
        _ if number.is_multiple_of(11) => None,
        _ if number.is_multiple_of(3) => Some(format!("Nguyễn Văn {}", number % 40)),
        _ => Some(format!("Trần Thị {}", number % 7)),
    }
}

/// 400 deliveries, in batches of the same moment, in every state that a search tells apart.
async fn fill(stage: &Stage) -> Vec<Delivery> {
    let known =
        PARTNERS.map(|(id, name)| DirectoryChange::Partner(Partner::named(id, name, stage.now())));
    stage.store.change_directory(known.into()).await.unwrap();
    let mut number = 0;
    for event in 0..20 {
        let mut planned = stage.planned(&event.to_string(), 20);
        for new in &mut planned.deliveries {
            let delivery = &mut new.delivery;
            delivery.recipient.name = name(number);
            delivery.partner = PARTNERS.get(number % 5).map(|(id, _)| (*id).into());
            if number % 4 == 1 {
                delivery.event_type = "order.shipped".into();
            }
            if number % 6 == 1 {
                delivery.step = "reminder".into();
            }
            number += 1;
        }
        stage.accept(planned).await;
        stage.clock.advance(Duration::from_millis(1));
    }
    for _ in 0..2 {
        let ends = stage.claim().await.into_iter().enumerate().map(|(number, claim)| {
            let (class, bounced) = (VerdictClass::BadAddress, State::Bounced);
            match number % 7 {
                0 => stage.answered(&claim, class, State::Failed, Reason::Refused),
                1 => stage.answered(&claim, class, bounced, Reason::BadAddress),
                _ => stage.sent(&claim),
            }
        });
        stage.store.finish(ends.collect()).await.unwrap();
    }
    assert!(!stage.claim().await.is_empty(), "some are being sent");
    stage.store.deliveries(DeliveryFilter::default(), None, 1000).await.unwrap()
}

/// Filters to be given together with a name.
fn others(middle: Timestamp) -> Vec<DeliveryFilter> {
    let (none, text) = (DeliveryFilter::default(), |text: &str| Some(text.to_owned()));
    vec![
        none.clone(),
        DeliveryFilter { event_id: text("7"), ..none.clone() },
        DeliveryFilter { business_key: text("DH-7"), ..none.clone() },
        DeliveryFilter { partner: text("minh-phat"), ..none.clone() },
        DeliveryFilter { contact: text("contact-3"), ..none.clone() },
        DeliveryFilter { address: text("Contact-3@example.test"), ..none.clone() },
        DeliveryFilter { event_type: text("order.shipped"), ..none.clone() },
        DeliveryFilter { step: text("reminder"), ..none.clone() },
        DeliveryFilter { channel: Some(Channel::Email), ..none.clone() },
        DeliveryFilter { provider: text("relay"), step: text("reminder"), ..none.clone() },
        DeliveryFilter { states: vec![State::Waiting], ..none.clone() },
        DeliveryFilter { states: vec![State::Sent], ..none.clone() },
        DeliveryFilter { states: vec![State::Failed, State::Waiting], ..none.clone() },
        DeliveryFilter { states: vec![State::Failed, State::Bounced], ..none.clone() },
        DeliveryFilter { states: vec![State::Failed], partner: text("gom"), ..none.clone() },
        DeliveryFilter { reason: Some(Reason::Refused), ..none.clone() },
        DeliveryFilter { code: text("250"), ..none.clone() },
        DeliveryFilter { since: Some(middle), ..none.clone() },
        DeliveryFilter { until: Some(middle), partner: text("minh-phat"), ..none },
    ]
}

/// Whether `delivery` fits, looked at by itself; `code` is every answer's here.
fn fits(filter: &DeliveryFilter, delivery: &Delivery) -> bool {
    let same = |wanted: &Option<String>, text: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| Some(wanted) == text)
    };
    let part = fold(filter.name.as_deref().unwrap_or_default());
    let contains = |name: &str| fold(name).contains(&part);
    let partner = delivery.partner.as_ref().map(PartnerId::as_str);
    let of_partner = PARTNERS.iter().any(|(id, name)| Some(*id) == partner && contains(name));
    let address = filter.address.as_ref().map(|address| address.to_lowercase());
    let has_ended = delivery.state != State::Waiting;
    let event = delivery.business_key.as_deref().map(|key| key.trim_start_matches("DH-"));
    (of_partner || delivery.recipient.name.as_deref().is_some_and(contains))
        && same(&filter.event_id, event)
        && same(&filter.business_key, delivery.business_key.as_deref())
        && same(&filter.partner, partner)
        && same(&filter.contact, Some(&delivery.recipient_key))
        && same(&address, delivery.address.as_ref().map(Address::value).as_deref())
        && same(&filter.event_type, Some(delivery.event_type.as_str()))
        && same(&filter.step, Some(delivery.step.as_str()))
        && same(&filter.code, has_ended.then_some("250"))
        && filter.channel.is_none_or(|channel| channel == delivery.channel)
        && same(&filter.provider, delivery.provider.as_ref().map(ProviderName::as_str))
        && (filter.states.is_empty() || filter.states.contains(&delivery.state))
        && filter.reason.is_none_or(|reason| reason == delivery.reason)
        && filter.since.is_none_or(|since| delivery.created_at >= since)
        && filter.until.is_none_or(|until| delivery.created_at < until)
}

async fn a_part_of_a_name_finds_what_looking_at_every_delivery_finds(stage: Stage) {
    let all = fill(&stage).await;
    assert_eq!(all.len(), 400);
    let middle = all[200].created_at;

    // Of a third, of few and of none; of a partner, of recipients as well as a partner, of all.
    for name in ["NGUYỄN", "nguyen van 3", "tố hữu", "nobody", "hat dieu", "song", ""] {
        for other in others(middle) {
            let filter = DeliveryFilter { name: Some(name.to_owned()), ..other };
            let fitting: Vec<_> = all.iter().filter(|one| fits(&filter, one)).collect();
            let wanted: Vec<_> = fitting.iter().map(|delivery| delivery.id).collect();
            // A page of one is looked for among a hundred before it is looked for by name.
            for limit in [1, 2, 1000] {
                let (mut after, mut found) = (None, Vec::new());
                for _ in 0..4 {
                    let page = stage.store.deliveries(filter.clone(), after, limit).await.unwrap();
                    found.extend(page.iter().map(|delivery| delivery.id));
                    let Some(last) = page.last() else { break };
                    after = Some(Cursor { at: last.created_at, id: last.id.0 });
                }
                let first = wanted.iter().take(4 * limit as usize).copied();
                assert_eq!(found, first.collect::<Vec<_>>(), "{filter:?} by {limit}");
            }
            let count = stage.store.count_deliveries(filter.clone()).await.unwrap();
            assert_eq!(count, wanted.len() as u64, "{filter:?}");
        }
    }
}

/// Whether a step of a plan looks at deliveries other than those that an index leads to, but for
/// the one that stops at the first name of all.
fn looks_elsewhere(plan: &str) -> bool {
    let lines: Vec<&str> = plan.lines().collect();
    let is_led = |index: usize| {
        let below = lines.get(index + 1).copied().unwrap_or_default();
        below.contains("Cond: (") && !below.contains("IS NOT NULL)")
    };
    let is_scan = |line: &str| line.contains("Scan") && line.contains(" on delivery ");
    let astray = lines.iter().enumerate().filter(|(index, line)| {
        line.contains("SCAN delivery")
            || is_search_of_all(line)
            || (is_scan(line) && !is_led(*index))
    });
    let astray: Vec<&str> = astray.map(|(_, line)| *line).collect();
    match astray.as_slice() {
        [] => false,
        [line] => !line.contains("delivery_by_name"),
        _ => true,
    }
}

async fn a_name_leads_straight_to_its_deliveries(stage: Stage) {
    fill(&stage).await;
    let is_postgres = matches!(&*stage.store.engine, Engine::Postgres(_));
    let after = Cursor { at: stage.now(), id: uuid::Uuid::max() };
    for other in others(stage.now()) {
        let filter = DeliveryFilter { name: Some("nguyen".to_owned()), ..other };
        for after in [None, Some(after)] {
            let (sql, params) = list_by_name(&filter, (after, 50), is_postgres);

            let plan = explain(&stage, sql, params).await;

            assert!(!looks_elsewhere(&plan), "{filter:?}:\n{plan}");
        }
    }
    let (sql, params) = list_by_name(&DeliveryFilter::default(), (None, 50), is_postgres);
    let plan = explain(&stage, sql, params).await;
    for index in ["delivery_by_name", "delivery_by_partner"] {
        assert!(plan.contains(index), "{plan}");
    }
}
