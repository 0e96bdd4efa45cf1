//! The real app with a staged outside world.

pub mod bench;
mod company;
pub mod demo;
pub mod drill;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod post;
pub mod proxy;
mod story;

use std::fmt;

use crate::app;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::id::RunId;
use crate::store::{Place, Store, StoreError};

/// A store in which something is kept, whoever left it there: an earlier rehearsal too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInUse(String);

impl StoreInUse {
    fn of(store: &Store) -> Self {
        Self(store.describe())
    }
}

impl fmt::Display for StoreInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not empty: an earlier run or a Loa in use has left something there, and what you \
             want begins with an empty store; name another one (--data-dir for SQLite, --store for \
             PostgreSQL), or remove what is there if nobody needs it",
            self.0
        )
    }
}

/// Writes settings, which hold URLs with passwords.
fn write_privately(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let mut options = std::fs::File::options();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(path)?;
    // One that was there before keeps its mode.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())
}

/// The store of `config`, if anything is in it.
///
/// Asked before the app is built, which would migrate it, end leases in it, plan and send: a
/// rehearsal must not touch what is not its own.
async fn find_store_in_use(config: &Config) -> Result<Option<StoreInUse>, StoreError> {
    let settings = app::store_settings(config);
    if let Place::Sqlite(path) = &settings.place
        && !path.exists()
    {
        return Ok(None);
    }
    let clock = Clock::system();
    let run = RunId::new(clock.now());
    let store = Store::open_as_it_is(settings, clock, run)?;
    let is_empty = store.is_empty().await.map_err(|error| error.of_store_at(&store.describe()))?;
    Ok(if is_empty { None } else { Some(StoreInUse::of(&store)) })
}

/// The number behind the first `mark` in what a receiver was sent.
fn number_behind(mark: &str, bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(mark.len()).position(|window| window == mark.as_bytes())?;
    let digits = bytes.get(at + mark.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use rusqlite::Connection;

    use super::bench::{Bench, BenchError, Extent, Row};
    use super::demo::{Demo, DemoError};
    use super::write_privately;

    /// A store of some older version, in which one contact is kept and nothing ever happened.
    fn keep_a_contact(folder: &Path) {
        let file = Connection::open(folder.join("loa.db")).unwrap();
        file.execute_batch("CREATE TABLE contact (id TEXT); INSERT INTO contact VALUES ('lan')")
            .unwrap();
    }

    fn tables(folder: &Path) -> Vec<String> {
        let file = Connection::open(folder.join("loa.db")).unwrap();
        let mut asked = file.prepare("SELECT name FROM sqlite_master").unwrap();
        asked.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn settings_are_private_though_everybody_might_read_what_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("loa.toml");
        std::fs::write(&file, "before").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();

        write_privately(&file, "now").unwrap();

        assert_eq!(std::fs::read_to_string(&file).unwrap(), "now");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_in_use_is_refused_before_anything_in_it_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().to_owned();
        keep_a_contact(folder.path());
        let demo = Demo {
            data_dir: data_dir.clone(),
            listen: "127.0.0.1:0".to_owned(),
            store_url: None,
            amqp_url: None,
            is_quiet: true,
        };
        let (store_url, amqp_url, sizes) = (None, None, Vec::new());
        let bench = Bench { data_dir, store_url, amqp_url, extent: Extent::QUICK, sizes };

        let demo = demo.start().await.err();
        let bench = bench.run(Row::Ways, |_| {}).await.err();

        assert!(matches!(demo, Some(DemoError::NotEmpty(_))), "{demo:?}");
        assert!(matches!(bench, Some(BenchError::NotEmpty(_))), "{bench:?}");
        assert_eq!(tables(folder.path()), ["contact"]);
    }
}
