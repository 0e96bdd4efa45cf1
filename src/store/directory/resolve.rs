//! Answers the questions of many events at once: a few statements, however many events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::address::Address;
use crate::model::audience::{
    AudienceQuery, InlineRecipient, Person, Recipients, Resolution, Stranger,
};
use crate::model::contact::{Contact, Partner};
use crate::model::id::{ContactId, PartnerId, SegmentName, TeamName};
use crate::store::engine::{Tx, Value};
use crate::store::rows::read_json;
use crate::store::{Store, StoreError};

use super::load::{AddressFacts, contacts, partners};
use super::portion::{self, Rest, count_named, fitting};
use super::segment::members;

impl Store {
    /// Answers `queries` in their order, the first of them if all together list too many recipients.
    ///
    /// Lists begin behind `after` and hold at most `limit`; `total` and `next` say what there is
    /// beyond.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn resolve(
        &self,
        queries: Vec<AudienceQuery>,
        after: Option<ContactId>,
        limit: u32,
    ) -> Result<Vec<Resolution>, StoreError> {
        self.read(move |tx| {
            Box::pin(async move {
                let page = (after.as_ref(), limit);
                let cut = queries.into_iter().map(|query| portion::cut(query, page));
                let (mut queries, rests): (Vec<_>, Vec<_>) = cut.unzip();
                queries.truncate(fitting(queries.iter().map(|one| count_named(one, limit))));
                let lists = Lists::ask(tx, &queries, page).await?;
                queries.truncate(fitting(queries.iter().map(|one| lists.count(one))));
                let facts = Facts::ask(tx, &queries, &lists).await?;
                let answer = |(query, rest): (&AudienceQuery, Option<Rest>)| {
                    let answer = facts.answer(query, &lists);
                    match rest {
                        Some(rest) => rest.tell(answer),
                        None => answer,
                    }
                };
                Ok(queries.iter().zip(rests).map(answer).collect())
            })
        })
        .await
    }
}

/// Ids of a list, cut to a page.
#[derive(Clone, Debug, Default)]
struct List {
    ids: Vec<ContactId>,
    total: u64,
    next: Option<ContactId>,
}

impl List {
    /// The page of `ids` that begins behind `after`.
    ///
    /// Pages are cut in the order of bytes; a database may sort by a language's rules.
    fn cut(mut ids: Vec<ContactId>, (after, limit): (Option<&ContactId>, u32)) -> Self {
        ids.sort_unstable();
        let total = ids.len() as u64;
        let mut rest: Vec<ContactId> =
            ids.into_iter().filter(|id| after.is_none_or(|after| id > after)).collect();
        let is_cut = rest.len() > limit as usize;
        rest.truncate(limit as usize);
        let next = rest.last().filter(|_| is_cut).cloned();
        Self { ids: rest, total, next }
    }
}

/// Which contacts each list of a batch holds.
struct Lists {
    partners: HashMap<PartnerId, Partner>,
    /// Contacts of partners with their duties.
    staff: HashMap<PartnerId, Vec<(ContactId, Option<String>)>>,
    teams: HashMap<TeamName, List>,
    segments: HashMap<SegmentName, List>,
    owners: HashMap<Address, ContactId>,
    page: (Option<ContactId>, u32),
}

impl Lists {
    async fn ask(
        tx: &mut Tx<'_>,
        queries: &[AudienceQuery],
        page: (Option<&ContactId>, u32),
    ) -> Result<Self, StoreError> {
        let mut asked = Asked::default();
        for query in queries {
            asked.note(query);
        }
        let mut segments = HashMap::new();
        for name in asked.segments {
            if let Some(list) = segment(tx, name, page).await? {
                segments.insert(name.clone(), list);
            }
        }
        Ok(Self {
            partners: partners(tx, asked.partners.iter().copied()).await?,
            staff: staff(tx, &asked.staffed).await?,
            teams: teams(tx, &asked.teams, page).await?,
            segments,
            owners: owners(tx, &asked.addresses).await?,
            page: (page.0.cloned(), page.1),
        })
    }

    /// How many recipients the answer lists.
    fn count(&self, query: &AudienceQuery) -> usize {
        match query {
            AudienceQuery::Inline(described) => described.len(),
            AudienceQuery::Manager(_) | AudienceQuery::Superior(_) => 1,
            AudienceQuery::Contacts(_)
            | AudienceQuery::Partner { .. }
            | AudienceQuery::Team(_)
            | AudienceQuery::Segment(_) => self.list(query).ids.len(),
        }
    }

    /// The list that a question is about.
    fn list(&self, query: &AudienceQuery) -> List {
        let page = (self.page.0.as_ref(), self.page.1);
        match query {
            AudienceQuery::Partner { partner, duties } => {
                let fits = |duty: &Option<String>| {
                    duties.is_empty() || duty.as_ref().is_some_and(|duty| duties.contains(duty))
                };
                let staff = self.staff.get(partner).map_or(&[][..], Vec::as_slice);
                let ids = staff.iter().filter(|(_, duty)| fits(duty)).map(|(id, _)| id.clone());
                List::cut(ids.collect(), page)
            }
            AudienceQuery::Team(name) => self.teams.get(name).cloned().unwrap_or_default(),
            AudienceQuery::Segment(name) => self.segments.get(name).cloned().unwrap_or_default(),
            AudienceQuery::Contacts(ids) => {
                let ids: BTreeSet<ContactId> = ids.iter().cloned().collect();
                List::cut(ids.into_iter().collect(), page)
            }
            AudienceQuery::Inline(_) | AudienceQuery::Manager(_) | AudienceQuery::Superior(_) => {
                List::default()
            }
        }
    }
}

/// What a batch asks for, each once.
#[derive(Default)]
struct Asked<'a> {
    partners: BTreeSet<&'a PartnerId>,
    staffed: BTreeSet<&'a PartnerId>,
    teams: BTreeSet<&'a TeamName>,
    segments: BTreeSet<&'a SegmentName>,
    addresses: BTreeSet<&'a Address>,
}

impl<'a> Asked<'a> {
    fn note(&mut self, query: &'a AudienceQuery) {
        match query {
            AudienceQuery::Contacts(_) => {}
            AudienceQuery::Inline(recipients) => {
                self.addresses.extend(recipients.iter().flat_map(|one| &one.addresses));
            }
            AudienceQuery::Partner { partner, .. } => {
                self.partners.insert(partner);
                self.staffed.insert(partner);
            }
            AudienceQuery::Manager(partner) | AudienceQuery::Superior(partner) => {
                self.partners.insert(partner);
            }
            AudienceQuery::Team(name) => {
                self.teams.insert(name);
            }
            AudienceQuery::Segment(name) => {
                self.segments.insert(name);
            }
        }
    }
}

async fn staff(
    tx: &mut Tx<'_>,
    partners: &BTreeSet<&PartnerId>,
) -> Result<HashMap<PartnerId, Vec<(ContactId, Option<String>)>>, StoreError> {
    let mut staff: HashMap<PartnerId, Vec<_>> = HashMap::new();
    if partners.is_empty() {
        return Ok(staff);
    }
    let sql = "SELECT partner, id, duty FROM contact WHERE partner {any $1}";
    let list = Value::texts(partners.iter().map(|id| id.as_str()));
    for row in tx.query(sql, &[list]).await? {
        let entry = (row.text(1)?.into(), row.opt_text(2)?);
        staff.entry(row.text(0)?.into()).or_default().push(entry);
    }
    Ok(staff)
}

async fn teams(
    tx: &mut Tx<'_>,
    names: &BTreeSet<&TeamName>,
    page: (Option<&ContactId>, u32),
) -> Result<HashMap<TeamName, List>, StoreError> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT team, contact FROM contact_team WHERE team {any $1}";
    let list = Value::texts(names.iter().map(|name| name.as_str()));
    let mut ids: HashMap<TeamName, Vec<ContactId>> = HashMap::new();
    for row in tx.query(sql, &[list]).await? {
        ids.entry(row.text(0)?.into()).or_default().push(row.text(1)?.into());
    }
    Ok(ids.into_iter().map(|(name, ids)| (name, List::cut(ids, page))).collect())
}

async fn segment(
    tx: &mut Tx<'_>,
    name: &SegmentName,
    (after, limit): (Option<&ContactId>, u32),
) -> Result<Option<List>, StoreError> {
    let sql = "SELECT filter FROM segment WHERE name = $1";
    let Some(row) = tx.query_one(sql, &[name.as_str().into()]).await? else { return Ok(None) };
    let filter = read_json(&row.text(0)?)?;
    // One more than asked for tells whether there is another page.
    let (total, mut ids) = members(tx, &filter, after, limit.saturating_add(1)).await?;
    let is_cut = ids.len() > limit as usize;
    ids.truncate(limit as usize);
    let next = ids.last().filter(|_| is_cut).cloned();
    Ok(Some(List { ids, total, next }))
}

async fn owners(
    tx: &mut Tx<'_>,
    addresses: &BTreeSet<&Address>,
) -> Result<HashMap<Address, ContactId>, StoreError> {
    if addresses.is_empty() {
        return Ok(HashMap::new());
    }
    let values: HashMap<(String, &str), &Address> = addresses
        .iter()
        .map(|address| ((address.value(), address.channel().as_str()), *address))
        .collect();
    let sql = "SELECT address, channel, contact FROM contact_address WHERE address {any $1}";
    let list = Value::texts(values.keys().map(|(value, _)| value));
    let mut owners: HashMap<Address, ContactId> = HashMap::new();
    for row in tx.query(sql, &[list]).await? {
        let (channel, id) = (row.text(1)?, ContactId(row.text(2)?));
        if let Some(address) = values.get(&(row.text(0)?, channel.as_str())) {
            // Of several owners always the same one, whatever the order of the rows.
            let owner = owners.entry((*address).clone()).or_insert_with(|| id.clone());
            *owner = id.min(owner.clone());
        }
    }
    Ok(owners)
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
        lists: &Lists,
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
        let mut addresses: BTreeSet<Address> =
            found.values().flat_map(|contact| contact.addresses.iter().cloned()).collect();
        for query in queries {
            if let AudienceQuery::Inline(recipients) = query {
                addresses.extend(recipients.iter().flat_map(|one| one.addresses.iter().cloned()));
            }
        }
        let addresses: Vec<Address> = addresses.into_iter().collect();
        let addresses = AddressFacts::ask(tx, &addresses).await?;
        Ok(Self { contacts: found, partners: partners_found, addresses })
    }

    fn answer(&self, query: &AudienceQuery, lists: &Lists) -> Resolution {
        match query {
            AudienceQuery::Contacts(_) | AudienceQuery::Team(_) => self.listed(lists.list(query)),
            AudienceQuery::Partner { partner, .. } => match self.partners.get(partner) {
                Some(_) => self.listed(lists.list(query)),
                None => Resolution::UnknownPartner,
            },
            AudienceQuery::Segment(name) => match lists.segments.contains_key(name) {
                true => self.listed(lists.list(query)),
                false => Resolution::UnknownSegment,
            },
            AudienceQuery::Manager(partner) => self.manager(partner, Some),
            AudienceQuery::Superior(partner) => self.manager(partner, |manager| {
                manager.superior.as_ref().and_then(|id| self.contacts.get(id))
            }),
            AudienceQuery::Inline(recipients) => self.inline(recipients, lists),
        }
    }

    fn listed(&self, list: List) -> Resolution {
        let mut recipients =
            Recipients { total: list.total, next: list.next, ..Recipients::default() };
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
        let total = u64::from(person.is_some());
        let people = person.into_iter().collect();
        Resolution::Recipients(Recipients { people, total, ..Recipients::default() })
    }

    fn inline(&self, described: &[InlineRecipient], lists: &Lists) -> Resolution {
        let mut recipients = Recipients { total: described.len() as u64, ..Recipients::default() };
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
