//! Databases on the shared PostgreSQL, each with the rights that docs/security.md gives.
//!
//! Loa runs as the role of the document that may read and write its tables and nothing else. What a
//! test does besides (it makes the schema, refuses writes, ends connections) it does by connections
//! of its own.

use std::process::Command;

use loa::app;
use loa::clock::Clock;
use loa::config::{self, Sources};
use loa::model::id::RunId;
use loa::store::Store;

use super::{service, settings};

/// A database of the test's own with the schema of now, as Loa reaches it.
pub(crate) async fn own_database(name: &str) -> String {
    let [owner, app] = make(name);
    let text = settings(&store_at(&owner));
    let sources = Sources::defaults().with_text("loa.toml", &text);
    let config = config::load(&sources).unwrap_or_else(|faults| panic!("{faults}"));
    let clock = Clock::system();
    let run = RunId::new(clock.now());
    let store = Store::open_as_it_is(app::store_settings(&config), clock, run).unwrap();
    store.migrate().await.unwrap();
    app
}

/// A database of the test's own with nothing in it, as its owner reaches it: who has yet to make
/// the schema needs that right.
pub(crate) fn bare_database(name: &str) -> String {
    let [owner, _] = make(name);
    owner
}

/// The URLs of the owner and of Loa; with the ends of its roles its name is as long as one may be.
fn make(name: &str) -> [String; 2] {
    let name: String = name.chars().take(57).collect();
    let urls = control(&["database", &name]);
    urls.lines().map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

fn control(arguments: &[&str]) -> String {
    let output = Command::new(service("TEST_POSTGRES_CONTROL")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// How the tests reach a database to do what Loa may not.
pub(crate) fn admin_of(url: &str) -> String {
    let admin = control(&["admin"]);
    let (base, _) = admin.trim().rsplit_once('/').unwrap();
    let (_, database) = url.rsplit_once('/').unwrap();
    format!("{base}/{database}")
}

/// Does something to a database behind the back of every Loa that runs on it.
pub(crate) async fn on_postgres(url: &str, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(&admin_of(url), tokio_postgres::NoTls).await.unwrap();
    let run = async { client.batch_execute(sql).await.unwrap() };
    tokio::select! { () = run => {}, _ = connection => panic!("the connection ended") }
}

/// The settings of a database of the test's own on the shared PostgreSQL.
pub(crate) async fn postgres(name: &str) -> String {
    store_at(&own_database(name).await)
}

fn store_at(url: &str) -> String {
    format!("[store]\nurl = \"{url}\"\n")
}
