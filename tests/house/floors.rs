//! Which module may use which: the order of `src/lib.rs`.

use std::collections::BTreeSet;

use crate::source::{self, Source};

/// Neighbours on one floor that may use one another, as (user, used). Each needs a reason.
const NEIGHBOURS: &[(&str, &str)] = &[];

/// The modules of the crate, floor by floor, from the ground up.
#[derive(Debug)]
pub(crate) struct Floors(Vec<Vec<String>>);

/// A use of a module that the floors forbid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// The line that uses it.
    pub(crate) line: usize,
    /// What is wrong, in a sentence.
    pub(crate) what: String,
}

impl Floors {
    /// Reads the map: in `lib.rs` each paragraph of `pub mod …;` lines is a floor, the ground
    /// first.
    pub(crate) fn parse(lib: &str) -> Self {
        let floor = |paragraph: &str| -> Vec<String> {
            let names = paragraph.lines().filter_map(|line| line.strip_prefix("pub mod "));
            names.filter_map(|name| name.strip_suffix(';')).map(str::to_owned).collect()
        };
        Self(lib.split("\n\n").map(floor).filter(|floor| !floor.is_empty()).collect())
    }

    /// How many floors there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    fn find(&self, module: &str) -> Option<usize> {
        self.0.iter().position(|floor| floor.iter().any(|name| name == module))
    }

    /// What of `source` crosses the floors, for a file `depth` modules deep in `module`; what it
    /// uses of its neighbours by permission goes to `permitted`.
    pub(crate) fn breaches(
        &self,
        module: &str,
        depth: usize,
        source: &Source,
        permitted: &mut BTreeSet<(String, String)>,
    ) -> Vec<Breach> {
        let own = self.find(module);
        let mut breaches = Vec::new();
        for (line, used) in source::modules_used(&source.shipped, depth) {
            let breach = match (own, self.find(&used)) {
                _ if used == module => continue,
                (None, _) => format!("`{module}` stands on no floor of src/lib.rs"),
                // A macro or a name of the crate itself.
                (Some(_), None) => continue,
                (Some(own), Some(its)) if its < own => continue,
                (Some(own), Some(its)) if its == own => {
                    if NEIGHBOURS.contains(&(module, used.as_str())) {
                        permitted.insert((module.to_owned(), used));
                        continue;
                    }
                    format!("`{module}` uses `{used}`, its neighbour on the same floor")
                }
                (Some(_), Some(_)) => format!("`{module}` uses `{used}`, which stands on it"),
            };
            breaches.push(Breach { line, what: breach });
        }
        breaches
    }

    /// The permissions that nobody makes use of.
    pub(crate) fn idle_permissions(
        permitted: &BTreeSet<(String, String)>,
    ) -> Vec<&'static (&'static str, &'static str)> {
        let is_idle = |(user, used): &&(&str, &str)| {
            !permitted.contains(&((*user).to_owned(), (*used).to_owned()))
        };
        NEIGHBOURS.iter().filter(is_idle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIB: &str = "//! The map.\n\n// Ground.\npub mod clock;\npub mod text;\n\n// Nouns.\npub mod model;\n\n// Plugs.\npub mod broker;\npub mod store;\n";

    fn breaches(module: &str, depth: usize, text: &str) -> Vec<String> {
        let floors = Floors::parse(LIB);
        let found = floors.breaches(module, depth, &Source::parse(text), &mut BTreeSet::new());
        found.into_iter().map(|breach| format!("{}: {}", breach.line, breach.what)).collect()
    }

    #[test]
    fn a_floor_is_a_paragraph_of_the_map() {
        let floors = Floors::parse(LIB);

        assert_eq!(floors.0, [vec!["clock", "text"], vec!["model"], vec!["broker", "store"]]);
    }

    #[test]
    fn what_stands_below_may_be_used() {
        assert!(breaches("store", 1, "use crate::{clock::Clock, model::id};").is_empty());
    }

    #[test]
    fn a_module_may_use_itself() {
        assert!(breaches("store", 2, "use crate::store::Queue; use super::Queue;").is_empty());
    }

    #[test]
    fn a_neighbour_may_not_be_used() {
        let found = breaches("broker", 1, "\nuse crate::store::Queue;");

        assert_eq!(found, ["2: `broker` uses `store`, its neighbour on the same floor"]);
    }

    #[test]
    fn what_stands_on_a_module_may_not_be_used_by_it_in_any_way_of_writing() {
        let ways = [
            "use crate::store::Queue;",
            "use crate::{clock::Clock, store::{Queue, Ledger}};",
            "fn f() { crate::store::open(); }",
            "use super::super::store::Queue;",
            "pub(in crate::store) fn f() {}",
            "macro_rules! m { () => { $crate::store::open() } }",
        ];

        for way in ways {
            let found = breaches("model", 2, way);
            assert_eq!(found, ["1: `model` uses `store`, which stands on it"], "{way}");
        }
    }

    #[test]
    fn tests_and_texts_may_name_anything() {
        let text = "// crate::store\nconst A: &str = \"crate::store\";\n#[cfg(test)]\nmod tests { use crate::store::Queue; }";

        assert!(breaches("model", 1, text).is_empty());
    }

    #[test]
    fn a_module_that_the_map_lacks_is_a_breach() {
        let found = breaches("attic", 1, "use crate::clock::Clock;");

        assert_eq!(found, ["1: `attic` stands on no floor of src/lib.rs"]);
    }
}
