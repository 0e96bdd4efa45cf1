//! The console: what its pages show, and what their buttons do.

use loa::store::DeliveryFilter;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::access::csrf;
use crate::inside::Stage;
use crate::stage::{delay, event, partner};

/// A person at the console.
pub(crate) struct Person {
    pub(crate) stage: Stage,
    pub(crate) session: String,
    csrf: String,
}

impl Person {
    pub(crate) async fn operator(more: &str) -> Self {
        Self::of_role(more, "operator").await
    }

    async fn of_role(more: &str, role: &str) -> Self {
        let stage = Stage::open(more).await;
        let session = stage.sign_in("thu-ha", role).await;
        let mut person = Self { stage, session, csrf: String::new() };
        person.csrf = csrf(&person.read("/preferences").await);
        person
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = self.stage.request(Method::GET, path).header("cookie", &self.session);
        request.header("accept-language", "en").send().await.unwrap()
    }

    /// The page, which must be there.
    async fn read(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    }

    /// Sends a form of one of our pages.
    pub(crate) async fn press(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        self.press_with(path, fields, &self.csrf).await
    }

    async fn press_with(&self, path: &str, fields: &[(&str, &str)], csrf: &str) -> Response {
        let request = self.stage.request(Method::POST, path).header("cookie", &self.session);
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.header("accept-language", "en");
        let fields: Vec<_> = [("csrf", csrf)].iter().chain(fields).copied().collect();
        request.form(&fields).send().await.unwrap()
    }

    /// Publishes events and lets Loa do what can be done now.
    pub(crate) async fn publish(&self, events: &[Value]) {
        let path = "/v1/events?on_reject=keep";
        let (status, answer) = self.stage.api(Method::POST, path, json!(events)).await;
        assert!(status.is_success(), "{answer}");
        self.stage.app.pipeline.run_until_idle().await.unwrap();
    }

    /// The ids and states of an order's deliveries, but for those decided against.
    pub(crate) async fn deliveries(&self, order: &str) -> Vec<(String, String)> {
        let business_key = Some(order.to_owned());
        let filter = DeliveryFilter { business_key, ..DeliveryFilter::default() };
        let found = self.stage.app.store.deliveries(filter, None, 100).await.unwrap();
        let row = |delivery: &loa::model::delivery::Delivery| {
            (delivery.id.to_string(), delivery.state.as_str().to_owned())
        };
        found.iter().map(row).filter(|(_, state)| state != "skipped").collect()
    }

    async fn states(&self, order: &str) -> Vec<String> {
        self.deliveries(order).await.into_iter().map(|(_, state)| state).collect()
    }

    /// The id of the only rejected event.
    pub(crate) async fn rejected(&self) -> String {
        let found = self.stage.app.store.rejected_events(None, 10).await.unwrap();
        assert_eq!(found.len(), 1);
        found[0].id.to_string()
    }
}

pub(crate) fn place(answer: &Response) -> &str {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    answer.headers()["location"].to_str().unwrap()
}

/// Whether this process heeds a hold of its sandbox.
fn is_held(person: &Person) -> bool {
    person.stage.app.pipeline.desks().find(&"sandbox".into()).unwrap().is_held()
}

/// A delay that is told only next month.
fn later(number: usize) -> Value {
    let mut event = delay(number);
    event["notbefore"] = json!("2026-12-24T03:00:00Z");
    event
}

#[tokio::test]
async fn a_delivery_is_held_released_and_cancelled_by_its_buttons() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    person.publish(&[later(1)]).await;
    let (id, state) = person.deliveries("DH-1").await.remove(0);
    assert_eq!(state, "waiting");
    let repair = format!("/deliveries/{id}/repair");

    for (action, state) in [("hold", "held"), ("release", "waiting"), ("cancel", "cancelled")] {
        assert!(person.read(&format!("/deliveries/{id}")).await.contains(action), "no {action}");
        let answer = person.press(&repair, &[("action", action)]).await;

        assert_eq!(place(&answer), format!("/deliveries/{id}?done={action}"));
        assert_eq!(person.states("DH-1").await, [state]);
    }
    let unfit = person.press(&repair, &[("action", "hold")]).await;
    assert_eq!(place(&unfit), format!("/deliveries/{id}?done=unfit"));
    let page = person.read(place(&unfit)).await;
    assert!(page.contains("nothing was done"));
    for deed in ["Held by thu-ha", "Released by thu-ha", "Cancelled by thu-ha"] {
        assert!(page.contains(deed), "{deed}: {page}");
    }
    person.stage.app.stop().await;
}

#[tokio::test]
async fn browsers_find_the_icon_that_they_ask_for_by_themselves() {
    let stage = Stage::open("").await;

    let icon = stage.request(Method::GET, "/favicon.ico").send().await.unwrap();

    assert_eq!(icon.status(), StatusCode::OK);
    assert_eq!(icon.headers()["content-type"], "image/svg+xml");
}

#[tokio::test]
async fn what_a_filter_finds_is_counted_before_it_is_repaired() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    person.publish(&[later(1), later(2), delay(3)]).await;

    let list = person.read("/deliveries?type=order.delayed").await;
    let question = person.read("/deliveries/repair?action=cancel&business_key=DH-2").await;
    assert!(list.contains("/deliveries/repair?type=order.delayed&#38;action=cancel"), "{list}");
    assert!(question.contains("<b>1</b> deliveries fit"), "{question}");
    assert_eq!(person.states("DH-2").await, ["waiting"], "a question does nothing");
    let fields = [("action", "cancel"), ("business_key", "DH-2")];
    let answer = person.press("/deliveries/repair", &fields).await;

    let shown = person.read(place(&answer)).await;
    assert!(shown.contains("Cancelled: 1"), "{shown}");
    assert_eq!(person.states("DH-1").await, ["waiting"]);
    assert_eq!(person.states("DH-2").await, ["cancelled"]);
    assert_eq!(person.states("DH-3").await, ["sent"]);
    person.stage.app.stop().await;
}

#[tokio::test]
async fn a_rejected_event_is_checked_mended_and_replayed() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    let mut broken = delay(7);
    broken["data"]["promised_at"] = json!(5);
    person.publish(&[broken]).await;
    let page = format!("/rejected/{}", person.rejected().await);
    let mended = delay(7).to_string();

    let again = person.press(&format!("{page}/check"), &[("body", "{")]).await;
    let again = again.text().await.unwrap();
    assert!(again.contains("It would be rejected again"), "{again}");
    assert!(again.contains("<button class=\"main\">Check: "), "{again}");
    let check = person.press(&format!("{page}/check"), &[("body", &mended)]).await;
    let check = check.text().await.unwrap();
    assert!(check.contains("Deliveries it would plan: 3"), "{check}");
    assert!(check.contains("<button class=\"main\" formaction="), "{check}");
    assert!(person.states("DH-7").await.is_empty(), "a check plans nothing");
    let unmended = person.press(&format!("{page}/replay"), &[]).await;
    assert_eq!(unmended.status(), StatusCode::OK);
    let replayed = person.press(&format!("{page}/replay"), &[("body", &mended)]).await;

    assert!(place(&replayed).starts_with("/events/"), "{}", place(&replayed));
    assert!(person.read(place(&replayed)).await.contains("DH-7"));
    assert_eq!(person.get(&page).await.status(), StatusCode::GONE);
    person.stage.app.stop().await;
}

#[tokio::test]
async fn a_rejected_event_is_discarded() {
    let person = Person::operator("").await;
    person.publish(&[event("order.eaten", "x-1", json!({}))]).await;
    let page = format!("/rejected/{}", person.rejected().await);

    let answer = person.press(&format!("{page}/discard"), &[]).await;

    assert_eq!(place(&answer), "/rejected?done=discarded");
    assert!(person.read("/rejected").await.contains("No event was rejected."));
    person.stage.app.stop().await;
}

#[tokio::test]
async fn a_provider_is_held_and_released_by_its_buttons() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;

    let held = person.press("/providers/sandbox/hold", &[("reason", "fire drill")]).await;
    assert_eq!(place(&held), "/providers?done=provider_held");
    assert!(person.read("/providers").await.contains("fire drill (by thu-ha, "));
    assert!(is_held(&person), "planned work still goes out by the short way");
    let hold = person.stage.app.store.provider_holds().await.unwrap().remove(0);
    assert_eq!((hold.reason.as_str(), hold.held_by.as_str()), ("fire drill", "thu-ha"));
    let tried = person.press("/providers/sandbox/test", &[("to", "an@example.com")]).await;
    assert!(tried.text().await.unwrap().contains("250 captured"));
    let tried = person.press("/providers/sandbox/test", &[("to", "no address@")]).await;
    assert_eq!(tried.status(), StatusCode::BAD_REQUEST);
    let released = person.press("/providers/sandbox/release", &[]).await;

    assert_eq!(place(&released), "/providers?done=provider_released");
    assert!(person.stage.app.store.provider_holds().await.unwrap().is_empty());
    assert!(!is_held(&person), "planned work still waits");
    person.stage.app.stop().await;
}

#[tokio::test]
async fn only_operators_with_the_token_of_their_session_change_something() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    person.publish(&[later(1)]).await;
    let (id, _) = person.deliveries("DH-1").await.remove(0);
    let repair = format!("/deliveries/{id}/repair");

    let forged = person.press_with(&repair, &[("action", "cancel")], "guess").await;
    assert_eq!(forged.status(), StatusCode::FORBIDDEN);
    assert!(forged.text().await.unwrap().contains("<h1>Not allowed</h1>"));
    let senseless = person.press(&repair, &[("action", "eat")]).await;
    assert_eq!(senseless.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(senseless.text().await.unwrap().contains("<h1>This cannot be read</h1>"));
    let nowhere = person.stage.request(Method::GET, "/nowhere").header("accept", "text/html");
    let nowhere = nowhere.header("accept-language", "vi").send().await.unwrap();
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    assert!(nowhere.text().await.unwrap().contains("<h1>Không tìm thấy</h1>"));
    for room in ["/", "/events", "/deliveries", "/rejected", "/sandbox", "/providers", "/directory"]
    {
        let stranger = person.stage.request(Method::GET, room).send().await.unwrap();
        assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED, "{room}");
        assert!(stranger.text().await.unwrap().contains("loa users link"), "{room}");
    }
    let session = person.stage.sign_in("an", "viewer").await;
    let viewer = Person { session, ..person };
    let viewer = Person { csrf: csrf(&viewer.read("/preferences").await), ..viewer };
    assert!(!viewer.read(&format!("/deliveries/{id}")).await.contains("value=\"cancel\""));
    let refused = viewer.press(&repair, &[("action", "cancel")]).await;

    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(viewer.states("DH-1").await, ["waiting"]);
    viewer.stage.app.stop().await;
}

#[tokio::test]
async fn the_console_speaks_the_language_and_tells_the_time_that_a_person_chose() {
    let person = Person::of_role("", "viewer").await;
    person.publish(&partner()).await;
    person.publish(&[delay(1)]).await;
    assert!(person.read("/events").await.contains("23 Nov, 09:00:00"));

    let fields = [("language", "vi"), ("zone", "Europe/London"), ("back", "/events")];
    let kept = person.press("/preferences", &fields).await;
    assert_eq!(place(&kept), "/events");
    let cookies = kept.headers().get_all("set-cookie").iter();
    let cookies = cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
    let session = [person.session.as_str()].into_iter().chain(cookies).collect::<Vec<_>>();
    let chosen = Person { session: session.join("; "), ..person };
    let page = chosen.read("/events").await;

    assert!(page.contains("<html lang=\"vi\">"), "{page}");
    assert!(page.contains("title=\"2026-11-23T02:00:00Z (UTC)\">23/11, 02:00:00<"), "{page}");
    let elsewhere = chosen.press("/preferences", &[("back", "//evil.example")]).await;
    assert_eq!(place(&elsewhere), "/");
    let nowhere = chosen.press("/preferences", &[("zone", "Atlantis")]).await;
    assert_eq!(nowhere.status(), StatusCode::BAD_REQUEST);
    chosen.stage.app.stop().await;
}

#[tokio::test]
async fn the_search_box_leads_to_what_it_finds() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    person.publish(&[delay(1)]).await;
    let (id, _) = person.deliveries("DH-1").await.remove(0);

    for (text, found, shown) in [
        (id.as_str(), format!("/deliveries/{id}"), "the message to Nguyễn Thị Lan"),
        ("DH-1", "/events?business_key=DH-1".to_owned(), "order.delayed"),
        ("minh-phat", "/events?business_key=minh-phat".to_owned(), "partner.changed"),
        ("lan@MINHPHAT.test", "/deliveries?address=lan%40MINHPHAT.test".to_owned(), "Nguyễn"),
        ("nguyen thi", "/deliveries?name=nguyen+thi".to_owned(), "Nguyễn Thị Lan"),
    ] {
        let query: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let answer = person.get(&format!("/search?q={query}")).await;

        assert_eq!(place(&answer), found);
        assert!(person.read(place(&answer)).await.contains(shown), "{text}");
    }
    person.stage.app.stop().await;
}

#[tokio::test]
async fn the_ledger_warns_of_what_is_late_and_when_it_does_not_close() {
    let mut person = Person::operator("").await;
    person.publish(&partner()).await;
    let calm = person.read("/").await;
    assert!(calm.contains(">closes</span>") && !calm.contains("class=\"banner"), "{calm}");

    person.press("/providers/sandbox/hold", &[]).await;
    person.publish(&[later(1)]).await;
    let due = "2026-12-24T03:05:01Z".parse().unwrap();
    person.stage.app.clock.advance_to(due);
    person.session = person.stage.sign_in("an", "operator").await;
    // What waits for a provider on hold is not late as well.
    let held = person.read("/").await;
    assert!(held.contains("on hold") && !held.contains("class=\"late\""), "{held}");

    // Behind the back of Loa, which looks again only when its clock has moved on.
    let file = person.stage.app.config.data_dir.join("loa.db");
    let behind = rusqlite::Connection::open(file).unwrap();
    behind.execute("DELETE FROM provider_hold", []).unwrap();
    let late = person.read("/").await;
    assert!(late.contains("class=\"banner amber\""), "{late}");
    assert!(late.contains("<span class=\"late\">5 min</span>"), "{late}");

    let lost = "UPDATE counter SET value = value + 1 WHERE name = 'delivery.planned'";
    behind.execute(lost, []).unwrap();
    let open = person.read("/").await;
    assert!(open.contains("class=\"banner red\""), "{open}");
    assert!(open.contains("does not close"), "{open}");
    person.stage.app.stop().await;
}

#[tokio::test]
async fn pages_of_a_list_hold_every_delivery_once() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    person.publish(&(0..45).map(delay).collect::<Vec<_>>()).await;

    let mut found = Vec::new();
    let mut next = Some("/deliveries?type=order.delayed".to_owned());
    while let Some(path) = next {
        let page = person.read(&path).await;
        let rows = page.split("<td class=\"main\"><a href=\"/deliveries/").skip(1);
        found.extend(rows.map(|row| row.split('"').next().unwrap().to_owned()));
        let older = page.split("rel=\"next\" href=\"").nth(1);
        next = older.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&"));
    }

    assert_eq!(found.len(), 135, "each event: one is told, two are skipped");
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 135);
    person.stage.app.stop().await;
}

#[tokio::test]
async fn the_directory_tells_how_somebody_is_reached_and_what_stands_against_it() {
    let person = Person::of_role("", "viewer").await;
    let [company, mut contact] = partner();
    contact["data"]["consents"] = json!([{
        "address": { "channel": "email", "email": "lan@minhphat.test" }, "granted": true,
        "at": "2026-02-01T00:00:00Z", "source": "contract"
    }]);
    person.publish(&[company, contact]).await;
    let store = &person.stage.app.store;
    let address = loa::model::address::Address::email("lan@minhphat.test").unwrap();
    let at = "2026-03-01T00:00:00Z".parse().unwrap();
    let reason = "hard_bounce".to_owned();
    store.suppress(loa::model::contact::Suppression { address, reason, at }).await.unwrap();

    for wanted in ["nguyen", "minh+phat", "lan%40MINHPHAT.test", "lan"] {
        let list = person.read(&format!("/directory?q={wanted}")).await;
        assert!(list.contains("<a href=\"/directory/lan\">Nguyễn Thị Lan</a>"), "{wanted}: {list}");
        assert!(list.contains("la…@minhphat.test") && list.contains("blocked"), "{list}");
    }
    let page = person.read("/directory/lan").await;

    assert!(page.contains("hard_bounce") && page.contains("1 Mar, 07:00:00"), "{page}");
    assert!(
        page.contains("welcome") && page.contains("contract") && page.contains("1 Feb, 07:00:00"),
        "{page}"
    );
    assert_eq!(person.get("/directory/nobody").await.status(), StatusCode::NOT_FOUND);
    person.stage.app.stop().await;
}

#[tokio::test]
async fn of_a_captured_message_nobody_reads_that_it_went_out() {
    let person = Person::operator("").await;
    person.publish(&partner()).await;
    person.publish(&[delay(1)]).await;
    let (id, _) = person.deliveries("DH-1").await.remove(0);
    let path = format!("/deliveries/{id}");

    let page = person.read(&path).await;

    assert!(page.contains("Nothing left this Loa: sandbox captured the message to"), "{page}");
    assert!(!page.contains("It went out to"), "{page}");
    person.stage.app.stop().await;
}

#[tokio::test]
async fn a_message_is_shown_as_it_was_captured_sent_or_would_be_sent() {
    let person = Person::operator("").await;
    let [company, mut contact] = partner();
    contact["data"]["addresses"] = json!([{ "channel": "email", "email": "refuse@minhphat.test" }]);
    person.publish(&[company, contact]).await;
    person.publish(&[delay(1), later(2)]).await;

    for (order, state, about) in [
        ("DH-1", "failed", "as it was sent, by the same version of the template"),
        ("DH-2", "waiting", "a preview: as it would go out now"),
    ] {
        let (id, found) = person.deliveries(order).await.remove(0);
        let page = person.read(&format!("/deliveries/{id}")).await;
        let email = person.read(&format!("/deliveries/{id}/message")).await;

        assert_eq!(found, state);
        assert!(page.contains(about), "{page}");
        assert!(page.contains(&format!("Đơn hàng {order} giao chậm")), "{page}");
        assert!(email.contains(order) && email.contains("</html>"), "{email}");
    }
    person.stage.app.stop().await;
}
