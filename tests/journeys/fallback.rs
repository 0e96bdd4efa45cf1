//! One channel after the other: the next goes out only where none before it has, and takes its
//! place.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::{Gateway, Manner, Relay};
use crate::stage::{Clocked, delayed, event, outside, postgres, with_catalogue};

/// A test on each store.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Scene::set("").await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let store = super::postgres(concat!("fallback_", stringify!($name))).await;
                super::$name(super::Scene::set(&store).await).await;
            })*
        }
    };
}

on_both_stores!(
    what_is_not_sent_in_time_is_told_by_the_next_channel_and_by_that_alone,
    a_channel_that_is_being_sent_meanwhile_is_not_tried_again,
    a_channel_that_an_operator_holds_is_replaced_too,
    of_three_channels_the_first_that_works_is_the_only_one,
);

/// Late orders are told by chat, email and text message, ten minutes apart, to Huệ, who has all
/// three.
struct Scene {
    loa: Clocked,
    relay: Relay,
    gateway: Gateway,
    _folder: TempDir,
}

impl Scene {
    async fn set(store: &str) -> Self {
        let (relay, gateway) = (Relay::start().await, Gateway::start().await);
        let folder = TempDir::new().unwrap();
        let settings = outside(&relay, &gateway, ("", store));
        let three = |name: &str, text: String| match name {
            "order.delayed" => text.replacen(
                "channels = [\"email\", \"sms\"]",
                "channels = [\"chat\", \"email\", \"sms\"]",
                1,
            ),
            _ => text,
        };
        let loa = Clocked::start(&with_catalogue(&folder, &settings, three)).await;
        let once = "2026-01-01T00:00:00Z";
        let partner = json!({ "id": "tam-an", "name": "Tâm An", "changed_at": once });
        let hue = json!({
            "id": "hue", "name": "Huệ", "partner": "tam-an", "duty": "buyer", "changed_at": once,
            "addresses": [
                { "channel": "chat", "provider": "hook" },
                { "channel": "email", "email": "hue@taman.test" },
                { "channel": "sms", "phone": "+84907777777" }
            ]
        });
        let known = [event("partner.changed", "p", partner), event("contact.changed", "c", hue)];
        loa.publish(&known).await.unwrap();
        Self { loa, relay, gateway, _folder: folder }
    }

    /// An order is late.
    async fn tell(&self) {
        let late = event("order.delayed", "d-1", delayed("tam-an", "1"));
        let answer = self.loa.publish(&[late]).await.unwrap();
        assert_eq!(answer["results"][0]["result"], "planned", "{answer}");
    }

    async fn command(&self, arguments: &[&str]) {
        let (done, answer) = self.loa.command(arguments).await;
        assert!(done, "{answer}");
    }

    async fn story(&self, channel: &str) -> Value {
        self.loa.story(&format!("step=tell_partner&channel={channel}")).await
    }

    /// State and reason of the delivery by `channel`.
    async fn stands(&self, channel: &str) -> String {
        let story = self.story(channel).await;
        let word = |key: &str| story["delivery"][key].as_str().unwrap().to_owned();
        format!("{} {}", word("state"), word("reason"))
    }

    /// How often Huệ was told by chat, email and text message.
    fn told(&self) -> [usize; 3] {
        let requests = self.gateway.requests.all();
        let at = |path: &str| requests.iter().filter(|request| request.path == path).count();
        [at("/hook"), self.relay.mails.count(), at("/texts")]
    }
}

const MINUTE: Duration = Duration::from_mins(1);

async fn what_is_not_sent_in_time_is_told_by_the_next_channel_and_by_that_alone(scene: Scene) {
    scene.command(&["providers", "hold", "hook"]).await;

    scene.tell().await;
    scene.loa.pass(9 * MINUTE).await;
    let before = scene.told();
    scene.loa.pass(2 * MINUTE).await;
    let after = scene.told();
    scene.command(&["providers", "release", "hook"]).await;
    scene.loa.pass(60 * MINUTE).await;

    assert_eq!((before, after), ([0, 0, 0], [0, 1, 0]));
    assert_eq!(scene.told(), [0, 1, 0]);
    assert_eq!(scene.stands("chat").await, "cancelled fallback_took_over");
    assert_eq!(scene.stands("email").await, "sent accepted");
    assert_eq!(scene.stands("sms").await, "cancelled fallback_not_needed");
    scene.loa.closes().await;
}

async fn a_channel_that_is_being_sent_meanwhile_is_not_tried_again(scene: Scene) {
    scene.command(&["providers", "hold", "hook"]).await;
    scene.relay.script([Manner::PutsOffAfterTheDot]);
    scene.tell().await;
    scene.loa.pass(9 * MINUTE).await;

    // The email is under way when the text message comes due, and its relay then asks for time.
    scene.loa.move_on(2 * MINUTE).await;
    scene.relay.mails.wait_for(1).await;
    scene.loa.move_on(10 * MINUTE).await;
    scene.gateway.requests.wait_for(1).await;
    scene
        .loa
        .until("the text message to be sent", async || scene.stands("sms").await == "sent accepted")
        .await;
    scene.relay.release(1);
    scene.loa.pass(60 * MINUTE).await;

    assert_eq!(scene.told(), [0, 1, 1]);
    assert_eq!(scene.stands("email").await, "cancelled fallback_took_over");
    let attempts = scene.story("email").await["attempts"].clone();
    assert_eq!(attempts.as_array().unwrap().len(), 1, "{attempts}");
    scene.loa.closes().await;
}

async fn a_channel_that_an_operator_holds_is_replaced_too(scene: Scene) {
    scene.command(&["providers", "hold", "hook"]).await;
    scene.tell().await;
    let id = scene.story("chat").await["delivery"]["id"].as_str().unwrap().to_owned();
    scene.command(&["deliveries", "hold", &id]).await;
    scene.command(&["providers", "release", "hook"]).await;

    scene.loa.pass(9 * MINUTE).await;
    let before = scene.told();
    scene.loa.pass(2 * MINUTE).await;
    drop(scene.loa.command(&["deliveries", "release", &id]).await);
    scene.loa.pass(60 * MINUTE).await;

    assert_eq!((before, scene.told()), ([0, 0, 0], [0, 1, 0]));
    assert_eq!(scene.stands("chat").await, "cancelled fallback_took_over");
    scene.loa.closes().await;
}

async fn of_three_channels_the_first_that_works_is_the_only_one(scene: Scene) {
    scene.tell().await;
    scene.loa.pass(60 * MINUTE).await;

    assert_eq!(scene.told(), [1, 0, 0]);
    assert_eq!(scene.stands("chat").await, "sent accepted");
    for channel in ["email", "sms"] {
        assert_eq!(scene.stands(channel).await, "cancelled fallback_not_needed");
    }
    scene.loa.closes().await;
}
