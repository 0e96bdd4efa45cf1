//! Nothing that anybody sends, types or puts into a link becomes part of a page: it is shown as
//! text.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::console::{Person, place};
use crate::stage::{company, delay, event, own_database, partner};

/// What must never stand in a page as it is.
const NASTY: &str = "\"'><script>alert(1)</script>";

/// Nothing that anybody sends becomes part of a page.
async fn every_page_escapes_what_it_shows(person: Person) {
    let [partner, mut contact] = partner();
    let mut company = partner;
    company["data"]["name"] = json!(format!("Minh Phát {NASTY}"));
    contact["data"]["name"] = json!(format!("Lan {NASTY}"));
    let mut late = delay(1);
    late["data"]["order_id"] = json!(format!("DH-1 {NASTY}"));
    late["id"] = json!(format!("d-1 {NASTY}"));
    late["source"] = json!(format!("shop-{NASTY}"));
    let broken = event(&format!("order.eaten {NASTY}"), NASTY, json!({ "text": NASTY }));
    person.publish(&[company, contact, late, broken]).await;

    let key = format!("DH-1 {NASTY}");
    let (delivery, _) = person.deliveries(&key).await.remove(0);
    let found = person.stage.app.store.find_delivery(delivery.parse().unwrap()).await.unwrap();
    let event = found.unwrap().event.id;
    let rejected = person.rejected().await;
    let nasty: String = url::form_urlencoded::byte_serialize(NASTY.as_bytes()).collect();
    let pages = [
        ("/".to_owned(), "planned"),
        ("/events".to_owned(), "order.delayed"),
        (format!("/events?business_key={nasty}&id={nasty}&partner={nasty}"), "No event fits"),
        (format!("/events/{event}"), "Data as it came"),
        ("/deliveries".to_owned(), "Lan &#34;&#39;&#62;&#60;script"),
        (format!("/deliveries?name={nasty}&type={nasty}&code={nasty}"), "No delivery fits"),
        ("/deliveries?name=minh+PHAT".to_owned(), "accepted by the provider"),
        ("/deliveries?name=LAN".to_owned(), "accepted by the provider"),
        (format!("/deliveries/{delivery}"), "captured the message to Lan"),
        ("/deliveries/repair?action=retry".to_owned(), "deliveries fit"),
        ("/rejected".to_owned(), "Unknown type"),
        (format!("/rejected?id={nasty}"), "Unknown type"),
        (format!("/rejected/{rejected}"), "Replay"),
        ("/sandbox".to_owned(), "lan@minhphat.test"),
        ("/sandbox?to=lan".to_owned(), "lan@minhphat.test"),
        ("/providers".to_owned(), "sandbox"),
        ("/directory?q=minh+PHAT".to_owned(), "Lan &#34;&#39;&#62;&#60;script"),
        (format!("/directory?q={nasty}&partner={nasty}"), "No contact fits"),
        ("/directory?after=lan".to_owned(), "No contact fits"),
        ("/directory/lan".to_owned(), "lan@minhphat.test"),
        (format!("/preferences?done={nasty}"), "Time zone"),
    ];
    for (path, shown) in pages {
        let answer = person.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let page = assert_escaped(&path, answer).await;
        assert!(page.contains(shown), "{path} does not show {shown}: {page}");
    }
    escapes_what_is_asked(&person, (&rejected, &delivery)).await;
    let email = person.get(&format!("/deliveries/{delivery}/message")).await;
    let policy = email.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("sandbox;"), "{policy}");
    assert!(!email.text().await.unwrap().contains("<script>alert"));
    person.stage.app.stop().await;
}

/// A page in which nothing that anybody sent is more than text.
async fn assert_escaped(path: &str, answer: Response) -> String {
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let page = answer.text().await.unwrap();
    assert!(!page.contains("<script>alert"), "{path} does not escape: {page}");
    assert!(!page.contains("\"'>"), "{path} lets a value out of its attribute: {page}");
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    page
}

/// Nor does anything that a person types, or that stands in a link which somebody sent them.
async fn escapes_what_is_asked(person: &Person, (rejected, delivery): (&str, &str)) {
    let nasty: String = url::form_urlencoded::byte_serialize(NASTY.as_bytes()).collect();
    // What is typed into the search box ends in a list, whose own box shows it again.
    let found = person.get(&format!("/search?q={nasty}")).await;
    let list = place(&found).to_owned();
    assert!(!list.contains(['<', '>', '"', '\'']), "{list}");
    let list = assert_escaped(&list, person.get(&list).await).await;
    assert!(list.contains("&#60;script&#62;alert"), "the search is not shown again: {list}");

    let refused = [
        json!({ "type": NASTY, "source": NASTY, "id": NASTY, "specversion": NASTY }).to_string(),
        format!("{{\"{NASTY}"),
        event("order.delayed", NASTY, json!({ "order_id": { NASTY: NASTY } })).to_string(),
        delay(9).to_string().replace("minh-phat", "<script>alert(1)</script>"),
        event(NASTY, NASTY, json!({ NASTY: NASTY })).to_string(),
    ];
    for body in refused {
        let path = format!("/rejected/{rejected}/check");
        let answer = person.press(&path, &[("body", &body)]).await;
        let page = assert_escaped(&path, answer).await;
        assert!(page.contains("&#60;script&#62;alert"), "{body} is not shown again: {page}");
        let path = format!("/rejected/{rejected}/replay");
        assert_escaped(&path, person.press(&path, &[("body", &body)]).await).await;
    }
    let tried = person.press("/providers/sandbox/test", &[("to", NASTY)]).await;
    assert_escaped("/providers/sandbox/test", tried).await;
    for path in [
        format!("/nowhere/{nasty}"),
        format!("/deliveries/{nasty}"),
        format!("/events/{nasty}"),
        format!("/rejected/{nasty}"),
        format!("/directory/{nasty}"),
        format!("/deliveries?state={nasty}&after={nasty}"),
        format!("/deliveries/{delivery}?done={nasty}"),
        format!("/rejected?reason={nasty}&type={nasty}&done={nasty}"),
        format!("/providers?done={nasty}"),
        format!("/login/{nasty}"),
        format!("/u/{nasty}"),
        format!("/preferences?back={nasty}"),
    ] {
        let request = person.stage.request(Method::GET, &path).header("accept", "text/html");
        let request = request.header("cookie", &person.session);
        assert_escaped(&path, request.send().await.unwrap()).await;
    }
}

/// The page by which people unsubscribe holds who sends and whom it reaches, and whatever its link
/// says.
#[tokio::test]
async fn the_page_to_unsubscribe_escapes_what_it_shows() {
    let sender = format!("[email]\nfrom_name = {}\n", Value::from(NASTY));
    let person = Person::operator(&sender).await;
    let odd = "m'&{{x}}`=d@ancuong.test";
    let known = json!(company()).to_string().replace("mai@ancuong.test", odd);
    let known: Vec<Value> = serde_json::from_str(&known).unwrap();
    let link = person.stage.unsubscribe_link_of(&known).await;

    for path in [link.clone(), format!("{link}?lang=<script>alert(1)</script>&x={NASTY}")] {
        for method in [Method::GET, Method::POST] {
            let answer = person.stage.request(method, &path).send().await.unwrap();

            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            assert_escaped(&path, answer).await;
        }
    }
    person.stage.app.stop().await;
}

#[tokio::test]
async fn every_page_of_the_console_escapes_what_it_shows() {
    every_page_escapes_what_it_shows(Person::operator("").await).await;
}

#[tokio::test]
async fn every_page_of_the_console_escapes_what_it_shows_on_postgres() {
    let url = own_database("journey_console").await;
    let settings = format!("[store]\nurl = \"{url}\"\n");
    every_page_escapes_what_it_shows(Person::operator(&settings).await).await;
}
