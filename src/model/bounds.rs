//! What a text of the client base must be: short enough that every store can index it, and a
//! language or a time zone where it names one.

use jiff::tz::TimeZone;

use crate::model::contact::{Contact, DirectoryChange, Partner};
use crate::model::id::{ContactId, PartnerId, TeamName};

/// The most bytes of an id, a name, a tag or a team: PostgreSQL indexes rows of up to 2,700.
pub const MAX_NAME: usize = 512;

/// What is wrong with a contact or partner, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// JSON pointer to the member.
    pub pointer: String,
    /// What is wrong there and what was expected.
    pub message: String,
}

/// What is wrong with `text` as something that things are looked up by.
///
/// # Errors
/// The fault, which never repeats the text.
pub fn check_name(text: &str) -> Result<(), String> {
    check(text, MAX_NAME)
}

/// Whether `text` is a language tag (BCP 47) such as `vi` or `en-GB`.
///
/// # Errors
/// What was expected.
pub fn check_locale(text: &str) -> Result<(), &'static str> {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let is_language = (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic());
    let fits = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match is_language && parts.all(fits) {
        true => Ok(()),
        false => Err("expected a language tag such as vi or en-GB"),
    }
}

/// Whether `text` is a time zone of the IANA list.
///
/// # Errors
/// What was expected.
pub fn check_time_zone(text: &str) -> Result<(), &'static str> {
    match TimeZone::get(text) {
        Ok(_) => Ok(()),
        Err(_) => Err("expected a time zone of the IANA list, such as Asia/Ho_Chi_Minh"),
    }
}

fn check(text: &str, most: usize) -> Result<(), String> {
    if text.len() > most {
        return Err(format!("longer than {most} bytes"));
    }
    match text.contains('\0') {
        true => Err("holds the character U+0000, which cannot be kept".to_owned()),
        false => Ok(()),
    }
}

impl DirectoryChange {
    /// The first thing in it that no store can keep or no plan can use; addresses bound themselves.
    pub fn find_flaw(&self) -> Option<Flaw> {
        self.flaws().into_iter().next()
    }

    /// All that no store can keep or no plan can use.
    pub fn flaws(&self) -> Vec<Flaw> {
        let (texts, place, other) = match self {
            Self::Partner(partner) => {
                let place = (&partner.locale, &partner.time_zone);
                (of_partner(partner), place, find_twin(partner))
            }
            Self::Contact { contact, .. } => {
                let place = (&contact.locale, &contact.time_zone);
                (of_contact(contact), place, find_own_superior(contact))
            }
        };
        let flaw = |text: Text| Some(Flaw { message: text.check().err()?, pointer: text.pointer });
        let texts = texts.into_iter().filter_map(flaw);
        texts.chain(misplaced(place)).chain(other).collect()
    }
}

/// What names no language and no time zone.
fn misplaced((locale, time_zone): (&Option<String>, &Option<String>)) -> Vec<Flaw> {
    let locale = locale.as_deref().map(|text| ("/locale", check_locale(text)));
    let time_zone = time_zone.as_deref().map(|text| ("/time_zone", check_time_zone(text)));
    let flaw = |(pointer, checked): (&str, Result<(), &str>)| {
        Some(Flaw { pointer: pointer.to_owned(), message: checked.err()?.to_owned() })
    };
    [locale, time_zone].into_iter().flatten().filter_map(flaw).collect()
}

/// Somebody to whom their own matters escalate.
fn find_own_superior(contact: &Contact) -> Option<Flaw> {
    let message = "names the contact itself; name somebody else, or nobody".to_owned();
    let is_own = contact.superior.as_ref() == Some(&contact.id);
    is_own.then(|| Flaw { pointer: "/superior".to_owned(), message })
}

/// A text of a change, with its place.
struct Text {
    pointer: String,
    text: String,
    most: usize,
}

impl Text {
    fn check(&self) -> Result<(), String> {
        check(&self.text, self.most)
    }
}

fn name(pointer: &str, text: Option<&str>) -> Option<Text> {
    Some(Text { pointer: pointer.to_owned(), text: text?.to_owned(), most: MAX_NAME })
}

fn list<'a>(pointer: &str, texts: impl Iterator<Item = &'a str>) -> Vec<Text> {
    let placed = |(index, text)| name(&format!("{pointer}/{index}"), Some(text));
    texts.enumerate().filter_map(placed).collect()
}

fn of_partner(partner: &Partner) -> Vec<Text> {
    let own = [
        name("/id", Some(partner.id.as_str())),
        name("/name", Some(&partner.name)),
        name("/manager", partner.manager.as_ref().map(ContactId::as_str)),
        name("/region", partner.region.as_deref()),
    ];
    let tags = list("/tags", partner.tags.iter().map(String::as_str));
    own.into_iter().flatten().chain(tags).collect()
}

fn of_contact(contact: &Contact) -> Vec<Text> {
    let own = [
        name("/id", Some(contact.id.as_str())),
        name("/name", Some(&contact.name)),
        name("/partner", contact.partner.as_ref().map(PartnerId::as_str)),
        name("/superior", contact.superior.as_ref().map(ContactId::as_str)),
        name("/duty", contact.duty.as_deref()),
        name("/region", contact.region.as_deref()),
        // Nothing is looked up by it.
        name("/signature", contact.signature.as_deref())
            .map(|text| Text { most: usize::MAX, ..text }),
    ];
    let tags = list("/tags", contact.tags.iter().map(String::as_str));
    let teams = list("/teams", contact.teams.iter().map(TeamName::as_str));
    own.into_iter().flatten().chain(tags).chain(teams).collect()
}

/// A channel that a partner names a second time; which place it is to have, nobody knows.
fn find_twin(partner: &Partner) -> Option<Flaw> {
    let mut placed = partner.channels.iter().enumerate();
    let (index, channel) =
        placed.find(|(index, channel)| partner.channels[..*index].contains(channel))?;
    let message = format!("`{channel}` stands there twice; name each channel once");
    Some(Flaw { pointer: format!("/channels/{index}"), message })
}
