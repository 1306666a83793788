//! The models that have a short name, from `data/models.toml`, built into the program.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::digest::Sha256;
use crate::source::Source;

/// One model of the built-in catalogue.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueEntry {
    /// What a user types.
    pub alias: String,
    /// Whether this is the model that `default` means.
    #[serde(default)]
    pub default: bool,
    /// Where it comes from, as [`Source::parse`] takes it.
    pub source: String,
    /// Its file name in the store.
    pub file: String,
    /// Of the GGUF file.
    pub sha256: Sha256,
    /// Of the GGUF file.
    pub bytes: u64,
    /// An SPDX identifier, or `LicenseRef-NAME`.
    pub licence: String,
    /// One line about it.
    pub note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    model: Vec<CatalogueEntry>,
}

static CATALOGUE: LazyLock<Vec<CatalogueEntry>> = LazyLock::new(|| {
    let text = include_str!("../../../data/models.toml");
    let file: File =
        toml::from_str(text).expect("data/models.toml is part of the program; a test parses it");
    file.model
});

/// The built-in catalogue.
#[must_use]
pub fn catalogue() -> &'static [CatalogueEntry] {
    &CATALOGUE
}

/// The entry that `name` (an alias, or `default`) means; upper and lower case are the same.
pub(crate) fn by_alias(name: &str) -> Option<&'static CatalogueEntry> {
    let wants_default = name.eq_ignore_ascii_case("default");
    catalogue()
        .iter()
        .find(|e| e.alias.eq_ignore_ascii_case(name) || (wants_default && e.default))
}

/// The entry that comes from exactly this source.
pub(crate) fn by_source(source: &Source) -> Option<&'static CatalogueEntry> {
    let text = source.to_string();
    catalogue().iter().find(|e| e.source == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_sound() {
        assert_eq!(
            catalogue().iter().filter(|e| e.default).count(),
            1,
            "one default"
        );
        for entry in catalogue() {
            let source = Source::parse(&entry.source).expect("its source parses");
            assert_eq!(
                source.to_string(),
                entry.source,
                "written in the normal form"
            );
            assert!(entry.file.ends_with(".gguf"));
            assert_eq!(
                Source::parse(&entry.alias).expect("its alias parses"),
                source
            );
            assert_eq!(by_source(&source).map(|e| &e.alias), Some(&entry.alias));
        }
        assert_eq!(
            by_alias("Default").map(|e| e.alias.as_str()),
            Some("smollm2")
        );
    }
}
