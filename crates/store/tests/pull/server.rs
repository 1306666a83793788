//! A web server on the loopback interface for the tests of pulling: one thread per connection, one answer per connection, and
//! as much misbehaviour as a test wants, since the answer is written by the test itself.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use store::{
    Address, Network, Patience, Progress, Proxies, PullError, Pulled, Sha256, Silent, Source,
    Store, pull_with,
};

/// What was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
}

impl Request {
    /// N of `Range: bytes=N-`.
    pub fn range_start(&self) -> Option<usize> {
        self.headers
            .get("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

pub struct Server {
    pub base: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Serves with `answer`, which gets the number of the request (from 0), the request, and the connection.
    pub fn start(answer: impl Fn(usize, &Request, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else {
                    return;
                };
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read_request(&connection) else {
                        return;
                    };
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push(request.clone());
                        log.len() - 1
                    };
                    answer(number, &request, &mut connection);
                });
            }
        });
        Self { base, seen }
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn address(&self, path: &str) -> Address {
        Address::parse(&format!("{}{path}", self.base)).unwrap()
    }

    /// Settings with this server as the only index and as the hub, and little patience.
    pub fn network(&self) -> Network {
        Network {
            indexes: vec![self.address("/simple/")],
            find_links: Vec::new(),
            proxies: Proxies::default(),
            certificates: Vec::new(),
            hub: self.address("/hub"),
            hub_token: None,
            patience: Patience {
                connect: Duration::from_secs(2),
                stall: Duration::from_millis(600),
                attempts: 3,
                first_pause: Duration::from_millis(10),
            },
        }
    }
}

/// The head of a request.
pub fn read_request(connection: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(connection).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { path, headers })
}

/// Writes a head and a body; a client that has gone away is no concern.
pub fn send(connection: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    let _gone = connection
        .write_all(head.as_bytes())
        .and_then(|()| connection.write_all(body));
}

/// As [`send`], but the connection ends after `sent` bytes of the body.
pub fn send_broken(
    connection: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &[u8],
    sent: usize,
) {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    let _gone = connection
        .write_all(head.as_bytes())
        .and_then(|()| connection.write_all(&body[..sent]));
}

/// Serves `body` as a good server does: ranges, under `If-Range` only while the tag is `etag`.
pub fn serve(request: &Request, connection: &mut TcpStream, body: &[u8], etag: &str) {
    let tag = format!("ETag: \"{etag}\"\r\n");
    let fits = request
        .headers
        .get("if-range")
        .is_none_or(|t| *t == format!("\"{etag}\""));
    match request.range_start().filter(|_| fits) {
        Some(start) if start < body.len() => {
            let range = format!(
                "{tag}Content-Range: bytes {start}-{}/{}\r\n",
                body.len() - 1,
                body.len()
            );
            send(connection, "206 Partial Content", &range, &body[start..]);
        }
        Some(_) => {
            let range = format!("{tag}Content-Range: bytes */{}\r\n", body.len());
            send(connection, "416 Range Not Satisfiable", &range, b"");
        }
        None => send(connection, "200 OK", &tag, body),
    }
}

/// Bytes that begin as a GGUF file and go on as noise, different for each `seed`.
pub fn model(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let noise = std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    b"GGUF\x03\0\0\0"
        .iter()
        .copied()
        .chain(noise)
        .take(len)
        .collect()
}

pub fn sum(bytes: &[u8]) -> Sha256 {
    use sha2::Digest as _;
    let hex: String = sha2::Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    hex.parse().unwrap()
}

/// Counts, and asks to stop after `stop_after` bytes.
#[derive(Default)]
pub struct Watch {
    pub starts: Vec<(Option<u64>, u64)>,
    pub bytes: u64,
    pub stages: Vec<String>,
    pub stop_after: Option<u64>,
}

impl Progress for Watch {
    fn started(&mut self, total_bytes: Option<u64>, resumed_from: u64) {
        self.starts.push((total_bytes, resumed_from));
    }
    fn advanced(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
    fn stage(&mut self, name: &str) {
        self.stages.push(name.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.stop_after.is_some_and(|limit| self.bytes >= limit)
    }
}

/// An empty store.
pub fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path());
    (folder, store)
}

/// The one folder under `.pull`.
pub fn job_folder(store: &Store) -> std::path::PathBuf {
    let entries = std::fs::read_dir(store.models_folder().join(".pull")).unwrap();
    let mut folders: Vec<_> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_dir())
        .collect();
    assert_eq!(folders.len(), 1, "one job");
    folders.remove(0)
}

/// No file under a final name, and no listed model.
pub fn assert_empty(store: &Store) {
    assert!(store.list().unwrap().is_empty());
    let visible = std::fs::read_dir(store.models_folder())
        .map(|entries| {
            entries
                .flatten()
                .filter(|e| e.file_name() != ".pull")
                .count()
        })
        .unwrap_or(0);
    assert_eq!(visible, 0, "nothing beside .pull");
}

/// That the file at `path` holds `bytes`.
pub fn assert_holds(path: &Path, bytes: &[u8]) {
    assert!(
        std::fs::read(path).unwrap() == bytes,
        "{} holds other bytes",
        path.display()
    );
}

/// Bytes of a test model.
pub const LEN: usize = 400_000;

/// `/m/model.gguf` of the server.
pub fn source(server: &Server, suffix: &str) -> Source {
    Source::parse(&format!("{}/m/model.gguf{suffix}", server.base)).unwrap()
}

/// Pulls it.
pub fn pull_quietly(server: &Server, suffix: &str, store: &Store) -> Result<Pulled, PullError> {
    pull_with(
        &source(server, suffix),
        store,
        &server.network(),
        &mut Silent,
    )
}

/// Leaves `bytes` of an earlier pull behind.
pub fn interrupt(server: &Server, suffix: &str, store: &Store, bytes: u64) {
    let mut watch = Watch {
        stop_after: Some(bytes),
        ..Watch::default()
    };
    let outcome = pull_with(
        &source(server, suffix),
        store,
        &server.network(),
        &mut watch,
    );
    assert!(matches!(outcome, Err(PullError::Cancelled)), "{outcome:?}");
}
