//! What happens to a big audience when its step or its members are gone before it is planned.

use serde_json::json;
use tempfile::TempDir;

use crate::audience::operator;
use crate::stage::{Running, event, on_postgres, own_database, settings, with_catalogue};

/// More than two pages.
const CONTACTS: usize = 2_300;

/// A database on which the planning of a big audience cannot go on until [`let_go_on`].
async fn stuck(name: &str, folder: &TempDir) -> (String, String, Running) {
    let url = own_database(name).await;
    let more = format!("[store]\nurl = \"{url}\"\n[send]\nlease = \"5s\"\n");
    let settings = settings(&more);
    let usual = with_catalogue(folder, &settings, |_, text| text);
    let loa = Running::start(folder, &usual).await;
    let contacts: Vec<_> = (0..CONTACTS).map(operator).collect();
    for contacts in contacts.chunks(500) {
        loa.publish(contacts).await.unwrap();
    }
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql \
                  AS 'BEGIN RAISE EXCEPTION ''not now''; END'; \
                  CREATE TRIGGER refuse BEFORE INSERT ON delivery FOR EACH ROW \
                  EXECUTE FUNCTION refuse()";
    on_postgres(&url, refuse).await;
    let data = json!({ "cause": "normal", "hour": "2030-01-01T00:00:00Z" });
    let mut alarm = event("loa.queue_late", "big", data);
    alarm["source"] = json!("drill");
    let answer = loa.publish(&[alarm]).await.unwrap();
    assert_eq!(answer["results"][0]["result"], "planning", "{answer}");
    loa.wait_for_log("planning of a big audience waits", 1).await;
    (url, settings, loa)
}

async fn let_go_on(url: &str) {
    on_postgres(url, "DROP TRIGGER refuse ON delivery").await;
}

#[tokio::test]
async fn a_page_whose_step_is_gone_waits_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let (url, settings, loa) = stuck("journey_pages_step", &folder).await;
    loa.kill();
    let without = |name: &str, text: String| match name {
        "loa.queue_late" => text.replace("name = \"tell_operators\"", "name = \"tell_nobody\""),
        _ => text,
    };
    let changed = with_catalogue(&folder, &settings, without);
    let loa = Running::start(&folder, &changed).await;
    let_go_on(&url).await;

    loa.wait_for_log("the step `tell_operators` is gone from the catalogue", 1).await;
    let events = loa.get("/v1/events?type=loa.queue_late").await;
    assert_eq!(events["events"][0]["state"], "planning", "{events}");
    assert_eq!(loa.count("type=loa.queue_late").await, 0);
    with_catalogue(&folder, &settings, |_, text| text);
    loa.signal("HUP");
    let ledger = loa.drain().await;

    assert_eq!(ledger["audit"], json!([]), "{ledger}");
    assert_eq!(loa.count("type=loa.queue_late&channel=email&state=sent").await, CONTACTS);
}

#[tokio::test]
async fn an_audience_of_which_nobody_is_left_leaves_one_row_that_says_so() {
    let folder = TempDir::new().unwrap();
    let (url, _, loa) = stuck("journey_pages_nobody", &folder).await;

    on_postgres(&url, "DELETE FROM contact_team").await;
    let_go_on(&url).await;
    loa.until("the end of planning", async || {
        let events = loa.get("/v1/events?type=loa.queue_late").await;
        events["events"][0]["state"] == json!("planned")
    })
    .await;

    let found = loa.deliveries("type=loa.queue_late").await;
    let words: Vec<_> = found.iter().map(|one| (&one["state"], &one["reason"])).collect();
    assert_eq!(words, [(&json!("skipped"), &json!("empty_audience"))], "{found:?}");
    loa.closes().await;
}
