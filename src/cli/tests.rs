//! What every command has in common.

use clap::{CommandFactory, Parser};

use super::Arguments;

/// Every command that does something, by its words, with its help as a program prints it.
fn commands() -> Vec<(String, clap::Command)> {
    fn gather(above: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        let name = format!("{above} {}", command.get_name());
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            gather(&name, below, found);
        }
        found.push((name.trim().to_owned(), command.clone()));
    }
    let mut root = Arguments::command().term_width(100);
    root.build();
    let mut found = Vec::new();
    gather("", &root, &mut found);
    found
}

/// The examples in a command's help, each as the words of a command line.
fn examples(command: &clap::Command) -> Vec<Vec<String>> {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(words).collect()
}

/// Splits a line as a shell would, up to what is not for the program itself.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, piece) in line.split('"').enumerate() {
        if index % 2 == 1 {
            words.push(piece.to_owned());
            continue;
        }
        for word in piece.split_whitespace() {
            if matches!(word, "<" | ">" | "|") {
                return words;
            }
            words.push(word.to_owned());
        }
    }
    words
}

#[test]
fn as_many_threads_work_as_are_asked_for() {
    for command in ["run", "bench"] {
        let asked = |count| Arguments::try_parse_from(["loa", command, "--threads", count]);
        let threads = asked("3").unwrap().command.threads();

        assert_eq!(super::runtime(threads).unwrap().metrics().num_workers(), 3);
        assert!(asked("0").is_err(), "loa {command}");
    }
}

#[test]
fn every_command_shows_an_example_that_it_takes() {
    for (name, command) in commands() {
        let examples = examples(&command);

        assert!(!examples.is_empty(), "`{name} --help` shows no example");
        for example in examples {
            let line = example.join(" ");
            assert!(line.starts_with(&name), "`{name} --help` shows an example of other: {line}");
            if let Err(error) = Arguments::try_parse_from(&example) {
                panic!("`{line}` is not taken: {error}");
            }
        }
    }
}

#[test]
fn every_command_prints_for_programs_too() {
    for (name, command) in commands() {
        if command.has_subcommands() {
            continue;
        }
        let output = command.get_arguments().find(|argument| argument.get_id() == "output");

        assert!(output.is_some(), "`{name}` takes no --output");
    }
}

/// One snapshot for each command, with the help of all that is below it.
#[test]
fn every_command_explains_itself() {
    let mut texts: std::collections::BTreeMap<String, String> = Default::default();
    for (name, mut command) in commands() {
        let first = name.split(' ').nth(1).unwrap_or("loa").to_owned();
        let help = command.render_long_help().to_string();
        // Blanks at the ends of lines are lost in an editor.
        let help: Vec<_> = help.lines().map(str::trim_end).collect();
        let text = texts.entry(first).or_default();
        text.push_str(&format!("$ {name} --help\n{}\n\n", help.join("\n").trim_end()));
    }
    for (first, text) in texts {
        insta::assert_snapshot!(format!("help_of_{first}"), text);
    }
}
