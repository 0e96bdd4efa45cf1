//! The client base as people keep it: imported, corrected, looked at, and used by the next event.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::inside::Stage;
use crate::stage::{Running, delay, loa, own_database, settings};

/// A test on each store.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::inside::Stage::open("").await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let url = super::own_database(concat!("directory_", stringify!($name))).await;
                let settings = format!("[store]\nurl = \"{url}\"\n");
                super::$name(crate::inside::Stage::open(&settings).await).await;
            })*
        }
    };
}

on_both_stores!(
    a_table_is_imported_whole_or_not_at_all,
    an_import_changes_nothing_that_is_newer_and_brings_back_no_consent,
    an_import_warns_of_whom_it_names_and_of_consent_that_stays_withdrawn,
    a_segment_is_saved_shown_and_forgotten,
    a_suppressed_address_is_listed_in_pages_and_lifted,
);

const PARTNERS: &str = "id,name,tier,manager\nmp,Minh Phát,vip,bao\nht,Hoàng Thành,standard,bao\n";
const CONTACTS: &str = "id,name,partner,email,phone,tags,teams,marketing,duty\n\
                        lan,Nguyễn Thị Lan,mp,lan@minhphat.example,0901234567,tea;coffee,,yes,buyer\n\
                        bao,Trần Quốc Bảo,,bao@loa.example,,,managers;sales,,\n";

impl Stage {
    async fn import(&self, path: &str, media_type: &str, body: &str) -> (StatusCode, Value) {
        let request = self.request(Method::POST, path).bearer_auth(self.token());
        let request = request.header("content-type", media_type).body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn settle(&self) {
        for (path, body) in [("partners", PARTNERS), ("contacts", CONTACTS)] {
            let path = format!("/v1/{path}/import");
            let (status, answer) = self.import(&path, "text/csv", body).await;
            assert_eq!((status, &answer["applied"]), (StatusCode::OK, &json!(2)), "{answer}");
        }
    }

    async fn read(&self, path: &str) -> Value {
        let (status, answer) = self.api(Method::GET, path, json!({})).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }
}

fn ids(answer: &Value, list: &str) -> Vec<String> {
    let rows = answer[list].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

async fn a_table_is_imported_whole_or_not_at_all(stage: Stage) {
    let bad = format!("{CONTACTS}an,,mp,an@minhphat.example,,,,,\nhoa,Hoa,mp,no-address,,,,,\n");
    let path = "/v1/contacts/import";
    let (status, problem) = stage.import(path, "text/csv", &bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let places = problem["faults"].as_array().unwrap().iter().map(|fault| {
        (fault["line"].as_u64().unwrap(), fault["pointer"].as_str().unwrap().to_owned())
    });
    let places = places.collect::<Vec<_>>();
    assert_eq!(places, [(4, String::new()), (5, "/email".to_owned())], "{problem}");
    assert!(!problem.to_string().contains("no-address"), "a fault shows no address: {problem}");
    assert_eq!(ids(&stage.read("/v1/contacts").await, "contacts"), [""; 0]);

    let (_, dry) = stage.import("/v1/contacts/import?dry_run=true", "text/csv", &bad).await;
    assert_eq!((&dry["fit"], &dry["unfit"], &dry["applied"]), (&json!(2), &json!(2), &Value::Null));
    assert_eq!(dry["warned"], 1, "{dry}");
    let warning = &dry["warnings"][0];
    assert_eq!((&warning["line"], &warning["pointer"]), (&json!(2), &json!("/partner")), "{dry}");
    assert!(warning["message"].as_str().unwrap().contains("partner `mp` is not known"), "{dry}");
    assert_eq!(ids(&stage.read("/v1/contacts").await, "contacts"), [""; 0]);

    stage.settle().await;
    let (_, kept) = stage.import("/v1/contacts/import?on_fault=skip", "text/csv", &bad).await;
    assert_eq!((&kept["applied"], &kept["unfit"]), (&json!(2), &json!(2)), "{kept}");
    assert_eq!(kept["warned"], 0, "its partner is known now: {kept}");

    assert_eq!(ids(&stage.read("/v1/partners?q=phat").await, "partners"), ["mp"]);
    let by_partner = stage.read("/v1/contacts?partner=mp").await;
    assert_eq!(ids(&by_partner, "contacts"), ["lan"]);
    assert_eq!(ids(&stage.read("/v1/contacts?team=managers").await, "contacts"), ["bao"]);
    let lan = stage.read("/v1/contacts/lan").await;
    assert_eq!(lan["contact"]["addresses"][1]["phone"], "+84901234567", "{lan}");
    assert_eq!(lan["consents"].as_array().unwrap().len(), 2, "{lan}");
    let teams = stage.read("/v1/teams").await;
    assert_eq!(teams["teams"][0], json!({ "name": "managers", "members": 1 }), "{teams}");
    let (status, problem) = stage.import(path, "text/plain", CONTACTS).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{problem}");
    stage.app.stop().await;
}

async fn an_import_changes_nothing_that_is_newer_and_brings_back_no_consent(stage: Stage) {
    stage.settle().await;
    let withdrawn = json!({
        "name": "Lan", "email": "lan@minhphat.example", "marketing": false,
        "changed_at": "2026-11-23T03:00:00Z",
    });
    let (status, put) = stage.api(Method::PUT, "/v1/contacts/lan", withdrawn).await;
    assert_eq!((status, &put["applied"]), (StatusCode::OK, &json!(true)), "{put}");

    let (_, old) = stage.import("/v1/contacts/import", "text/csv", CONTACTS).await;
    assert_eq!((&old["applied"], &old["older"]), (&json!(1), &json!(1)), "{old}");
    let grant = json!({ "name": "Lan", "email": "lan@minhphat.example", "marketing": true,
                        "changed_at": "2026-11-23T04:00:00Z" });
    stage.api(Method::PUT, "/v1/contacts/lan", grant).await;

    let lan = stage.read("/v1/contacts/lan").await;
    assert_eq!(lan["contact"]["name"], "Lan", "{lan}");
    assert_eq!(lan["consents"][0]["granted"], false, "{lan}");
    let other = json!({ "id": "an", "name": "Lan" });
    let (status, problem) = stage.api(Method::PUT, "/v1/contacts/lan", other).await;
    assert_eq!((status, &problem["pointer"]), (StatusCode::BAD_REQUEST, &json!("/id")));
    let (status, problem) =
        stage.api(Method::PUT, "/v1/partners/mp", json!({ "name": "MP", "tier": "gold" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["pointer"], "/tier", "{problem}");
    stage.app.stop().await;
}

async fn an_import_warns_of_whom_it_names_and_of_consent_that_stays_withdrawn(stage: Stage) {
    stage.settle().await;
    let no = json!({ "name": "Lan", "email": "lan@minhphat.example", "marketing": false,
                     "changed_at": "2026-11-23T03:00:00Z" });
    stage.api(Method::PUT, "/v1/contacts/lan", no).await;
    let warned = async |path: &str, table: &str| -> Vec<(u64, String)> {
        let (status, done) = stage.import(path, "text/csv", table).await;
        assert_eq!(status, StatusCode::OK, "{done}");
        let one = |warning: &Value| {
            let message = warning["message"].as_str().unwrap().to_owned();
            (warning["line"].as_u64().unwrap(), message)
        };
        done["warnings"].as_array().unwrap().iter().map(one).collect()
    };

    let partners = "id,name,manager\nmp,MP,nobody\nht,HT,bao\n";
    let partners = warned("/v1/partners/import", partners).await;
    let contacts = "id,name,email,superior,chat,marketing\n\
                    lan,Lan,lan@minhphat.example,,,yes\n\
                    an,An,an@minhphat.example,hoa,,yes\n\
                    hoa,Hoa,,nobody,nowhere,\n";
    let contacts = warned("/v1/contacts/import", contacts).await;
    let yes = json!({ "name": "Lan", "email": "lan@minhphat.example", "marketing": true });
    let (_, put) = stage.api(Method::PUT, "/v1/contacts/lan", yes).await;

    assert_eq!(partners.len(), 1, "{partners:?}");
    assert!(partners[0].0 == 2 && partners[0].1.contains("contact `nobody` is not known"));
    let lines: Vec<_> = contacts.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [2, 4, 4], "{contacts:?}");
    assert!(contacts[0].1.contains("was withdrawn, and stays so"), "{contacts:?}");
    assert!(contacts[1].1.contains("contact `nobody`"), "{contacts:?}");
    assert!(contacts[2].1.contains("no provider `nowhere` serves chat"), "{contacts:?}");
    assert!(put["warnings"][0]["message"].as_str().unwrap().contains("withdrawn"), "{put}");
    stage.app.stop().await;
}

async fn a_segment_is_saved_shown_and_forgotten(stage: Stage) {
    stage.settle().await;
    let path = "/v1/segments/tea-vips";
    let filter = json!({ "tags": ["tea"], "tiers": ["vip"] });
    let (status, saved) = stage.api(Method::PUT, path, filter).await;
    assert_eq!((status, &saved["members"]), (StatusCode::OK, &json!(1)), "{saved}");
    assert_eq!(stage.read(path).await["first"], json!(["lan"]));
    assert_eq!(stage.read("/v1/segments").await["segments"][0]["name"], "tea-vips");

    for (body, place) in [(json!({}), ""), (json!({ "tiers": ["gold"] }), "/tiers[0]")] {
        let (status, problem) = stage.api(Method::PUT, path, body).await;
        assert_eq!((status, &problem["pointer"]), (StatusCode::BAD_REQUEST, &json!(place)));
    }
    let gone = stage.request(Method::DELETE, path).bearer_auth(stage.token());
    assert_eq!(gone.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(stage.api(Method::GET, path, json!({})).await.0, StatusCode::NOT_FOUND);
    stage.app.stop().await;
}

async fn a_suppressed_address_is_listed_in_pages_and_lifted(stage: Stage) {
    let path = "/v1/suppressions";
    for number in 1..=5 {
        let body = json!({ "channel": "email", "address": format!("n{number}@partner.test") });
        assert_eq!(stage.api(Method::POST, path, body).await.0, StatusCode::CREATED);
    }
    let secret = json!({ "channel": "chat", "address": "team-chat:SECRET-ROOM" });
    stage.api(Method::POST, path, secret).await;

    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = stage.read(&format!("{path}?limit=2{after}")).await;
        assert!(!page.to_string().contains("SECRET"), "{page}");
        let rows = page["suppressions"].as_array().unwrap().iter();
        seen.extend(rows.map(|row| row["address"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), 6, "{seen:?}");
    let lift = json!({ "channel": "email", "address": "n1@partner.test" });
    let (_, first) = stage.api(Method::POST, "/v1/suppressions/lift", lift.clone()).await;
    let (_, second) = stage.api(Method::POST, "/v1/suppressions/lift", lift).await;
    assert_eq!(first["was_suppressed"], true);
    assert_eq!(second["was_suppressed"], false);
    let fax = json!({ "channel": "fax", "address": "1" });
    let (status, problem) = stage.api(Method::POST, path, fax).await;
    assert_eq!((status, &problem["pointer"]), (StatusCode::BAD_REQUEST, &json!("/channel")));
    stage.app.stop().await;
}

/// Runs a command on the folder of a running Loa: whether it went well, and what it printed.
fn say(folder: &TempDir, arguments: &[&str]) -> (bool, String) {
    let mut command = loa();
    command.current_dir(folder.path()).args(arguments).args(["--data-dir", "data"]);
    let output = command.output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

#[tokio::test]
async fn a_file_is_imported_by_command_and_the_next_event_reaches_whom_it_brought() {
    let folder = TempDir::new().unwrap();
    let running = Running::start(&folder, &settings("")).await;
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("partners.csv", PARTNERS);
    write("contacts.csv", CONTACTS);
    write("more.ndjson", "{\"id\":\"an\",\"name\":\"An\"}\n\n{oops\n{\"id\":\"ha\",\"name\":7}\n");

    let (done, said) = say(&folder, &["partners", "import", "partners.csv"]);
    assert!(done && said.contains("2 of 2 partners taken"), "{said}");
    let (done, said) = say(&folder, &["contacts", "import", "contacts.csv", "--dry-run"]);
    assert!(done && said.contains("2 contacts read: 2 can be taken"), "{said}");
    assert!(!say(&folder, &["contacts", "show", "lan"]).0, "a dry run changes nothing");
    assert!(say(&folder, &["contacts", "import", "contacts.csv"]).0);
    let (done, said) = say(&folder, &["contacts", "import", "more.ndjson"]);
    assert!(!done && said.contains("more.ndjson:3: not a JSON object"), "{said}");
    assert!(said.contains("more.ndjson:4: /name: invalid type"), "{said}");
    assert!(said.contains("2 of 3 contacts have a fault, so none was taken"), "{said}");
    let (done, said) = say(&folder, &["contacts", "import", "more.ndjson", "--skip-faults"]);
    assert!(!done && said.contains("1 of 3 contacts taken"), "{said}");

    let (_, said) = say(&folder, &["contacts", "list", "--partner", "mp"]);
    assert!(said.contains("lan@minhphat.example") && !said.contains("bao@"), "{said}");
    let (_, said) = say(&folder, &["segments", "put", "tea", "--tag", "tea"]);
    assert!(said.contains("tea (tags tea): 1 belong to it now, such as lan"), "{said}");
    let (done, said) = say(&folder, &["suppressions", "add", "email", "lan@minhphat.example"]);
    assert!(done, "{said}");
    let (_, said) = say(&folder, &["contacts", "show", "lan"]);
    assert!(said.contains("lan@minhphat.example: operator, since"), "{said}");
    let (_, said) = say(&folder, &["suppressions", "lift", "email", "lan@minhphat.example"]);
    assert!(said.contains("may be used again"), "{said}");

    let mut late = delay(1);
    late["data"]["partner_id"] = json!("mp");
    running.publish(&[late]).await.unwrap();
    let is_told = async || {
        let told = running.deliveries("business_key=DH-1&state=sent").await;
        told.iter().any(|delivery| delivery["recipient"] == "lan")
    };
    running.until("the contact of the file is told", is_told).await;
}
