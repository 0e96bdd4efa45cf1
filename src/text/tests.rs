//! What an engine prints, refuses and survives.

use serde_json::json;

use super::*;

fn render(escaping: Escaping, source: &str, data: Value) -> Result<String, TextFault> {
    let mut engine = Engine::new(escaping);
    engine.add("t", source)?;
    engine.render("t", &context(data), 1000)
}

#[test]
fn a_missing_variable_is_a_fault_that_names_it_and_its_place() {
    let fault = render(Escaping::None, "Hello\n{{recipient.name}},", json!({"recipient": {}}));

    let fault = fault.unwrap_err();
    assert_eq!((fault.line, fault.column), (Some(2), Some(1)));
    assert_eq!(fault.message, "`recipient.name` is missing");
}

#[test]
fn null_counts_as_missing() {
    assert!(render(Escaping::None, "{{name}}", json!({"name": null})).is_err());
    assert!(render(Escaping::None, "{{a.0}}", json!({"a": [null]})).is_err());
    let guarded = render(Escaping::None, "{{#if name}}x{{/if}}-", json!({"name": null}));
    assert_eq!(guarded.unwrap(), "-");
}

#[test]
fn strict_mode_closes_each_and_with_as_far_as_it_can() {
    for source in ["{{#each a}}x{{/each}}", "{{#with a}}x{{/with}}", "{{lookup b \"c\"}}"] {
        assert!(render(Escaping::None, source, json!({"b": {}})).is_err(), "{source}");
    }
}

#[test]
fn data_never_becomes_markup() {
    let data = || json!({"x": "<b>\"&' [a](http://x) @all *y*"});

    let html = render(Escaping::Html, "{{x}}", data()).unwrap();
    let json = render(Escaping::Json, r#"{"x":"{{x}}"}"#, data()).unwrap();
    let url = render(Escaping::Url, "https://a.test/?q={{x}}", json!({"x": "a b&c=đ"})).unwrap();

    assert!(!html.contains('<'));
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), data());
    assert_eq!(url, "https://a.test/?q=a%20b%26c%3D%C4%91");
}

#[test]
fn unescaped_output_is_refused_where_data_could_become_markup() {
    for source in ["{{{x}}}", "{{&x}}", "{{#if x}}{{{x}}}{{/if}}"] {
        assert!(render(Escaping::Html, source, json!({"x": 1})).is_err(), "{source}");
        assert!(render(Escaping::CommonMark, source, json!({"x": 1})).is_err(), "{source}");
    }
    assert_eq!(render(Escaping::None, "{{{x}}}", json!({"x": 1})).unwrap(), "1");
}

#[test]
fn control_characters_of_data_are_dropped() {
    let text = render(Escaping::None, "{{x}}", json!({"x": "a\r\nb\rc\u{0}\u{1b}[1m"})).unwrap();

    assert_eq!(text, "a\nb\nc[1m");
}

#[test]
fn endless_output_is_cut_off() {
    let many = json!({"a": vec![1; 2000]});

    let fault = render(Escaping::None, "{{#each a}}{{this}}{{/each}}", many).unwrap_err();

    assert!(fault.message.contains("beyond 1000 bytes"));
}

#[test]
fn endless_loops_that_print_nothing_are_cut_off() {
    let source = format!("{}{}", "{{#each @root.a}}".repeat(9), "{{/each}}".repeat(9));

    let fault = render(Escaping::None, &source, json!({"a": vec![1; 10]})).unwrap_err();

    assert!(fault.message.contains("loops run over more than"), "{}", fault.message);
}

#[test]
fn loops_know_index_key_and_ends() {
    let source = "{{#each a}}{{#unless @first}}, {{/unless}}{{@index}}={{x}}{{../z}}{{/each}}";
    let list = json!({"a": [{"x": 1}, {"x": 2}], "z": "!"});
    assert_eq!(render(Escaping::None, source, list).unwrap(), "0=1!, 1=2!");

    let source = "{{#each a}}{{@key}}={{this}}{{#if @last}}.{{/if}}{{/each}}";
    assert_eq!(render(Escaping::None, source, json!({"a": {"k": "v"}})).unwrap(), "k=v.");
    let source = "{{#each a}}x{{else}}none{{/each}}";
    assert_eq!(render(Escaping::None, source, json!({"a": []})).unwrap(), "none");
}

#[test]
fn what_could_abort_the_process_is_refused_when_added() {
    let deep = format!("{}{}", "{{#if a}}".repeat(2000), "{{/if}}".repeat(2000));
    let brackets = format!("{{{{#if {}a{}}}}}{{{{/if}}}}", "(not ".repeat(2000), ")".repeat(2000));
    let inline = "{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}";
    let dynamic = "{{> (lookup this \"p\")}}";
    // Spellings that the compiler takes as well; each once aborted the process.
    let spaced = format!("{}{}", "{{ #if a}}".repeat(9000), "{{ /if}}".repeat(9000));
    let commented = format!("{}{}", "{{#if a}}{{!-- {{/ --}}".repeat(9000), "{{/if}}".repeat(9000));
    let in_lines =
        format!("{{{{#if\n{}a{}}}}}{{{{/if}}}}", "(not\n".repeat(9000), ")".repeat(9000));
    let lists = format!("{{{{lookup {}0{} a}}}}", "[".repeat(9000), "]".repeat(9000));
    let objects = format!("{{{{lookup {}0{} a}}}}", "{\"a\":".repeat(9000), "}".repeat(9000));
    let chain = format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if a}}".repeat(9000));
    let spellings = [&spaced, &commented, &in_lines, &lists, &objects, &chain];

    for source in [&deep, &brackets].into_iter().chain(spellings).map(String::as_str).chain([
        inline,
        dynamic,
        "{{> other}}",
    ]) {
        let start: String = source.chars().take(40).collect();
        assert!(render(Escaping::None, source, json!({"a": 1})).is_err(), "{start}");
    }
}

#[test]
fn an_unknown_helper_is_refused_with_its_place() {
    let fault = render(Escaping::None, "a\n {{mony a \"VND\"}}", json!({"a": 1})).unwrap_err();

    assert_eq!((fault.line, fault.column), (Some(2), Some(2)));
    assert!(fault.message.starts_with("there is no helper `mony`"), "{}", fault.message);
    assert!(render(Escaping::None, "{{log a}}", json!({"a": 1})).is_err());
    assert!(render(Escaping::None, "{{#if (nope a)}}{{/if}}", json!({"a": 1})).is_err());
}
