//! What the store of a telling stands on: a SQLite file, or a database on the PostgreSQL of the
//! tests.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::clock::Clock;
use crate::model::id::RunId;
use crate::store::{Place, Settings, Store, backup};

/// How often it is tried to copy a database that somebody is still about to leave.
const MOST_TRIES: usize = 500;

/// One store's own ground.
pub(super) enum Ground {
    /// A folder with a SQLite file.
    Sqlite(TempDir),
    /// A database, by the URL of Loa and that of a superuser.
    Postgres { app: String, admin: String },
}

/// A setting of stores of tellings.
fn settings(place: Place) -> Settings {
    let day = Duration::from_hours(24);
    Settings { place, outbox: true, keys_last: 30 * day, derived_keys_last: day }
}

impl Ground {
    /// A SQLite file with a schema and nothing else.
    pub(super) async fn sqlite(clock: &Clock) -> Self {
        let (folder, first) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let place = Place::Sqlite(first.path().join("loa.db"));
        let store = Store::open(settings(place), clock.clone(), RunId::new(clock.now())).await;
        drop(store.unwrap());
        backup(&first.path().join("loa.db"), &folder.path().join("loa.db")).await.unwrap();
        Self::Sqlite(folder)
    }

    /// A database called `name` with a schema and nothing else.
    pub(super) async fn postgres(name: &str, clock: &Clock) -> Self {
        let urls = control(&["database", name]);
        let [owner, app] = urls.lines().collect::<Vec<_>>().try_into().unwrap();
        let place = Place::Postgres { url: owner.to_owned().into(), connections: 1 };
        let store = Store::open(settings(place), clock.clone(), RunId::new(clock.now())).await;
        drop(store.unwrap());
        let (app, admin) = (app.to_owned(), control(&["admin"]).trim().to_owned());
        Self::Postgres { app, admin }
    }

    /// Another one with the same in it.
    pub(super) async fn copy(&self) -> Self {
        static COPIES: AtomicUsize = AtomicUsize::new(0);
        match self {
            Self::Sqlite(template) => {
                let folder = TempDir::new().unwrap();
                let of = |folder: &TempDir| folder.path().join("loa.db");
                std::fs::copy(of(template), of(&folder)).unwrap();
                Self::Sqlite(folder)
            }
            Self::Postgres { app, admin } => {
                let (base, name) = app.rsplit_once('/').unwrap();
                let copy = format!("{name}_{}", COPIES.fetch_add(1, Ordering::SeqCst));
                run(admin, &format!("DROP DATABASE IF EXISTS {copy} WITH (FORCE)")).await.unwrap();
                let create = format!("CREATE DATABASE {copy} TEMPLATE {name}");
                let mut copied = run(admin, &create).await;
                // Whoever made the schema, or another copy, may not quite have left it.
                for _ in 0..MOST_TRIES {
                    if copied.is_ok() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    copied = run(admin, &create).await;
                }
                copied.unwrap();
                Self::Postgres { app: format!("{base}/{copy}"), admin: admin.clone() }
            }
        }
    }

    /// Opens the store of a new run; what the run before had begun may still have to end.
    pub(super) async fn open_store(&self, clock: &Clock) -> Store {
        let place = || match self {
            Self::Sqlite(folder) => Place::Sqlite(folder.path().join("loa.db")),
            Self::Postgres { app, .. } => {
                Place::Postgres { url: app.clone().into(), connections: 4 }
            }
        };
        let run = RunId::new(clock.now());
        let open = || Store::open_as_it_is(settings(place()), clock.clone(), run);
        for _ in 0..MOST_TRIES {
            match open() {
                Ok(store) => return store,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        open().unwrap()
    }

    /// Whether whoever used it has to let go of it before the next may.
    pub(super) fn has_one_user(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Leaves no database behind; a folder goes by itself.
    pub(super) async fn remove(&self) {
        if let Self::Postgres { app, admin } = self {
            let (_, name) = app.rsplit_once('/').unwrap();
            run(admin, &format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "where the database of the tests is")]
fn control(arguments: &[&str]) -> String {
    let program = std::env::var("TEST_POSTGRES_CONTROL").expect("./test starts a PostgreSQL");
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn run(url: &str, sql: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::select! { done = client.batch_execute(sql) => done, ended = connection => ended }
}
