//! From arrivals to plans: what is asked of the directory, and how much is planned at once.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::Acceptor;
use crate::model::audience::{AudienceQuery, MOST_RECIPIENTS, PAGE_SIZE, Resolution};
use crate::model::event::{Arrival, Event, RejectReason, RejectedEvent, Rejection};
use crate::model::id::RejectedId;
use crate::pipeline::rulebook::Rulebook;
use crate::plan::{self, Plan, Question};
use crate::store::{Acceptance, NewDelivery, NewPage, PlannedEvent, StoreError};

/// An arrival on its way through the accepting half.
pub(in crate::pipeline) struct Draft {
    pub(super) arrival: Arrival,
    pub(super) result: Result<Event, Box<Rejection>>,
}

impl Acceptor {
    pub(in crate::pipeline) fn decode(
        &self,
        arrivals: Vec<Arrival>,
        rulebook: &Rulebook,
    ) -> Vec<Draft> {
        let now = self.clock.now();
        let decode = |arrival: Arrival| {
            let result = rulebook.decoder.decode(&arrival, now);
            Draft { arrival, result }
        };
        arrivals.into_iter().map(decode).collect()
    }

    /// Plans as many of the first of `asked` as have few enough recipients for one transaction.
    pub(super) async fn plan_front(
        &self,
        asked: &mut VecDeque<(Draft, Vec<Question>)>,
        rulebook: &Rulebook,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let mut answers = self.resolve(queries(asked.iter()), PAGE_SIZE).await?;
        let mut count = 0;
        let mut used = 0;
        for (_, questions) in asked.iter() {
            used += questions.len();
            if used > answers.len() {
                break;
            }
            count += 1;
        }
        if count == 0 {
            answers = self.resolve_whole(queries(asked.iter().take(1))).await?;
            count = 1;
        }
        Ok(self.plan_all(asked.drain(..count), answers, rulebook))
    }

    /// Plans all of `drafts`; where they have too many recipients for one transaction, more of them
    /// are left for pages.
    pub(in crate::pipeline) async fn plan(
        &self,
        drafts: Vec<Draft>,
        rulebook: &Rulebook,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let asked = ask(drafts, rulebook);
        let answers = self.resolve_whole(queries(asked.iter())).await?;
        Ok(self.plan_all(asked, answers, rulebook))
    }

    /// How many recipients an audience has that is planned page by page.
    pub(in crate::pipeline) async fn count_recipients(
        &self,
        page: &NewPage,
    ) -> Result<u64, StoreError> {
        self.store.count_recipients(page.query.clone()).await
    }

    fn plan_all(
        &self,
        asked: impl IntoIterator<Item = (Draft, Vec<Question>)>,
        answers: Vec<Resolution>,
        rulebook: &Rulebook,
    ) -> Vec<Acceptance> {
        let now = self.clock.now();
        let mut answers = answers.into_iter();
        let plan = |(draft, questions): (Draft, Vec<Question>)| {
            let answered: Vec<_> = questions.into_iter().zip(answers.by_ref()).collect();
            plan_one(draft, &answered, rulebook, now)
        };
        asked.into_iter().map(plan).collect()
    }

    /// Answers to all of `queries`; where they list too many recipients together, to each of them
    /// fewer, and the rest on further pages.
    async fn resolve_whole(
        &self,
        queries: Vec<AudienceQuery>,
    ) -> Result<Vec<Resolution>, StoreError> {
        let mut answers = self.resolve(queries.clone(), PAGE_SIZE).await?;
        if answers.len() == queries.len() {
            return Ok(answers);
        }
        let share = MOST_RECIPIENTS / u32::try_from(queries.len()).unwrap_or(u32::MAX);
        answers.clear();
        while let Some(rest) = queries.get(answers.len()..).filter(|rest| !rest.is_empty()) {
            answers.extend(self.resolve(rest.to_vec(), share.max(1)).await?);
        }
        Ok(answers)
    }

    async fn resolve(
        &self,
        queries: Vec<AudienceQuery>,
        limit: u32,
    ) -> Result<Vec<Resolution>, StoreError> {
        match queries.is_empty() {
            true => Ok(Vec::new()),
            false => self.store.resolve(queries, limit).await,
        }
    }
}

/// Whether one of `drafts` changes the directory.
pub(super) fn changes_directory(drafts: &[Draft], rulebook: &Rulebook) -> bool {
    drafts.iter().any(|draft| match &draft.result {
        Ok(event) => rulebook.event_type(event).is_some_and(|found| found.effect.is_some()),
        Err(_) => false,
    })
}

/// Cuts a batch behind each event that changes the directory, so that later ones see the change.
pub(super) fn split_after_changes(drafts: Vec<Draft>, rulebook: &Rulebook) -> Vec<Vec<Draft>> {
    let mut groups: Vec<Vec<Draft>> = Vec::new();
    let mut was_change = None;
    for draft in drafts {
        let is_change = changes_directory(std::slice::from_ref(&draft), rulebook);
        match groups.last_mut() {
            Some(group) if is_change || was_change != Some(true) => group.push(draft),
            _ => groups.push(vec![draft]),
        }
        was_change = Some(is_change);
    }
    groups
}

/// What must be asked of the directory for each of `drafts`.
pub(super) fn ask(drafts: Vec<Draft>, rulebook: &Rulebook) -> VecDeque<(Draft, Vec<Question>)> {
    drafts.into_iter().map(|draft| with_questions(draft, rulebook)).collect()
}

fn queries<'a>(asked: impl Iterator<Item = &'a (Draft, Vec<Question>)>) -> Vec<AudienceQuery> {
    asked.flat_map(|(_, questions)| questions).map(|question| question.query.clone()).collect()
}

/// What must be asked of the directory for `draft`; a draft that cannot be asked for is rejected.
fn with_questions(draft: Draft, rulebook: &Rulebook) -> (Draft, Vec<Question>) {
    let Draft { arrival, result } = draft;
    let asked = result.and_then(|event| {
        let event_type = rulebook.event_type(&event).ok_or_else(|| gone(&event))?;
        let questions = plan::questions(&event, event_type, &rulebook.rules)?;
        Ok((event, questions))
    });
    match asked {
        Ok((event, questions)) => (Draft { arrival, result: Ok(event) }, questions),
        Err(rejection) => (Draft { arrival, result: Err(rejection) }, Vec::new()),
    }
}

fn plan_one(
    draft: Draft,
    answers: &[(Question, Resolution)],
    rulebook: &Rulebook,
    now: Timestamp,
) -> Acceptance {
    let Draft { arrival, result } = draft;
    let planned = result.and_then(|event| {
        let event_type = rulebook.event_type(&event).ok_or_else(|| gone(&event))?;
        let plan = plan::plan(&event, event_type, answers, &rulebook.rules, now)?;
        let change = plan::change(&event, event_type, &rulebook.rules)?;
        Ok((event, plan, change))
    });
    match planned {
        Ok((event, plan, change)) => {
            let cancels = rulebook.catalogue.cancelled_by(&event.event_type);
            let Plan { deliveries, pages } = plan;
            let new_delivery = |planned: plan::Planned| NewDelivery {
                delivery: planned.delivery,
                unless: planned.unless,
                lease: None,
            };
            Acceptance::Planned(Box::new(PlannedEvent {
                arrival,
                event,
                deliveries: deliveries.into_iter().map(new_delivery).collect(),
                cancels,
                change,
                pages: pages
                    .into_iter()
                    .map(|page| NewPage { step: page.step, query: page.query })
                    .collect(),
            }))
        }
        Err(rejection) => Acceptance::Rejected(Box::new(RejectedEvent {
            id: RejectedId::new(now),
            arrival,
            rejection: *rejection,
        })),
    }
}

/// An event whose type left the catalogue between decoding and planning.
fn gone(event: &Event) -> Box<Rejection> {
    Box::new(Rejection {
        reason: RejectReason::UnknownType,
        place: Some("/type".to_owned()),
        message: format!("`{}` is no type of the catalogue any more", event.event_type),
        event_type: Some(event.event_type.to_string()),
        key: Some(event.key.clone()),
    })
}
