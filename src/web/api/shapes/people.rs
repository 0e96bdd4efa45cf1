//! Answers about whom Loa knows.

use super::Kind::{Count, Many, Object, One, Text, Texts, Time, Truth};
use super::{Member, NEXT, Shape};

const ADDRESS: Shape = Shape {
    name: "Address",
    members: &[
        ("channel", Text, "`email`, `sms` or `chat`"),
        ("email?", Text, "the email address"),
        ("phone?", Text, "the phone number, in E.164"),
        ("provider?", Text, "the chat provider"),
        ("target?", Text, "`…` if the chat address has a target: that is not shown"),
    ],
};

const CONTACT: Shape = Shape {
    name: "Contact",
    members: &[
        ("id", Text, "the caller's own id"),
        ("name", Text, "the person's name"),
        ("partner?", Text, "the partner they work for; none for our own people"),
        ("duty?", Text, "what they do there"),
        ("locale?", Text, "language tag"),
        ("time_zone?", Text, "time zone of the IANA list"),
        ("region?", Text, "a region of the caller's own"),
        ("addresses", Many(&ADDRESS), "where they are reached; the first of a channel counts"),
        ("tags", Texts, "words to select by"),
        ("teams", Texts, "the teams they belong to"),
        ("superior?", Text, "the contact to whom this manager's matters escalate"),
        ("signature?", Text, "what a manager's messages end with"),
        ("changed_at", Time, "when the caller last changed it"),
    ],
};

pub(in crate::web::api) const PARTNER: Shape = Shape {
    name: "Partner",
    members: &[
        ("id", Text, "the caller's own id"),
        ("name", Text, "the company's name"),
        ("tier", Text, "`vip` or `standard`"),
        ("manager?", Text, "the contact who looks after it"),
        ("locale?", Text, "language of its people unless they have their own"),
        ("time_zone?", Text, "time zone of the IANA list"),
        ("region?", Text, "a region of the caller's own"),
        ("tags", Texts, "words to select by"),
        ("channels", Texts, "a key partner's own order of channels"),
        ("changed_at", Time, "when the caller last changed it"),
    ],
};

const CONSENT: Shape = Shape {
    name: "Consent",
    members: &[
        ("address", One(&ADDRESS), "the address it is about"),
        ("granted", Truth, "given, or withdrawn"),
        ("at", Time, "when it was said"),
        ("source", Text, "where it was said"),
    ],
};

pub(in crate::web::api) const SUPPRESSION: Shape = Shape {
    name: "Suppression",
    members: &[
        ("address", One(&ADDRESS), "the address"),
        ("reason", Text, "why, such as `hard_bounce` or `operator`"),
        ("at", Time, "since when"),
    ],
};

const SEGMENT: Shape = Shape {
    name: "Segment",
    members: &[
        ("name", Text, "the segment"),
        ("filter", Object, "`tags`, `tiers`, `locales`, `regions`, `duties`"),
    ],
};

const TEAM: Shape = Shape {
    name: "Team",
    members: &[("name", Text, "the team"), ("members", Count, "how many belong to it")],
};

const ROW_FAULT: Shape = Shape {
    name: "RowFault",
    members: &[
        ("line", Count, "the line of the row, from 1; its place in an array"),
        ("pointer", Text, "the member, empty for the row as a whole"),
        ("message", Text, "what is wrong there"),
        ("names?", Text, "the contact who is not known"),
    ],
};

pub(in crate::web::api) const CONTACTS: &[Member] =
    &[("contacts", Many(&CONTACT), "by name"), NEXT];
pub(in crate::web::api) const ONE_CONTACT: &[Member] = &[
    ("contact", One(&CONTACT), "the contact"),
    ("suppressed", Many(&SUPPRESSION), "its addresses that must not be used"),
    ("consents", Many(&CONSENT), "what its owner said about marketing"),
];
pub(in crate::web::api) const PARTNERS: &[Member] = &[("partners", Many(&PARTNER), "by id"), NEXT];
pub(in crate::web::api) const PUT: &[Member] = &[
    ("id", Text, "the caller's own id"),
    ("applied", Truth, "`false` if something newer is known, which then stays"),
    (
        "warnings",
        Many(&ROW_FAULT),
        "whom it names and nobody knows; what it says and does not hold",
    ),
];
pub(in crate::web::api) const IMPORTED: &[Member] = &[
    ("rows", Count, "how many there are"),
    ("fit", Count, "how many can be taken"),
    ("applied?", Count, "how many were taken; absent on a dry run"),
    ("older?", Count, "how many were not, since something newer is known"),
    ("unfit", Count, "how many have a fault"),
    ("faults", Many(&ROW_FAULT), "the first thousand faults; a row may have several"),
    ("warned", Count, "how many warnings there are of rows that fit"),
    ("warnings", Many(&ROW_FAULT), "the first thousand of them"),
];
pub(in crate::web::api) const TEAMS: &[Member] = &[("teams", Many(&TEAM), "by name")];
pub(in crate::web::api) const SEGMENTS: &[Member] = &[("segments", Many(&SEGMENT), "by name")];
pub(in crate::web::api) const ONE_SEGMENT: &[Member] = &[
    ("name", Text, "the segment"),
    ("filter", Object, "who belongs"),
    ("members", Count, "how many contacts belong now"),
    ("first", Texts, "the ids of the first of them"),
];
pub(in crate::web::api) const SUPPRESSIONS: &[Member] =
    &[("suppressions", Many(&SUPPRESSION), "the oldest first"), NEXT];
pub(in crate::web::api) const LIFTED: &[Member] =
    &[("was_suppressed", Truth, "whether it was one that must not be used")];
