//! `loa event-types new`: a catalogue file and templates from one sample, to start from.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::draft::{self, Guess};
use super::{sample_schema, starter};
use crate::cli::{Failure, Output};
use crate::config::assets::Assets;
use crate::config::{Config, is_type_name};
use crate::model::address::Channel;

/// Write a new type from a sample of its data: a catalogue file, and templates to start from.
///
/// What is there already is never overwritten.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    loa event-types new visit.arranged --from visit.json --dir my-loa")]
pub(super) struct New {
    /// The type's name: small letters in words with dots between, such as visit.arranged.
    name: String,
    /// A file with a sample of the event's data as JSON.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Writes to event-types and templates in this folder, instead of those of the settings.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Writes the built-in types and templates too, since folders of your own replace them.
    #[arg(long)]
    with_built_in: bool,
}

/// Where types and templates are.
struct Folders {
    types: PathBuf,
    templates: PathBuf,
}

impl New {
    pub(super) fn run(&self, config: &Config, output: Output) -> Result<(), Failure> {
        let sample = self.sample()?;
        if !is_type_name(&self.name) {
            let text = format!(
                "`{}` is no name of a type; write small letters, digits, _ and - in words with dots \
                 between, such as visit.arranged",
                self.name
            );
            return Err(Failure::Wrong(text));
        }
        let folders = self.folders(config)?;
        let files = self.files(config, &folders, &sample);
        let there: Vec<_> = files.iter().filter(|(path, _)| path.exists()).collect();
        if let Some((path, _)) = there.first() {
            let text = format!(
                "{} is there already, and nothing is overwritten; name another type, or remove it",
                path.display()
            );
            return Err(Failure::Wrong(text));
        }
        let mut written = Vec::new();
        for (path, text) in files.iter().chain(&self.surroundings(&folders)) {
            if write_new(path, text)? {
                written.push(path.display().to_string());
            }
        }
        tell(&self.name, &folders, &written, output);
        Ok(())
    }

    fn sample(&self) -> Result<Value, Failure> {
        let name = self.from.display();
        let text = fs::read_to_string(&self.from)
            .map_err(|error| Failure::Wrong(format!("cannot read {name}: {error}")))?;
        let sample: Value = serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Failure::Wrong(format!("{name}:{line}:{column}: not JSON: {error}"))
        })?;
        match sample.is_object() {
            true => Ok(sample),
            false => Err(Failure::Wrong(format!("{name} holds no JSON object"))),
        }
    }

    /// The folders of `--dir`, else those of the settings.
    fn folders(&self, config: &Config) -> Result<Folders, Failure> {
        if let Some(dir) = &self.dir {
            return Ok(Folders {
                types: dir.join("event-types"),
                templates: dir.join("templates"),
            });
        }
        let root = &config.places.root;
        match (root.text("catalogue_dir"), root.text("templates_dir")) {
            (Some(types), Some(templates)) => {
                Ok(Folders { types: types.into(), templates: templates.into() })
            }
            _ => Err(Failure::Wrong(
                "the settings name no catalogue_dir and templates_dir; say by --dir where to write"
                    .to_owned(),
            )),
        }
    }

    /// The files of the type itself.
    fn files(&self, config: &Config, folders: &Folders, sample: &Value) -> Vec<(PathBuf, Vec<u8>)> {
        let guess = Guess::of(&self.name, sample);
        let schema = sample_schema::infer(sample);
        let text = draft::file(&self.name, &guess, channel(config), &schema);
        let file = folders.types.join(format!("{}.toml", self.name));
        let templates = starter::files(&self.name, &guess, sample).into_iter();
        let templates =
            templates.map(|(path, text)| (folders.templates.join(path), text.into_bytes()));
        std::iter::once((file, text.into_bytes())).chain(templates).collect()
    }

    /// What the templates are framed by and, if wanted, all that is built in.
    fn surroundings(&self, folders: &Folders) -> Vec<(PathBuf, Vec<u8>)> {
        let below = |folder: &Path, assets: &Assets, wants: &dyn Fn(&str) -> bool| {
            let files = assets.files.iter().filter(|(path, _)| wants(path));
            files.map(|(path, bytes)| (folder.join(path), bytes.clone())).collect::<Vec<_>>()
        };
        let is_frame = |path: &str| !path.starts_with("messages/");
        let wants = |path: &str| self.with_built_in || is_frame(path);
        let mut files = below(&folders.templates, &Assets::embedded_templates(), &wants);
        let types = &Assets::embedded_event_types();
        files.extend(below(&folders.types, types, &|_| self.with_built_in));
        files
    }
}

/// The first channel that the settings have a way out for.
fn channel(config: &Config) -> Channel {
    let channels = [Channel::Email, Channel::Chat, Channel::Sms];
    let has_way_out = |channel: &Channel| config.routes.contains_key(channel);
    channels.into_iter().find(has_way_out).unwrap_or(Channel::Email)
}

/// Writes a file unless it is there; says whether it did.
fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, Failure> {
    let unwritable =
        |error: std::io::Error| Failure::Wrong(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(unwritable)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(bytes).map(|()| true).map_err(unwritable),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unwritable(error)),
    }
}

fn tell(name: &str, folders: &Folders, written: &[String], output: Output) {
    if output == Output::Json {
        return crate::cli::print_json(&json!({ "name": name, "written": written }));
    }
    for path in written {
        crate::cli::print(&format!("wrote {path}"));
    }
    let (types, templates) = (folders.types.display(), folders.templates.display());
    crate::cli::print(&format!(
        "\nRead the first file, then `loa check`. The settings must say where it is:\n\n  \
         catalogue_dir = \"{types}\"\n  templates_dir = \"{templates}\"\n\n\
         These folders replace what is built in; --with-built-in writes that there too."
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app;
    use crate::config::{self, Sources};

    /// Settings with a way out for every channel, and all that the law asks of advertising.
    const SETTINGS: &str = "alarms = false\n\
        [http]\npublic_url = \"https://loa.test\"\n\
        [unsubscribe]\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
        [sms.marketing]\nlabel = \"[QC]\"\nwindow = \"07:00-22:00\"\nstop_text = \"TC 1234\"\n\
        [channels]\nemail = \"sandbox\"\nchat = \"sandbox\"\nsms = \"sandbox\"\n\
        [providers.sandbox]\nkind = \"sandbox\"\n";

    fn new_type(folder: &Path, name: &str, sample: &Value) -> Result<(), String> {
        let from = folder.join("sample.json");
        fs::write(&from, sample.to_string()).unwrap();
        let dir = Some(folder.to_owned());
        let new = New { name: name.to_owned(), from, dir, with_built_in: false };
        let config = config::read(&Sources::defaults().with_text("loa.toml", SETTINGS)).0;
        new.run(&config, Output::Text).map_err(|failure| match failure {
            Failure::Wrong(text) | Failure::Failed(text) => text,
        })
    }

    /// What `loa check` says of the folder, with the new type told on every channel.
    fn faults(folder: &Path, name: &str) -> String {
        let file = folder.join(format!("event-types/{name}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let all = "channels = [\"email\", \"chat\", \"sms\"]";
        fs::write(&file, text.replace("channels = [\"email\"]", all)).unwrap();
        let path = |below: &str| folder.join(below).display().to_string();
        let sources = Sources::defaults()
            .with_text("loa.toml", SETTINGS)
            .with_override("catalogue_dir", &path("event-types"), "the test")
            .with_override("templates_dir", &path("templates"), "the test");
        let (config, faults) = config::read(&sources);
        app::check(&config);
        let rulebook = app::rulebook(&config);
        let count = rulebook.map_or(0, |rulebook| rulebook.templates.list().count());
        assert!(count == 6 || !faults.is_empty(), "{count} templates");
        faults.render(false)
    }

    #[test]
    fn what_is_drafted_from_a_sample_passes_every_check_at_once() {
        let samples = [
            (
                "visit.arranged",
                json!({
                    "visit_id": "V-7", "partner_id": "minh-phat", "on": "2026-12-04", "guests": 3,
                    "at": "2026-12-04T09:00:00+07:00", "link": "https://saomai.example/v/7",
                    "note": null, "paid": false, "places": [{ "name": "SECC", "floor": 2 }],
                    "recipients": ["lan"]
                }),
            ),
            ("spring.sale", json!({ "code": 7, "amount": 12.5, "text \"odd\" näme": "x'y\nz" })),
            ("empty", json!({})),
        ];
        for (name, sample) in samples {
            let folder = tempfile::tempdir().unwrap();

            new_type(folder.path(), name, &sample).unwrap();

            assert_eq!(faults(folder.path(), name), "", "{name}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let sample = json!({ "visit_id": "V-7" });
        new_type(folder.path(), "visit.arranged", &sample).unwrap();
        let file = folder.path().join("event-types/visit.arranged.toml");
        fs::write(&file, "mine").unwrap();

        let told = new_type(folder.path(), "visit.arranged", &sample).unwrap_err();

        assert!(told.contains("visit.arranged.toml is there already"), "{told}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    }

    #[test]
    fn a_sample_or_name_that_cannot_be_is_said() {
        let folder = tempfile::tempdir().unwrap();

        let list = new_type(folder.path(), "visit.arranged", &json!([1])).unwrap_err();
        let name = new_type(folder.path(), "Visit!", &json!({})).unwrap_err();

        assert!(list.contains("holds no JSON object"), "{list}");
        assert!(name.contains("`Visit!` is no name of a type"), "{name}");
    }
}
