//! One GET at a time, with everything that must hold for each of them: proxy, certificates, credentials, redirects, time
//! limits, and the sorting of failures into those that may pass by themselves and those that will not.
//!
//! Redirects are followed here and not by the HTTP library, for three reasons: the hub states a file's sha256 on the
//! redirecting answer only, each hop may need another proxy, and credentials must not travel to another origin.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};

use crate::address::Address;
use crate::digest::Sha256;
use crate::error::PullError;
use crate::network::{Network, Patience};
use crate::progress::Progress;

/// As browsers do, more or less.
const MAX_REDIRECTS: usize = 10;

/// An index page or another small document; the largest real ones are some megabytes.
const MAX_DOCUMENT_BYTES: u64 = 64 << 20;

/// Makes requests.
pub(crate) struct Client<'a> {
    agent: Agent,
    network: &'a Network,
}

/// The head of an answer with status 200, 206 or 416, its body still to be read.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// Where the answer came from in the end.
    pub(crate) address: Address,
    /// The file's sum, if the hub stated it on the way.
    pub(crate) stated_sha256: Option<Sha256>,
}

/// A request that brought nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Trying again will not help.
    Final(PullError),
    /// It may pass: why it failed, and how long the server asked to wait.
    Passing(String, Option<Duration>),
}

impl<'a> Client<'a> {
    pub(crate) fn new(network: &'a Network) -> Result<Self, PullError> {
        let patience = network.patience;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("sprag/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.stall))
            .timeout_per_read(Some(patience.stall))
            .timeout_per_write(Some(patience.stall))
            .tls_config(TlsConfig::builder().root_certs(roots(network)?).build())
            .proxy(None)
            .build();
        Ok(Self {
            agent: config.new_agent(),
            network,
        })
    }

    pub(crate) fn patience(&self) -> Patience {
        self.network.patience
    }

    /// Sends one GET and follows its redirects.
    pub(crate) fn open(
        &self,
        address: &Address,
        headers: &[(&str, &str)],
    ) -> Result<Reply, Failure> {
        let mut at = address.clone();
        let mut stated_sha256 = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(&at, headers)?;
            stated_sha256 = stated_sha256.or_else(|| linked_sum(response.headers()));
            let status = response.status();
            if matches!(status.as_u16(), 200 | 206 | 416) {
                let (head, body) = response.into_parts();
                return Ok(Reply {
                    status,
                    headers: head.headers,
                    body,
                    address: at,
                    stated_sha256,
                });
            }
            let Some(target) = redirect_target(&response) else {
                return Err(self.sort_status(status, response.headers(), &at));
            };
            let next = at
                .join(&target)
                .map_err(|e| answer(&at, format!("a redirect that leads nowhere: {e}")))?;
            if at.is_https() && !next.is_https() {
                return Err(answer(
                    &at,
                    format!("a redirect from https to plain http ({next})"),
                ));
            }
            at = next;
        }
        Err(answer(
            address,
            format!("more than {MAX_REDIRECTS} redirects in a row"),
        ))
    }

    fn send(&self, at: &Address, headers: &[(&str, &str)]) -> Result<Response<Body>, Failure> {
        let mut request = self
            .agent
            .get(at.request())
            .header(header::ACCEPT_ENCODING, "identity");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(pair) = at.credentials() {
            // A lone name is sent with an empty password, as pip does for tokens.
            let pair = if pair.contains(':') {
                pair.to_owned()
            } else {
                format!("{pair}:")
            };
            let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
            request = request.header(header::AUTHORIZATION, basic);
        } else if let Some(token) = self.network.hub_token.as_ref()
            && at.origin() == self.network.hub.origin()
        {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let proxy = match self.network.proxies.choose(at) {
            Some(text) => Some(Proxy::new(text.expose()).map_err(|_| Failure::Final(bad_proxy()))?),
            None => None,
        };
        // Without a proxy, the agent's own configuration serves, whose TLS state is kept between requests.
        let sent = match proxy {
            Some(proxy) => request.config().proxy(Some(proxy)).build().call(),
            None => request.call(),
        };
        sent.map_err(|e| sort_error(e, at))
    }

    /// Fetches a whole small document, with patience.
    pub(crate) fn document(
        &self,
        address: &Address,
        accept: &str,
        progress: &mut dyn Progress,
    ) -> Result<(Reply, Vec<u8>), PullError> {
        let mut retry = Retry::new(self.patience(), address);
        loop {
            let outcome = self
                .open(address, &[("accept", accept)])
                .and_then(|mut reply| {
                    let mut bytes = Vec::new();
                    let mut body = reply.body.as_reader().take(MAX_DOCUMENT_BYTES + 1);
                    body.read_to_end(&mut bytes).map_err(|e| passing(&e))?;
                    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
                        return Err(answer(address, "a page without end".to_owned()));
                    }
                    Ok((reply, bytes))
                });
            match outcome {
                Ok(found) => return Ok(found),
                Err(failure) => retry.after(failure, 0, progress)?,
            }
        }
    }

    fn sort_status(&self, status: StatusCode, headers: &HeaderMap, at: &Address) -> Failure {
        let asked = at.to_string();
        let of_hub = at.origin() == self.network.hub.origin();
        Failure::Final(match status.as_u16() {
            401 | 403 => PullError::Refused {
                status: status.as_u16(),
                asked,
                hint: if of_hub {
                    "accept the model's terms on its page and set HF_TOKEN to your token (the hub answers the same for names that do not exist)"
                } else {
                    "give credentials in the index address (PIP_INDEX_URL or pip.conf), or use an address that needs none"
                },
            },
            404 | 410 => PullError::NotFound {
                what: at.file_name().unwrap_or_else(|| asked.clone()),
                asked,
                hint: if of_hub {
                    ", also upper and lower case"
                } else {
                    ""
                },
            },
            408 | 425 | 429 | 500..=599 => {
                return Failure::Passing(format!("HTTP {status}"), retry_after(headers));
            }
            _ => return answer(at, format!("HTTP {status}")),
        })
    }
}

fn redirect_target(response: &Response<Body>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let target = response.headers().get(header::LOCATION)?.to_str().ok()?;
    Some(target.to_owned())
}

/// The sum of a large file on the hub, from the answer that redirects to it. Of a small file the header holds a Git hash,
/// which is shorter.
fn linked_sum(headers: &HeaderMap) -> Option<Sha256> {
    let value = headers.get("x-linked-etag")?.to_str().ok()?;
    value
        .trim_start_matches("W/")
        .trim_matches('"')
        .parse()
        .ok()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(Duration::from_secs(60)))
}

fn answer(asked: &Address, answer: String) -> Failure {
    Failure::Final(PullError::Answer {
        asked: asked.to_string(),
        answer,
    })
}

fn bad_proxy() -> PullError {
    PullError::Setting {
        setting: "the proxy address (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, PIP_PROXY or pip.conf)"
            .to_owned(),
        why: "expected http://host:port or socks5://host:port".to_owned(),
    }
}

/// A failure while reading a body: always worth another try.
pub(crate) fn passing(error: &std::io::Error) -> Failure {
    Failure::Passing(say(error), None)
}

/// The library wraps its own errors in `io::Error`; time-outs are the ones worth translating.
fn say(error: &std::io::Error) -> String {
    match error
        .get_ref()
        .and_then(|e| e.downcast_ref::<ureq::Error>())
    {
        Some(ureq::Error::Timeout(_)) => "no answer in time".to_owned(),
        _ => error.to_string(),
    }
}

fn sort_error(error: ureq::Error, at: &Address) -> Failure {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Rustls(e) => certificate(at, e.to_string()),
        // rustls reports a failed handshake through the stream, as invalid data.
        ureq::Error::Io(e) if at.is_https() && e.kind() == ErrorKind::InvalidData => {
            certificate(at, e.to_string())
        }
        ureq::Error::Io(e) => passing(&e),
        ureq::Error::Timeout(_) => Failure::Passing("no answer in time".to_owned(), None),
        ureq::Error::HostNotFound => {
            Failure::Passing(format!("no address found for host {}", at.host()), None)
        }
        ureq::Error::ConnectionFailed => Failure::Passing("no connection".to_owned(), None),
        ureq::Error::Protocol(e) => Failure::Passing(format!("broken HTTP: {e}"), None),
        ureq::Error::ConnectProxyFailed(status) if status.contains("407") => {
            Failure::Final(PullError::Refused {
                status: 407,
                asked: "the proxy".to_owned(),
                hint: "give its credentials in the proxy address (HTTPS_PROXY=http://user:password@host:port)",
            })
        }
        ureq::Error::ConnectProxyFailed(status) => Failure::Passing(
            format!("the proxy could not connect ({})", status.trim()),
            None,
        ),
        other => answer(at, format!("something unusable ({other})")),
    }
}

fn certificate(at: &Address, why: String) -> Failure {
    Failure::Final(PullError::Certificate {
        asked: at.to_string(),
        why,
    })
}

/// The certificates to trust: the system's (which `SSL_CERT_FILE` and `SSL_CERT_DIR` override) and the configured ones;
/// those built into the program only where there are none at all.
fn roots(network: &Network) -> Result<RootCerts, PullError> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    for path in &network.certificates {
        let (file, folder) = if path.is_dir() {
            (None, Some(path.as_path()))
        } else {
            (Some(path.as_path()), None)
        };
        let loaded = rustls_native_certs::load_certs_from_paths(file, folder);
        if loaded.certs.is_empty() {
            let why = loaded
                .errors
                .first()
                .map_or_else(|| "it holds no certificate".to_owned(), ToString::to_string);
            let setting = format!(
                "the certificate file {} (PIP_CERT, pip.conf or REQUESTS_CA_BUNDLE)",
                path.display()
            );
            return Err(PullError::Setting { setting, why });
        }
        found.extend(loaded.certs);
    }
    if found.is_empty() {
        return Ok(RootCerts::WebPki);
    }
    found.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    let owned: Vec<Certificate<'static>> = found
        .iter()
        .map(|c| Certificate::from_der(c).to_owned())
        .collect();
    Ok(RootCerts::Specific(Arc::new(owned)))
}

/// Counts the tries that bring nothing, and waits between them.
pub(crate) struct Retry {
    patience: Patience,
    address: Address,
    failed: u32,
}

impl Retry {
    pub(crate) fn new(patience: Patience, address: &Address) -> Self {
        Self {
            patience,
            address: address.clone(),
            failed: 0,
        }
    }

    /// Something new has arrived: the count begins again.
    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }

    /// Waits, if another try is worth it; otherwise returns the error to end with. `kept` bytes are in the `.part` file.
    pub(crate) fn after(
        &mut self,
        failure: Failure,
        kept: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), PullError> {
        let (why, wanted) = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(why, wanted) => (why, wanted),
        };
        self.failed += 1;
        if self.failed >= self.patience.attempts {
            let asked = self.address.to_string();
            return Err(PullError::Network {
                asked,
                attempts: self.failed,
                why,
                kept,
            });
        }
        let doubled = self.patience.first_pause * (1 << (self.failed - 1).min(6));
        let pause = wanted.map_or(doubled, |w| w.max(doubled));
        progress.stage(&format!(
            "{why}; trying again in {:.1} s",
            pause.as_secs_f64()
        ));
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if progress.cancelled() {
                return Err(PullError::Cancelled);
            }
            thread::sleep(left.min(Duration::from_millis(50)));
        }
        Ok(())
    }
}
