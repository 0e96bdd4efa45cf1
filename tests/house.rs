//! The rules of the house that no compiler checks.
//!
//! Each test names every place that breaks its rule and what to do there.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::floors::Floors;
use crate::source::Source;

#[path = "house/floors.rs"]
mod floors;
#[path = "house/source.rs"]
mod source;
#[path = "house/source_tests.rs"]
mod source_tests;

/// Lines that a file may have without its tests, and with them.
const MOST_LINES: (usize, usize) = (400, 600);

/// Words that say nothing, or the wrong thing, in the name of a file or type.
const EMPTY_WORDS: &[&str] = &[
    "common",
    "handler",
    "helper",
    "helpers",
    "info",
    "misc",
    "processor",
    "service",
    "services",
    "util",
    "utils",
];

/// Names with such a word in which it is a word of the trade.
const NAMED_ON_PURPOSE: &[&str] = &[
    // What a template calls is a helper in the language of templates.
    "src/render/helpers.rs",
];

#[test]
fn a_module_uses_only_the_floors_above_its_own_in_the_map() {
    let floors = Floors::parse(&read("src/lib.rs"));
    assert!(floors.count() >= 9, "src/lib.rs no longer reads as a map: {floors:?}");
    let mut permitted = BTreeSet::new();
    let mut faults = Vec::new();

    let tests = files_of_tests();
    for file in rust_files("src").into_iter().filter(|file| !tests.contains(file)) {
        let (module, depth) = place_of(&file);
        if matches!(module.as_str(), "lib" | "main") {
            continue;
        }
        for breach in floors.breaches(&module, depth, &parse(&file), &mut permitted) {
            faults.push(format!("{file}:{}: {}", breach.line, breach.what));
        }
    }
    for (user, used) in Floors::idle_permissions(&permitted) {
        faults.push(format!("`{user}` may use `{used}` but does not: take that from NEIGHBOURS"));
    }

    none(&faults);
}

#[test]
fn every_rust_file_is_declared_and_none_is_called_mod() {
    let mut declared: BTreeSet<_> = roots().into_iter().collect();
    let mut pending = roots();
    let mut faults = Vec::new();

    while let Some(file) = pending.pop() {
        for declaration in declarations(&file) {
            match declaration {
                Ok(found) => {
                    if declared.insert(found.clone()) {
                        pending.push(found);
                    }
                }
                Err(missing) => faults.push(missing),
            }
        }
    }
    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        if file.ends_with("/mod.rs") {
            faults.push(format!("{file}: call it after its folder and put it beside it"));
        } else if !declared.contains(&file) {
            faults.push(format!("{file}: no `mod` declares it, so it is not compiled"));
        }
    }

    none(&faults);
}

#[test]
fn each_migration_is_listed_and_has_a_twin_for_the_other_store() {
    let [sqlite, postgres] = ["sqlite", "postgres"].map(migrations);
    assert!(!sqlite.is_empty(), "src/store/migrations/sqlite holds no migration");
    let mut faults = Vec::new();

    for lone in sqlite.symmetric_difference(&postgres) {
        faults.push(format!("migration {lone} exists for one store only"));
    }
    let list = parse("src/store/migrate.rs").shipped;
    for name in &sqlite {
        let quoted = format!("{:?}", stem(name));
        if !list.iter().any(|token| token.text == quoted) {
            faults.push(format!("migration {name} is not in the list of src/store/migrate.rs"));
        }
    }
    for (at, name) in sqlite.iter().enumerate() {
        let number = format!("{:04}_", at + 1);
        if !name.starts_with(&number) {
            faults.push(format!("migration {name} should begin with {number}"));
        }
    }

    none(&faults);
}

#[test]
fn each_kind_of_provider_is_in_the_list() {
    let list = parse("src/provider.rs").shipped;
    let listed = |kind: &str| list.windows(3).any(|at| texts(at) == [kind, "::", "KIND"]);
    let mut faults = Vec::new();

    let in_room = |file: &String| file.starts_with("src/provider/");
    for file in rust_files("src").into_iter().filter(in_room) {
        let declares = parse(&file)
            .shipped
            .windows(2)
            .any(|at| matches!(texts(at).as_slice(), ["const" | "static", "KIND"]));
        let kind = stem(&file);
        if declares && !listed(&kind) {
            faults.push(format!("{file}: add {kind}::KIND to KINDS in src/provider.rs"));
        }
    }

    none(&faults);
}

#[test]
fn no_file_tells_two_stories() {
    let (shipped, all) = MOST_LINES;
    let mut faults = Vec::new();

    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let source = parse(&file);
        if source.shipped_lines > shipped && file.starts_with("src/") && !is_test_file(&file) {
            let lines = source.shipped_lines;
            faults.push(format!("{file}: {lines} lines without its tests; split it ({shipped})"));
        } else if source.lines > all {
            faults.push(format!("{file}: {} lines; split it ({all})", source.lines));
        }
    }

    none(&faults);
}

#[test]
fn names_say_what_a_thing_is() {
    let mut faults = Vec::new();

    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        if NAMED_ON_PURPOSE.contains(&file.as_str()) {
            continue;
        }
        if let Some(word) = empty_word(&stem(&file)) {
            faults.push(format!("{file}: `{word}` says nothing; name it after what it is"));
        }
        let source = parse(&file);
        for pair in source.shipped.windows(2) {
            let [keyword, name] = pair else { continue };
            if matches!(keyword.text.as_str(), "struct" | "enum" | "trait" | "type" | "mod")
                && let Some(word) = empty_word(&snake(&name.text))
                && !(keyword.text == "mod" && word == "helpers")
            {
                let (line, name) = (name.line, &name.text);
                faults.push(format!("{file}:{line}: `{word}` in `{name}` says nothing"));
            }
        }
    }

    none(&faults);
}

#[test]
fn log_lines_name_their_fields_as_the_list_does() {
    let list = parse("src/telemetry/field.rs").shipped;
    let known: BTreeSet<_> = list.iter().filter_map(|token| source::literal(&token.text)).collect();
    let (mut used, mut faults) = (BTreeSet::new(), Vec::new());

    for file in rust_files("src") {
        for (line, name) in source::log_fields(&parse(&file).shipped) {
            if !known.contains(name.as_str()) {
                faults.push(format!("{file}:{line}: no field `{name}` in src/telemetry/field.rs"));
            }
            used.insert(name);
        }
    }
    for idle in known.iter().filter(|name| !used.contains(**name)) {
        faults.push(format!("no log line has a field or span `{idle}`: take it from the list"));
    }

    none(&faults);
}

#[test]
fn no_test_is_put_aside() {
    let mut faults = Vec::new();

    for file in rust_files("src").into_iter().chain(rust_files("tests")) {
        let source = parse(&file);
        for at in source.shipped.windows(3).chain(source.tests.windows(3)) {
            if texts(at) == ["#", "[", "ignore"] {
                faults.push(format!("{file}: an ignored test proves nothing; mend or remove it"));
            }
        }
    }

    none(&faults);
}

#[test]
fn an_empty_word_is_found_in_any_spelling() {
    assert_eq!(empty_word(&snake("DeliveryService")), Some("service"));
    assert_eq!(empty_word("string_utils"), Some("utils"));
    assert_eq!(empty_word(&snake("ConnectionManager")), Some("manager"));
    assert_eq!(empty_word(&snake("Manager")), None);
    assert_eq!(empty_word(&snake("PartnerManager")), None);
    assert_eq!(empty_word(&snake("Information")), None);
    assert_eq!(empty_word(&snake("CommonMark")), None);
}

#[test]
fn a_file_is_placed_by_its_path() {
    assert_eq!(place_of("src/plan.rs"), ("plan".to_owned(), 1));
    assert_eq!(place_of("src/store/sqlite/queue.rs"), ("store".to_owned(), 3));
}

/// Fails with all faults, one a line.
#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn parse(file: &str) -> Source {
    Source::parse(&read(file))
}

fn texts(tokens: &[source::Token]) -> Vec<&str> {
    tokens.iter().map(|token| token.text.as_str()).collect()
}

/// Every Rust file under `folder`, as a path from the root of the package, in order.
fn rust_files(folder: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// The files that cargo itself finds.
fn roots() -> Vec<String> {
    let mut roots = vec!["src/lib.rs".to_owned(), "src/main.rs".to_owned()];
    let is_root = |file: &String| match file.matches('/').count() {
        1 => true,
        2 => file.ends_with("/main.rs"),
        _ => false,
    };
    roots.extend(rust_files("tests").into_iter().filter(is_root));
    roots
}

/// The files of the modules that `file` declares, or for each that has none, what is missing.
fn declarations(file: &str) -> Vec<Result<String, String>> {
    let source = parse(file);
    let all: Vec<_> = source.shipped.iter().chain(&source.tests).cloned().collect();
    let found = source::declarations(&all).into_iter();
    found.map(|declaration| file_of(file, &declaration)).collect()
}

fn file_of(file: &str, declaration: &source::Declaration) -> Result<String, String> {
    let folder = match (&declaration.path, roots().iter().any(|root| root == file)) {
        (Some(_), _) | (None, true) => Path::new(file).parent().unwrap().to_owned(),
        (None, false) => Path::new(file).with_extension(""),
    };
    let name = declaration.path.clone().unwrap_or_else(|| format!("{}.rs", declaration.name));
    let found = folder.join(&name).to_str().unwrap().to_owned();
    if root().join(&found).is_file() {
        Ok(found)
    } else {
        Err(format!("{file}: `mod {}` has no file {found}", declaration.name))
    }
}

/// The files that a `mod` under `#[cfg(test)]` declares, and all that those declare.
fn files_of_tests() -> BTreeSet<String> {
    let of_file = |file: String| {
        let declared = source::declarations(&parse(&file).tests);
        declared.into_iter().filter_map(move |declaration| file_of(&file, &declaration).ok())
    };
    let mut pending: Vec<String> = rust_files("src").into_iter().flat_map(of_file).collect();
    let mut found = BTreeSet::new();
    while let Some(file) = pending.pop() {
        pending.extend(declarations(&file).into_iter().flatten());
        found.insert(file);
    }
    found
}

fn is_test_file(file: &str) -> bool {
    files_of_tests().contains(file)
}

/// The module at the top of the crate that `file` belongs to, and how many modules deep it is.
fn place_of(file: &str) -> (String, usize) {
    let path = Path::new(file).with_extension("");
    let parts: Vec<_> = path.iter().skip(1).map(|part| part.to_str().unwrap()).collect();
    (parts.first().copied().unwrap_or_default().to_owned(), parts.len())
}

fn stem(file: &str) -> String {
    Path::new(file).file_stem().unwrap().to_str().unwrap().to_owned()
}

fn migrations(store: &str) -> BTreeSet<String> {
    let folder = root().join("src/store/migrations").join(store);
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned()).collect()
}

/// The first word of `name` that says nothing; `manager` is the person who looks after a partner.
fn empty_word(name: &str) -> Option<&str> {
    let is_empty = |word: &&str| EMPTY_WORDS.contains(word);
    let is_machinery = name.ends_with("_manager") && name != "partner_manager";
    let name = name.strip_prefix("common_mark").unwrap_or(name);
    name.split('_').find(is_empty).or(is_machinery.then_some("manager"))
}

/// `DeliveryState` as `delivery_state`.
fn snake(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
