//! Web addresses that can be printed.
//!
//! A package index address often carries a user name and a password (`https://user:password@host/simple`), and the
//! address that a hub redirects to carries a signature in its query. Both end up in error messages unless the type forbids
//! it. So an [`Address`] takes the credentials and the fragment out while parsing: what is requested, what authenticates and
//! what is shown are three different strings, and `Display` and `Debug` know the last only.
//!
//! References are resolved as in RFC 3986, section 5.2.

use std::fmt;

use fluent_uri::{Uri, UriRef};
use thiserror::Error;

/// An `http` or `https` address, its credentials held apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// `scheme://host[:port]/path[?query]`: what goes over the wire.
    request: String,
    /// Length of the part of `request` that is fit to show: up to the query.
    shown_len: usize,
    /// Length of `scheme://host[:port]`.
    origin_len: usize,
    fragment: Option<String>,
    /// `user:password`, percent-decoded.
    credentials: Option<String>,
}

/// Why a text is not an [`Address`]. Says nothing of the text itself, which may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not a URI as RFC 3986 has it.
    #[error("this is not a valid web address (expected https://host/path)")]
    Malformed,
    /// A URI of some other scheme.
    #[error("the scheme `{0}` is not supported (expected https or http)")]
    Scheme(String),
    /// A URI without a host.
    #[error("the web address names no host (expected https://host/path)")]
    NoHost,
}

impl Address {
    /// Parses an absolute address.
    ///
    /// # Errors
    /// When `text` is no URI, names no host, or has a scheme other than `http` and `https`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let uri = Uri::parse(text.trim()).map_err(|_| AddressError::Malformed)?;
        let scheme = uri.scheme().as_str().to_ascii_lowercase();
        if scheme != "https" && scheme != "http" {
            return Err(AddressError::Scheme(scheme));
        }
        let authority = uri
            .authority()
            .filter(|a| !a.host().is_empty())
            .ok_or(AddressError::NoHost)?;
        let host = authority.host().to_ascii_lowercase();
        let mut request = format!("{scheme}://{host}");
        if let Some(port) = authority.port().filter(|p| !p.is_empty()) {
            request.push(':');
            request.push_str(port.as_str());
        }
        let origin_len = request.len();
        request.push_str(match uri.path().as_str() {
            "" => "/",
            path => path,
        });
        let shown_len = request.len();
        if let Some(query) = uri.query() {
            request.push('?');
            request.push_str(query.as_str());
        }
        Ok(Self {
            request,
            shown_len,
            origin_len,
            fragment: uri.fragment().map(|f| f.as_str().to_owned()),
            credentials: authority
                .userinfo()
                .filter(|u| !u.is_empty())
                .map(|u| u.decode().to_string_lossy().into_owned()),
        })
    }

    /// The address that `reference` (relative or absolute) means when it stands in the document at this address.
    /// Credentials are inherited within one origin and never carried to another.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn join(&self, reference: &str) -> Result<Self, AddressError> {
        let base = Uri::parse(self.request.as_str()).map_err(|_| AddressError::Malformed)?;
        let resolved = UriRef::parse(reference.trim())
            .map_err(|_| AddressError::Malformed)?
            .resolve_against(&base)
            .map_err(|_| AddressError::Malformed)?;
        let mut joined = Self::parse(resolved.as_str())?;
        if joined.credentials.is_none() && joined.origin() == self.origin() {
            joined.credentials.clone_from(&self.credentials);
        }
        Ok(joined)
    }

    /// The same address with `segments` added to its path, a single slash between each.
    #[must_use]
    pub(crate) fn under(&self, segments: &str) -> Self {
        let mut path = self.request[..self.shown_len]
            .trim_end_matches('/')
            .to_owned();
        path.push('/');
        path.push_str(segments);
        Self {
            shown_len: path.len(),
            request: path,
            fragment: None,
            ..self.clone()
        }
    }

    /// What is requested: no credentials, no fragment. May hold a signed query: not to be shown.
    pub(crate) fn request(&self) -> &str {
        &self.request
    }

    /// `scheme://host[:port]`.
    pub(crate) fn origin(&self) -> &str {
        &self.request[..self.origin_len]
    }

    /// `user:password` if the address came with it.
    pub(crate) fn credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// What followed `#`.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.fragment.as_deref()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.request.starts_with("https:")
    }

    /// The host, without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.origin().split_once("://").map_or("", |(_, host)| host);
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        }
    }

    /// The last segment of the path, percent-decoded: the name of a file, unless the path ends in a slash.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        let uri = Uri::parse(self.request.as_str()).ok()?;
        let last = uri.path().split('/').next_back()?;
        let name = last.decode().to_string().ok()?;
        (!name.is_empty()).then(|| name.into_owned())
    }

    /// Whether the host is this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request[..self.shown_len])
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests;
