//! Turns an event into deliveries: who, on which channel, by which provider, when, or why not.
//!
//! Planning is a pure function of the event, its type, what the directory answered and the time.
//! It goes in two halves with the directory between them: [`questions`] says whom an event is
//! about, [`plan`] turns the answers into rows. Decisions against somebody are rows too, so that
//! "why did she not get it?" has an answer.

mod audience;
mod change;
mod compose;
mod recipient;
mod route;
mod time;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::audience::{AudienceQuery, Person, Recipients, Resolution};
use crate::model::catalogue::{Audience, EventType, Step};
use crate::model::delivery::{Delivery, Reason};
use crate::model::event::{Event, RejectReason, Rejection};
use crate::model::id::{EventTypeName, StepName};

pub use change::change;
use compose::Composer;
pub use route::Routes;

/// What planning needs beside the event: routes and what holds where nobody says otherwise.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Which provider sends what.
    pub routes: Routes,
    /// Language of recipients who name none.
    pub locale: String,
    /// Zone of recipients who name none.
    pub time_zone: TimeZone,
    /// Region of phone numbers written without a country code (ISO 3166).
    pub region: String,
}

/// A question to the directory, and what its answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub query: AudienceQuery,
    /// What the answer is for.
    pub purpose: Purpose,
}

/// What the answer to a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It lists recipients of the step with this index.
    Step(usize),
    /// It tells who looks after the partner the event is about.
    Manager,
}

/// Everything that one event leads to.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Rows to store, each with the types of events that would make it unwanted.
    pub deliveries: Vec<Planned>,
    /// Audiences too big for one transaction, to be planned page by page.
    pub pages: Vec<PagedAudience>,
}

/// One planned row.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The delivery.
    pub delivery: Delivery,
    /// Types of events that make it unwanted.
    pub unless: Vec<EventTypeName>,
}

/// An audience of more recipients than are planned at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PagedAudience {
    /// The step it belongs to.
    pub step: StepName,
    /// Whom to ask the directory for, page by page.
    pub query: AudienceQuery,
}

/// Says what must be known of the directory before `event` can be planned.
///
/// # Errors
/// A rejection that names the JSON pointer of what is missing or cannot be read.
pub fn questions(
    event: &Event,
    event_type: &EventType,
    rules: &Rules,
) -> Result<Vec<Question>, Box<Rejection>> {
    let mut questions = Vec::new();
    // An event that tells nobody may well bring the partner that it is about.
    if let Some(partner) = event.partner.as_ref().filter(|_| !event_type.steps.is_empty()) {
        let query = AudienceQuery::Manager(partner.clone());
        questions.push(Question { query, purpose: Purpose::Manager });
    }
    for (index, step) in event_type.steps.iter().enumerate() {
        for audience in &step.to {
            for query in audience::queries(event, event_type, audience, &rules.region)? {
                questions.push(Question { query, purpose: Purpose::Step(index) });
            }
        }
    }
    Ok(questions)
}

/// Plans `event` from the directory's answers, which stand in the order of the questions.
///
/// # Errors
/// A rejection when a partner or segment is unknown, or a time that the plan needs is missing.
pub fn plan(
    event: &Event,
    event_type: &EventType,
    answers: &[(Question, Resolution)],
    rules: &Rules,
    now: Timestamp,
) -> Result<Plan, Box<Rejection>> {
    let composer =
        Composer::new(event, event_type, rules, now, manager_of(event, event_type, answers)?);
    let mut plan = Plan::default();
    let describes_people = describes_people(answers);
    for (index, step) in event_type.steps.iter().enumerate() {
        let mut recipients = Recipients::default();
        let (mut is_paged, mut nobody) = (false, None);
        for (question, answer) in answers {
            if question.purpose != Purpose::Step(index) {
                continue;
            }
            if describes_people && *answer == Resolution::UnknownPartner {
                nobody = Some(unknown_partner(event));
                continue;
            }
            let Some(found) = expect_recipients(event, event_type, &question.query, answer)? else {
                is_paged = true;
                let query = question.query.clone();
                plan.pages.push(PagedAudience { step: step.name.clone(), query });
                continue;
            };
            recipients.people.extend(found.people.iter().cloned());
            recipients.strangers.extend(found.strangers.iter().cloned());
            recipients.unknown.extend(found.unknown.iter().cloned());
        }
        let rows = composer.step(step, &recipients)?;
        if nobody.is_some() || (rows.is_empty() && !is_paged) {
            // Whoever is told may be called so too.
            let mut key = "-".to_owned();
            while rows.iter().any(|row| row.delivery.recipient_key == key) {
                key.push('-');
            }
            plan.deliveries.push(composer.nobody(step, &key, (Reason::EmptyAudience, nobody))?);
        }
        plan.deliveries.extend(rows);
    }
    Ok(plan)
}

/// Plans one page of a big audience.
///
/// # Errors
/// As [`plan`].
pub fn plan_page(
    event: &Event,
    event_type: &EventType,
    step: &Step,
    recipients: &Recipients,
    (rules, now): (&Rules, Timestamp),
) -> Result<Vec<Planned>, Box<Rejection>> {
    Composer::new(event, event_type, rules, now, None).step(step, recipients)
}

/// Plans the one row of a step of whose audience nobody is left, with a sentence that says why.
///
/// # Errors
/// As [`plan`].
pub fn plan_nobody(
    event: &Event,
    event_type: &EventType,
    step: &Step,
    detail: String,
    (rules, now): (&Rules, Timestamp),
) -> Result<Planned, Box<Rejection>> {
    let why = (Reason::EmptyAudience, Some(detail));
    Composer::new(event, event_type, rules, now, None).nobody(step, "-", why)
}

fn manager_of<'a>(
    event: &Event,
    event_type: &EventType,
    answers: &'a [(Question, Resolution)],
) -> Result<Option<&'a Person>, Box<Rejection>> {
    for (question, answer) in answers {
        if question.purpose == Purpose::Manager {
            if *answer == Resolution::UnknownPartner && describes_people(answers) {
                return Ok(None);
            }
            let found = expect_recipients(event, event_type, &question.query, answer)?;
            return Ok(found.and_then(|found| found.people.first()));
        }
    }
    Ok(None)
}

/// Whether the event describes people itself. Then it needs no directory: of a partner that is not
/// known nobody else is told, which the plan says.
fn describes_people(answers: &[(Question, Resolution)]) -> bool {
    let describes = |(question, _): &(Question, Resolution)| match &question.query {
        AudienceQuery::Inline(recipients) => !recipients.is_empty(),
        AudienceQuery::Contacts(_)
        | AudienceQuery::Segment(_)
        | AudienceQuery::Partner { .. }
        | AudienceQuery::Manager(_)
        | AudienceQuery::Superior(_)
        | AudienceQuery::Team(_) => false,
    };
    answers.iter().any(describes)
}

fn unknown_partner(event: &Event) -> String {
    let id = event.partner.as_ref().map_or("", |partner| partner.as_str());
    format!("partner `{id}` is not known")
}

/// The recipients of an answer, unless there are too many.
fn expect_recipients<'a>(
    event: &Event,
    event_type: &EventType,
    query: &AudienceQuery,
    answer: &'a Resolution,
) -> Result<Option<&'a Recipients>, Box<Rejection>> {
    match answer {
        Resolution::Recipients(recipients) => Ok(Some(recipients)),
        Resolution::TooMany => Ok(None),
        Resolution::UnknownPartner => {
            let message = format!("{}; publish `partner.changed` first", unknown_partner(event));
            let place = event_type.partner.as_ref().map(|pointer| format!("/data{pointer}"));
            Err(rejection(event, RejectReason::UnknownPartner, place, message))
        }
        Resolution::UnknownSegment => {
            let name = match query {
                AudienceQuery::Segment(name) => name.as_str(),
                AudienceQuery::Contacts(_)
                | AudienceQuery::Inline(_)
                | AudienceQuery::Partner { .. }
                | AudienceQuery::Manager(_)
                | AudienceQuery::Superior(_)
                | AudienceQuery::Team(_) => "",
            };
            let message = format!("segment `{name}` is not known; see `loa segments list`");
            let place = place_of_segment(event, event_type, name);
            Err(rejection(event, RejectReason::UnknownSegment, place, message))
        }
    }
}

/// Where the event names the segment; none if the catalogue does.
fn place_of_segment(event: &Event, event_type: &EventType, name: &str) -> Option<String> {
    let audiences = event_type.steps.iter().flat_map(|step| &step.to);
    let mut pointers = audiences.filter_map(|audience| match audience {
        Audience::SegmentAt(pointer) => Some(pointer),
        Audience::Recipients
        | Audience::Partner { .. }
        | Audience::Manager
        | Audience::Superior
        | Audience::Team(_)
        | Audience::Segment(_) => None,
    });
    let names_it = |pointer: &&String| {
        event.data.pointer(pointer).and_then(serde_json::Value::as_str) == Some(name)
    };
    pointers.find(names_it).map(|pointer| format!("/data{pointer}"))
}

/// A rejection of `event` at `place`.
pub(crate) fn rejection(
    event: &Event,
    reason: RejectReason,
    place: Option<String>,
    message: String,
) -> Box<Rejection> {
    Box::new(Rejection {
        reason,
        place,
        message,
        event_type: Some(event.event_type.to_string()),
        key: Some(event.key.clone()),
    })
}

#[cfg(test)]
mod tests;
