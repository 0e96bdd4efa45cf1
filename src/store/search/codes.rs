//! Finds the codes that a part of one means: relays answer with two, such as `550 5.1.1`.

use super::DeliveryFilter;
use super::source::COMMON_CODES;
use crate::store::StoreError;
use crate::store::engine::Tx;

/// Every code that sets a delivery apart, one step of the index a code.
const CODES: &str = "WITH RECURSIVE codes (code) AS (SELECT MIN(code) FROM notable \
     WHERE code IS NOT NULL UNION ALL SELECT (SELECT MIN(code) FROM notable \
     WHERE code > codes.code) FROM codes WHERE codes.code IS NOT NULL) \
     SELECT code FROM codes WHERE code IS NOT NULL LIMIT 10000";

/// The filter once for each code that is meant, each of which leads straight to its deliveries.
pub(super) async fn spelled_out(
    tx: &mut Tx<'_>,
    filter: &DeliveryFilter,
) -> Result<Vec<DeliveryFilter>, StoreError> {
    let is_part = |code: &&String| !code.contains(' ') && !COMMON_CODES.contains(&code.as_str());
    let Some(part) = filter.code.as_ref().filter(is_part) else {
        return Ok(vec![filter.clone()]);
    };
    let mut filters = vec![filter.clone()];
    for row in tx.query(CODES, &[]).await? {
        let code = row.text(0)?;
        if code != *part && code.split(' ').any(|word| word == part) {
            filters.push(DeliveryFilter { code: Some(code), ..filter.clone() });
        }
    }
    Ok(filters)
}
