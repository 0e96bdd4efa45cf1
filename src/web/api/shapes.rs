//! What the API's answers look like, for its document; a test holds them against real answers.

mod people;

pub(super) use people::*;

/// A member of an object: its name, what it holds, and a sentence. With a `?` behind its name it
/// may be absent or null.
pub(in crate::web) type Member = (&'static str, Kind, &'static str);

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::web) enum Kind {
    Text,
    /// A text such as `2026-12-24T09:00:00Z`.
    Time,
    /// A whole number.
    Count,
    Number,
    Truth,
    Texts,
    /// An object of which nothing more is said.
    Object,
    One(&'static Shape),
    Many(&'static Shape),
}

/// An object that has a name of its own.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::web) struct Shape {
    pub(in crate::web) name: &'static str,
    pub(in crate::web) members: &'static [Member],
}

use Kind::{Count, Many, Number, Object, One, Text, Texts, Time, Truth};

/// Where the next page of a list begins.
pub(super) const NEXT: Member = ("next?", Text, "give it as `after` to get the next page");

pub(super) const EVENT: Shape = Shape {
    name: "Event",
    members: &[
        ("loa_id", Text, "Loa's own id"),
        ("source", Text, "the publisher's source"),
        ("id", Text, "the publisher's id"),
        ("type", Text, "the event type"),
        ("time", Time, "when it happened"),
        ("received_at", Time, "when it arrived"),
        ("business_key?", Text, "the order or complaint number"),
        ("partner?", Text, "the partner it is about"),
        ("state", Text, "`planned`, or `planning` while a big audience is planned"),
        ("deliveries", Count, "how many deliveries were planned"),
        ("repeats", Count, "how often it came again"),
        ("data?", Object, "the data; only when one event is asked for"),
    ],
};

pub(super) const DELIVERY: Shape = Shape {
    name: "Delivery",
    members: &[
        ("id", Text, "Loa's own id"),
        ("event", Text, "the event's `loa_id`"),
        ("type", Text, "the event type"),
        ("step", Text, "the step of the type's plan"),
        ("recipient", Text, "a contact's id, or what else tells recipients apart"),
        ("name?", Text, "the recipient's name"),
        ("partner?", Text, "the recipient's partner"),
        ("business_key?", Text, "the order or complaint number"),
        ("channel", Text, "`email`, `chat` or `sms`"),
        ("provider?", Text, "the way out"),
        ("address?", Text, "the address, masked"),
        ("locale?", Text, "the language"),
        ("lane", Text, "`urgent`, `normal` or `bulk`"),
        ("state", Text, "where it is"),
        ("is_captured", Truth, "whether the message was captured, so that nothing left Loa"),
        ("reason", Text, "why"),
        ("detail?", Text, "why, in a sentence"),
        ("due_at", Time, "when it is due"),
        ("expires_at", Time, "when it is too late"),
        ("attempts", Count, "how many tries were begun"),
        ("version", Count, "counts its changes"),
        ("created_at", Time, "when it was planned"),
        ("updated_at", Time, "when it last changed"),
    ],
};

pub(super) const ATTEMPT: Shape = Shape {
    name: "Attempt",
    members: &[
        ("number", Count, "from 1"),
        ("provider", Text, "who was asked"),
        ("started_at", Time, "when it began"),
        ("finished_at?", Time, "when it ended"),
        ("class", Text, "what it came to"),
        ("code?", Text, "the provider's code"),
        ("answer", Text, "the provider's answer"),
        ("template_version?", Text, "the version of the template that was used"),
    ],
};

pub(super) const DEED: Shape = Shape {
    name: "Deed",
    members: &[
        ("at", Time, "when"),
        ("deed", Text, "`retried`, `cancelled`, `held` or `released`"),
        ("by", Text, "`loa`, `command line`, `key` and its name, or a user"),
        ("note?", Text, "why"),
    ],
};

pub(super) const CAPTURED: Shape = Shape {
    name: "CapturedMessage",
    members: &[
        ("attempt", Count, "the attempt that sent it"),
        ("message", Object, "as its receiver would see it"),
    ],
};

pub(super) const REPAIRED: Shape = Shape {
    name: "Repaired",
    members: &[
        ("id", Text, "the delivery"),
        ("result", Text, "`moved`, `noted` for when its try ends, `unfit` or `missing`"),
        ("state?", Text, "where it is now"),
    ],
};

pub(super) const REJECTED: Shape = Shape { name: "RejectedEvent", members: &REJECTED_MEMBERS };

const REJECTED_MEMBERS: [Member; 9] = [
    ("id", Text, "Loa's own id"),
    ("reason", Text, "the sort of fault"),
    ("pointer?", Text, "the place of the fault"),
    ("message", Text, "what is wrong there"),
    ("type?", Text, "the event type, if it was read"),
    ("event?", Object, "`source` and `id`, if they were read"),
    ("transport", Text, "how it came"),
    ("at", Time, "when it came"),
    ("bytes", Count, "how long its body is"),
];

/// A rejected event as it is shown by itself.
pub(super) const REJECTED_WHOLE: [Member; 11] = {
    let [a, b, c, d, e, f, g, h, i] = REJECTED_MEMBERS;
    let properties = ("properties", Object, "what the transport said beside the body");
    [a, b, c, d, e, f, g, h, i, properties, ("body", Text, "the body as text")]
};

pub(super) static ACCEPTED: Shape = Shape { name: "Accepted", members: &ACCEPTED_MEMBERS };

/// What became of one event that was handed in, or would become of it on a dry run.
pub(super) static ACCEPTED_MEMBERS: [Member; 16] = [
    (
        "result?",
        Text,
        "`planned`, `planning` while a big audience is planned, `repeat` or `rejected`",
    ),
    ("loa_id?", Text, "Loa's own id"),
    ("source?", Text, "the publisher's source"),
    ("id?", Text, "the publisher's id"),
    ("deliveries?", Count, "how many deliveries are planned, or are so far"),
    ("rejected?", Text, "the rejected event's id"),
    ("reason?", Text, "the sort of fault"),
    ("pointer?", Text, "the place of the fault"),
    ("message?", Text, "what is wrong there"),
    ("channels?", Object, "on a dry run: how many would go out, by channel"),
    ("skipped?", Object, "on a dry run: how many would be skipped, by reason"),
    (
        "paged?",
        Count,
        "on a dry run: recipients of big audiences, who would be planned page by page",
    ),
    ("sms_parts?", Count, "on a dry run: SMS parts that would be paid for"),
    ("faults?", Texts, "on a dry run: what does not render"),
    ("plan?", Many(&REHEARSED), "on a dry run: who would get what, the first hundred"),
    ("results?", Many(&ACCEPTED), "for an array and on a dry run: one for each event, in order"),
];

const REHEARSED: Shape = Shape {
    name: "RehearsedDelivery",
    members: &[
        ("step", Text, "the step of the type's plan"),
        ("recipient", Text, "the recipient's name, or what else tells recipients apart"),
        ("channel", Text, "`email`, `chat` or `sms`"),
        ("provider?", Text, "the way out"),
        ("address?", Text, "the address, masked"),
        ("state", Text, "`waiting`, or the state it would have from the beginning"),
        ("reason", Text, "why"),
        ("due_at", Time, "when it would be due"),
    ],
};

pub(super) const PROVIDER: Shape = Shape {
    name: "Provider",
    members: &[
        ("name", Text, "the provider"),
        ("kind", Text, "what sort it is"),
        ("concurrency", Count, "how many calls at once"),
        ("rate?", Number, "how many calls a second"),
        ("breaker", Text, "`closed`, `open` or `half_open`"),
        ("opens_at?", Time, "when it is called again"),
        ("hold?", One(&HOLD), "who stopped it and why, if it is on hold"),
    ],
};

const HOLD: Shape = Shape {
    name: "ProviderHold",
    members: &[
        ("provider", Text, "the provider"),
        ("reason", Text, "why"),
        ("since", Time, "since when"),
        ("held_by", Text, "`loa`, or an operator"),
    ],
};

pub(super) const TEMPLATE: Shape = Shape {
    name: "Template",
    members: &[
        ("name", Text, "the template"),
        ("locale", Text, "the language"),
        ("channel", Text, "`email`, `chat` or `sms`"),
    ],
};

pub(super) const KEY: Shape = Shape {
    name: "ApiKey",
    members: &[
        ("id", Text, "what the key begins with"),
        ("name", Text, "what it is for"),
        ("scopes", Texts, "what it may do"),
        ("created_at", Time, "since when"),
        ("expires_at?", Time, "when it ends; never if absent"),
        ("used_at?", Time, "when it was last known to be used"),
    ],
};

pub(super) const USER: Shape = Shape {
    name: "User",
    members: &[
        ("name", Text, "what they are called here"),
        ("role", Text, "`viewer`, `operator` or `admin`"),
        ("email?", Text, "where they can be reached"),
        ("created_at", Time, "since when"),
        ("last_signed_in?", Time, "when they last signed in"),
    ],
};

/// A list and where its next page begins.
pub(super) const EVENTS: &[Member] = &[("events", Many(&EVENT), "the newest first"), NEXT];
pub(super) const ONE_EVENT: &[Member] =
    &[("event", One(&EVENT), "the event"), ("deliveries", Many(&DELIVERY), "its deliveries")];
pub(super) const DELIVERIES: &[Member] =
    &[("deliveries", Many(&DELIVERY), "the newest first"), NEXT];
pub(super) const COUNTS: &[Member] = &[
    ("count?", Count, "how many there are"),
    ("counts?", Many(&COUNTED), "how many there are of each, if `by` is given"),
];
const COUNTED: Shape = Shape {
    name: "Counted",
    members: &[
        ("count", Count, "how many"),
        ("state?", Text, "of which state"),
        ("reason?", Text, "for which reason"),
        ("provider?", Text, "of which provider"),
        ("channel?", Text, "on which channel"),
        ("type?", Text, "of which event type"),
        ("code?", Text, "with which code of the provider"),
    ],
};
pub(super) const ONE_DELIVERY: &[Member] = &[
    ("delivery", One(&DELIVERY), "the delivery"),
    ("event", Object, "the event: `loa_id`, `source`, `id`, `time`"),
    ("attempts", Many(&ATTEMPT), "every try"),
    ("deeds", Many(&DEED), "what was done to it by hand, or by Loa for a fault"),
    ("captured", Many(&CAPTURED), "what the sandbox captured"),
];
pub(super) const REPAIRS: &[Member] = &[
    ("count?", Count, "how many there are, on a dry run"),
    ("moved?", Count, "how many were moved"),
    ("more", Count, "how many more fit the filter than one repair takes"),
    ("results?", Many(&REPAIRED), "what became of each"),
];
pub(super) const REJECTIONS: &[Member] = &[("rejected", Many(&REJECTED), "the newest first"), NEXT];
pub(super) const LEDGER: &[Member] = &[
    ("ledger", Object, "events and deliveries, in all and by type, and whether it closes"),
    ("backlog", Object, "what waits and what is overdue"),
    ("audit?", Many(&DISCREPANCY), "what the rows say otherwise, if asked for"),
];
const DISCREPANCY: Shape = Shape {
    name: "Discrepancy",
    members: &[
        ("event_type", Text, "the event type"),
        ("name", Text, "the counter"),
        ("counted", Count, "what was counted live"),
        ("found", Count, "what the rows say"),
    ],
};
pub(super) const PROVIDERS: &[Member] = &[("providers", Many(&PROVIDER), "every provider")];
pub(super) const HELD: &[Member] =
    &[("held", Truth, "whether it is now"), ("was_held", Truth, "whether it was before")];
pub(super) const TRIED: &[Member] = &[
    ("provider", Text, "the provider"),
    ("outcome", Text, "the class of the answer, such as `accepted`"),
    ("code?", Text, "the provider's code"),
    ("answer", Text, "the provider's words"),
    ("message_id?", Text, "the provider's own id of the message"),
    ("took_ms", Count, "how long it took, in milliseconds"),
];
pub(super) const TEMPLATES: &[Member] = &[("templates", Many(&TEMPLATE), "every template")];
pub(super) const SHOWN: &[Member] = &[
    ("message", Object, "the message"),
    ("template_version", Text, "names the version of the template"),
    ("with_accents?", Object, "the SMS as it is, with its parts"),
    ("without_accents?", Object, "the SMS without accents, with its parts"),
];
pub(super) const KEYS: &[Member] = &[("keys", Many(&KEY), "every key, without its secret")];
pub(super) const NEW_KEY: &[Member] = &[
    ("id", Text, "what the key begins with"),
    ("name", Text, "what it is for"),
    ("key", Text, "the key; it is shown here and nowhere else"),
    ("scopes", Texts, "what it may do"),
    ("expires_at?", Time, "when it ends"),
];
pub(super) const USERS: &[Member] = &[("users", Many(&USER), "every user")];
pub(super) const ONE_USER: &[Member] =
    &[("name", Text, "the user"), ("role", Text, "what they may do")];
pub(super) const LINK: &[Member] = &[
    ("user", Text, "the user"),
    ("url", Text, "the link; it works once"),
    ("expires_at", Time, "when it ends"),
];
