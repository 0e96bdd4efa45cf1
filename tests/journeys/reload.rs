//! SIGHUP: what is mended takes effect, what is broken changes nothing.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use crate::receiver::{Gateway, Relay};
use crate::stage::{Running, delay, event, outside, partner, settings};

/// A type that the built-in catalogue does not have.
const TYPE: &str = "description = \"A visit is arranged.\"\ncategory = \"transactional\"\n\
    expiry = \"1 day\"\n\
    [[steps]]\nname = \"tell\"\nto = [\"recipients\"]\nchannels = [\"sms\"]\n\
    [schema]\ntype = \"object\"\nrequired = [\"text\", \"recipients\"]\n\
    [schema.properties]\ntext = { type = \"string\" }\nrecipients = { type = \"array\" }\n";

/// A folder with the delivered catalogue and templates, and settings that name it.
struct House {
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        copy(&root.join("config/event-types"), &folder.path().join("types"));
        copy(&root.join("templates"), &folder.path().join("templates"));
        Self { folder }
    }

    fn settings(&self, more: &str) -> String {
        let path = self.folder.path().display();
        let folders = "catalogue_dir = \"PATH/types\"\ntemplates_dir = \"PATH/templates\"\n";
        format!("{}{}", folders.replace("PATH", &path.to_string()), settings(more))
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds the type `visit.arranged`, whose message is `text`.
    fn arrange_visits(&self, text: &str) {
        self.write("types/visit.arranged.toml", TYPE);
        let sample = json!({ "text": "Thursday", "recipients": ["+84901234567"] });
        self.write("templates/messages/visit.arranged/sample.json", &sample.to_string());
        for locale in ["vi", "en"] {
            self.write(&format!("templates/messages/visit.arranged/{locale}/sms.txt"), text);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap().is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(from, to).unwrap()),
        }
    }
}

fn visit(id: &str, text: &str) -> serde_json::Value {
    event("visit.arranged", id, json!({ "text": text, "recipients": ["+84901234567"] }))
}

#[tokio::test]
async fn a_new_type_is_taken_in_after_sighup_and_a_broken_one_changes_nothing() {
    let house = House::new();
    let loa = Running::start(&house.folder, &house.settings("")).await;
    loa.publish(&partner()).await.unwrap();
    let before = loa.publish(&[visit("v-1", "Friday")]).await.unwrap();
    assert_eq!(before["results"][0]["reason"], "unknown_type");

    house.arrange_visits("Visit: {{data.text}}");
    loa.signal("HUP");
    loa.wait_for_log("read everything anew", 1).await;
    let after = loa.publish(&[visit("v-2", "Friday")]).await.unwrap();
    assert_eq!(after["results"][0]["result"], "planned", "{after}");

    house.arrange_visits("Visit: {{#if data.text}}");
    house.write("types/order.delayed.toml", "description = 7\n");
    house.write("loa.toml", &house.settings("[send]\ngrace = \"9s\"\n"));
    loa.signal("HUP");
    loa.wait_for_log("everything stays as it was", 1).await;

    let log = loa.log();
    assert!(log.contains("types/order.delayed.toml:1:"), "no place in {log}");
    let of_template = "templates/messages/visit.arranged/vi/sms.txt:";
    assert!(log.contains(of_template), "not all faults in {log}");
    let still = loa.publish(&[visit("v-3", "Friday"), delay(1)]).await.unwrap();
    assert_eq!(still["results"][0]["result"], "planned", "{still}");
    assert_eq!(still["results"][1]["result"], "planned", "{still}");
    assert_eq!(loa.drain().await["ledger"]["closes"], true);
}

#[tokio::test]
async fn what_cannot_change_while_loa_runs_is_said_and_kept() {
    let house = House::new();
    let loa = Running::start(&house.folder, &house.settings("")).await;

    let more = "[store]\nurl = \"postgres://nobody@127.0.0.1:1/none\"\n[rabbitmq]\n\
                url = \"amqp://127.0.0.1:1\"\n";
    house.write("loa.toml", &house.settings(more).replace(":0\"", ":9\""));
    loa.signal("HUP");
    loa.wait_for_log("read everything anew", 1).await;

    let log = loa.log();
    for key in ["http", "rabbitmq", "store"] {
        assert!(log.contains(&format!("the setting `{key}` has changed")), "{key}: {log}");
    }
    assert!(!log.contains("the setting `send` has changed"), "{log}");
    let published = loa.publish(&partner()).await.unwrap();
    assert_eq!(published["results"][0]["result"], "planned");
}

#[tokio::test]
async fn a_mended_template_releases_what_its_fault_held() {
    let house = House::new();
    house.arrange_visits("Visit: {{data.text}}");
    let loa = Running::start(&house.folder, &house.settings("")).await;
    // More parts than an SMS may have.
    loa.publish(&[visit("v-1", &"x".repeat(2000))]).await.unwrap();
    loa.wait_for_log("its message does not render", 1).await;
    loa.drain().await;
    assert_eq!(loa.get("/v1/deliveries/count?state=held&reason=render_fault").await["count"], 1);

    house.arrange_visits("Visit.");
    loa.signal("HUP");
    loa.wait_for_log("released 1 deliveries", 1).await;

    loa.drain().await;
    assert_eq!(loa.get("/v1/deliveries/count?state=sent&type=visit.arranged").await["count"], 1);
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_again_by_its_provider() {
    let (relay, gateway) = (Relay::start().await, Gateway::start().await);
    let house = House::new();
    house.write("secrets/chat", &gateway.url("/old"));
    let file = house.folder.path().join("secrets/chat");
    let usual = outside(&relay, &gateway, ("", ""));
    let url = format!("url = \"{}\"", gateway.url("/slack"));
    let settings = usual.replace(&url, &format!("url_file = \"{}\"", file.display()));
    let loa = Running::start(&house.folder, &settings).await;
    let test = async || {
        let (accepted, answer) = loa.command(&["providers", "test", "team-chat"]).await;
        assert!(accepted, "{answer}");
        gateway.requests.all().last().unwrap().path.clone()
    };
    assert_eq!(test().await, "/old");

    house.write("secrets/chat", &gateway.url("/new"));
    loa.signal("HUP");
    loa.wait_for_log("provider team-chat has read its files anew", 1).await;

    assert_eq!(test().await, "/new");
    assert!(!loa.log().contains("the setting `providers` has changed"), "{}", loa.log());
}
