//! The ground that workers stand on: settings, event types, and the ways to broker and database.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::DrillError;
use super::receivers::Receivers;
use super::work::Sort;
use crate::config::{self, Config, Sources};
use crate::rehearsal::proxy::Proxy;
use crate::rehearsal::write_privately;

/// The settings of the workers, as a file, and those of the drill itself.
pub(super) struct Ground {
    /// What the workers read.
    pub(super) settings: PathBuf,
    /// The same with the straight ways to broker and database.
    pub(super) own: Config,
    /// The way to the broker, if there is one.
    pub(super) broker: Option<Proxy>,
    /// The way to the database, if it is PostgreSQL.
    pub(super) store: Option<Proxy>,
}

/// Where broker and database are; none means HTTP and SQLite.
#[derive(Clone, Debug, Default)]
pub(super) struct Whereabouts {
    pub(super) store_url: Option<SecretString>,
    pub(super) amqp_url: Option<SecretString>,
}

impl Ground {
    /// Writes settings and catalogue to `folder`, and opens the ways; `data` is for SQLite.
    pub(super) async fn prepare(
        folder: &Path,
        data: &Path,
        whereabouts: &Whereabouts,
        receivers: &Receivers,
    ) -> Result<Self, DrillError> {
        let catalogue = folder.join("event-types");
        fs::create_dir_all(&catalogue)?;
        for sort in Sort::ALL {
            fs::write(catalogue.join(format!("{}.toml", sort.event_type())), sort.file())?;
        }
        let (store_url, store) = way(whereabouts.store_url.as_ref(), 5432).await?;
        let (amqp_url, broker) = way(whereabouts.amqp_url.as_ref(), 5672).await?;
        let through = Whereabouts { store_url, amqp_url };
        let settings = folder.join("loa.toml");
        write_privately(&settings, &text(&catalogue, &through, receivers))?;
        let straight = text(&catalogue, whereabouts, receivers);
        let sources = Sources::defaults().with_text("drill.toml", &straight).with_override(
            "data_dir",
            &data.display().to_string(),
            "the drill",
        );
        let own = config::load(&sources).map_err(DrillError::Settings)?;
        Ok(Self { settings, own, broker, store })
    }
}

/// A proxy to the service at `url`, and the URL that leads through it.
async fn way(
    url: Option<&SecretString>,
    usual_port: u16,
) -> Result<(Option<SecretString>, Option<Proxy>), DrillError> {
    let Some(url) = url else { return Ok((None, None)) };
    // The parser's error never repeats the URL, which may hold a password.
    let no_url = |why: &str| DrillError::Url(why.to_owned());
    let mut url =
        Url::parse(url.expose_secret()).map_err(|error| no_url(&format!("no URL: {error}")))?;
    let host = url.host_str().ok_or_else(|| no_url("a URL without a host"))?;
    let target = format!("{host}:{}", url.port().unwrap_or(usual_port));
    let proxy = Proxy::open_way(target).await?;
    let is_set = url.set_host(Some("127.0.0.1")).is_ok() && url.set_port(Some(proxy.port)).is_ok();
    if !is_set {
        return Err(no_url("a URL whose host and port cannot be changed"));
    }
    Ok((Some(String::from(url).into()), Some(proxy)))
}

fn text(catalogue: &Path, whereabouts: &Whereabouts, receivers: &Receivers) -> String {
    let (http, smtp) = (receivers.http.port, receivers.smtp.port);
    let section = |name: &str, url: Option<&SecretString>, more: &str| {
        let url = url.map(|url| format!("[{name}]\nurl = \"{}\"\n{more}", url.expose_secret()));
        url.unwrap_or_default()
    };
    let store = section("store", whereabouts.store_url.as_ref(), "connections = 8\n");
    let rabbitmq =
        section("rabbitmq", whereabouts.amqp_url.as_ref(), "heartbeat = \"1s\"\nprefetch = 500\n");
    let catalogue = catalogue.display();
    let body = r#"{"to":"{{to}}","text":"{{text}}","id":"{{id}}"}"#;
    format!(
        "catalogue_dir = \"{catalogue}\"\nalarms = false\n{store}{rabbitmq}\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [log]\nformat = \"text\"\n\
         [channels]\nemail = \"mail\"\nchat = \"hook\"\nsms = \"sms\"\n\
         [send]\nallow_private_addresses = true\nlease = \"5s\"\ngrace = \"3s\"\n\
         timeout = \"4s\"\nconcurrency = 16\n\
         [send.breaker]\nopen_for = \"500ms\"\n\
         [email]\nfrom_name = \"Cà phê Sao Mai\"\nfrom = \"tin@saomai.example\"\ndkim = \"relay\"\n\
         [providers.mail]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {smtp}\ntls = \"none\"\n\
         data_timeout = \"4s\"\nanswer_timeout = \"4s\"\n\
         [providers.hook]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{http}/hook\"\n\
         [providers.team]\nkind = \"slack\"\nurl = \"http://127.0.0.1:{http}/team\"\n\
         [providers.sms]\nkind = \"sms_http\"\nurl = \"http://127.0.0.1:{http}/sms\"\n\
         body = '{body}'\n"
    )
}
