//! `loa check`: every fault of every file at once, each with its place.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::loa;

const SETTINGS: &str = "catalogue_dir = \"types\"\ntemplates_dir = \"templates\"\nalarm = true\n\
    [http]\nlisten = \"127.0.0.1\"\n\
    [send]\ngrace = \"soon\"\n\
    [channels]\nemail = \"rely\"\n\
    [providers.relay]\nkind = \"smpt\"\n";

const TYPE: &str = "description = \"A visit is arranged.\"\ncategory = \"importnat\"\n\
    expiry = \"1 day\"\nbusiness_key = \"visit_id\"\n\
    [[steps]]\nname = \"tell\"\nto = [\"everyone\"]\nchannels = [\"email\", \"fax\"]\n\
    [schema]\ntype = \"objekt\"\n";

/// A folder in which most things are wrong.
fn broken() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("loa.toml", SETTINGS);
    write("types/visit.arranged.toml", TYPE);
    write("types/Visit Moved.toml", "description = \"Moved.\"\n[[steps]\n");
    write("templates/messages/visit.arranged/sample.json", "{\"visit_id\": }");
    write("templates/messages/visit.arranged/vi/email.mjml", "<mj-section>{{data.visit_id}}");
    write("templates/messages/visit.arranged/vi/sms.txt", "Visit {{#if data.visit_id}}");
    write("templates/messages/visit.arranged/vi/fax.txt", "Visit");
    folder
}

fn check(folder: &TempDir, more: &[&str]) -> (String, Option<i32>) {
    let mut command = loa();
    command.current_dir(folder.path()).args(["check", "--config", "loa.toml"]).args(more);
    let output = command.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn every_fault_of_every_file_is_told_at_once_with_its_place() {
    let (told, code) = check(&broken(), &[]);

    assert_eq!(code, Some(2));
    insta::assert_snapshot!(told);
}

#[test]
fn programs_get_each_fault_with_file_line_and_column() {
    let (told, code) = check(&broken(), &["--output", "json"]);

    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(code, Some(2));
    assert_eq!(told["ok"], false);
    insta::assert_snapshot!(format!("{:#}", told["faults"]));
}
