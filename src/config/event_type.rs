//! Reads the files of the event catalogue.

use crate::config::Places;
use crate::config::assets::Assets;
use crate::model::catalogue::Catalogue;

/// Reads every event type.
pub(super) fn read_all(_assets: &Assets, _places: &mut Places) -> Catalogue {
    Catalogue::default()
}
