//! How much of an answer is given at once: lists by the page or none of them, and no more questions
//! than list the recipients of one transaction.

use crate::model::audience::{AudienceQuery, MOST_RECIPIENTS, Resolution};
use crate::model::id::ContactId;

/// How much of a list is wanted.
#[derive(Clone, Debug)]
pub(super) enum Portion {
    /// All of it, or that it is longer than this.
    Whole(u32),
    /// The page behind this one, of so many at most.
    Page(Option<ContactId>, u32),
}

impl Portion {
    /// Behind whom the list begins.
    pub(super) fn after(&self) -> Option<&ContactId> {
        match self {
            Self::Whole(_) => None,
            Self::Page(after, _) => after.as_ref(),
        }
    }

    /// How many are listed at most.
    pub(super) fn limit(&self) -> u32 {
        match self {
            Self::Whole(limit) | Self::Page(_, limit) => *limit,
        }
    }

    /// Cuts what lies behind the beginning: those that are listed, and where it goes on if there
    /// are more.
    ///
    /// `name` says where a page ends.
    pub(super) fn cut<T>(
        &self,
        mut rest: Vec<T>,
        name: impl Fn(&[T]) -> Option<ContactId>,
    ) -> (Vec<T>, Option<ContactId>) {
        if rest.len() <= self.limit() as usize {
            return (rest, None);
        }
        rest.truncate(self.limit() as usize);
        let next = name(&rest);
        if matches!(self, Self::Whole(_)) {
            rest.clear();
        }
        (rest, next)
    }
}

/// What is left out of a list of described recipients.
pub(super) struct Rest(Option<ContactId>);

/// Cuts a list of described recipients, whose pages begin behind so many of them; other questions
/// stay as they are.
pub(super) fn cut(query: AudienceQuery, portion: &Portion) -> (AudienceQuery, Option<Rest>) {
    let AudienceQuery::Inline(mut described) = query else { return (query, None) };
    let begin = portion.after().and_then(|after| after.as_str().parse().ok()).unwrap_or(0);
    let rest = described.split_off(described.len().min(begin));
    let name = |page: &[_]| Some(ContactId((begin + page.len()).to_string()));
    let (page, next) = portion.cut(rest, name);
    (AudienceQuery::Inline(page), Some(Rest(next)))
}

impl Rest {
    /// Adds what was left out to the answer for what was not.
    pub(super) fn tell(self, mut answer: Resolution, portion: &Portion) -> Resolution {
        if self.0.is_some() && matches!(portion, Portion::Whole(_)) {
            return Resolution::TooMany;
        }
        if let Resolution::Recipients(recipients) = &mut answer {
            recipients.next = self.0;
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

/// How many of the first questions, with so many recipients each, are answered at once; one at
/// least.
pub(super) fn fitting(counts: impl Iterator<Item = usize>) -> usize {
    let mut total = 0;
    let fits = |count: &usize| {
        total += count;
        total <= MOST_RECIPIENTS as usize
    };
    counts.take_while(fits).count().max(1)
}
