//! The two forms of a package's page in a simple index: HTML (PEP 503, with `data-yanked` of PEP 592) and JSON (PEP 691).
//! Pages of `find-links` are the HTML form without its promises.
//!
//! A page is foreign text: a link that cannot be read is left out, since an index may list files of kinds yet unknown; a page
//! that is no page at all is an error.

use html5gum::{Token, Tokenizer};
use serde::Deserialize;

use crate::address::Address;
use crate::digest::Sha256;

/// One file that a page offers.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) file_name: String,
    pub(crate) address: Address,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) yanked: bool,
}

/// What to ask for: JSON where the index has it.
pub(crate) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// The links of a page that `page` sent, of the given content type.
pub(crate) fn read(page: &Address, content_type: &str, text: &[u8]) -> Result<Vec<Link>, String> {
    let kind = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match kind.as_str() {
        "application/vnd.pypi.simple.v1+json" | "application/json" => json(page, text),
        "application/vnd.pypi.simple.v1+html" | "text/html" | "application/xhtml+xml" | "" => {
            Ok(html(page, text))
        }
        other => Err(format!("a page of type `{other}`, neither JSON nor HTML")),
    }
}

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
    #[serde(default)]
    yanked: Yanked,
}

#[derive(Deserialize, Default)]
struct Hashes {
    sha256: Option<String>,
}

/// `false`, `true`, or the reason.
#[derive(Deserialize)]
#[serde(untagged)]
enum Yanked {
    Flag(bool),
    Reason(serde::de::IgnoredAny),
}

impl Default for Yanked {
    fn default() -> Self {
        Self::Flag(false)
    }
}

fn json(page: &Address, text: &[u8]) -> Result<Vec<Link>, String> {
    let parsed: Page =
        serde_json::from_slice(text).map_err(|e| format!("JSON that is not PEP 691: {e}"))?;
    let links = parsed.files.into_iter().filter_map(|file| {
        let address = page.join(&file.url).ok()?;
        let stated = file.hashes.sha256.and_then(|sum| sum.parse().ok());
        Some(Link {
            sha256: stated.or_else(|| sum_in_fragment(&address)),
            address,
            file_name: file.filename,
            yanked: !matches!(file.yanked, Yanked::Flag(false)),
        })
    });
    Ok(links.collect())
}

fn html(page: &Address, text: &[u8]) -> Vec<Link> {
    let mut base = page.clone();
    let mut links = Vec::new();
    // The tokenizer cannot fail on bytes that are in memory.
    for Ok(token) in Tokenizer::new(text) {
        let Token::StartTag(tag) = token else {
            continue;
        };
        let value = |name: &[u8]| {
            tag.attributes
                .get(name)
                .map(|v| String::from_utf8_lossy(v).into_owned())
        };
        let Some(href) = value(b"href") else { continue };
        match tag.name.as_slice() {
            b"base" => base = page.join(&href).unwrap_or(base),
            b"a" => {
                let Ok(address) = base.join(&href) else {
                    continue;
                };
                let Some(file_name) = address.file_name() else {
                    continue;
                };
                let yanked = value(b"data-yanked").is_some();
                links.push(Link {
                    file_name,
                    sha256: sum_in_fragment(&address),
                    address,
                    yanked,
                });
            }
            _ => {}
        }
    }
    links
}

/// The sum in `#sha256=HEX`, possibly among other pairs.
fn sum_in_fragment(address: &Address) -> Option<Sha256> {
    let pairs = address.fragment()?.split('&');
    pairs
        .filter_map(|p| p.strip_prefix("sha256="))
        .find_map(|sum| sum.parse().ok())
}

#[cfg(test)]
mod tests;
