//! Catalogue and template files, from a folder or from the binary itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rust_embed::Embed;

#[derive(Embed)]
#[folder = "config/event-types"]
#[allow_missing = true]
struct EventTypes;

#[derive(Embed)]
#[folder = "templates"]
#[allow_missing = true]
struct Templates;

/// A set of files that is the same wherever it comes from.
#[derive(Clone, Debug)]
pub struct Assets {
    /// The folder as people know it; faults name files below it.
    pub root: PathBuf,
    /// Whether the files are in the binary.
    pub is_embedded: bool,
    /// The bytes of each file, by its path below the root, written with `/`.
    pub files: Arc<BTreeMap<String, Vec<u8>>>,
}

impl Assets {
    /// The event types in the binary.
    pub fn embedded_event_types() -> Self {
        Self::embedded::<EventTypes>("config/event-types")
    }

    /// The templates in the binary.
    pub fn embedded_templates() -> Self {
        Self::embedded::<Templates>("templates")
    }

    /// The files below `folder`; hidden ones are left out.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read.
    pub fn from_folder(folder: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        gather(folder, "", &mut files)?;
        Ok(Self { root: folder.to_owned(), is_embedded: false, files: Arc::new(files) })
    }

    /// A set made of texts, named as if they stood in `root`.
    pub fn from_texts<'a>(root: &str, texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let texts = texts.into_iter();
        let files = texts.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect();
        Self { root: root.into(), is_embedded: false, files: Arc::new(files) }
    }

    /// The name of a file as faults show it.
    pub fn name_of(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    fn embedded<E: Embed>(root: &str) -> Self {
        let files = E::iter().filter_map(|path| {
            let file = E::get(&path)?;
            Some((path.into_owned(), file.data.into_owned()))
        });
        Self { root: root.into(), is_embedded: true, files: Arc::new(files.collect()) }
    }
}

fn gather(folder: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{below}{name}");
        if fs::metadata(entry.path())?.is_dir() {
            gather(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_its_files_with_paths_below_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("messages/order.delayed/vi")).unwrap();
        fs::write(folder.path().join("messages/order.delayed/vi/sms.txt"), "Xin chào").unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();

        let assets = Assets::from_folder(folder.path()).unwrap();

        let paths: Vec<_> = assets.files.keys().cloned().collect();
        assert_eq!(paths, ["messages/order.delayed/vi/sms.txt"]);
    }
}
