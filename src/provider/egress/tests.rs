use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::provider::gateway::{Blame, Call, Gateway};
use crate::provider::secrets::Secrets;

impl Egress {
    /// The same where names have these addresses, another list each time one is looked up.
    fn answering(&self, answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Self {
        let mut rules = Rules::clone(&self.0);
        let answers: VecDeque<_> = answers.into_iter().collect();
        rules.lookup = Lookup::Scripted(Arc::new(Mutex::new(answers)));
        Self(Arc::new(rules))
    }

    /// How many answers nobody has asked for yet.
    fn answers_left(&self) -> usize {
        let Lookup::Scripted(answers) = &self.0.lookup else {
            panic!("names are really looked up")
        };
        answers.lock().unwrap().len()
    }
}

fn strict() -> Egress {
    // Plain http is open so that the address alone decides.
    Egress::new(Some("loa.ours.vn"), false).with([], true)
}

#[test]
fn urls_that_lead_inside_or_nowhere_are_refused() {
    let let_through: Vec<_> = REFUSED.iter().filter(|text| strict().url(text).is_ok()).collect();

    assert!(let_through.is_empty(), "let through: {let_through:?}");
}

#[test]
fn urls_of_public_hosts_are_allowed() {
    let refused: Vec<_> =
        ALLOWED.iter().filter_map(|text| Some((text, strict().url(text).err()?))).collect();

    assert!(refused.is_empty(), "refused: {refused:?}");
}

#[test]
fn plain_http_to_a_public_host_must_be_allowed() {
    let egress = Egress::new(None, false);

    assert_eq!(egress.url("http://example.com/"), Err(Refusal::Scheme));
    assert!(egress.with([], true).url("http://example.com/").is_ok());
}

#[test]
fn an_allowed_range_opens_its_addresses_and_no_others() {
    let egress = Egress::new(None, false).with(["10.1.0.0/16".parse().unwrap()], false);

    assert!(egress.url("https://10.1.2.3/hook").is_ok());
    assert_eq!(egress.url("https://10.2.2.3/hook"), Err(Refusal::Address("private")));
    assert!(egress.url("https://chat.corp/hook").is_ok());
}

#[test]
fn a_name_with_one_private_address_among_its_answers_is_refused() {
    let answers = ["93.184.216.34:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()];

    assert_eq!(strict().addresses(&answers), Err(Refusal::Address("private")));
    assert_eq!(strict().addresses(&answers[..1]), Ok(()));
}

#[tokio::test]
async fn a_name_is_refused_by_what_it_resolves_to() {
    let refusal = strict().resolve("localhost".parse().unwrap()).await.err().unwrap();

    assert_eq!(refusal.downcast_ref(), Some(&Refusal::Address("loopback")));
}

/// Every address of the tables above: those that URLs spell out, and the ends of each range.
fn closed_addresses() -> BTreeSet<IpAddr> {
    let spelled = REFUSED.iter().filter_map(|text| match Url::parse(text).ok()?.host()? {
        Host::Ipv4(address) => Some(IpAddr::from(address)),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    });
    let v4 = CLOSED_V4.iter().flat_map(|(range, _)| [range.network(), range.broadcast()]);
    let v6 = CLOSED_V6.iter().flat_map(|(range, _)| [range.network(), range.broadcast()]);
    let outside = ["::1", "64:ff9b::a00:1", "fc00::1", "fe80::1", "ff02::1", "::ffff:10.0.0.1"];
    let outside = outside.map(|text| text.parse().unwrap());
    spelled.chain(v4.map(IpAddr::from)).chain(v6.map(IpAddr::from)).chain(outside).collect()
}

#[tokio::test]
async fn a_name_is_refused_for_every_closed_address_alone_and_among_public_ones() {
    let public: IpAddr = "93.184.216.34".parse().unwrap();
    let addresses = closed_addresses();
    assert!(addresses.len() > 60, "{addresses:?}");
    let mut let_through = Vec::new();

    for inside in addresses {
        for answer in [vec![inside], vec![public, inside], vec![inside, public]] {
            let egress = strict().answering([answer.clone()]);
            let resolved = egress.resolve("hooks.partner.vn".parse().unwrap()).await;
            let refusal = resolved.err().map(|error| error.downcast_ref::<Refusal>().cloned());
            if !matches!(refusal, Some(Some(Refusal::Address(_)))) {
                let_through.push(answer);
            }
        }
    }

    assert!(let_through.is_empty(), "let through: {let_through:?}");
    let resolved = strict().answering([vec![public]]);
    let mut found = resolved.resolve("hooks.partner.vn".parse().unwrap()).await.unwrap();
    assert_eq!(found.next().map(|address| address.ip()), Some(public));
}

#[test]
fn the_machines_own_addresses_are_known() {
    assert!(is_ours(Ipv4Addr::LOCALHOST.into()));
    assert!(!is_ours("93.184.216.34".parse().unwrap()));
}

/// A receiver that counts who comes, and says yes once a connection.
#[expect(clippy::disallowed_methods, reason = "a test's own receiver outlives no test")]
fn count_callers(listener: TcpListener) -> (Arc<AtomicUsize>, JoinHandle<()>) {
    let callers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&callers);
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 1024];
            drop(stream.read(&mut head).await);
            let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            drop(stream.write_all(answer.as_bytes()).await);
        }
    };
    (callers, tokio::spawn(serve))
}

#[tokio::test]
async fn a_name_that_answers_differently_at_the_next_look_gains_nothing() {
    // A test can listen on loopback only: one address of it plays the world, and is allowed.
    let [world, inside] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST];
    let listener = TcpListener::bind((world, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (called, world_task) = count_callers(listener);
    let (reached, inside_task) = count_callers(TcpListener::bind((inside, port)).await.unwrap());
    let answers = [world, inside, world].map(|address| vec![IpAddr::from(address)]);
    let allowed = format!("{world}/32").parse().unwrap();
    let egress = Egress::new(None, false).with([allowed], true).answering(answers);
    let gateway =
        Gateway::new(egress.clone(), Duration::from_secs(20), Secrets::default()).unwrap();
    let url = format!("http://hooks.partner.vn:{port}/hook");
    let call = async || {
        let (method, headers, body) = (Method::POST, HeaderMap::new(), Vec::new());
        let at = jiff::Timestamp::UNIX_EPOCH;
        gateway.call(Call { method, url: &url, blame: Blame::Address, headers, body, at }).await
    };

    let first = call().await;
    let left_after_one = egress.answers_left();
    let second = call().await;

    assert!(first.unwrap().status.is_success());
    assert_eq!(left_after_one, 2, "what is checked is what is called: one look for one call");
    let refusal = second.unwrap_err();
    assert!(refusal.answer.text.contains("loopback"), "{refusal:?}");
    assert_eq!(called.load(Ordering::SeqCst), 1);
    assert_eq!(reached.load(Ordering::SeqCst), 0, "the inside was reached");
    world_task.abort();
    inside_task.abort();
}

const REFUSED: &[&str] = &[
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://0/",
    "http://0.0.0.0/",
    "http://127.0.0.1./",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://localhost/",
    "http://LOCALHOST/",
    "http://localhost./",
    "http://loc\u{ad}alhost/",
    "http://ｌｏｃａｌｈｏｓｔ/",
    "http://foo.localhost/",
    "http://[::1]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[3fff::1]/",
    "http://[5f00::1]/",
    "http://[100::1]/",
    "http://[2606:4700::200:5efe:10.0.0.1]/",
    "http://[2606:4700::5efe:127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[100:0:0:1::1]/",
    "http://[2001:db8::1]/",
    "http://[2001:2::1]/",
    "http://10.0.0.1/",
    "http://192.168.1.1/",
    "http://192.0.0.192/",
    "http://192.88.99.1/",
    "http://127.0.0.53/",
    "https://printer.local/",
    "https://db.corp/",
    "https://router.home.arpa/",
    "https://x.onion/",
    "https://a.test/",
    "https://LOA.OURS.VN./v1/events",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://425.510.425.510/",
    "http://256.0.0.1/",
    "http://4294967296/",
    "http://08.0.0.1/",
    "http://1.2.3.4.5/",
    "http://metadata.google.internal/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://100.64.0.1/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://198.18.0.1/",
    "http://192.0.2.1/",
    "http://203.0.113.9/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://224.0.0.1/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\.evil.com/",
    "http://127.0.0.1%2f@example.com/",
    "https://user:pw@example.com/",
    "http:127.0.0.1/",
    "http:///127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "http://127.0.0.1%00.example.com/",
    "ht\ntp://ex\tample.com/",
    "gopher://127.0.0.1:25/_x",
    "file:///etc/passwd",
    "ftp://example.com/",
    "data:text/plain,x",
    "https://example.com:25/",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "http://\u{202e}example.com/",
    "https://-a.example.com/",
    "https:..",
    "https://a..example.com/",
    "https://.example.com/",
    "https://hooks/",
    "https://loa.ours.vn/v1/events",
    "https://example.com/#part",
];

const ALLOWED: &[&str] = &[
    "https://example.com/hook",
    "http://100.63.255.254/",
    "http://100.128.0.1/",
    "http://172.15.255.255/",
    "http://172.32.0.1/",
    "https://аpple.com/",
    "https://xn--80ak6aa92e.com/",
    // A public name of a private address is refused when it is resolved.
    "https://127.0.0.1.nip.io/",
    "https://example.com./",
    "https://a_b.example.com/",
    "https://[::ffff:8.8.8.8]/",
    "https://example.com:8443/hook?x=1",
    "http://113.185.0.35:8888/smsbn/api",
];
