//! The directory: nobody is lost between pages, and a withdrawal holds.

use jiff::Timestamp;

use super::on_both_stores;
use crate::model::address::Address;
use crate::model::audience::{AudienceQuery, InlineRecipient, Resolution};
use crate::model::contact::{Consent, Contact, DirectoryChange, Partner, Tier};
use crate::model::id::ContactId;
use crate::store::Store;

on_both_stores!(
    a_team_in_pages_loses_nobody,
    a_partners_people_in_pages_lose_nobody,
    an_older_change_is_not_applied,
    a_withdrawal_by_the_owner_holds_against_a_grant_dated_later,
    hearsay_never_brings_back_what_was_withdrawn,
);

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn contact(id: &str, changed_at: &str) -> Contact {
    Contact {
        id: id.into(),
        name: format!("Name of {id}"),
        partner: Some("minh-phat".into()),
        duty: Some("buyer".to_owned()),
        locale: None,
        time_zone: None,
        region: None,
        addresses: Vec::new(),
        tags: Vec::new(),
        teams: vec!["operators".into()],
        superior: None,
        signature: None,
        changed_at: moment(changed_at),
    }
}

fn partner() -> DirectoryChange {
    DirectoryChange::Partner(Partner {
        id: "minh-phat".into(),
        name: "Minh Phát".to_owned(),
        tier: Tier::Standard,
        manager: None,
        locale: None,
        time_zone: None,
        region: None,
        tags: Vec::new(),
        channels: Vec::new(),
        changed_at: moment("2026-01-01T00:00:00Z"),
    })
}

/// Ids whose order differs between bytes and the rules of a language.
fn mixed_ids() -> Vec<String> {
    let mixed = |number: u32| match number % 3 {
        0 => format!("a{number:03}"),
        1 => format!("B{number:03}"),
        _ => format!("é-{number:03}"),
    };
    (0..60).map(mixed).collect()
}

async fn settle_in(store: &Store) {
    let mut changes = vec![partner()];
    for id in mixed_ids() {
        let contact = contact(&id, "2026-01-01T00:00:00Z");
        changes.push(DirectoryChange::Contact { contact, consents: Vec::new() });
    }
    store.change_directory(changes).await.unwrap();
}

/// Everyone whom `query` finds, seven at a time.
async fn all_pages(store: &Store, query: AudienceQuery) -> Vec<String> {
    let (mut found, mut after): (Vec<String>, Option<ContactId>) = (Vec::new(), None);
    loop {
        let page = store.resolve(vec![query.clone()], after, 7).await.unwrap();
        let Some(Resolution::Recipients(page)) = page.into_iter().next() else { panic!() };
        assert_eq!(page.total, 60);
        found.extend(page.people.iter().map(|person| person.contact.id.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            found.sort_unstable();
            return found;
        }
    }
}

async fn assert_nobody_lost(store: &Store, query: AudienceQuery) {
    let mut expected = mixed_ids();
    expected.sort_unstable();

    assert_eq!(all_pages(store, query).await, expected);
}

async fn a_team_in_pages_loses_nobody(store: Store) {
    settle_in(&store).await;

    assert_nobody_lost(&store, AudienceQuery::Team("operators".into())).await;
}

async fn a_partners_people_in_pages_lose_nobody(store: Store) {
    settle_in(&store).await;

    let query = AudienceQuery::Partner { partner: "minh-phat".into(), duties: Vec::new() };
    assert_nobody_lost(&store, query).await;
}

async fn an_older_change_is_not_applied(store: Store) {
    let newer = contact("an", "2026-02-01T00:00:00Z");
    let older = Contact { name: "Old name".to_owned(), ..contact("an", "2026-01-01T00:00:00Z") };
    let change = |contact| vec![DirectoryChange::Contact { contact, consents: Vec::new() }];
    store.change_directory(change(newer.clone())).await.unwrap();

    let applied = store.change_directory(change(older)).await.unwrap();

    assert_eq!(applied, 0);
    let query = AudienceQuery::Contacts(vec!["an".into()]);
    let found = store.resolve(vec![query], None, 10).await.unwrap();
    let Resolution::Recipients(found) = &found[0] else { panic!("{found:?}") };
    assert_eq!(found.people[0].contact, newer);
}

fn address() -> Address {
    Address::email("an@example.test").unwrap()
}

fn consent(granted: bool, at: &str) -> Consent {
    Consent { address: address(), granted, at: moment(at), source: "test".to_owned() }
}

/// What a feed says of the contact and of its consent.
async fn feed(store: &Store, consent: Consent) {
    let contact = Contact { addresses: vec![address()], ..contact("an", "2026-01-01T00:00:00Z") };
    let change = DirectoryChange::Contact { contact, consents: vec![consent] };
    store.change_directory(vec![change]).await.unwrap();
}

async fn is_granted(store: &Store) -> bool {
    let recipient = InlineRecipient { addresses: vec![address()], ..InlineRecipient::default() };
    let found = store.resolve(vec![AudienceQuery::Inline(vec![recipient])], None, 10).await;
    let Some(Resolution::Recipients(found)) = found.unwrap().into_iter().next() else { panic!() };
    let consents = &found.people[0].consents;
    assert_eq!(consents.len(), 1);
    consents[0].granted
}

async fn a_withdrawal_by_the_owner_holds_against_a_grant_dated_later(store: Store) {
    feed(&store, consent(true, "2026-06-01T00:00:00Z")).await;

    store.record_consent(consent(false, "2026-05-01T00:00:00Z")).await.unwrap();

    assert!(!is_granted(&store).await);
}

async fn hearsay_never_brings_back_what_was_withdrawn(store: Store) {
    feed(&store, consent(true, "2026-01-01T00:00:00Z")).await;
    store.record_consent(consent(false, "2026-02-01T00:00:00Z")).await.unwrap();

    feed(&store, consent(true, "2026-03-01T00:00:00Z")).await;
    assert!(!is_granted(&store).await);

    store.record_consent(consent(true, "2026-04-01T00:00:00Z")).await.unwrap();
    assert!(is_granted(&store).await, "the owner may");
}
