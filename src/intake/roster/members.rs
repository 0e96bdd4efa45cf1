//! Reads the members of a row, and tells of every one that cannot be read.

use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::Misfit;

/// Without these a row is none.
const NEEDED: [&str; 2] = ["id", "name"];
/// What a moment looks like.
const MOMENT: &str = "expected a time with its offset, such as 2026-12-24T09:00:00+07:00";

/// Reads a row; of what cannot be read, each member goes to `misfits`, and the row is read without
/// it.
///
/// Returns none if what is left is no row either.
pub(super) fn read<T: DeserializeOwned>(mut row: Value, misfits: &mut Vec<Misfit>) -> Option<T> {
    if let Some(members) = row.as_object_mut() {
        for needed in NEEDED {
            if members.contains_key(needed) {
                continue;
            }
            misfits.push(Misfit::new("", format!("missing field `{needed}`")));
            members.insert(needed.to_owned(), json!(needed));
        }
    }
    loop {
        let misfit = match serde_path_to_error::deserialize(&row) {
            Ok(read) => return Some(read),
            Err(error) => misfit(&error),
        };
        let member = misfit.pointer.split('/').nth(1).map(str::to_owned);
        misfits.push(misfit);
        let members = row.as_object_mut()?;
        let member = member?;
        // Without the one that is wrong the others can be read.
        match NEEDED.contains(&member.as_str()) {
            true => drop(members.insert(member.clone(), json!(member))),
            false => drop(members.remove(&member)?),
        }
    }
}

fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> Misfit {
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    let is_moment =
        pointer == "/changed_at" || (pointer.starts_with("/consents/") && pointer.ends_with("/at"));
    let message = match is_moment {
        true => MOMENT.to_owned(),
        false => error.inner().to_string(),
    };
    Misfit::new(pointer, message)
}

/// Reads consent as tables and programs write it.
pub(super) fn yes_or_no<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Said {
        Truth(bool),
        Word(String),
    }
    let expected = "expected yes or no (in JSON true or false too), or nothing";
    match Option::<Said>::deserialize(value).map_err(|_| D::Error::custom(expected))? {
        None => Ok(None),
        Some(Said::Truth(granted)) => Ok(Some(granted)),
        Some(Said::Word(word)) => match word.to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" => Ok(Some(true)),
            "no" | "false" | "0" => Ok(Some(false)),
            _ => Err(D::Error::custom(expected)),
        },
    }
}
