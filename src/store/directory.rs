//! Partners, contacts, teams and segments.

use crate::model::contact::DirectoryChange;
use crate::store::StoreError;
use crate::store::engine::Tx;

/// Applies a change of the client base; says whether it was newer than what is known.
pub(super) async fn apply_change(
    tx: &mut Tx<'_>,
    change: &DirectoryChange,
) -> Result<bool, StoreError> {
    let _ = (tx, change);
    Ok(false)
}
