//! Samples that the reader of sources must read rightly.

use crate::source::{Declaration, Source, Token, declarations, log_fields, modules_used};

fn words(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.text.as_str()).collect::<Vec<_>>().join(" ")
}

fn used(text: &str, depth: usize) -> Vec<String> {
    let source = Source::parse(text);
    modules_used(&source.shipped, depth).into_iter().map(|(_, name)| name).collect()
}

#[test]
fn comments_are_not_read_and_nested_ones_end_where_they_end() {
    let source = Source::parse("a // b\n/* c /* d */ e */ f /** g */ h");

    assert_eq!(words(&source.shipped), "a f h");
}

#[test]
fn a_literal_is_one_token_whatever_stands_in_it() {
    let source = Source::parse(r##"f("a \" // b", r#"c " d"#, b"e", '"', '\'', '\u{1F600}') g"##);

    assert_eq!(words(&source.shipped), r#"f ( "a \" // b" , "c " d" , b "e" , ' , ' , ' ) g"#,);
}

#[test]
fn a_lifetime_does_not_open_a_character() {
    let source = Source::parse("fn f<'a>(x: &'a str) { 'outer: loop { break 'outer; } } // 'x");

    assert_eq!(words(&source.shipped), "fn f < > ( x : & str ) { : loop { break ; } }",);
}

#[test]
fn lines_are_counted_through_comments_and_strings() {
    let source = Source::parse("/* \n */ \"\n\" r#\"\n\"#\nlast");

    assert_eq!(source.shipped.last(), Some(&Token { line: 5, text: "last".to_owned() }));
}

#[test]
fn what_is_compiled_for_tests_is_told_apart() {
    let text = "use a;\n#[cfg(test)]\nuse b::{c, d};\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n  fn f() { [0; 4]; }\n}\nfn last() {}\n";

    let source = Source::parse(text);

    assert!(words(&source.shipped).starts_with("use a ;"));
    assert!(words(&source.shipped).ends_with("fn last ( ) { }"));
    assert!(!words(&source.shipped).contains("tests"));
    assert!(words(&source.tests).contains("mod tests"));
    assert_eq!((source.lines, source.shipped_lines), (9, 2));
}

#[test]
fn a_module_is_declared_by_name_or_by_path() {
    let source = Source::parse("pub mod a;\n#[path = \"x/b.rs\"]\nmod b;\nmod c { }\n");

    let found = declarations(&source.shipped);

    let (a, b) = ("a".to_owned(), "b".to_owned());
    assert_eq!(
        found,
        [
            Declaration { name: a, path: None },
            Declaration { name: b, path: Some("x/b.rs".to_owned()) }
        ]
    );
}

#[test]
fn paths_from_the_crate_are_followed_into_their_branches() {
    assert_eq!(used("use crate::{a::{x, y}, b, c as d};", 1), ["a", "b", "c"]);
    assert_eq!(used("fn f() -> crate::a::X { crate::b::f(c) }", 1), ["a", "b"]);
}

#[test]
fn paths_upward_count_only_when_they_reach_the_crate() {
    assert!(used("use super::a;", 2).is_empty());
    assert_eq!(used("use super::a;", 1), ["a"]);
    assert_eq!(used("use super::super::a;", 2), ["a"]);
    assert_eq!(used("use super::super::{a::x, b};", 2), ["a", "b"]);
}

#[test]
fn visibility_names_no_module() {
    assert!(used("pub(crate) fn f() {}", 1).is_empty());
    assert!(used("pub(super) fn f() {}", 1).is_empty());
}

#[test]
fn fields_of_log_lines_are_found_and_their_texts_are_not() {
    let text = r#"tracing::info!(key.name = name, %provider, count, "made {name}", one, two);
                  warn!(target: "lapin", "gone"); info_span!("delivery", delivery.id = %id(1, 2))"#;

    let found = log_fields(&Source::parse(text).shipped);
    let found: Vec<_> = found.iter().map(|(_, name)| name.as_str()).collect();

    assert_eq!(found, ["key.name", "provider", "count", "delivery", "delivery.id"]);
}
