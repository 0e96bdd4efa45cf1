//! CommonMark in the dialect of the chat that will show it.

mod inert;
mod links;
mod writer;

use crate::model::message::{ChatMessage, Dialect};

use inert::inert;
use links::without_strange_links;
use writer::{write, write_each};

/// Makes a chat message of CommonMark whose data is escaped already.
pub(super) fn message(markdown: &str, dialect: Dialect) -> ChatMessage {
    match dialect {
        Dialect::CommonMark => {
            let plain = write(markdown, Dialect::Plain);
            let kept = without_strange_links(markdown);
            ChatMessage { text: inert(kept.as_deref().unwrap_or(&plain).trim()), plain }
        }
        Dialect::SlackMrkdwn | Dialect::Plain => {
            let [text, plain] = write_each(markdown, [dialect, Dialect::Plain]);
            ChatMessage { text, plain }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Parser, Tag, TagEnd};

    use super::inert::ends_in_word;
    use super::links::leads_somewhere;
    use super::*;

    #[test]
    fn slack_gets_its_own_marks() {
        let markdown =
            "**Order DH1** is _late_\n\n- new date: 5\n- [follow](https://a.test/?x=1&y=2)";

        let message = message(markdown, Dialect::SlackMrkdwn);

        assert_eq!(
            message.text,
            "*Order DH1* is _late_\n\n• new date: 5\n• <https://a.test/?x=1&amp;y=2|follow>"
        );
        assert_eq!(
            message.plain,
            "Order DH1 is late\n\n• new date: 5\n• follow: https://a.test/?x=1&y=2"
        );
    }

    fn rendered(source: &str, data: &str, dialect: Dialect) -> String {
        let mut engine = crate::text::Engine::new(crate::text::Escaping::CommonMark);
        engine.add("t", source).unwrap();
        let context = crate::text::context(serde_json::json!({ "x": data }));
        message(&engine.render("t", &context, 100_000).unwrap(), dialect).text
    }

    #[test]
    fn data_calls_nobody_and_forges_nothing_in_slack() {
        let data = "<!channel> @here *bold* [a](http://evil.test) <@U1>";

        let text = rendered("{{x}}", data, Dialect::SlackMrkdwn);

        assert!(!text.contains('<'), "{text}");
        assert!(!text.contains("*bold*"), "{text}");
        assert!(!text.contains("@here"), "{text}");
        assert!(text.contains("[a](http://evil.test)"), "{text}");
    }

    #[test]
    fn numbers_and_addresses_in_data_stay_as_they_are() {
        for dialect in [Dialect::SlackMrkdwn, Dialect::Plain] {
            assert_eq!(rendered("{{x}}", "DH_2026 lan@a.test", dialect), "DH_2026 lan@a.test");
        }
        let text = rendered("{{x}}", "lan@a.test @all", Dialect::CommonMark);
        assert_eq!(text, "lan@a.test @\u{200b}all");
        let text = rendered("No. {{x}}", "DH-1_2: 5.5 (\"x\")", Dialect::CommonMark);
        assert_eq!(text, "No. DH-1_2: 5.5 (\"x\")");
    }

    #[test]
    fn a_link_keeps_its_address_and_leads_nowhere_strange() {
        let url = "https://a.test/@lan/b_c?x=1&y=(2)";

        let slack = rendered("[go]({{x}})", url, Dialect::SlackMrkdwn);
        let common_mark = rendered("[go]({{x}})", url, Dialect::CommonMark);
        let strange = rendered("[go]({{x}})", "javascript:alert(1)", Dialect::SlackMrkdwn);

        assert_eq!(slack, "<https://a.test/@lan/b_c?x=1&amp;y=(2)|go>");
        let event = Parser::new(&common_mark)
            .find_map(|event| {
                let Event::Start(Tag::Link { dest_url, .. }) = event else { return None };
                Some(dest_url.into_string())
            })
            .unwrap();
        assert_eq!(event, url);
        assert_eq!(strange, "go");
    }

    #[test]
    fn no_dialect_keeps_a_link_to_a_script() {
        let sources = [
            "[go]({{x}})",
            "a [go *now*](<{{x}}>) b",
            "![go]({{x}} \"t\")",
            "[go][1]\n\n[1]: {{x}}",
            "[a [go](javascript:b) c](https://a.test)",
            "<javascript:alert(1)>",
            "[![go](javascript:a)](data:b)",
        ];
        for source in sources {
            for data in ["javascript:alert(1)", "JaVaScRiPt:x", "data:text/html,x", "file:///etc"] {
                for dialect in [Dialect::CommonMark, Dialect::SlackMrkdwn, Dialect::Plain] {
                    let text = rendered(source, data, dialect);

                    let is_strange = |event: Event<'_>| {
                        use Tag::{Image, Link};
                        let Event::Start(Link { dest_url, .. } | Image { dest_url, .. }) = event
                        else {
                            return false;
                        };
                        !leads_somewhere(&dest_url)
                    };
                    assert!(!Parser::new(&text).any(is_strange), "{source} became {text}");
                    assert!(text.contains("go") || text.contains("alert"), "{source}: {text}");
                }
            }
        }
        let deep = (0..9).fold("go".to_owned(), |text, _| format!("![{text}](data:x)"));
        assert_eq!(rendered(&deep, "", Dialect::CommonMark), "go");
        let kept = rendered("[go *now*](https://a.test) [x](b:c)", "", Dialect::CommonMark);
        assert_eq!(kept, "[go *now*](https://a.test) x");
    }

    #[test]
    fn calls_of_every_chat_are_made_inert() {
        let data = "<!here> <@U1> <#C1> <users/all> <@&9> @everyone";
        for dialect in [Dialect::CommonMark, Dialect::Plain] {
            let text = rendered("{{x}}", data, dialect);

            for call in ["<!", "<@", "<#", "<users", "@everyone"] {
                assert!(!text.replace('\\', "").contains(call), "{call} in {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_data_becomes_markup_in_any_dialect(data in "[\\PC\n\t@<>*_~`!#()\\[\\]=+.-]{0,60}") {
            let source = "a {{x}}\n{{x}}";
            let common_mark = rendered(source, &data, Dialect::CommonMark);
            let is_text = |event: Event<'_>| matches!(
                event,
                Event::Text(_)
                    | Event::SoftBreak
                    | Event::Start(Tag::Paragraph)
                    | Event::End(TagEnd::Paragraph)
            );
            prop_assert!(Parser::new(&common_mark).all(is_text), "{common_mark}");
            let list = rendered("- {{x}}", &data, Dialect::CommonMark);
            let starts = |event: &Event<'_>| matches!(event, Event::Start(_));
            prop_assert!(Parser::new(&list).filter(starts).count() <= 2, "{list}");

            let slack = rendered(source, &data, Dialect::SlackMrkdwn);
            prop_assert!(!slack.contains(['<', '>']), "{slack}");
            for text in [common_mark, slack, rendered(source, &data, Dialect::Plain)] {
                for call in ["@all", "@here", "@channel", "@everyone"] {
                    let mut calls = text.match_indices(call).map(|(at, _)| text.get(..at).unwrap());
                    prop_assert!(calls.all(ends_in_word), "{text}");
                    }
            }
        }
    }
}
