use super::*;

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
