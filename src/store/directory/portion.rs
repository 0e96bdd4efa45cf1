//! How much of an answer is given at once: described recipients by the page, and no more questions
//! than list the recipients of one transaction.

use crate::model::audience::{AudienceQuery, MOST_RECIPIENTS, Resolution};
use crate::model::id::ContactId;

/// What is left out of a list of described recipients.
pub(super) struct Rest {
    total: u64,
    next: Option<ContactId>,
}

/// Cuts a list of described recipients to the page that begins behind so many of them as `after`
/// says; other questions stay as they are.
pub(super) fn cut(
    query: AudienceQuery,
    (after, limit): (Option<&ContactId>, u32),
) -> (AudienceQuery, Option<Rest>) {
    let AudienceQuery::Inline(mut described) = query else { return (query, None) };
    let total = described.len() as u64;
    let begin = after.and_then(|after| after.as_str().parse().ok()).unwrap_or(0);
    let mut page = described.split_off(described.len().min(begin));
    let is_cut = page.len() > limit as usize;
    page.truncate(limit as usize);
    let next = is_cut.then(|| ContactId((begin + page.len()).to_string()));
    (AudienceQuery::Inline(page), Some(Rest { total, next }))
}

impl Rest {
    /// Adds what was left out to the answer for what was not.
    pub(super) fn tell(self, mut answer: Resolution) -> Resolution {
        if let Resolution::Recipients(recipients) = &mut answer {
            (recipients.total, recipients.next) = (self.total, self.next);
        }
        answer
    }
}

/// How many recipients the event itself lists at most.
pub(super) fn count_named(query: &AudienceQuery, limit: u32) -> usize {
    match query {
        AudienceQuery::Contacts(ids) => ids.len().min(limit as usize),
        AudienceQuery::Inline(described) => described.len(),
        AudienceQuery::Partner { .. }
        | AudienceQuery::Manager(_)
        | AudienceQuery::Superior(_)
        | AudienceQuery::Team(_)
        | AudienceQuery::Segment(_) => 0,
    }
}

/// How many of the first questions, with so many recipients each, are answered at once; one at least.
pub(super) fn fitting(counts: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fits = |count: &usize| {
        total += count;
        total <= MOST_RECIPIENTS as usize
    };
    counts.take_while(fits).count().max(1)
}
