//! The story that is told: a late order, the same again, something unreadable, two complaints.

use std::collections::BTreeMap;

use jiff::ToSpan;
use serde_json::{Value, json};

use super::house::House;
use crate::model::delivery::State;
use crate::model::event::{Arrival, Properties, Transport};
use crate::model::outcome::VerdictClass;
use crate::store::DeliveryFilter;

/// Long ago, as far as anyone here is concerned.
const ONCE: &str = "2026-01-01T00:00:00Z";

/// How a telling ends.
pub(super) struct Ending {
    /// The state of each delivery, by business key, step and channel.
    states: BTreeMap<String, State>,
    planned_events: i64,
    rejected_events: i64,
    planned: i64,
}

/// Tells the story, and looks whether it keeps its promises.
pub(super) async fn tell(house: &mut House) -> Result<Ending, String> {
    let begins = house.clock.now();
    house.accept(company(house)).await?;
    let delayed = event(
        "order.delayed",
        "d-1",
        json!({
            "order_id": "DH-1", "partner_id": "minh-phat",
            "promised_at": "2030-01-01", "new_promised_at": "2030-01-05"
        }),
    );
    house.accept(arrivals(house, std::slice::from_ref(&delayed))).await?;
    house.pass(begins + 10.minutes()).await?;
    let complaints = ["KN-1", "KN-2"].map(|id| {
        let data = json!({ "complaint_id": id, "partner_id": "minh-phat", "subject": "Móp" });
        event("complaint.opened", id, data)
    });
    let [first, second] = complaints;
    let unreadable = event("order.delayed", "d-2", json!({ "order_id": 7 }));
    house.accept(arrivals(house, &[delayed, first, unreadable, second])).await?;
    house.pass(begins + 1.hours()).await?;
    let resolution = json!({ "vi": "Đã đổi hàng." });
    let resolved =
        json!({ "complaint_id": "KN-1", "partner_id": "minh-phat", "resolution": resolution });
    let resolved = event("complaint.resolved", "r-1", resolved);
    house.accept(arrivals(house, &[resolved])).await?;
    house.pass(begins + 23.hours()).await?;
    end(house).await
}

async fn end(house: &House) -> Result<Ending, String> {
    let (calm, told) = (house.calm(), |error: crate::store::StoreError| error.to_string());
    let ledger = calm.ledger().await.map_err(told)?;
    if !ledger.closes {
        return Err(format!("the ledger does not close: {ledger:?}"));
    }
    let audit = calm.audit().await.map_err(told)?;
    if !audit.is_empty() {
        return Err(format!("the audit finds {audit:?}"));
    }
    let mut states = BTreeMap::new();
    for delivery in calm.deliveries(DeliveryFilter::default(), None, 1000).await.map_err(told)? {
        let key = delivery.business_key.as_deref().unwrap_or_default();
        let name =
            format!("{key} {} {} {}", delivery.step, delivery.recipient_key, delivery.channel);
        if states.insert(name.clone(), delivery.state).is_some() {
            return Err(format!("{name} was planned twice"));
        }
        let story = calm.find_delivery(delivery.id).await.map_err(told)?;
        let attempts = story.map(|story| story.attempts).unwrap_or_default();
        let count = |class| attempts.iter().filter(|attempt| attempt.class == class).count();
        let unknown = u32::try_from(count(VerdictClass::Unknown)).unwrap();
        let accepted = u32::try_from(count(VerdictClass::Accepted)).unwrap();
        let receipts = house.receiver.receipts(delivery.id);
        if receipts > 1 + unknown || receipts > accepted + unknown {
            return Err(format!("{name} arrived {receipts} times: {attempts:?}"));
        }
        if delivery.state == State::Sent && receipts == 0 {
            return Err(format!("{name} is sent and did not arrive"));
        }
    }
    Ok(Ending {
        states,
        planned_events: ledger.events.planned,
        rejected_events: ledger.events.rejected,
        planned: ledger.deliveries.planned,
    })
}

impl Ending {
    /// Checks that nothing is missing beside the calm telling, and that it ends the same way.
    pub(super) fn check(&self, calm: &Self, may_end_otherwise: bool) -> Result<(), String> {
        let counts = |ending: &Self| (ending.planned_events, ending.planned);
        if counts(self) != counts(calm) {
            return Err(format!("planned {:?} instead of {:?}", counts(self), counts(calm)));
        }
        // A transport that was not answered hands in again what is rejected again.
        if self.rejected_events < calm.rejected_events {
            return Err("a rejected event is lost".to_owned());
        }
        let unfinished = self.states.iter().find(|(_, state)| !state.is_final());
        if let Some((name, state)) = unfinished {
            return Err(format!("{name} is still {state:?}"));
        }
        if !may_end_otherwise && self.states != calm.states {
            return Err(format!("ended as {:#?} instead of {:#?}", self.states, calm.states));
        }
        Ok(())
    }
}

fn event(kind: &str, id: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "type": kind, "source": "shop", "id": id, "data": data })
}

/// A partner with a manager, whose matters escalate to a third, and a buyer with email and phone.
fn company(house: &House) -> Vec<Arrival> {
    let partner =
        json!({ "id": "minh-phat", "name": "Minh Phát", "manager": "bao", "changed_at": ONCE });
    let contact = |id: &str, more: Value| {
        let mut data = json!({ "id": id, "name": id, "changed_at": ONCE });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event("contact.changed", id, data)
    };
    let chat = json!({ "channel": "chat", "provider": "sandbox" });
    let email = json!({ "channel": "email", "email": "lan@minhphat.test" });
    let phone = |phone: &str| json!({ "channel": "sms", "phone": phone });
    let buyer = json!({
        "partner": "minh-phat", "duty": "buyer", "addresses": [email, phone("+84901234567")]
    });
    let events = [
        event("partner.changed", "p-1", partner),
        contact("bao", json!({ "addresses": [chat], "superior": "giang" })),
        contact("giang", json!({ "addresses": [phone("+84909999999")] })),
        contact("lan", buyer),
    ];
    arrivals(house, &events)
}

fn arrivals(house: &House, events: &[Value]) -> Vec<Arrival> {
    let arrival = |event: &Value| Arrival {
        bytes: event.to_string().into(),
        properties: Properties {
            content_type: Some("application/cloudevents+json".to_owned()),
            ..Properties::default()
        },
        transport: Transport::Amqp,
        at: house.clock.now(),
    };
    events.iter().map(arrival).collect()
}
