//! What is refused when templates are loaded or checked, and which place is named.

use serde_json::json;

use super::*;
use crate::config::assets::Assets;
use crate::model::catalogue::Catalogue;

const FRONT: &str = "---\nsubject = 's'\npreheader = 'p'\n---\n";
const LAYOUT: &str = "<mjml>\n<mj-head></mj-head>\n<mj-body>\n{{> content}}\n</mj-body>\n</mjml>";

fn load(files: &[(&str, &str)]) -> Result<Templates, Vec<String>> {
    let layout = ("layouts/default.mjml", LAYOUT);
    let files = [layout].into_iter().chain(files.iter().copied());
    let assets = Assets::from_texts("templates", files);
    Templates::load(&assets, "vi")
        .map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

fn email(body: &str) -> String {
    format!("{FRONT}<mj-section><mj-column>\n{body}\n</mj-column></mj-section>\n")
}

/// Renders `messages/x/vi/email.mjml` with its data.
fn shown(
    files: &[(&str, &str)],
    data: Value,
) -> Result<crate::model::message::EmailMessage, String> {
    let templates = load(files).map_err(|faults| faults.join("; "))?;
    let preview = Preview {
        template: "x",
        locale: "vi",
        channel: Channel::Email,
        category: crate::model::catalogue::Category::Transactional,
        data: Some(&data),
        is_known: true,
    };
    let moment = (Dialect::Plain, "2026-11-23T03:00:00Z".parse().unwrap());
    match templates.preview(&preview, &tests::letterhead(), moment) {
        Ok(Rendered { message: Message::Email(email), .. }) => Ok(*email),
        Ok(other) => panic!("expected an email, got {other:?}"),
        Err(fault) => Err(fault.to_string()),
    }
}

#[test]
fn a_circle_of_partials_is_refused_where_it_closes() {
    let faults = load(&[
        ("partials/a.mjml", "{{> b}}"),
        ("partials/b.mjml", "\n {{> a}}"),
        ("messages/x/vi/email.mjml", &email("{{> a}}")),
        ("messages/y/vi/email.mjml", &email("{{> a}}")),
    ]);

    let expected =
        "templates/partials/b.mjml:2:2: partials include each other in a circle: a → b → a";
    assert_eq!(faults.err().unwrap(), [expected]);
}

#[test]
fn a_circle_of_partials_is_refused_once_though_no_template_or_several_enter_it() {
    let circle = [("partials/a.mjml", "\n{{> b}}"), ("partials/b.mjml", " {{> a}}")];
    let entered = email("{{> b}}");
    let used = [circle.as_slice(), &[("messages/x/vi/email.mjml", entered.as_str())]].concat();

    let unused = load(&circle);
    let used = load(&used);

    let expected =
        "templates/partials/b.mjml:1:2: partials include each other in a circle: a → b → a";
    assert_eq!(unused.err().unwrap(), [expected]);
    assert_eq!(used.err().unwrap(), [expected]);
}

#[test]
fn partials_that_multiply_are_cut_off() {
    let names: Vec<String> = (0..9).map(|n| format!("partials/p{n}.mjml")).collect();
    let texts: Vec<String> = (0..9).map(|n| format!("{{{{> p{}}}}}", n + 1).repeat(20)).collect();
    let last = ("partials/p9.mjml", "<mj-text>xxxxxxxxxxxxxxxxxxxxxxxxxxxx</mj-text>");
    let message = email("{{> p0}}");
    let mut files = vec![last, ("messages/x/vi/email.mjml", message.as_str())];
    files.extend(names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)));

    let faults = load(&files).err().unwrap();

    assert!(faults[0].contains("with all it includes it is longer than"), "{faults:?}");
}

#[test]
fn every_fault_of_every_file_is_named_with_its_place() {
    let faults = load(&[
        ("locales/vi.toml", "hello = \"Chào {{name}}\"\n"),
        ("locales/en.toml", "hello = \"Hello {{nam}}\"\nbye = \"Bye\"\n"),
        ("messages/a/vi/chat.md", "x\n`{{data.x}}`"),
        ("messages/a/vi/sms.txt", "x\n  {{t \"helo\"}}{{#if}"),
        ("messages/a/sample.json", "{\n\"a\": }"),
        ("messages/b/vi/email.mjml", "no front matter"),
        ("messages/c/vi/email.mjml", "---\nsubject = 's'\npreheader = 'p'\nlayot = 'x'\n---\n"),
        ("messages/d/vi/email.mjml", &email("<mj-tex>x</mj-tex>")),
        ("messages/e/vi/email.mjml", &email("{{> nope}}")),
        ("messages/f/vi/email.mjml", "---\nsubject = '{{a'\npreheader = 'p'\n---\n<mj-section/>"),
        ("messages/g/vi/letter.txt", "x"),
    ]);

    insta::assert_snapshot!(faults.err().unwrap().join("\n"));
}

#[test]
fn a_fault_in_an_email_names_the_file_and_line_that_people_edit() {
    let partial = ("partials/lines.mjml", "<mj-text>\n  {{data.sum}}</mj-text>");
    let own = email("<mj-text>{{data.name}}</mj-text>\n{{> lines}}");
    let files = [partial, ("messages/x/vi/email.mjml", own.as_str())];

    let in_partial = shown(&files, json!({"name": "a"})).unwrap_err();
    let in_message = shown(&files, json!({"sum": 1})).unwrap_err();

    let expected = "template x/vi/email: templates/partials/lines.mjml:2:3: `data.sum` is missing";
    assert_eq!(in_partial, expected);
    let expected =
        "template x/vi/email: templates/messages/x/vi/email.mjml:6:10: `data.name` is missing";
    assert_eq!(in_message, expected);
}

#[test]
fn a_fault_in_the_subject_names_its_line() {
    let own = email("<mj-text>x</mj-text>").replace("'s'", "'No. {{data.id}}'");

    let fault = shown(&[("messages/x/vi/email.mjml", own.as_str())], json!({})).unwrap_err();

    assert!(fault.contains("email.mjml:2:16: `data.id` is missing"), "{fault}");
}

#[test]
fn block_tags_between_elements_need_no_comment() {
    let body = "<mj-table>\n{{#each data.lines}}\n<tr><td>{{this}}</td></tr>\n{{/each}}\n\
                </mj-table>\n{{#if data.url}}\n<mj-button href=\"{{data.url}}\">Go</mj-button>\n\
                {{else}}\n<mj-text>No link</mj-text>\n{{/if}}";
    let own = email(body);
    let files = [("messages/x/vi/email.mjml", own.as_str())];

    let with = shown(&files, json!({"lines": ["a", "b"], "url": "https://a.test/?x=1&y=2"}));
    let without = shown(&files, json!({"lines": ["a"]})).unwrap();

    let with = with.unwrap();
    assert_eq!(with.text, "a\nb\n\nGo: https://a.test/?x=1&y=2");
    assert_eq!(with.html.matches("<tr><td>").count() - without.html.matches("<tr><td>").count(), 0);
    assert!(with.html.contains("href=\"https://a.test/?x&#x3D;1&amp;y&#x3D;2\""), "{}", with.html);
    assert_eq!(without.text, "a\n\nNo link");
}

#[test]
fn what_the_html_would_move_is_refused() {
    let own = email("<mj-table>{{#if data.a}}x<tr><td>{{data.a}}</td></tr>{{/if}}</mj-table>");

    let faults = load(&[("messages/x/vi/email.mjml", own.as_str())]);
    let faults = faults.map(|_| ()).unwrap_err();
    assert!(
        faults[0].contains("email.mjml:6:11: what this tag begins does not keep its place"),
        "{faults:?}"
    );
}

#[test]
fn a_link_of_data_that_would_run_a_script_holds_the_message() {
    let own = email("<mj-button href=\"{{data.url}}\">Go</mj-button>");
    let files = [("messages/x/vi/email.mjml", own.as_str())];

    let fault = shown(&files, json!({"url": "JavaScript:alert(1)"})).unwrap_err();

    assert!(fault.contains("is none that mail programs should follow"), "{fault}");
}

#[test]
fn what_a_type_does_not_require_is_found_before_anything_is_sent() {
    let text = "name = \"order.late\"\ndescription = \"x\"\ncategory = \"transactional\"\n\
                expiry = \"1 day\"\n[[steps]]\nname = \"tell\"\nto = [\"manager\"]\n\
                channels = [\"chat\", \"sms\"]\n[schema]\ntype = \"object\"\n\
                required = [\"id\"]\n[schema.properties]\nid = { type = \"string\" }\n\
                note = { type = \"string\" }\n";
    let catalogue = catalogue(text);
    let chat =
        "{{data.id}} {{#if data.note}}{{data.note}}{{/if}}\n{{data.note}}{{#if data.nope}}{{/if}}";
    let templates = load(&[
        ("messages/order.late/sample.json", "{\"id\": 5}"),
        ("messages/order.late/vi/chat.md", chat),
        ("messages/order.late/en/sms.txt", "x"),
    ])
    .map_err(|faults| faults.join("\n"))
    .unwrap_or_else(|faults| panic!("{faults}"));

    let faults = templates.check(&catalogue, &tests::letterhead(), &[]);

    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(faults.join("\n"));
}

fn catalogue(text: &str) -> Catalogue {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("order.late.toml"), text).unwrap();
    let folder_name = folder.path().to_str().unwrap();
    let sources = crate::config::Sources::defaults();
    let sources = sources.with_override("catalogue_dir", folder_name, "test");
    crate::config::load(&sources).unwrap().catalogue
}

#[test]
fn elements_without_end_within_one_another_are_refused_before_they_are_read() {
    let body = format!("<mj-text>\n{}</mj-text>", "<div>".repeat(60_000));

    let faults = load(&[("messages/x/vi/email.mjml", &email(&body))]).err().unwrap();

    assert!(faults[0].starts_with("templates/messages/x/vi/email.mjml:"), "{faults:?}");
    assert!(faults[0].contains("within one another"), "{faults:?}");
}

#[test]
fn an_edited_template_is_tried_by_itself_and_its_faults_have_places() {
    let templates = load(&[
        ("messages/x/vi/sms.txt", "Đơn {{data.order}}"),
        ("messages/x/sample.json", "{\"order\":\"DH-1\"}"),
        ("messages/y/vi/sms.txt", "khác"),
    ]);
    let templates = templates.ok().unwrap();
    let catalogue = Catalogue::default();
    let edit = |text| Edit { template: "x", locale: "vi", channel: Channel::Sms, text };

    let edited = templates.edited(&edit("Hàng {{data.order}} chậm"), &catalogue).ok().unwrap();
    let broken = templates.edited(&edit("Hàng\n{{#if data.order}}"), &catalogue).err().unwrap();

    let listed: Vec<_> = edited.list().collect();
    assert_eq!(listed, [("x", "vi", "sms")]);
    assert_eq!(edited.sample("x"), Some(&json!({ "order": "DH-1" })));
    assert_eq!(broken[0].file, "templates/messages/x/vi/sms.txt");
    assert_eq!(broken[0].fault.line, Some(2), "{broken:?}");
}
