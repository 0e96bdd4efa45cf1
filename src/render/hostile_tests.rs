//! Hostile data in every place of every delivered template, in every language.

use super::tests::{NOW, delivery, event, letterhead, templates};
use super::*;

/// What somebody would put where a name or a number belongs.
const NASTY: [&str; 8] = [
    "\"'><script>alert(1)</script>",
    "' onmouseover='alert(1)' x=\"`=y",
    "javascript:alert(1)",
    "JaVa\tScript:alert(1)",
    "x\r\nBcc: evil@evil.test\r\n.\r\n\u{1b}[2J\u{9b}31m\u{0}",
    "<!channel> <@U1> <users/all> @here @everyone [a](javascript:b) *b* `c`",
    "{{data}} {{{data}}} {{> layout}} <%= 1 %> ${1}",
    "=1+1\u{202e}\u{2066}gpj.exe",
];
const CALLS: [&str; 5] = ["<!", "<@", "<users/", " @here", " @everyone"];

/// Puts a text into one of the things that a message is made of.
type Put = dyn Fn(&mut Delivery, &mut Value, &mut Letterhead, &str);

/// A place that data gets to, and how to put something there.
struct Place {
    name: String,
    put: Box<Put>,
}

impl Place {
    fn of(
        name: &str,
        put: impl Fn(&mut Delivery, &mut Value, &mut Letterhead, &str) + 'static,
    ) -> Self {
        Self { name: name.to_owned(), put: Box::new(put) }
    }
}

/// Every text in `data`, as JSON pointers.
fn texts(data: &Value, at: &str, found: &mut Vec<String>) {
    match data {
        Value::String(_) => found.push(at.to_owned()),
        Value::Array(values) => {
            let all = values.iter().enumerate();
            all.for_each(|(index, value)| texts(value, &format!("{at}/{index}"), found));
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| texts(value, &format!("{at}/{name}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn places(sample: &Value) -> Vec<Place> {
    let mut pointers = Vec::new();
    texts(sample, "", &mut pointers);
    let of_data = pointers.into_iter().map(|pointer| {
        Place::of(&format!("data{pointer}"), move |_, data, _, text| {
            *data.pointer_mut(&pointer).unwrap() = Value::from(text);
        })
    });
    let of_manager = ["name", "phone", "signature"].map(|member| {
        Place::of(&format!("manager.{member}"), move |delivery, _, _, text| {
            let manager = delivery.recipient.manager.as_mut().unwrap();
            match member {
                "name" => text.clone_into(&mut manager.name),
                "phone" => manager.phone = Some(text.to_owned()),
                _ => manager.signature = Some(text.to_owned()),
            }
        })
    });
    let others = [
        Place::of("recipient.name", |delivery, _, _, text| {
            delivery.recipient.name = Some(text.to_owned());
        }),
        Place::of("recipient.partner_name", |delivery, _, _, text| {
            delivery.recipient.partner_name = Some(text.to_owned());
        }),
        Place::of("business_key", |delivery, _, _, text| {
            delivery.business_key = Some(text.to_owned());
        }),
        Place::of("company", |_, _, letterhead, text| {
            text.clone_into(&mut letterhead.company.name);
            letterhead.company.address = Some(text.to_owned());
            letterhead.company.phone = Some(text.to_owned());
        }),
    ];
    of_data.chain(of_manager).chain(others).collect()
}

/// The message with `text` at these places; none if it is held, as what a template cannot do with
/// is.
fn made(
    templates: &Templates,
    (name, locale, channel): (&str, &str, Channel),
    (places, text): (&[&Place], &str),
    (letterhead, dialect): (&Letterhead, Dialect),
) -> Option<Message> {
    let mut delivery = delivery(name, locale, channel);
    let mut data = templates.sample(name).unwrap().clone();
    let mut letterhead = letterhead.clone();
    for place in places {
        (place.put)(&mut delivery, &mut data, &mut letterhead, text);
    }
    let moment = (dialect, NOW.parse().unwrap());
    Some(templates.render(&delivery, &event(name, data), &letterhead, moment).ok()?.message)
}

/// How many letters of a page make it what it is, rather than stand in its text.
fn structure(html: &str) -> [usize; 4] {
    ['<', '>', '"', '\''].map(|mark| html.matches(mark).count())
}

fn is_clean(text: &str) -> bool {
    text.chars().all(|letter| matches!(letter, '\n' | '\t') || !letter.is_control())
}

fn assert_harmless(message: &Message, usual: &Message, what: &str) {
    match (message, usual) {
        (Message::Email(email), Message::Email(usual)) => {
            assert_eq!(structure(&email.html), structure(&usual.html), "{what}");
            assert_eq!(email::strange_link(&email.html), None, "{what}");
            assert!(is_clean(&email.html) && is_clean(&email.text), "{what}");
            let lines = [Some(&email.subject), email.from_name.as_ref(), email.reply_to.as_ref()];
            let is_line = |line: &String| is_clean(line) && !line.contains('\n');
            assert!(lines.into_iter().flatten().all(is_line), "{what}: {lines:?}");
            assert_eq!(email.message_id, usual.message_id, "{what}");
        }
        (Message::Chat(chat), Message::Chat(_)) => {
            for text in [&chat.text, &chat.plain] {
                assert!(is_clean(text), "{what}: {text}");
                for call in CALLS {
                    assert!(!text.contains(call), "{what}: {call} in {text}");
                }
            }
        }
        (Message::Sms(sms), Message::Sms(_)) => assert!(is_clean(&sms.text), "{what}"),
        _ => panic!("{what}: another channel"),
    }
}

#[test]
fn hostile_data_is_text_in_every_template_and_place() {
    let templates = templates();
    let mut letterhead = letterhead();
    letterhead.sms.max_parts = 200;
    let dialects = [Dialect::CommonMark, Dialect::SlackMrkdwn, Dialect::Plain];
    let (mut tried, mut held) = (0, 0);

    for (name, locale, channel) in templates.list() {
        let which = (name, locale, channel.parse::<Channel>().unwrap());
        let all = places(templates.sample(name).unwrap());
        // Dates and amounts take no other text; the rest is tried all at once.
        let takes_text = |place: &&Place| {
            made(&templates, which, (&[place], "x"), (&letterhead, dialects[0])).is_some()
        };
        let open: Vec<_> = all.iter().filter(takes_text).collect();
        assert!(open.len() > 3, "{name} {locale} {channel} takes no text");
        let dialects = if which.2 == Channel::Chat { &dialects[..] } else { &dialects[..1] };
        for dialect in dialects {
            let with = |places: &[&Place], text: &str| {
                made(&templates, which, (places, text), (&letterhead, *dialect))
            };
            let check = |places: &[&Place], nasty: &str| {
                let message = with(places, nasty)?;
                let what = format!("{name} {locale} {channel} {}: {nasty:?}", places[0].name);
                assert_harmless(&message, &with(places, "x").expect(&what), &what);
                Some(())
            };
            for nasty in NASTY {
                tried += 1;
                if check(&open, nasty).is_none() {
                    // Where one place refuses it, as that of a link does, the others still have to.
                    held += open.iter().filter(|place| check(&[place], nasty).is_none()).count();
                }
            }
        }
    }

    assert!(tried > 500 && held < tried, "{held} held of {tried}");
}
