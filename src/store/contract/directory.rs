//! Whom the directory names, in pages that lose nobody, and what it knows of consent.

use std::time::Duration;

use jiff::Timestamp;

use super::stage::{Stage, email};
use crate::model::audience::{
    AudienceQuery, InlineRecipient, PAGE_SIZE, Recipients, Resolution, Stranger,
};
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner, Suppression};
use crate::model::segment::SegmentFilter;

on_both_stores!(
    every_audience_is_listed_whole_in_pages_whatever_the_case_of_its_ids,
    an_audience_of_too_many_is_neither_listed_nor_counted_before_it_is_asked_for,
    described_recipients_are_listed_whole_in_pages_and_in_their_order,
    what_is_known_of_an_address_is_known_of_whoever_is_described_and_of_whoever_owns_it,
    no_more_questions_are_answered_at_once_than_list_so_many_recipients,
    an_owners_withdrawal_holds_against_a_grant_that_is_dated_later,
    a_feed_never_brings_back_a_withdrawn_consent_but_its_owner_does,
    an_older_change_is_not_applied,
    a_segment_takes_languages_without_regard_to_case_and_wildcards,
    a_name_is_found_by_its_very_letters,
);

fn contact(id: &str, at: Timestamp) -> Contact {
    Contact {
        id: id.into(),
        name: format!("Contact {id}"),
        partner: Some("minh-phat".into()),
        duty: None,
        locale: None,
        time_zone: None,
        region: None,
        addresses: vec![email(id)],
        tags: vec!["fair".to_owned()],
        teams: vec!["operators".into()],
        superior: None,
        signature: None,
        changed_at: at,
    }
}

fn partner(at: Timestamp) -> Partner {
    Partner::named("minh-phat", "Minh Phát", at)
}

async fn put(stage: &Stage, contacts: Vec<Contact>) -> u64 {
    let put = |contact| DirectoryChange::Contact { contact, consents: Vec::new() };
    let mut changes = vec![DirectoryChange::Partner(partner(stage.now()))];
    changes.extend(contacts.into_iter().map(put));
    stage.store.change_directory(changes).await.unwrap()
}

/// All pages of an audience, by the ids of their contacts.
async fn page_through(stage: &Stage, query: AudienceQuery, limit: u32) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let answer = stage.store.resolve_page(query.clone(), after, limit).await.unwrap();
        let Resolution::Recipients(page) = answer else { panic!("{answer:?}") };
        ids.extend(page.people.iter().map(|person| person.contact.id.to_string()));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

async fn every_audience_is_listed_whole_in_pages_whatever_the_case_of_its_ids(stage: Stage) {
    let ids = ["b", "A", "a", "B", "_c", "C-1", "c", "D", "d", "é"];
    let contacts = ids.map(|id| contact(id, stage.now()));
    put(&stage, contacts.to_vec()).await;
    let filter = SegmentFilter { tags: vec!["fair".to_owned()], ..Default::default() };
    stage.store.put_segment("fair".into(), filter).await.unwrap();
    let mut expected = ids.map(str::to_owned);
    expected.sort();

    for query in audiences_of(&ids) {
        let mut found = page_through(&stage, query.clone(), 3).await;

        found.sort();
        assert_eq!(found, expected, "{query:?}");
    }
}

/// Of ten contacts every kind of audience, with all of them in it.
fn audiences_of(ids: &[&str]) -> [AudienceQuery; 4] {
    [
        AudienceQuery::Partner { partner: "minh-phat".into(), duties: Vec::new() },
        AudienceQuery::Contacts(ids.iter().map(|id| (*id).into()).collect()),
        AudienceQuery::Team("operators".into()),
        AudienceQuery::Segment("fair".into()),
    ]
}

async fn an_audience_of_too_many_is_neither_listed_nor_counted_before_it_is_asked_for(
    stage: Stage,
) {
    let ids = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    put(&stage, ids.map(|id| contact(id, stage.now())).to_vec()).await;
    let filter = SegmentFilter { tags: vec!["fair".to_owned()], ..Default::default() };
    stage.store.put_segment("fair".into(), filter).await.unwrap();
    let before = stage.statements();

    for query in [described(10)].into_iter().chain(audiences_of(&ids)) {
        let answers = stage.store.resolve(vec![query.clone()], 9).await.unwrap();
        assert_eq!(answers, [Resolution::TooMany], "{query:?}");
    }
    let mut new = stage.statements();
    new.retain(|sql| !before.contains(sql) && sql.starts_with("SELECT"));

    let of_segments: Vec<_> = new.iter().filter(|sql| sql.contains("FROM tag")).collect();
    assert_eq!(of_segments.len(), 1, "{new:?}");
    assert!(of_segments[0].contains("LIMIT"), "{new:?}");
    assert!(!new.iter().any(|sql| sql.contains("COUNT(")), "{new:?}");
    assert!(!new.iter().any(|sql| sql.contains("FROM suppression")), "somebody is read: {new:?}");
    for query in [described(10)].into_iter().chain(audiences_of(&ids)) {
        let answers = stage.store.resolve(vec![query.clone()], 10).await.unwrap();
        assert!(matches!(answers[0], Resolution::Recipients(_)), "{query:?}: {answers:?}");
        assert_eq!(stage.store.count_recipients(query).await.unwrap(), 10);
    }
}

/// So many people whom an event describes.
fn described(count: usize) -> AudienceQuery {
    let describe = |number: usize| InlineRecipient {
        id: Some(number.to_string()),
        addresses: vec![email(&format!("guest-{number}"))],
        ..InlineRecipient::default()
    };
    AudienceQuery::Inline((0..count).map(describe).collect())
}

async fn described_recipients_are_listed_whole_in_pages_and_in_their_order(stage: Stage) {
    put(&stage, vec![contact("guest-3", stage.now())]).await;
    let (mut pages, mut after) = (Vec::new(), None);

    loop {
        let answer = stage.store.resolve_page(described(7), after, 3).await.unwrap();
        let Resolution::Recipients(page) = answer else { panic!("{answer:?}") };
        let id = |stranger: &Stranger| stranger.recipient.id.clone().unwrap();
        let people = page.people.iter().map(|person| person.contact.id.to_string());
        pages.push(people.chain(page.strangers.iter().map(id)).collect::<Vec<_>>());
        after = page.next;
        if after.is_none() {
            break;
        }
    }

    assert_eq!(pages, [vec!["0", "1", "2"], vec!["guest-3", "4", "5"], vec!["6"]]);
}

async fn what_is_known_of_an_address_is_known_of_whoever_is_described_and_of_whoever_owns_it(
    stage: Stage,
) {
    let second = email("second");
    let mut lan = contact("lan", stage.now());
    lan.addresses.push(second.clone());
    put(&stage, vec![lan]).await;
    for (reason, address) in [("operator", email("guest-0")), ("bounced", second.clone())] {
        let suppression = Suppression { address, reason: reason.to_owned(), at: stage.now() };
        stage.store.suppress(suppression).await.unwrap();
    }
    stage.store.record_consent(consent(false, stage.now())).await.unwrap();
    let owned = InlineRecipient { addresses: vec![email("lan")], ..InlineRecipient::default() };
    let unknown = AudienceQuery::Partner { partner: "nobody".into(), duties: Vec::new() };
    let queries = vec![described(2), unknown, AudienceQuery::Inline(vec![owned])];

    let answers = stage.store.resolve(queries, 10).await.unwrap();

    let [
        Resolution::Recipients(Recipients { strangers, .. }),
        Resolution::UnknownPartner,
        Resolution::Recipients(Recipients { people, .. }),
    ] = answers.as_slice()
    else {
        panic!("{answers:?}")
    };
    assert_eq!(strangers[0].suppressed, [email("guest-0")]);
    assert_eq!(strangers[1].suppressed, []);
    assert_eq!(people[0].suppressed, [second]);
    assert_eq!(people[0].consents, [consent(false, stage.now())]);
}

async fn no_more_questions_are_answered_at_once_than_list_so_many_recipients(stage: Stage) {
    let people = (0..1000).map(|number| contact(&format!("c-{number}"), stage.now())).collect();
    put(&stage, people).await;
    let team = || AudienceQuery::Team("operators".into());
    let count = async |queries: Vec<AudienceQuery>| {
        stage.store.resolve(queries, PAGE_SIZE).await.unwrap().len()
    };

    assert_eq!(count(vec![described(1000), team(), team(), described(1), team()]).await, 3);
    assert_eq!(count(vec![described(900), team(), described(1000)]).await, 3);
    assert_eq!(count(vec![described(5000)]).await, 1);
}

fn consent(granted: bool, at: Timestamp) -> Consent {
    Consent { address: email("lan"), granted, at, source: "test".to_owned() }
}

/// Whether the address may get marketing, as planning sees it.
async fn is_granted(stage: &Stage) -> bool {
    let query = AudienceQuery::Contacts(vec!["lan".into()]);
    let answers = stage.store.resolve(vec![query], 10).await.unwrap();
    let [Resolution::Recipients(Recipients { people, .. })] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    let [consent] = people[0].consents.as_slice() else { panic!("no consent is known") };
    consent.granted
}

/// What a feed says about consent.
async fn feed(stage: &Stage, consent: Consent) {
    let contact = contact("lan", stage.now());
    let change = DirectoryChange::Contact { contact, consents: vec![consent] };
    stage.store.change_directory(vec![change]).await.unwrap();
}

async fn an_owners_withdrawal_holds_against_a_grant_that_is_dated_later(stage: Stage) {
    let later = stage.now() + Duration::from_hours(1);
    feed(&stage, consent(true, later)).await;
    assert!(is_granted(&stage).await);

    stage.store.record_consent(consent(false, stage.now())).await.unwrap();

    assert!(!is_granted(&stage).await);
}

async fn a_feed_never_brings_back_a_withdrawn_consent_but_its_owner_does(stage: Stage) {
    let hour = |hours| stage.now() + Duration::from_hours(hours);
    stage.store.record_consent(consent(false, hour(0))).await.unwrap();

    feed(&stage, consent(true, hour(1))).await;
    assert!(!is_granted(&stage).await);

    stage.store.record_consent(consent(true, hour(2))).await.unwrap();
    assert!(is_granted(&stage).await);
    feed(&stage, consent(false, hour(3))).await;
    assert!(!is_granted(&stage).await);
}

async fn an_older_change_is_not_applied(stage: Stage) {
    let now = stage.now();
    put(&stage, vec![Contact { name: "New".to_owned(), ..contact("lan", now) }]).await;

    let old = Contact {
        name: "Old".to_owned(),
        addresses: Vec::new(),
        ..contact("lan", now - Duration::from_hours(1))
    };
    let applied = put(&stage, vec![old]).await;

    assert_eq!(applied, 1, "the partner alone, which is no older");
    let lan = stage.store.find_contact("lan".into()).await.unwrap().unwrap();
    assert_eq!((lan.contact.name.as_str(), lan.contact.addresses.len()), ("New", 1));
}

async fn a_segment_takes_languages_without_regard_to_case_and_wildcards(stage: Stage) {
    let locales = ["vi", "VI-vn", "vit", "en", "v%"];
    let contacts = locales
        .map(|locale| Contact { locale: Some(locale.to_owned()), ..contact(locale, stage.now()) });
    put(&stage, contacts.to_vec()).await;
    for (name, locale) in [("viet", "Vi"), ("odd", "v%"), ("slash", "vi\\")] {
        let filter = SegmentFilter { locales: vec![locale.to_owned()], ..Default::default() };
        stage.store.put_segment(name.into(), filter).await.unwrap();
    }

    let members = |name: &str| page_through(&stage, AudienceQuery::Segment(name.into()), 10);
    let (mut viet, odd, slash) =
        (members("viet").await, members("odd").await, members("slash").await);

    viet.sort();
    assert_eq!(viet, ["VI-vn", "vi"]);
    assert_eq!(odd, ["v%"]);
    assert!(slash.is_empty());
}

async fn a_name_is_found_by_its_very_letters(stage: Stage) {
    let named = |id, name: &str| Contact { name: name.to_owned(), ..contact(id, stage.now()) };
    put(&stage, vec![named("a", "100% Lan\\Hoa"), named("b", "100 Lan")]).await;

    for text in ["100%", "lan\\", "LAN\\h"] {
        let filter = crate::store::directory::ContactFilter {
            text: Some(text.to_owned()),
            partner: None,
            team: None,
        };
        let found = stage.store.find_contacts(filter, None, 10).await.unwrap();

        assert_eq!(found.len(), 1, "{text}");
        assert_eq!(found[0].contact.id.as_str(), "a", "{text}");
    }
}
