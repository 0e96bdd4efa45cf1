//! One thing that is wrong is one fault, told where it stands and with what to do.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{loa, settings};

/// All that `loa check` says of these settings, with a variable of the environment.
fn check(settings: &str, variable: (&str, &str)) -> Vec<Value> {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("loa.toml"), settings).unwrap();
    fs::write(folder.path().join("random"), [0xC3, 0x28].repeat(20)).unwrap();
    let mut command = loa();
    command.current_dir(folder.path()).env(variable.0, variable.1);
    command.args(["check", "--config", "loa.toml", "--output", "json"]);
    let output = command.output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let faults = told["faults"].as_array().unwrap();
    faults.iter().filter(|fault| fault["severity"] == "error").cloned().collect()
}

fn only(faults: Vec<Value>) -> [String; 3] {
    assert_eq!(faults.len(), 1, "{faults:#?}");
    ["place", "what", "help"].map(|key| faults[0][key].as_str().unwrap().to_owned())
}

const NONE: (&str, &str) = ("LOA__LOG__LEVEL", "info");

#[test]
fn a_secret_that_is_no_text_is_one_fault_that_names_its_file() {
    let usual = settings("");
    let secret = "secret = \"0123456789abcdef0123456789abcdef\"";
    assert!(usual.contains(secret));

    let [place, what, help] = only(check(&usual.replace(secret, "secret_file = \"random\""), NONE));

    assert_eq!(
        (place.as_str(), what.as_str()),
        ("loa.toml", "the file random of `unsubscribe.secret_file` is not UTF-8")
    );
    assert!(help.contains("openssl rand -base64 32"), "{help}");
    let gateway = "[providers.texts]\nkind = \"sms_http\"\nurl = \"https://sms.test/\"\n\
                   body = '{\"key\":\"{{secret.key}}\"}'\n\
                   [providers.texts.secrets]\nkey_file = \"random\"\n\
                   [providers.relay]\nkind = \"smtp\"\nhost = \"relay.test\"\n\
                   username = \"loa\"\npassword_file = \"random\"\n";
    let faults = check(&format!("{usual}{gateway}"), NONE);
    let told: Vec<_> = faults.iter().map(|fault| fault["what"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|what| what.ends_with("is not UTF-8")), "{told:?}");
}

#[test]
fn a_language_that_is_none_or_that_nothing_is_written_in_is_one_fault() {
    let usual = settings("");

    let [place, what, _] = only(check(&usual, ("LOA__DEFAULTS__LOCALE", "vietnamese!")));
    assert_eq!(place, "LOA__DEFAULTS__LOCALE");
    assert_eq!(what, "`defaults.locale` is `vietnamese!`");

    let [place, what, help] = only(check(&usual, ("LOA__DEFAULTS__LOCALE", "fr")));
    assert_eq!(place, "LOA__DEFAULTS__LOCALE");
    assert!(what.starts_with("`defaults.locale` is `fr`, and no message is written in"), "{what}");
    assert!(help.starts_with("write one of `en`, `vi`"), "{help}");
}

#[test]
fn a_template_of_a_request_is_told_of_at_its_own_key() {
    let usual = settings("");
    let gateway = |more: &str| {
        format!(
            "{usual}[providers.texts]\nkind = \"sms_http\"\nurl = \"https://sms.test/\"\n{more}"
        )
    };
    for (more, line) in [
        ("body = '{{txet}}'\n", "body"),
        ("body = 'x'\n[providers.texts.headers]\nX-Id = \"{{di}}\"\n", "headers"),
    ] {
        let text = gateway(more);
        let faults = check(&text, NONE);

        assert_eq!(faults.len(), 1, "{faults:#?}");
        let number = usize::try_from(faults[0]["line"].as_u64().unwrap()).unwrap();
        let there = text.lines().nth(number - 1).unwrap();
        assert!(there.contains(line), "{there}: {faults:#?}");
        assert_eq!(faults[0]["help"], "mend this template");
    }
}
