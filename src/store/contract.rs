//! What both stores must do alike: each contract is one function that appears as two tests.
//!
//! A contract gets a [`stage::Stage`], an empty store of its own on a clock moved by hand; that on
//! PostgreSQL does not sort text by bytes. It uses what callers of the store use.

/// Makes two tests of each function: one on a SQLite file, one on PostgreSQL.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            use crate::store::contract::stage::Stage;
            $(#[tokio::test]
            async fn $name() {
                super::$name(Stage::sqlite().await).await;
            })*
        }
        mod postgres {
            use crate::store::contract::stage::Stage;
            $(#[tokio::test]
            async fn $name() {
                super::$name(Stage::postgres(stringify!($name)).await).await;
            })*
        }
    };
}

mod accepting;
mod at_once;
mod claims;
mod copies;
mod directory;
mod disturbed;
mod histories;
mod late;
mod locks;
mod lost;
mod migrating;
mod names;
mod outbox;
mod pages;
mod places;
mod plans;
mod postgres;
mod repairs;
mod search;
mod sqlite;
mod stage;
mod upkeep;
