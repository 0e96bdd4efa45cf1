//! What a store promises, tested on both engines.
//!
//! Each contract is one function over an empty [`Store`] and appears as two tests, on a SQLite file
//! and on a PostgreSQL database of its own, whose text does not sort by bytes.

mod claims;
mod directory;
mod inbox;
mod ledger;
mod stage;

/// Makes two tests of each contract.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    let stage = super::super::stage::Stage::sqlite().await;
                    super::$name(stage.store.clone()).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    let stage = super::super::stage::Stage::postgres(stringify!($name)).await;
                    super::$name(stage.store.clone()).await;
                }
            )+
        }
    };
}
use on_both_stores;
