//! Where outbound HTTP may go: public addresses, and what the operator allows besides.
//!
//! A webhook URL may come from a partner, so it could name a machine of ours or the metadata
//! address of a cloud. A host that is written as an address is judged here before any call; a name
//! is judged by every address it resolves to, at the moment of connecting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The longest URL that is called, in bytes.
const MAX_URL_BYTES: usize = 2048;

/// IPv4 ranges that are no public hosts, with what they are.
const CLOSED_V4: &[(Ipv4Net, &str)] = &[
    (v4([0, 0, 0, 0], 8), "this-network"),
    (v4([10, 0, 0, 0], 8), "private"),
    (v4([100, 64, 0, 0], 10), "carrier-grade NAT"),
    (v4([127, 0, 0, 0], 8), "loopback"),
    (v4([168, 63, 129, 16], 32), "cloud platform"),
    (v4([169, 254, 0, 0], 16), "link-local"),
    (v4([172, 16, 0, 0], 12), "private"),
    (v4([192, 0, 0, 0], 24), "protocol assignment"),
    (v4([192, 0, 2, 0], 24), "documentation"),
    (v4([192, 88, 99, 0], 24), "6to4 relay"),
    (v4([192, 168, 0, 0], 16), "private"),
    (v4([198, 18, 0, 0], 15), "benchmarking"),
    (v4([198, 51, 100, 0], 24), "documentation"),
    (v4([203, 0, 113, 0], 24), "documentation"),
    (v4([224, 0, 0, 0], 4), "multicast"),
    (v4([240, 0, 0, 0], 4), "reserved"),
];

/// All public IPv6 hosts are in here; the holes are in [`CLOSED_V6`].
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Ranges within [`GLOBAL_V6`] that are no public hosts.
const CLOSED_V6: &[(Ipv6Net, &str)] = &[
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23), "protocol assignment"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), "documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16), "6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20), "documentation"),
];

/// Ends of names that lead inside a site or nowhere.
const INSIDE_NAMES: &[&str] = &[
    "localhost",
    "local",
    "localdomain",
    "internal",
    "lan",
    "home.arpa",
    "intranet",
    "corp",
    "onion",
    "test",
    "invalid",
    "example",
];

/// Ports above 1023 that speak something else than a webhook.
const CLOSED_PORTS: &[u16] = &[
    2375, 2376, 2379, 3306, 3389, 4369, 5432, 5672, 5984, 6379, 6443, 9200, 10250, 11211, 15672,
    25672, 27017,
];

const fn v4(octets: [u8; 4], length: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(parts: [u16; 8], length: u8) -> Ipv6Net {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// The rules for outbound HTTP; clones share them.
#[derive(Clone, Debug)]
pub struct Egress(Arc<Rules>);

#[derive(Clone, Debug, Default)]
struct Rules {
    /// This Loa's own public name: calling it would be a loop.
    own_host: Option<String>,
    /// Ranges that are allowed although they are not public.
    allowed: Vec<IpNet>,
    /// Allows every address and name.
    allows_private: bool,
    /// Allows `http:` to hosts other than loopback addresses.
    allows_plain_http: bool,
    lookup: Lookup,
}

/// Who knows the addresses of a name.
#[derive(Clone, Debug, Default)]
enum Lookup {
    /// The system.
    #[default]
    System,
    /// A test, with another answer each time.
    #[cfg(test)]
    Scripted(Arc<std::sync::Mutex<std::collections::VecDeque<Vec<IpAddr>>>>),
}

impl Lookup {
    async fn find(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((name, 0)).await?.collect()),
            #[cfg(test)]
            Self::Scripted(answers) => {
                let answer = answers.lock().ok().and_then(|mut answers| answers.pop_front());
                let all = answer.unwrap_or_default().into_iter();
                Ok(all.map(|address| (address, 0).into()).collect())
            }
        }
    }
}

/// Why a URL is not called; the text never holds the URL.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// Not a URL, or one with parts that no webhook needs.
    #[error("the URL {0}")]
    Form(&'static str),
    /// A scheme other than `https`.
    #[error("the URL is not https; set `allow_plain_http = true` if the gateway has no TLS")]
    Scheme,
    /// A port that speaks something else.
    #[error("port {0} is not one for webhooks")]
    Port(u16),
    /// A name that leads inside the site.
    #[error("the host is a name inside this site; allow its addresses with `allow_addresses`")]
    Name,
    /// An address that is not public.
    #[error("the host is at a {0} address; allow it with `allow_addresses` if it is meant")]
    Address(&'static str),
}

impl Egress {
    /// Public addresses only, or all if `allows_private`; never `own_host`.
    pub fn new(own_host: Option<&str>, allows_private: bool) -> Self {
        let own_host = own_host.map(|host| host.trim_end_matches('.').to_lowercase());
        Self(Arc::new(Rules { own_host, allows_private, ..Rules::default() }))
    }

    /// The same with `ranges` allowed, and `http:` if `plain_http`.
    #[must_use]
    pub fn with(&self, ranges: impl IntoIterator<Item = IpNet>, plain_http: bool) -> Self {
        let mut rules = Rules::clone(&self.0);
        rules.allowed.extend(ranges);
        rules.allows_plain_http |= plain_http;
        Self(Arc::new(rules))
    }

    /// Reads and judges a URL; a name in it is judged again when it is resolved.
    ///
    /// # Errors
    /// The first rule that speaks against it.
    pub fn url(&self, text: &str) -> Result<Url, Refusal> {
        let url = well_formed(text)?;
        self.host(&url)?;
        self.scheme(&url)?;
        self.port(&url)?;
        Ok(url)
    }

    /// Judges one address that a name resolved to or that a URL spells out.
    ///
    /// # Errors
    /// What the address is, if it is neither public nor allowed.
    pub fn address(&self, address: IpAddr) -> Result<(), Refusal> {
        let canonical = address.to_canonical();
        let what = closed(canonical).or_else(|| is_ours(canonical).then_some("own"));
        match what {
            Some(what) if !self.is_allowed(canonical) => Err(Refusal::Address(what)),
            _ => Ok(()),
        }
    }

    fn addresses(&self, all: &[SocketAddr]) -> Result<(), Refusal> {
        all.iter().try_for_each(|address| self.address(address.ip()))
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.0.allows_private || self.0.allowed.iter().any(|range| range.contains(&address))
    }

    fn host(&self, url: &Url) -> Result<(), Refusal> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.address(address.into()),
            Some(Host::Ipv6(address)) => self.address(address.into()),
            Some(Host::Domain(name)) => self.name(name),
            None => Err(Refusal::Form("has no host")),
        }
    }

    fn name(&self, name: &str) -> Result<(), Refusal> {
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.starts_with('-') || name.split('.').any(str::is_empty) {
            return Err(Refusal::Form("has a host that is no name"));
        }
        if self.0.own_host.as_deref() == Some(name) {
            return Err(Refusal::Form("leads back to this Loa"));
        }
        if self.0.allows_private || !self.0.allowed.is_empty() {
            // What the operator allows may well have a name of the site; its addresses decide.
            return Ok(());
        }
        let ends_inside = |end: &str| {
            name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if !name.contains('.') || INSIDE_NAMES.iter().any(|end| ends_inside(end)) {
            return Err(Refusal::Name);
        }
        Ok(())
    }

    fn scheme(&self, url: &Url) -> Result<(), Refusal> {
        let is_loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(_)) | None => false,
        };
        // Nobody listens in on loopback, and it got here only because it is allowed.
        if url.scheme() == "https" || self.0.allows_plain_http || is_loopback {
            return Ok(());
        }
        Err(Refusal::Scheme)
    }

    #[expect(clippy::unused_self, reason = "a rule like the others")]
    fn port(&self, url: &Url) -> Result<(), Refusal> {
        let Some(port) = url.port() else { return Ok(()) };
        let is_usual = matches!(port, 80 | 443) || port >= 1024;
        if is_usual && !CLOSED_PORTS.contains(&port) { Ok(()) } else { Err(Refusal::Port(port)) }
    }
}

/// Resolves names for the client and refuses a name if any of its addresses is refused.
///
/// The addresses it returns are the ones connected to, so a name that answers differently the
/// second time gains nothing.
impl Resolve for Egress {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.clone();
        Box::pin(async move {
            let found = egress.0.lookup.find(name.as_str()).await?;
            egress.addresses(&found)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Reads a URL that has the parts of a webhook and no others.
fn well_formed(text: &str) -> Result<Url, Refusal> {
    if text.len() > MAX_URL_BYTES {
        return Err(Refusal::Form("is longer than 2048 bytes"));
    }
    // The parser silently drops tabs and line breaks and turns a backslash into a slash.
    if text.contains(|c: char| c <= ' ' || c == '\x7f' || c == '\\') {
        return Err(Refusal::Form("holds blanks, control characters or backslashes"));
    }
    let url = Url::parse(text).map_err(|_| Refusal::Form("cannot be read"))?;
    // Other schemes are not normalised by the parser, so nothing below would hold for them.
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refusal::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::Form("holds a user name or password"));
    }
    if url.fragment().is_some() {
        return Err(Refusal::Form("holds a fragment (#…)"));
    }
    Ok(url)
}

/// What keeps an address from being public, if anything does.
fn closed(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            CLOSED_V4.iter().find(|(range, _)| range.contains(&address)).map(|(_, what)| *what)
        }
        IpAddr::V6(address) if address.is_loopback() => Some("loopback"),
        IpAddr::V6(address) if !GLOBAL_V6.contains(&address) => Some("special IPv6"),
        IpAddr::V6(address) => {
            let listed = CLOSED_V6.iter().find(|(range, _)| range.contains(&address));
            listed.map(|(_, what)| *what).or_else(|| closed_isatap(address))
        }
    }
}

/// Whether the address is one of this machine's own: what listens there may trust whoever comes
/// from the machine itself. The system says so by the address it would call from; nothing is sent.
fn is_ours(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The port of "discard"; any would do.
    let caller = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    // Without a way there nothing is called either.
    caller.is_ok_and(|caller| caller.ip() == address)
}

/// An ISATAP interface id (RFC 5214) carries an IPv4 address, which is judged in its place.
fn closed_isatap(address: Ipv6Addr) -> Option<&'static str> {
    let parts = address.segments();
    if !matches!(parts[4], 0 | 0x200) || parts[5] != 0x5efe {
        return None;
    }
    let [.., a, b, c, d] = address.octets();
    closed(Ipv4Addr::new(a, b, c, d).into())
}

#[cfg(test)]
mod tests;
