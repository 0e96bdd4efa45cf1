//! What workers hold: claims, each with what was known when it was made.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::id::DeliveryId;
use crate::store::Claimed;

/// How long a claim lasts unless renewed.
pub(super) const LEASE: Duration = Duration::from_mins(1);

/// One claim.
pub(super) struct Hand {
    pub(super) claimed: Arc<Claimed>,
    /// When the provider was asked; `None` before that.
    pub(super) began: Option<Timestamp>,
    /// When the lease ends unless it is renewed, in monotonic time.
    pub(super) until: Duration,
    /// Its worker stands still: it renews nothing, and says nothing of its claim.
    pub(super) is_stalled: bool,
    /// Somebody else has claimed the delivery since.
    pub(super) is_lost: bool,
    /// Why it must not be sent, as things stood when it was claimed.
    pub(super) objection: Option<String>,
}

/// All claims that are held.
#[derive(Default)]
pub(super) struct Hands(pub(super) Vec<Hand>);

impl Hands {
    /// Adds a claim made at `now`; `Err` if another one of the same delivery still lasts.
    pub(super) fn add(
        &mut self,
        claimed: Arc<Claimed>,
        objection: Option<String>,
        now: Duration,
    ) -> Result<(), String> {
        self.lose(claimed.delivery.id, now)?;
        let until = now + LEASE;
        self.0.push(Hand {
            claimed,
            began: None,
            until,
            is_stalled: false,
            is_lost: false,
            objection,
        });
        Ok(())
    }

    /// Notes that somebody claimed a delivery at `now`.
    pub(super) fn lose(&mut self, id: DeliveryId, now: Duration) -> Result<(), String> {
        for hand in self.0.iter_mut().filter(|hand| hand.claimed.delivery.id == id) {
            if !hand.is_lost && hand.until > now {
                return Err(format!("delivery {id} was claimed while another claim lasts"));
            }
            hand.is_lost = true;
        }
        Ok(())
    }

    /// Takes one of those whose provider was asked, or was not.
    pub(super) fn take(&mut self, pick: usize, has_begun: bool) -> Option<Hand> {
        let fits = |hand: &Hand| hand.began.is_some() == has_begun;
        let places: Vec<usize> = (0..self.0.len()).filter(|place| fits(&self.0[*place])).collect();
        let place = *places.get(pick.checked_rem(places.len())?)?;
        Some(self.0.remove(place))
    }
}
