//! Which hours hold for whom.

use uuid::Uuid;

use super::*;
use crate::model::catalogue::Lane;
use crate::model::delivery::{GateFacts, Reason, RecipientFacts};
use crate::model::event::EventKey;
use crate::model::id::{DeliveryId, EventId, LeaseToken};
use crate::store::EventFacts;

/// The claim of a delivery that is in no store.
pub(super) fn claimed() -> Claimed {
    let delivery = delivery(Category::Transactional, Channel::Email);
    let at = Timestamp::UNIX_EPOCH;
    let event = EventFacts {
        id: delivery.event,
        key: EventKey { source: "shop".to_owned(), id: "1".to_owned() },
        event_type: delivery.event_type.clone(),
        time: at,
        received_at: at,
        correlation_id: None,
        traceparent: None,
        data: Arc::default(),
    };
    let (token, gate) = (LeaseToken::new(at), GateFacts::default());
    Claimed { delivery, token, attempt: 1, event: Arc::new(event), gate }
}

fn delivery(category: Category, channel: Channel) -> Delivery {
    let at = Timestamp::UNIX_EPOCH;
    Delivery {
        id: DeliveryId(Uuid::nil()),
        event: EventId(Uuid::nil()),
        event_type: "promotion.announced".into(),
        step: "tell".into(),
        recipient_key: "an".into(),
        contact: None,
        partner: None,
        business_key: None,
        channel,
        provider: None,
        address: None,
        locale: "vi".into(),
        time_zone: "Asia/Ho_Chi_Minh".into(),
        recipient: RecipientFacts::default(),
        template: "x".into(),
        category,
        lane: Lane::Bulk,
        state: State::Waiting,
        reason: Reason::Scheduled,
        detail: None,
        due_at: at,
        expires_at: at,
        window: None,
        attempts: 1,
        after: None,
        version: 1,
        provider_message_id: None,
        is_captured: false,
        created_at: at,
        updated_at: at,
    }
}

#[test]
fn marketing_by_sms_keeps_the_legal_hours_and_nothing_else_must() {
    let hours: Window = "07:00-22:00".parse().unwrap();
    // 23:30 in Vietnam.
    let night: Timestamp = "2026-11-23T16:30:00Z".parse().unwrap();
    let opens = |category, channel| {
        let delivery = delivery(category, channel);
        window_opens(&Catalogue::default(), Some(&hours), &delivery, night)
    };

    let morning = Some("2026-11-24T00:00:00Z".parse().unwrap());
    assert_eq!(opens(Category::Marketing, Channel::Sms), morning);
    assert_eq!(opens(Category::Transactional, Channel::Sms), None);
    assert_eq!(opens(Category::Marketing, Channel::Email), None);
}

#[test]
fn a_step_that_is_gone_from_the_catalogue_keeps_its_window() {
    let at: Timestamp = "2026-11-23T16:30:00Z".parse().unwrap();
    let mut delivery = delivery(Category::Transactional, Channel::Email);
    delivery.window = Some("08:00-18:00".parse().unwrap());

    let opens = window_opens(&Catalogue::default(), None, &delivery, at);

    assert_eq!(opens, Some("2026-11-24T01:00:00Z".parse().unwrap()));
}
