//! Contacts and partners as rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use crate::model::address::Address;
use crate::model::contact::{Consent, Contact, Partner, Tier};
use crate::model::id::{ContactId, PartnerId};
use crate::store::StoreError;
use crate::store::engine::{Asked, Row, Tx, Value, about};
use crate::store::gate::SUPPRESSED;
use crate::store::rows::{read_address, read_channel, read_json};

/// The columns of a partner, in the order in which [`read_partner`] reads them.
pub(super) const PARTNER: &str =
    "id, name, tier, manager, locale, time_zone, region, tags, channels, changed_at";

/// Reads a row that was selected by [`PARTNER`].
pub(super) fn read_partner(row: &Row) -> Result<Partner, StoreError> {
    Ok(Partner {
        id: row.text(0)?.into(),
        name: row.text(1)?,
        tier: match row.text(2)?.as_str() {
            "vip" => Tier::Vip,
            _ => Tier::Standard,
        },
        manager: row.opt_text(3)?.map(Into::into),
        locale: row.opt_text(4)?,
        time_zone: row.opt_text(5)?,
        region: row.opt_text(6)?,
        tags: read_json(&row.text(7)?)?,
        channels: read_json(&row.text(8)?)?,
        changed_at: row.time(9)?,
    })
}

/// The columns of a contact, in the order in which [`read_contact`] reads them.
pub(super) const CONTACT: &str = "id, name, partner, duty, locale, time_zone, region, tags, \
                                  superior, signature, changed_at";

/// Reads a row that was selected by [`CONTACT`]; addresses and teams stand in other tables.
pub(super) fn read_contact(row: &Row) -> Result<Contact, StoreError> {
    Ok(Contact {
        id: row.text(0)?.into(),
        name: row.text(1)?,
        partner: row.opt_text(2)?.map(Into::into),
        duty: row.opt_text(3)?,
        locale: row.opt_text(4)?,
        time_zone: row.opt_text(5)?,
        region: row.opt_text(6)?,
        addresses: Vec::new(),
        tags: read_json(&row.text(7)?)?,
        teams: Vec::new(),
        superior: row.opt_text(8)?.map(Into::into),
        signature: row.opt_text(9)?,
        changed_at: row.time(10)?,
    })
}

/// The contacts of these ids, with their addresses and teams.
pub(super) async fn contacts(
    tx: &mut Tx<'_>,
    ids: impl IntoIterator<Item = &ContactId>,
) -> Result<BTreeMap<ContactId, Contact>, StoreError> {
    let ids: BTreeSet<&str> = ids.into_iter().map(ContactId::as_str).collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = vec![Value::texts(ids)];
    let contacts = format!("SELECT {CONTACT} FROM contact WHERE id {{any $1}}");
    let addresses = "SELECT contact, channel, address FROM contact_address \
                     WHERE contact {any $1} ORDER BY contact, position";
    let teams = "SELECT contact, team FROM contact_team WHERE contact {any $1} ORDER BY team";
    let asked = [(contacts.as_str(), list.clone()), (addresses, list.clone()), (teams, list)];
    let [contacts, addresses, teams] = tx.query_some(asked.map(Some)).await?;
    let mut found = BTreeMap::new();
    for row in contacts {
        let contact = read_contact(&row)?;
        found.insert(contact.id.clone(), contact);
    }
    for row in addresses {
        let channel = read_channel(&row.text(1)?)?;
        let address = read_address(channel, row.text(2)?);
        if let Some(contact) = found.get_mut(&ContactId(row.text(0)?)) {
            contact.addresses.push(address);
        }
    }
    for row in teams {
        if let Some(contact) = found.get_mut(&ContactId(row.text(0)?)) {
            contact.teams.push(row.text(1)?.into());
        }
    }
    Ok(found)
}

static PARTNERS: LazyLock<String> =
    LazyLock::new(|| format!("SELECT {PARTNER} FROM partner WHERE id {{any $1}}"));

/// The partners of these ids.
pub(super) async fn partners(
    tx: &mut Tx<'_>,
    ids: impl IntoIterator<Item = &PartnerId>,
) -> Result<HashMap<PartnerId, Partner>, StoreError> {
    let asked = asked_partners(ids);
    let [rows] = tx.query_some([asked]).await?;
    read_partners(&rows)
}

/// What asks for the partners of these ids, if there are any.
pub(super) fn asked_partners<'a>(
    ids: impl IntoIterator<Item = &'a PartnerId>,
) -> Option<Asked<'static>> {
    let ids: BTreeSet<&str> = ids.into_iter().map(PartnerId::as_str).collect();
    about(&PARTNERS, Value::texts(ids))
}

/// The partners that [`asked_partners`] has found.
pub(super) fn read_partners(rows: &[Row]) -> Result<HashMap<PartnerId, Partner>, StoreError> {
    let partners = rows.iter().map(read_partner);
    partners.map(|partner| partner.map(|partner| (partner.id.clone(), partner))).collect()
}

/// What is known of a set of addresses.
#[derive(Default)]
pub(super) struct AddressFacts {
    suppressed: HashSet<Address>,
    consents: HashMap<Address, Consent>,
}

impl AddressFacts {
    /// What asks for suppression and consent of these addresses, if there are any.
    pub(super) fn asked<'a>(
        addresses: impl IntoIterator<Item = &'a Address>,
    ) -> [Option<Asked<'static>>; 2] {
        let list = Value::texts(addresses.into_iter().map(Address::value));
        let consents = "SELECT channel, address, granted, at, source FROM consent \
                        WHERE address {any $1}";
        [about(SUPPRESSED, list.clone()), about(consents, list)]
    }

    /// Adds what [`AddressFacts::asked`] has found.
    pub(super) fn add(&mut self, suppressed: &[Row], consents: &[Row]) -> Result<(), StoreError> {
        for row in suppressed {
            self.suppressed.insert(read_address(read_channel(&row.text(0)?)?, row.text(1)?));
        }
        for row in consents {
            let consent = Consent {
                address: read_address(read_channel(&row.text(0)?)?, row.text(1)?),
                granted: row.truth(2)?,
                at: row.time(3)?,
                source: row.text(4)?,
            };
            self.consents.insert(consent.address.clone(), consent);
        }
        Ok(())
    }

    /// Those of `addresses` that are suppressed.
    pub(super) fn suppressed(&self, addresses: &[Address]) -> Vec<Address> {
        addresses.iter().filter(|address| self.suppressed.contains(address)).cloned().collect()
    }

    /// What is known of consent for `addresses`.
    pub(super) fn consents(&self, addresses: &[Address]) -> Vec<Consent> {
        addresses.iter().filter_map(|address| self.consents.get(address)).cloned().collect()
    }
}
