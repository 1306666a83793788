//! How this machine reaches the network: indexes, proxies, certificates, tokens and time limits, gathered once.
//!
//! Sources, strongest first: environment variables, then pip's configuration files ([`crate::pip::config`]), then defaults.
//! Everything is read through a function from name to value, so that tests need not touch the process's environment.
//!
//! | setting | from |
//! |---|---|
//! | package indexes | `PIP_INDEX_URL`, `PIP_EXTRA_INDEX_URL`, `PIP_NO_INDEX`, pip.conf |
//! | folders or pages with wheels | `PIP_FIND_LINKS`, pip.conf |
//! | proxy | `PIP_PROXY`, pip.conf, then `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` (either case) |
//! | certificates | the system's (or `SSL_CERT_FILE`, `SSL_CERT_DIR`), and those of `PIP_CERT`, pip.conf, `REQUESTS_CA_BUNDLE` |
//! | model hub | `HF_ENDPOINT`, `HF_TOKEN` |

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::address::Address;
use crate::error::PullError;
use crate::pip::config::PipConfig;

/// A value that is sent and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `value`.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A place with wheels that is no index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindLinks {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A page with links.
    Page(Address),
}

/// Which proxy serves which addresses. The values may hold passwords, hence [`Secret`].
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    /// For `https` addresses.
    pub https: Option<Secret>,
    /// For `http` addresses.
    pub http: Option<Secret>,
    /// Hosts that are reached directly: `host` and `.host` stand for the host and all below it, `*` for every host.
    pub direct: Vec<String>,
}

/// How long to wait, and how often to try again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the next byte, whenever one is awaited.
    pub stall: Duration,
    /// Tries in a row that bring nothing new.
    pub attempts: u32,
    /// Before the second try; doubled for each further one.
    pub first_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            attempts: 5,
            first_pause: Duration::from_millis(500),
        }
    }
}

/// All settings of a pull that come from the machine rather than from the user's command.
#[derive(Debug, Clone)]
pub struct Network {
    /// Package indexes, in order of preference.
    pub indexes: Vec<Address>,
    /// Further places with wheels.
    pub find_links: Vec<FindLinks>,
    /// Proxies.
    pub proxies: Proxies,
    /// PEM files with certificates to trust besides the system's.
    pub certificates: Vec<PathBuf>,
    /// The model hub.
    pub hub: Address,
    /// For gated models; sent to the hub's own host only.
    pub hub_token: Option<Secret>,
    /// Time limits.
    pub patience: Patience,
}

const DEFAULT_INDEX: &str = "https://pypi.org/simple";
const DEFAULT_HUB: &str = "https://huggingface.co";

impl Network {
    /// The settings of this process's environment and of pip's configuration files.
    ///
    /// # Errors
    /// [`PullError::Setting`] when an address or a file among them cannot be used.
    pub fn from_env() -> Result<Self, PullError> {
        let var = |name: &str| std::env::var(name).ok();
        Self::gather(&var, &PipConfig::load(&var)?)
    }

    /// The same, from any environment.
    pub(crate) fn gather(
        var: &dyn Fn(&str) -> Option<String>,
        pip: &PipConfig,
    ) -> Result<Self, PullError> {
        let set = |name: &str| var(name).filter(|v| !v.trim().is_empty());
        let address = |(setting, text): (String, String)| {
            Address::parse(&text).map_err(PullError::setting(&setting))
        };

        let mut indexes = Vec::new();
        if !pip.flag(var, "no-index") {
            let main = pip.text(var, "index-url");
            indexes.push(
                main.unwrap_or_else(|| ("the default index".to_owned(), DEFAULT_INDEX.to_owned())),
            );
            indexes.extend(pip.values(var, "extra-index-url"));
        }
        let hub = set("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_HUB.to_owned());
        let mut certificates: Vec<PathBuf> = pip
            .value(var, "cert")
            .into_iter()
            .map(PathBuf::from)
            .collect();
        certificates.extend(set("REQUESTS_CA_BUNDLE").map(PathBuf::from));
        Ok(Self {
            indexes: indexes.into_iter().map(address).collect::<Result<_, _>>()?,
            find_links: pip
                .values(var, "find-links")
                .into_iter()
                .map(find_links)
                .collect::<Result<_, _>>()?,
            proxies: Proxies::gather(&set, pip.value(var, "proxy")),
            certificates,
            hub: Address::parse(&hub).map_err(PullError::setting("HF_ENDPOINT"))?,
            hub_token: set("HF_TOKEN").map(|t| Secret::new(t.trim())),
            patience: Patience::default(),
        })
    }
}

fn find_links((setting, text): (String, String)) -> Result<FindLinks, PullError> {
    if let Some(path) = text.strip_prefix("file://") {
        return Ok(FindLinks::Folder(PathBuf::from(path)));
    }
    if !text.contains("://") {
        return Ok(FindLinks::Folder(PathBuf::from(text)));
    }
    let page = Address::parse(&text).map_err(PullError::setting(&setting))?;
    Ok(FindLinks::Page(page))
}

impl Proxies {
    fn gather(set: &dyn Fn(&str) -> Option<String>, pip: Option<String>) -> Self {
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase()));
        let all = either("ALL_PROXY");
        let chosen = |name: &str| {
            pip.clone()
                .or_else(|| either(name))
                .or_else(|| all.clone())
                .map(Secret)
        };
        // Programs that run as web server scripts get HTTP_PROXY from a request's `Proxy:` header; a command line does not.
        Self {
            https: chosen("HTTPS_PROXY"),
            http: chosen("HTTP_PROXY"),
            direct: either("NO_PROXY")
                .unwrap_or_default()
                .split([',', ' '])
                .map(|h| h.trim().to_ascii_lowercase())
                .filter(|h| !h.is_empty())
                .collect(),
        }
    }

    /// The proxy for `address`, if it is not to be reached directly.
    pub(crate) fn choose(&self, address: &Address) -> Option<&Secret> {
        let proxy = if address.is_https() {
            self.https.as_ref()
        } else {
            self.http.as_ref()
        };
        proxy.filter(|_| !self.is_direct(address.host()))
    }

    fn is_direct(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        self.direct.iter().any(|entry| {
            // An entry may carry a port, which is not looked at: `[::1]:80`, `host:80`.
            let entry = match entry.strip_prefix('[') {
                Some(v6) => v6.split(']').next().unwrap_or(v6),
                None if entry.matches(':').count() == 1 => entry.split(':').next().unwrap_or(entry),
                None => entry,
            };
            let name = entry.trim_start_matches('*').trim_start_matches('.');
            if name.is_empty() {
                return entry == "*";
            }
            bare == name
                || bare
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests;
