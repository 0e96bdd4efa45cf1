//! What arbitrary bytes do to everything that reads what comes from outside.
//!
//! Each target takes any bytes, and panics if a promise about its reader is broken: that it ends,
//! says where and why it refuses, and lets nothing through that would do harm further on. The
//! programs of `fuzz/` hand them bytes without end; the tests below hand them the files of
//! `tests/corpus/` and what small changes make of those.

mod arrivals;
mod texts;

use crate::{provider, render, web};

/// Takes any bytes; panics if a promise is broken.
pub type Target = fn(&[u8]);

/// Every target under the name of its corpus.
pub const TARGETS: [(&str, Target); 12] = [
    ("chat", render::fuzz::chat),
    ("config", texts::config),
    ("cursor", web::fuzz::cursor),
    ("event", arrivals::event),
    ("filter", web::fuzz::filter),
    ("handlebars", texts::handlebars),
    ("http_answer", provider::fuzz::http_answer),
    ("retry_after", provider::fuzz::retry_after),
    ("sms", texts::sms),
    ("smtp_answers", provider::fuzz::smtp_answers),
    ("template", texts::template),
    ("url", provider::fuzz::url),
];

/// The target of this name.
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests;
