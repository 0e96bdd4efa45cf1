//! Asks whether a claimed delivery may go out now: what stands against it, and the hours of its
//! window.

use jiff::Timestamp;

use crate::model::delivery::{Delivery, Reason, Settlement, State, gate};
use crate::pipeline::rulebook::Rulebook;
use crate::record;
use crate::store::Claimed;

/// Asks gate and window whether a claimed delivery may go out at `now`; `Err` says where it goes
/// instead.
pub(super) fn ask_gate(
    claimed: &Claimed,
    rulebook: &Rulebook,
    now: Timestamp,
) -> Result<(), Settlement> {
    let delivery = &claimed.delivery;
    if let Some(settlement) = gate(delivery, &claimed.gate, now) {
        return Err(settlement);
    }
    let marketing = rulebook.letterhead.sms.marketing.as_ref();
    let sms_hours = marketing.map(|marketing| &marketing.window);
    match record::window_opens(&rulebook.catalogue, sms_hours, delivery, now) {
        Some(opens) if opens > delivery.expires_at => Err(expired(delivery)),
        Some(opens) => Err(Settlement::uncounted(State::Waiting, Reason::Window, opens)),
        None => Ok(()),
    }
}

fn expired(delivery: &Delivery) -> Settlement {
    Settlement::uncounted(State::Expired, Reason::Expiry, delivery.due_at)
}
