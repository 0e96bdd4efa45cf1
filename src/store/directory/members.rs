//! Which contacts the lists hold that questions are about.

use std::collections::{BTreeSet, HashMap};

use crate::model::address::Address;
use crate::model::audience::AudienceQuery;
use crate::model::contact::Partner;
use crate::model::id::{ContactId, PartnerId, SegmentName, TeamName};
use crate::model::segment::SegmentFilter;
use crate::store::StoreError;
use crate::store::engine::{Row, Tx, Value, about};
use crate::store::rows::read_json;

use super::load::{AddressFacts, asked_partners, read_partners};
use super::portion::Portion;
use super::segment;

/// Which contacts each list of a batch holds.
pub(super) struct Lists {
    pub(super) partners: HashMap<PartnerId, Partner>,
    staff: Staff,
    teams: HashMap<TeamName, List>,
    pub(super) segments: HashMap<SegmentName, List>,
    pub(super) owners: HashMap<Address, ContactId>,
    /// What is known of the addresses that questions name.
    pub(super) addresses: AddressFacts,
    pub(super) portion: Portion,
}

impl Lists {
    pub(super) async fn ask(
        tx: &mut Tx<'_>,
        queries: &[AudienceQuery],
        portion: Portion,
    ) -> Result<Self, StoreError> {
        let mut wanted = Wanted::default();
        for query in queries {
            wanted.note(query);
        }
        let segments = segments(tx, &wanted.segments, &portion).await?;
        let values = wanted.values();
        let [suppressed, consents] = AddressFacts::asked(wanted.addresses.iter().copied());
        let statements = [
            asked_partners(wanted.partners.iter().copied()),
            about(STAFF, Value::texts(wanted.staffed.iter().map(|id| id.as_str()))),
            about(TEAMS, Value::texts(wanted.teams.iter().map(|name| name.as_str()))),
            about(OWNERS, Value::texts(values.keys().map(|(value, _)| value))),
            suppressed,
            consents,
        ];
        let [partners, staff, teams, owners, suppressed, consents] =
            tx.query_some(statements).await?;
        let mut addresses = AddressFacts::default();
        addresses.add(&suppressed, &consents)?;
        Ok(Self {
            partners: read_partners(&partners)?,
            staff: read_staff(&staff)?,
            teams: read_teams(&teams, &portion)?,
            segments,
            owners: read_owners(&owners, &values)?,
            addresses,
            portion,
        })
    }

    /// How many recipients the answer lists.
    pub(super) fn count(&self, query: &AudienceQuery) -> usize {
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
    pub(super) fn list(&self, query: &AudienceQuery) -> List {
        match query {
            AudienceQuery::Partner { partner, duties } => {
                let fits = |duty: &Option<String>| {
                    duties.is_empty() || duty.as_ref().is_some_and(|duty| duties.contains(duty))
                };
                let staff = self.staff.get(partner).map_or(&[][..], Vec::as_slice);
                let ids = staff.iter().filter(|(_, duty)| fits(duty)).map(|(id, _)| id.clone());
                List::of_all(ids.collect(), &self.portion)
            }
            AudienceQuery::Team(name) => self.teams.get(name).cloned().unwrap_or_default(),
            AudienceQuery::Segment(name) => self.segments.get(name).cloned().unwrap_or_default(),
            AudienceQuery::Contacts(ids) => {
                let ids: BTreeSet<ContactId> = ids.iter().cloned().collect();
                List::of_all(ids.into_iter().collect(), &self.portion)
            }
            AudienceQuery::Inline(_) | AudienceQuery::Manager(_) | AudienceQuery::Superior(_) => {
                List::default()
            }
        }
    }
}

/// Ids of a list, as many of them as are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    pub(super) ids: Vec<ContactId>,
    pub(super) next: Option<ContactId>,
}

impl List {
    /// What is wanted of all `ids`.
    ///
    /// Pages are cut in the order of bytes; a database may sort by a language's rules.
    fn of_all(mut ids: Vec<ContactId>, portion: &Portion) -> Self {
        ids.sort_unstable();
        if let Some(after) = portion.after() {
            ids.retain(|id| id > after);
        }
        Self::cut(ids, portion)
    }

    /// What is wanted of the ids behind the beginning, in their order.
    fn cut(ids: Vec<ContactId>, portion: &Portion) -> Self {
        let (ids, next) = portion.cut(ids, |page| page.last().cloned());
        Self { ids, next }
    }
}

/// What a batch asks for, each once.
#[derive(Default)]
struct Wanted<'a> {
    partners: BTreeSet<&'a PartnerId>,
    staffed: BTreeSet<&'a PartnerId>,
    teams: BTreeSet<&'a TeamName>,
    segments: BTreeSet<&'a SegmentName>,
    addresses: BTreeSet<&'a Address>,
}

impl<'a> Wanted<'a> {
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

    /// The addresses by how they stand in tables.
    fn values(&self) -> HashMap<(String, &'a str), &'a Address> {
        let value = |address: &'a Address| ((address.value(), address.channel().as_str()), address);
        self.addresses.iter().copied().map(value).collect()
    }
}

const STAFF: &str = "SELECT partner, id, duty FROM contact WHERE partner {any $1}";
const TEAMS: &str = "SELECT team, contact FROM contact_team WHERE team {any $1}";
const OWNERS: &str = "SELECT address, channel, contact FROM contact_address WHERE address {any $1}";

/// Contacts of partners with their duties.
type Staff = HashMap<PartnerId, Vec<(ContactId, Option<String>)>>;

fn read_staff(rows: &[Row]) -> Result<Staff, StoreError> {
    let mut staff = Staff::new();
    for row in rows {
        let entry = (row.text(1)?.into(), row.opt_text(2)?);
        staff.entry(row.text(0)?.into()).or_default().push(entry);
    }
    Ok(staff)
}

fn read_teams(rows: &[Row], portion: &Portion) -> Result<HashMap<TeamName, List>, StoreError> {
    let mut ids: HashMap<TeamName, Vec<ContactId>> = HashMap::new();
    for row in rows {
        ids.entry(row.text(0)?.into()).or_default().push(row.text(1)?.into());
    }
    Ok(ids.into_iter().map(|(name, ids)| (name, List::of_all(ids, portion))).collect())
}

fn read_owners(
    rows: &[Row],
    values: &HashMap<(String, &str), &Address>,
) -> Result<HashMap<Address, ContactId>, StoreError> {
    let mut owners: HashMap<Address, ContactId> = HashMap::new();
    for row in rows {
        let (channel, id) = (row.text(1)?, ContactId(row.text(2)?));
        if let Some(address) = values.get(&(row.text(0)?, channel.as_str())) {
            // Of several owners always the same one, whatever the order of the rows.
            let owner = owners.entry((*address).clone()).or_insert_with(|| id.clone());
            *owner = id.min(owner.clone());
        }
    }
    Ok(owners)
}

/// Those of the segments that there are.
async fn segments(
    tx: &mut Tx<'_>,
    names: &BTreeSet<&SegmentName>,
    portion: &Portion,
) -> Result<HashMap<SegmentName, List>, StoreError> {
    let mut segments = HashMap::new();
    for &name in names {
        if let Some(filter) = filter_of(tx, name).await? {
            // One more than asked for tells whether there are more.
            let (after, enough) = (portion.after(), portion.limit().saturating_add(1));
            let ids = segment::members(tx, &filter, after, enough).await?;
            segments.insert(name.clone(), List::cut(ids, portion));
        }
    }
    Ok(segments)
}

/// The filter of a segment, if there is one of this name.
pub(super) async fn filter_of(
    tx: &mut Tx<'_>,
    name: &SegmentName,
) -> Result<Option<SegmentFilter>, StoreError> {
    let sql = "SELECT filter FROM segment WHERE name = $1";
    let Some(row) = tx.query_one(sql, &[name.as_str().into()]).await? else { return Ok(None) };
    Ok(Some(read_json(&row.text(0)?)?))
}
