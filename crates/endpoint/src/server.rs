//! The server: its address, and one request at a time.

use std::{
    io::{BufReader, Read},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use measure::Stopwatch;
use serde::Serialize;
use serde_json::{Value, json};
use ureq::{
    Agent, Body,
    http::{Response, Uri, header},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    EndpointError,
    events::{Events, StreamError},
    exchange::{Cause, Delta, Exchange, shown},
};

/// The largest document that is read: a list of models, an error page, an answer that is not streamed.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// An answer may take this many times as long as its silences.
const STALLS: u32 = 30;
/// Events that an answer may have for each token asked for, and beyond that.
const EVENTS: (usize, usize) = (16, 1024);

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For the first byte, and between bytes.
    pub stall: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(120),
        }
    }
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `user` or `assistant`.
    pub role: &'static str,
    /// Its text.
    pub content: String,
}

impl Message {
    /// The user's.
    #[must_use]
    pub fn user(content: String) -> Self {
        Self {
            role: "user",
            content,
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The conversation.
    pub messages: Vec<Message>,
    /// Tokens of the answer at most.
    pub max_tokens: usize,
    /// Whether the answer is to come piece by piece.
    pub stream: bool,
}

impl Ask {
    /// Whose answer comes piece by piece.
    #[must_use]
    pub fn streamed(messages: Vec<Message>, max_tokens: usize) -> Self {
        Self {
            messages,
            max_tokens,
            stream: true,
        }
    }

    /// Whose answer comes in one piece.
    #[must_use]
    pub fn whole(messages: Vec<Message>, max_tokens: usize) -> Self {
        Self {
            stream: false,
            ..Self::streamed(messages, max_tokens)
        }
    }
}

/// A server that speaks the OpenAI API. Copies share their connections.
#[derive(Clone)]
pub struct Server {
    agent: Agent,
    /// Up to and with `/v1`.
    base: String,
    key: Option<String>,
    model: String,
    patience: Patience,
}

impl Server {
    /// At an address, with or without `/v1`; the model is the one that the server lists, if none is named. `key` is sent as a bearer token.
    ///
    /// # Errors
    /// The address is none; nobody answers; several models, or not this one.
    pub fn connect(
        address: &str,
        model: Option<&str>,
        key: Option<&str>,
        patience: Patience,
    ) -> Result<Self, EndpointError> {
        let (base, host) = base(address).map_err(|why| EndpointError::Address {
            address: address.to_owned(),
            why,
        })?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("sprag/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(patience.connect))
            .timeout_connect(Some(patience.connect))
            .timeout_recv_response(Some(patience.stall))
            .timeout_per_read(Some(patience.stall))
            // A server may send signs of life for ever.
            .timeout_recv_body(Some(patience.stall.saturating_mul(STALLS)))
            .timeout_per_write(Some(patience.stall))
            .tls_config(TlsConfig::builder().root_certs(roots()).build());
        if is_loopback(&host) {
            // A proxy for the world would be asked for this machine's own servers too.
            config = config.proxy(None);
        }
        let mut server = Self {
            agent: config.build().new_agent(),
            base,
            key: key.map(str::to_owned),
            model: String::new(),
            patience,
        };
        server.model = server.choose(model)?;
        Ok(server)
    }

    /// The model that is asked.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The address, up to and with `/v1`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    fn choose(&self, wanted: Option<&str>) -> Result<String, EndpointError> {
        let models = match self.models() {
            Ok(models) => models,
            // Some gateways have no list; then the name is taken as given.
            Err(Cause::Status { .. } | Cause::Malformed { .. }) if wanted.is_some() => Vec::new(),
            Err(cause) => {
                return Err(EndpointError::NoAnswer {
                    address: self.base.clone(),
                    cause,
                });
            }
        };
        let address = self.base.clone();
        match wanted {
            Some(name) if models.is_empty() || models.iter().any(|m| m == name) => {
                Ok(name.to_owned())
            }
            Some(name) => {
                // Ollama lists `name:latest`, and takes `name`.
                let tagged = format!("{name}:latest");
                if models.contains(&tagged) {
                    return Ok(tagged);
                }
                Err(EndpointError::NoModel {
                    address,
                    model: name.to_owned(),
                    models,
                })
            }
            None => match &models[..] {
                [one] => Ok(one.clone()),
                _ => Err(EndpointError::WhichModel { address, models }),
            },
        }
    }

    /// Names of the models that the server lists.
    ///
    /// # Errors
    /// No list.
    pub fn models(&self) -> Result<Vec<String>, Cause> {
        let request = self.agent.get(format!("{}/models", self.base));
        let request = match self.bearer() {
            Some(bearer) => request.header(header::AUTHORIZATION, bearer),
            None => request,
        };
        let response = request.call().map_err(|e| self.sort(&e))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(refused(response));
        }
        let text = document(response);
        let list: Value =
            serde_json::from_str(&text).map_err(|e| malformed(&text, &e.to_string()))?;
        let models = list
            .get("data")
            .and_then(Value::as_array)
            .ok_or_else(|| malformed(&text, "a list of models has a field data"))?;
        // Names are shown, and a stranger's control characters move cursors.
        let names = models
            .iter()
            .filter_map(|m| m.get("id")?.as_str())
            .filter(|name| !name.contains(char::is_control));
        Ok(names.map(str::to_owned).collect())
    }

    fn bearer(&self) -> Option<String> {
        self.key.as_ref().map(|key| format!("Bearer {key}"))
    }

    /// Sends a request, reads the answer to its end, and notes when what came. Never fails: what went wrong is part of what is noted.
    #[must_use]
    pub fn ask(&self, ask: &Ask) -> Exchange {
        self.ask_until(ask, &AtomicBool::new(false))
    }

    /// The same, but left at the next event once `is_stopped` is raised.
    pub(crate) fn ask_until(&self, ask: &Ask, is_stopped: &AtomicBool) -> Exchange {
        let mut exchange = Exchange::default();
        let clock = Stopwatch::start();
        let mut body = json!({
            "model": self.model,
            "messages": ask.messages,
            "max_tokens": ask.max_tokens,
            "temperature": 0,
            "stream": ask.stream,
        });
        if ask.stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        let mut answer = self.send(&body);
        if ask.stream
            && let Ok(response) = &answer
            && matches!(response.status().as_u16(), 400 | 422)
            && let Some(fields) = body.as_object_mut()
        {
            // Servers that do not know the option; the tokens are counted by events then.
            fields.remove("stream_options");
            let again = self.send(&body);
            if again.as_ref().is_ok_and(|r| r.status().as_u16() == 200) {
                answer = again;
            }
        }
        exchange.failure = match answer {
            Err(cause) => Some(cause),
            Ok(response) if response.status().as_u16() != 200 => Some(refused(response)),
            Ok(response) => {
                exchange.head_ms = Some(clock.elapsed_ms());
                self.read(response, &clock, ask, is_stopped, &mut exchange)
            }
        };
        exchange.end_ms = clock.elapsed_ms();
        exchange
    }

    fn send(&self, body: &Value) -> Result<Response<Body>, Cause> {
        let request = self
            .agent
            .post(format!("{}/chat/completions", self.base))
            .header(header::ACCEPT_ENCODING, "identity");
        let request = match self.bearer() {
            Some(bearer) => request.header(header::AUTHORIZATION, bearer),
            None => request,
        };
        request
            .content_type("application/json")
            .send(body.to_string())
            .map_err(|e| self.sort(&e))
    }

    fn read(
        &self,
        response: Response<Body>,
        clock: &Stopwatch,
        ask: &Ask,
        is_stopped: &AtomicBool,
        exchange: &mut Exchange,
    ) -> Option<Cause> {
        let is_json = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|t| t.to_str().ok())
            .is_some_and(|t| t.starts_with("application/json"));
        if is_json {
            let text = document(response);
            return match Delta::parse(&text) {
                Ok(delta) => {
                    exchange.take(delta, clock.elapsed_ms());
                    exchange.failure.take().or_else(|| empty(exchange))
                }
                Err(why) => Some(malformed(&text, &why)),
            };
        }
        exchange.is_streamed = true;
        let events = Events::new(BufReader::new(response.into_body().into_reader()));
        let mut unreadable: Option<(usize, String)> = None;
        let mut is_done = false;
        let most = ask
            .max_tokens
            .saturating_mul(EVENTS.0)
            .saturating_add(EVENTS.1);
        for (count, event) in events.enumerate() {
            if count == most {
                return Some(Cause::Endless { events: most });
            }
            if is_stopped.load(Relaxed) {
                let why = "nobody waits for it any more".to_owned();
                return Some(Cause::Dropped { why });
            }
            match event {
                Ok(data) if data.trim() == "[DONE]" => {
                    is_done = true;
                    break;
                }
                Ok(data) => match Delta::parse(&data) {
                    Ok(delta) => exchange.take(delta, clock.elapsed_ms()),
                    Err(why) => {
                        let first = || (0, format!("{:?}: {why}", shown(&data)));
                        unreadable.get_or_insert_with(first).0 += 1;
                    }
                },
                Err(StreamError::Io(e)) => return Some(self.broken(&e)),
                Err(StreamError::TooLong) => {
                    return Some(Cause::Malformed {
                        events: 1,
                        first: StreamError::TooLong.to_string(),
                    });
                }
            }
        }
        if exchange.failure.is_some() {
            return exchange.failure.take();
        }
        if let Some((events, first)) = unreadable {
            return Some(Cause::Malformed { events, first });
        }
        if !is_done && exchange.finish.is_none() {
            let why = "the stream ended without [DONE] and without a reason".to_owned();
            return Some(Cause::Dropped { why });
        }
        empty(exchange)
    }

    fn broken(&self, error: &std::io::Error) -> Cause {
        match error
            .get_ref()
            .and_then(|e| e.downcast_ref::<ureq::Error>())
        {
            Some(ureq::Error::Timeout(_)) => self.stalled(),
            _ if error.kind() == std::io::ErrorKind::TimedOut => self.stalled(),
            _ => Cause::Dropped {
                why: error.to_string(),
            },
        }
    }

    fn stalled(&self) -> Cause {
        Cause::Stalled {
            waited_s: self.patience.stall.as_secs_f64(),
        }
    }

    fn sort(&self, error: &ureq::Error) -> Cause {
        use std::io::ErrorKind::{ConnectionRefused, TimedOut};
        match error {
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                Cause::Connection {
                    why: format!("no connection within {:?}", self.patience.connect),
                }
            }
            ureq::Error::Timeout(_) => self.stalled(),
            ureq::Error::Io(e) if e.kind() == TimedOut => self.stalled(),
            ureq::Error::Io(e) if e.kind() != ConnectionRefused => {
                Cause::Dropped { why: e.to_string() }
            }
            other => Cause::Connection {
                why: other.to_string(),
            },
        }
    }
}

fn empty(exchange: &Exchange) -> Option<Cause> {
    exchange.text_ms.is_empty().then_some(Cause::Empty)
}

/// The address with `/v1`, and its host.
fn base(address: &str) -> Result<(String, String), String> {
    let with_scheme = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let uri: Uri = with_scheme
        .parse()
        .map_err(|e: ureq::http::uri::InvalidUri| e.to_string())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("its scheme is neither http nor https".to_owned());
    }
    let host = uri
        .host()
        .filter(|h| !h.is_empty())
        .ok_or("it names no host")?;
    if uri.query().is_some() {
        return Err("it has a query".to_owned());
    }
    let mut base = with_scheme.trim_end_matches('/');
    base = base.strip_suffix("/chat/completions").unwrap_or(base);
    let host = host.trim_matches(['[', ']']).to_owned();
    if base.ends_with("/v1") {
        Ok((base.to_owned(), host))
    } else if uri.path().trim_matches('/').is_empty() {
        Ok((format!("{base}/v1"), host))
    } else {
        // A gateway's own path, which may end in something else than v1.
        Ok((base.to_owned(), host))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The system's certificates, or those built in where it has none.
fn roots() -> RootCerts {
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return RootCerts::WebPki;
    }
    let owned: Vec<_> = found
        .iter()
        .map(|c| Certificate::from_der(c).to_owned())
        .collect();
    RootCerts::Specific(Arc::new(owned))
}

/// What an answer with another status than 200 says.
fn refused(response: Response<Body>) -> Cause {
    let status = response.status().as_u16();
    let retry_after_s = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.trim().parse().ok())
        .filter(|s: &f64| s.is_finite() && *s >= 0.0);
    let text = document(response);
    let said = Delta::parse(&text).ok().and_then(|d| d.error);
    Cause::Status {
        status,
        retry_after_s,
        message: shown(&said.unwrap_or(text)),
    }
}

/// The whole body, as far as it can be read.
fn document(response: Response<Body>) -> String {
    let mut bytes = Vec::new();
    let mut reader = response.into_body().into_reader().take(MAX_DOCUMENT_BYTES);
    // What came before a break may still say what went wrong.
    let _broken = reader.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn malformed(text: &str, why: &str) -> Cause {
    Cause::Malformed {
        events: 1,
        first: format!("{:?}: {why}", shown(text)),
    }
}

#[cfg(test)]
mod tests;
