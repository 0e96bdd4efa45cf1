//! Answers the questions of many events at once: a few statements, however many events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::address::Address;
use crate::model::audience::{
    AudienceQuery, InlineRecipient, Person, Recipients, Resolution, Stranger,
};
use crate::model::contact::{Contact, Partner};
use crate::model::id::{ContactId, PartnerId};
use crate::store::engine::Tx;
use crate::store::{Store, StoreError};

use super::load::{AddressFacts, contacts, partners};
use super::members::{Lists, filter_of};
use super::portion::{self, Portion, Rest, count_named, fitting};
use super::segment;

impl Store {
    /// Answers `queries` in their order, the first of them if all together list too many
    /// recipients.
    ///
    /// A list of more than `limit` is not listed, and of a segment no more is read than tells so.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resolve(
        &self,
        queries: Vec<AudienceQuery>,
        limit: u32,
    ) -> Result<Vec<Resolution>, StoreError> {
        self.answer(queries, Portion::Whole(limit)).await
    }

    /// Answers `query` with the recipients behind `after`, at most `limit` of them; `next` says
    /// whether there are more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resolve_page(
        &self,
        query: AudienceQuery,
        after: Option<ContactId>,
        limit: u32,
    ) -> Result<Resolution, StoreError> {
        let answers = self.answer(vec![query], Portion::Page(after, limit)).await?;
        let none = || StoreError::Broken("a question has no answer".to_owned());
        answers.into_iter().next().ok_or_else(none)
    }

    /// How many recipients there are in all; reads as much as that takes.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn count_recipients(&self, query: AudienceQuery) -> Result<u64, StoreError> {
        self.search(move |tx| {
            Box::pin(async move {
                if let AudienceQuery::Segment(name) = &query {
                    return match filter_of(tx, name).await? {
                        Some(filter) => segment::count(tx, &filter).await,
                        None => Ok(0),
                    };
                }
                let lists =
                    Lists::ask(tx, std::slice::from_ref(&query), Portion::Page(None, u32::MAX))
                        .await?;
                Ok(lists.count(&query) as u64)
            })
        })
        .await
    }

    async fn answer(
        &self,
        queries: Vec<AudienceQuery>,
        portion: Portion,
    ) -> Result<Vec<Resolution>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let limit = portion.limit();
                let cut = queries.into_iter().map(|query| portion::cut(query, &portion));
                let (mut queries, rests): (Vec<_>, Vec<_>) = cut.unzip();
                queries.truncate(fitting(queries.iter().map(|one| count_named(one, limit))));
                let mut lists = Lists::ask(tx, &queries, portion).await?;
                queries.truncate(fitting(queries.iter().map(|one| lists.count(one))));
                let facts = Facts::ask(tx, &queries, &mut lists).await?;
                let answer = |(query, rest): (&AudienceQuery, Option<Rest>)| {
                    let answer = facts.answer(query, &lists);
                    match rest {
                        Some(rest) => rest.tell(answer, &lists.portion),
                        None => answer,
                    }
                };
                Ok(queries.iter().zip(rests).map(answer).collect())
            })
        })
        .await
    }
}

/// The people of a batch, and what is known of them.
struct Facts {
    contacts: BTreeMap<ContactId, Contact>,
    partners: HashMap<PartnerId, Partner>,
    addresses: AddressFacts,
}

impl Facts {
    async fn ask(
        tx: &mut Tx<'_>,
        queries: &[AudienceQuery],
        lists: &mut Lists,
    ) -> Result<Self, StoreError> {
        let mut wanted: BTreeSet<ContactId> = lists.owners.values().cloned().collect();
        wanted.extend(lists.partners.values().filter_map(|partner| partner.manager.clone()));
        wanted.extend(queries.iter().flat_map(|query| lists.list(query).ids));
        let mut found = contacts(tx, &wanted).await?;
        let employers = found.values().filter_map(|contact| contact.partner.as_ref());
        let unknown: BTreeSet<PartnerId> =
            employers.filter(|id| !lists.partners.contains_key(*id)).cloned().collect();
        let mut partners_found = lists.partners.clone();
        partners_found.extend(partners(tx, &unknown).await?);
        let managers = partners_found.values().filter_map(|partner| partner.manager.as_ref());
        let superiors = found.values().filter_map(|contact| contact.superior.as_ref());
        let more: BTreeSet<ContactId> =
            managers.chain(superiors).filter(|id| !found.contains_key(*id)).cloned().collect();
        found.extend(contacts(tx, &more).await?);
        let theirs: BTreeSet<&Address> =
            found.values().flat_map(|contact| &contact.addresses).collect();
        let [suppressed, consents] = tx.query_some(AddressFacts::asked(theirs)).await?;
        let mut addresses = std::mem::take(&mut lists.addresses);
        addresses.add(&suppressed, &consents)?;
        Ok(Self { contacts: found, partners: partners_found, addresses })
    }

    fn answer(&self, query: &AudienceQuery, lists: &Lists) -> Resolution {
        match query {
            AudienceQuery::Contacts(_) | AudienceQuery::Team(_) => self.listed(query, lists),
            AudienceQuery::Partner { partner, .. } => match self.partners.get(partner) {
                Some(_) => self.listed(query, lists),
                None => Resolution::UnknownPartner,
            },
            AudienceQuery::Segment(name) => match lists.segments.contains_key(name) {
                true => self.listed(query, lists),
                false => Resolution::UnknownSegment,
            },
            AudienceQuery::Manager(partner) => self.manager(partner, Some),
            AudienceQuery::Superior(partner) => self.manager(partner, |manager| {
                manager.superior.as_ref().and_then(|id| self.contacts.get(id))
            }),
            AudienceQuery::Inline(recipients) => self.inline(recipients, lists),
        }
    }

    fn listed(&self, query: &AudienceQuery, lists: &Lists) -> Resolution {
        let list = lists.list(query);
        if list.next.is_some() && matches!(lists.portion, Portion::Whole(_)) {
            return Resolution::TooMany;
        }
        let mut recipients = Recipients { next: list.next, ..Recipients::default() };
        for id in list.ids {
            match self.contacts.get(&id) {
                Some(contact) => recipients.people.push(self.person(contact)),
                None => recipients.unknown.push(id),
            }
        }
        Resolution::Recipients(recipients)
    }

    /// The manager, or whom `pick` chooses instead; the partner asked about stands beside.
    fn manager<'a>(
        &'a self,
        partner: &PartnerId,
        pick: impl Fn(&'a Contact) -> Option<&'a Contact>,
    ) -> Resolution {
        let Some(partner) = self.partners.get(partner) else { return Resolution::UnknownPartner };
        let manager = partner.manager.as_ref().and_then(|id| self.contacts.get(id));
        let person = manager
            .and_then(pick)
            .map(|contact| Person { partner: Some(partner.clone()), ..self.person(contact) });
        let people = person.into_iter().collect();
        Resolution::Recipients(Recipients { people, ..Recipients::default() })
    }

    fn inline(&self, described: &[InlineRecipient], lists: &Lists) -> Resolution {
        let mut recipients = Recipients::default();
        for recipient in described {
            let owner = recipient.addresses.iter().find_map(|address| lists.owners.get(address));
            match owner.and_then(|id| self.contacts.get(id)) {
                Some(contact) => recipients.people.push(self.person(contact)),
                None => recipients.strangers.push(Stranger {
                    suppressed: self.addresses.suppressed(&recipient.addresses),
                    consents: self.addresses.consents(&recipient.addresses),
                    recipient: recipient.clone(),
                }),
            }
        }
        Resolution::Recipients(recipients)
    }

    fn person(&self, contact: &Contact) -> Person {
        let partner = contact.partner.as_ref().and_then(|id| self.partners.get(id));
        let manager = partner.and_then(|partner| partner.manager.as_ref());
        Person {
            contact: contact.clone(),
            partner: partner.cloned(),
            manager: manager.and_then(|id| self.contacts.get(id)).cloned(),
            suppressed: self.addresses.suppressed(&contact.addresses),
            consents: self.addresses.consents(&contact.addresses),
        }
    }
}
