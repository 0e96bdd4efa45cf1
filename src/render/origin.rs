//! Where the parts of a compiled template came from, so that a fault names the file people edit.

use super::assembly::{Mark, Place, PlacedFault};
use super::email::Compiled;
use super::version::{EmailParts, Parts};
use crate::text::TextFault;

/// The files and places behind one compiled template.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The message's own file, below the templates' folder.
    pub(super) path: String,
    email: Option<EmailOrigin>,
}

/// Where the parts of an email came from.
#[derive(Clone, Debug)]
struct EmailOrigin {
    html: Vec<Mark>,
    text: Vec<Mark>,
    subject: Place,
    preheader: Place,
}

impl Origin {
    /// Of a template that is one file as it stands.
    pub(super) fn of_file(path: &str) -> Self {
        Self { path: path.to_owned(), email: None }
    }

    /// The place of a fault of the HTML, the chat message or the SMS.
    pub(super) fn of_body(&self, fault: TextFault) -> PlacedFault {
        match &self.email {
            Some(email) => self.by_mark(&email.html, fault),
            None => (self.path.clone(), fault),
        }
    }

    /// The place of a fault of an email's subject, preheader or text.
    pub(super) fn of_part(&self, part: &str, fault: TextFault) -> PlacedFault {
        match (&self.email, part) {
            (Some(email), "subject") => in_front_matter(&email.subject, fault),
            (Some(email), "preheader") => in_front_matter(&email.preheader, fault),
            (Some(email), _) => self.by_mark(&email.text, fault),
            (None, _) => (self.path.clone(), fault),
        }
    }

    /// The tag at which the fault stands, or the last one before it.
    fn by_mark(&self, marks: &[Mark], fault: TextFault) -> PlacedFault {
        let at = fault.line.map(|line| (line, fault.column.unwrap_or(usize::MAX)));
        let mark = at.and_then(|at| {
            let before = marks.partition_point(|mark| (mark.line, mark.column) <= at);
            marks.get(before.saturating_sub(1))
        });
        match mark {
            Some(mark) => mark.origin.fault(fault.message),
            None => (self.path.clone(), TextFault::new(fault.message)),
        }
    }
}

fn in_front_matter(place: &Place, fault: TextFault) -> PlacedFault {
    let column = fault.column.filter(|_| fault.line == Some(1)).unwrap_or_default();
    (place.path.clone(), TextFault::at(place.line, place.column + column, fault.message))
}

impl Compiled {
    /// What the engines compile, and where it came from.
    pub(super) fn into_parts(self, path: &str) -> (Parts, Origin) {
        let email = EmailOrigin {
            html: self.html.marks,
            text: self.text.marks,
            subject: self.subject_place,
            preheader: self.preheader_place,
        };
        let parts =
            EmailParts { subject: self.subject, preheader: self.preheader, text: self.text.text };
        let parts = Parts { body: self.html.text, email: Some(parts) };
        (parts, Origin { path: path.to_owned(), email: Some(email) })
    }
}
