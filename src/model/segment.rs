//! A named filter over contacts and partners.

use serde::{Deserialize, Serialize};

use crate::model::contact::Tier;

/// Which contacts belong; every field that is given must fit, and within a field any value does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentFilter {
    /// The contact or its partner carries one of these tags.
    pub tags: Vec<String>,
    /// The partner is of one of these tiers.
    pub tiers: Vec<Tier>,
    /// The contact's language (else its partner's) is one of these, or a variant of one.
    pub locales: Vec<String>,
    /// The contact (else its partner) is in one of these regions.
    pub regions: Vec<String>,
    /// The contact has one of these duties.
    pub duties: Vec<String>,
}
