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

/// A folder with one fault of each sort of template that is found by reading, by the schema and by
/// trying.
fn faulty_templates() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let settings = "catalogue_dir = \"types\"\ntemplates_dir = \"templates\"\nalarms = false\n\
        [providers.play]\nkind = \"sandbox\"\n";
    write("loa.toml", settings);
    for (name, channel) in
        [("visit.arranged", "sms"), ("visit.moved", "chat"), ("visit.over", "sms")]
    {
        let text = format!(
            "description = \"A visit.\"\ncategory = \"transactional\"\nexpiry = \"1 day\"\n\
             [[steps]]\nname = \"tell\"\nto = [\"recipients\"]\nchannels = [\"{channel}\"]\n\
             [schema]\ntype = \"object\"\nrequired = [\"day\"]\n\
             properties = {{ day = {{ type = \"string\" }}, room = {{ type = \"string\" }} }}\n"
        );
        write(&format!("types/{name}.toml"), &text);
    }
    let sample =
        |name: &str, text: &str| write(&format!("templates/messages/{name}/sample.json"), text);
    sample("visit.arranged", r#"{"day": "2026-12-04"}"#);
    sample("visit.moved", r#"{"day": 4}"#);
    sample("visit.over", r#"{"day": "soon"}"#);
    write("templates/messages/visit.arranged/vi/sms.txt", "Visit {{#if data.room}}");
    write("templates/messages/visit.moved/vi/chat.md", "Room {{data.room}}, {{data.dya}}");
    write("templates/messages/visit.over/vi/sms.txt", "Over since {{date data.day}}");
    write("templates/messages/visit.over/en/sms.txt", "Over {{t \"helo\"}}");
    folder
}

#[test]
fn faults_of_templates_are_told_all_at_once_each_once_and_by_a_start_too() {
    let folder = faulty_templates();
    let mut run = loa();
    run.current_dir(folder.path()).args(["run", "--config", "loa.toml", "--data-dir", "data"]);

    let (told, code) = check(&folder, &["--output", "json"]);
    let started = run.output().unwrap();

    let told: Value = serde_json::from_str(&told).unwrap();
    let faults: Vec<String> = told["faults"].as_array().unwrap().iter().map(line).collect();
    assert_eq!((code, started.status.code()), (Some(2), Some(2)));
    insta::assert_snapshot!(faults.join("\n"));
    let started = String::from_utf8(started.stderr).unwrap();
    assert_eq!(started.lines().collect::<Vec<_>>(), faults);
}

#[test]
fn templates_that_no_step_uses_are_tried_too() {
    let folder = faulty_templates();
    let write = |path: &str, text: &str| {
        let path = folder.path().join("templates/messages").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("visit.arranged/vi/sms.txt", "Visit {{data.day}}");
    write("visit.moved/sample.json", r#"{"day": "Friday"}"#);
    write("visit.moved/vi/chat.md", "Moved to {{data.day}}");
    write("visit.over/sample.json", r#"{"day": "2026-12-04"}"#);
    write("visit.over/en/sms.txt", "Over");
    // A channel that the type's step has not, in both languages; a message of no type.
    write("visit.arranged/en/chat.md", "Visit in {{data.room}}");
    write("visit.arranged/vi/chat.md", "Visit on\n{{data.dya}}");
    write("visit.lost/sample.json", r#"{"day": "Friday"}"#);
    write("visit.lost/vi/chat.md", "Lost on {{data.dya}}");

    let settings = fs::read_to_string(folder.path().join("loa.toml")).unwrap();
    let channels = "[channels]\nsms = \"play\"\nchat = \"play\"\n";
    fs::write(folder.path().join("loa.toml"), settings + channels).unwrap();

    let (told, code) = check(&folder, &["--output", "json"]);
    let of_templates = loa()
        .current_dir(folder.path())
        .args(["templates", "check", "--config", "loa.toml"])
        .output()
        .unwrap();

    let told: Value = serde_json::from_str(&told).unwrap();
    let faults: Vec<String> = told["faults"].as_array().unwrap().iter().map(line).collect();
    assert_eq!((code, of_templates.status.code()), (Some(2), Some(2)));
    insta::assert_snapshot!(faults.join("\n"));
    write("visit.arranged/en/chat.md", "Visit");
    write("visit.arranged/vi/chat.md", "Visit");
    fs::remove_file(folder.path().join("templates/messages/visit.lost/sample.json")).unwrap();
    let (told, code) = check(&folder, &[]);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(
        told,
        "No faults: 3 event types, 7 templates (1 of them only read: no event type uses them, and \
         they have no sample).\n"
    );
}

/// A fault as a log has it.
fn line(fault: &Value) -> String {
    let text = |key: &str| fault[key].as_str().unwrap();
    let (line, column) = (&fault["line"], &fault["column"]);
    format!("{}:{line}:{column}: {}; {}", text("place"), text("what"), text("help"))
}

#[test]
fn programs_get_each_fault_with_file_line_and_column() {
    let (told, code) = check(&broken(), &["--output", "json"]);

    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(code, Some(2));
    assert_eq!(told["ok"], false);
    insta::assert_snapshot!(format!("{:#}", told["faults"]));
}
