//! The model hub: one address per file. Its answer states the file's sha256 on the way ([`crate::http`] picks it up).

use crate::address::{Address, AddressError};

/// Where the hub at `hub` has `file` of `owner/repo`.
pub(crate) fn address(
    hub: &Address,
    owner: &str,
    repo: &str,
    revision: Option<&str>,
    file: &str,
) -> Result<Address, AddressError> {
    let revision = revision.unwrap_or("main");
    let file = file.split('/').map(encode).collect::<Vec<_>>().join("/");
    let built = hub.under(&format!("{owner}/{repo}/resolve/{revision}/{file}"));
    // Checked once more: the file name is the user's text.
    hub.join(built.request())
}

/// Percent-encodes a path segment.
fn encode(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
