//! A manifest and its files from a folder on disk.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use stead_core::code;

use crate::{
    apis,
    bundle::{Bundle, MAX_LEVELS},
    check::locate,
    error::ManifestError,
    files::{Allowance, Folder, MAX_FILE, read_bounded},
    named,
    parse::parse_source,
    source::Source,
};

/// The manifest's usual name.
pub const FILE_NAME: &str = "agent.yaml";

/// Loads an agent from its folder or from its manifest's path, with every file that the manifest names.
///
/// # Errors
/// ST0100 when the manifest cannot be read, ST0101 to ST0103 and ST0105 for what it says, ST0104 for files it names.
pub fn load(path: &Path) -> Result<Bundle, Vec<ManifestError>> {
    let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    load_file(&file, None, &mut Allowance::new(), MAX_LEVELS)
}

fn load_file(
    file: &Path,
    folder: Option<Folder>,
    allowance: &mut Allowance,
    levels: usize,
) -> Result<Bundle, Vec<ManifestError>> {
    let mut source = Source { file: file.display().to_string(), text: "".into() };
    let unreadable = |source: &Source, message: String, hint: &str| {
        vec![source.whole(code::MANIFEST_READ, message, Some(hint.to_owned()))]
    };
    let bytes = read_bounded(file).map_err(|e| {
        unreadable(&source, format!("cannot be read: {e}"), "give a folder with an `agent.yaml`, or the path of one")
    })?;
    if bytes.len() > MAX_FILE {
        return Err(unreadable(&source, "larger than 1 MiB".into(), "move long texts to files of their own"));
    }
    source.text = String::from_utf8(bytes)
        .map_err(|e| {
            let n = e.utf8_error().valid_up_to() + 1;
            unreadable(&source, format!("not UTF-8 text (byte {n} is invalid)"), "save the file as UTF-8")
        })?
        .into();
    let (manifest, root) = parse_source(&source)?;
    let folder = match folder {
        Some(folder) => folder,
        None => {
            let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Folder::open(parent)
                .map_err(|e| unreadable(&source, format!("its folder cannot be read: {e}"), "check its permissions"))?
        }
    };
    let mut errors = Vec::new();
    let mut files = BTreeMap::new();
    let misses = |key: &[&str], message: String| {
        source.error(code::MANIFEST_FILE, &locate(&root, key), key.join("."), message, None)
    };
    if let Err(message) = allowance.take(FILE_NAME, source.text.len()) {
        errors.push(misses(&[], message));
    }
    for named in named::files(&manifest) {
        if files.contains_key(named.name) {
            continue;
        }
        let text = folder.read(named.name, allowance);
        match text.and_then(|t| named.check(&t).map(|()| t).map_err(|e| format!("`{}`: {e}", named.name))) {
            Ok(text) => {
                files.insert(named.name.to_owned(), text);
            }
            Err(message) => errors.push(misses(&named.key, message)),
        }
    }
    if let Some(name) = &manifest.policy {
        let mut take = |file: String| {
            if !files.contains_key(&file) {
                files.insert(file.clone(), folder.read(&file, allowance)?);
            }
            Ok(())
        };
        let taken = folder.policies(name).and_then(|found| found.into_iter().try_for_each(&mut take));
        errors.extend(taken.err().map(|message| misses(&["policy"], message)));
    }
    let mut agents = BTreeMap::new();
    for named in named::agents(&manifest) {
        if agents.contains_key(named.name) {
            continue;
        }
        if levels == 0 {
            errors.push(misses(&named.key, "agents inside of agents, too deep".into()));
            continue;
        }
        match folder.folder(named.name) {
            Ok(inner) => {
                let file: PathBuf = inner.path().join(FILE_NAME);
                match load_file(&file, Some(inner), allowance, levels - 1) {
                    Ok(bundle) => {
                        agents.insert(named.name.to_owned(), bundle);
                    }
                    Err(inner) => errors.extend(inner),
                }
            }
            Err(message) => errors.push(misses(&named.key, message)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let apis = apis::import(&source, &root, &manifest, &files)?;
    let dir = Some(folder.path().to_owned());
    Ok(Bundle { manifest, source: source.text, files, agents, apis, pinned: BTreeMap::new(), unsaid: None, dir })
}
