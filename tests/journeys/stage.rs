//! What every story needs: a running Loa, who speaks to it, and the services it stands on.

mod canaries;
mod client;
mod clocked;
mod database;
mod lock;
mod people;
mod proxy;
mod rabbit;
mod room;
mod running;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::receiver::{Gateway, Relay};

pub(crate) use canaries::{assert_unheard, overhear};
pub(crate) use client::http;
pub(crate) use clocked::Clocked;
pub(crate) use database::{bare_database, on_postgres, own_database, postgres};
pub(crate) use lock::Lock;
pub(crate) use people::{company, delay, delayed, event, hooked, mailed, partner};
pub(crate) use proxy::Proxy;
pub(crate) use rabbit::{Heard, Rabbit, as_loa, as_publisher, binary_headers, own_virtual_host};
pub(crate) use room::Room;
pub(crate) use running::Running;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The program under test.
pub(crate) fn loa() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loa"));
    command.stdin(Stdio::null());
    command
}

/// What all settings have in common.
const USUAL: &str = "alarms = false\n\
     [http]\nlisten = \"127.0.0.1:0\"\npublic_url = \"https://loa.test\"\n\
     [unsubscribe]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";

/// Settings that send everything to the sandbox; `more` is added.
pub(crate) fn settings(more: &str) -> String {
    format!(
        "{USUAL}\
         [channels]\nemail = \"sandbox\"\nchat = \"sandbox\"\nsms = \"sandbox\"\n\
         [providers.sandbox]\nkind = \"sandbox\"\n{more}"
    )
}

/// Settings that send email to `relay` and everything else to `gateway`, each provider to a path of
/// its own; `hook` is added to the webhook's settings, `more` to all of them.
pub(crate) fn outside(relay: &Relay, gateway: &Gateway, (hook, more): (&str, &str)) -> String {
    let body = r#"{"to":"{{to}}","text":"{{text}}","id":"{{id}}"}"#;
    format!(
        "{USUAL}\
         [channels]\nemail = \"relay\"\nchat = \"hook\"\nsms = \"texts\"\n\
         [send]\nallow_private_addresses = true\nlease = \"5s\"\ngrace = \"5s\"\n\
         [providers.relay]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n\
         [providers.team-chat]\nkind = \"slack\"\nurl = \"{}\"\n\
         [providers.texts]\nkind = \"sms_http\"\nurl = \"{}\"\nbody = '{body}'\n\
         [providers.sandbox]\nkind = \"sandbox\"\n\
         [providers.hook]\nkind = \"webhook\"\nurl = \"{}\"\n{hook}{more}",
        relay.port,
        gateway.url("/slack"),
        gateway.url("/texts"),
        gateway.url("/hook"),
    )
}

/// Settings with a catalogue of the test's own in `folder`: the usual one, but `edit` changes the
/// file of each type.
pub(crate) fn with_catalogue(
    folder: &TempDir,
    settings: &str,
    edit: impl Fn(&str, String) -> String,
) -> String {
    let own = folder.path().join("event-types");
    std::fs::create_dir_all(&own).unwrap();
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/event-types");
    for file in std::fs::read_dir(usual).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let text = edit(name, std::fs::read_to_string(&path).unwrap());
        std::fs::write(own.join(path.file_name().unwrap()), text).unwrap();
    }
    format!("catalogue_dir = \"{}\"\n{settings}", own.display())
}

/// Changes of a catalogue by which late orders are told again soon after a fault.
pub(crate) fn hurried(_: &str, text: String) -> String {
    text.replace("first = \"5s\"", "first = \"200ms\"")
}

/// Looks again and again until `look` finds something.
pub(crate) async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where a service of the tests is; `./test` starts it and says so.
#[expect(clippy::disallowed_methods, reason = "a test finds its services by the environment")]
pub(crate) fn service(variable: &str) -> String {
    let found = std::env::var(variable);
    found.unwrap_or_else(|_| panic!("{variable} is not set; run ./test, which starts the service"))
}

/// Disturbs a service by its control program, and returns once it is done.
pub(crate) async fn control(variable: &str, verb: &str) {
    let program = service(variable);
    let done = tokio::process::Command::new(program).arg(verb).status().await.unwrap();
    assert!(done.success(), "{verb} failed");
}
