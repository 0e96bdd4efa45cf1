//! Reads the event catalogue: one file a type.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::config::assets::Assets;
use crate::config::fault::{Faults, Place, SourceText};
use crate::config::settings::CataloguePlaces;
use crate::config::{Section, crossing, schema, step, tree};
use crate::model::catalogue::{
    Catalogue, Category, Effect, EventType, Lane, Mapping, OnUnknown, RetryPolicy, Step,
};
use crate::model::id::EventTypeName;

/// Reads every `*.toml` of `assets`; what has a fault is left out or empty.
pub fn read_catalogue(assets: &Assets, faults: &Faults) -> (Catalogue, CataloguePlaces) {
    let mut catalogue = Catalogue::default();
    let mut places = CataloguePlaces::default();
    for (path, bytes) in assets.files.iter() {
        let Some(stem) = Path::new(path).file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let Some(stem) = stem.strip_suffix(".toml") else { continue };
        let Some(file) = open(&assets.name_of(path), bytes, faults) else { continue };
        let mut own = CataloguePlaces::default();
        let event_type = read(&file, stem, &mut own);
        if let Some(first) = places.files.get(&event_type.name) {
            let what =
                format!("the type `{}` is already there, in {}", event_type.name, first.place());
            file.fault("name", what, "give one of the two another name");
            continue;
        }
        places.steps.append(&mut own.steps);
        places.files.insert(event_type.name.clone(), file);
        catalogue.types.insert(event_type.name.clone(), event_type);
    }
    crossing::check(&catalogue, &places);
    (catalogue, places)
}

/// The table of one file.
fn open(name: &str, bytes: &[u8], faults: &Faults) -> Option<Section> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        faults.error(Place::Named(name.to_owned()), "not UTF-8", "save the file as UTF-8");
        return None;
    };
    let source = SourceText::open(name, text);
    let table = tree::parse(&source, faults)?;
    Some(Section::root(table, Place::new(&source, 0..0), faults.clone()))
}

fn read(file: &Section, stem: &str, places: &mut CataloguePlaces) -> EventType {
    let name = name_of(file, stem);
    let categories =
        [("transactional", Category::Transactional), ("marketing", Category::Marketing)];
    let lanes = Lane::ALL.map(|lane| (lane.as_str(), lane));
    let effects = [("partner", Effect::ChangesPartner), ("contact", Effect::ChangesContact)];
    let answers = [("retry", OnUnknown::Retry), ("hold", OnUnknown::Hold)];
    let description = file.required_text("description");
    let category = file.required("category", |file, key| file.choice(key, &categories));
    let lane = file.choice("lane", &lanes);
    let expiry = file.required("expiry", Section::duration);
    let schema = schema::read(file);
    let event_type = EventType {
        description: description.unwrap_or_default(),
        category: category.unwrap_or(Category::Transactional),
        lane: lane.unwrap_or(match category {
            Some(Category::Marketing) => Lane::Bulk,
            Some(Category::Transactional) | None => Lane::Normal,
        }),
        business_key: schema::pointer(file, "business_key", &schema),
        partner: schema::pointer(file, "partner", &schema),
        id_from: schema::pointers(file, "id_from", &schema),
        mapping: file.section("mapping").and_then(|section| mapping(&section)),
        effect: file.choice("effect", &effects),
        steps: steps(file, &name, &schema, places),
        expiry: expiry.unwrap_or_default(),
        retry: retry(file),
        on_unknown: file.choice("on_unknown", &answers).unwrap_or(OnUnknown::Retry),
        schema,
        name,
    };
    file.finish();
    event_type
}

/// What a type's name looks like, to complete "write …".
const NAME: &str =
    "small letters, digits, `_` and `-` in words with dots between, such as \"order.delayed\"";

/// The name in the file, else the file's own.
fn name_of(file: &Section, stem: &str) -> EventTypeName {
    let written = file.parsed_by("name", NAME, |text| is_type_name(text).then(|| text.to_owned()));
    if !file.has("name") && !is_type_name(stem) {
        let what = format!("the file's name `{stem}` is no name of an event type");
        file.fault("name", what, format!("rename the file, or add `name` with {NAME}"));
    }
    EventTypeName::from(written.unwrap_or_else(|| stem.to_owned()))
}

/// Whether `text` can be the name of an event type.
pub fn is_type_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let is_word = |word: &str| !word.is_empty() && word.chars().all(is_plain);
    // Routing keys hold at most 255 bytes, and status events put words before the type.
    text.len() <= 200 && text.split('.').all(is_word)
}

fn mapping(section: &Section) -> Option<Mapping> {
    let routing_key = section.required_text("routing_key");
    let pointer = |key| schema::pointer(section, key, &Value::Bool(true));
    let (id, time, data) = (pointer("id"), pointer("time"), pointer("data"));
    section.finish();
    Some(Mapping { routing_key: routing_key?, id, time, data })
}

fn retry(file: &Section) -> RetryPolicy {
    let usual = RetryPolicy {
        first: Duration::from_secs(10),
        cap: Duration::from_mins(30),
        max_attempts: 12,
    };
    let Some(section) = file.section("retry") else { return usual };
    let policy = RetryPolicy {
        first: section.duration("first").unwrap_or(usual.first),
        cap: section.duration("cap").unwrap_or(usual.cap),
        max_attempts: section.number("max_attempts", 1, 1000).unwrap_or(usual.max_attempts),
    };
    if policy.cap < policy.first {
        section.fault("cap", "`retry.cap` is shorter than `retry.first`", "make it the longer one");
    }
    section.finish();
    policy
}

fn steps(
    file: &Section,
    name: &EventTypeName,
    schema: &Value,
    places: &mut CataloguePlaces,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for section in file.sections("steps") {
        let Some(step) = step::read(&section, name, schema) else { continue };
        if steps.iter().any(|earlier| earlier.name == step.name) {
            let what = format!("there is already a step `{}`", step.name);
            section.fault("name", what, "give each step of a type its own name");
            continue;
        }
        places.steps.insert((name.clone(), step.name.clone()), section);
        steps.push(step);
    }
    steps
}
