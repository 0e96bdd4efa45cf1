//! What becomes of claimed deliveries that no call was made for.

use std::sync::Arc;

use crate::model::delivery::{Delivery, Reason, Settlement, State};
use crate::record;
use crate::store::{Claimed, Finish};

/// The record of a message that no call was made for.
pub(super) fn broken_down(claimed: &Arc<Claimed>) -> Finish {
    let (state, reason) = (State::Held, Reason::RenderFault);
    let settlement = Settlement::uncounted(state, reason, claimed.delivery.due_at);
    let detail = "Loa broke down on this message; release it once Loa is mended";
    record::without_try(claimed, settlement.with_detail(detail))
}

/// Back to where it was before the claim.
pub(super) fn given_back(delivery: &Delivery) -> Settlement {
    Settlement::uncounted(State::Waiting, delivery.reason, delivery.due_at)
}
