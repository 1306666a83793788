//! A web server of a few lines that sends exactly the bytes it is told, when it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// What is sent, one after another. A site that has a head of events ends its chunks in order at the end.
#[derive(Clone)]
pub enum Piece {
    Raw(Vec<u8>),
    Wait(Duration),
    /// Ends the connection at once.
    Close,
}

impl Piece {
    /// The head of an answer in chunks.
    pub fn head(kind: &str) -> Self {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        Self::Raw(head.into_bytes())
    }

    /// An event, as a chunk of its own.
    pub fn event(data: &str) -> Self {
        let event = format!("data: {data}\n\n");
        Self::Raw(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes())
    }

    /// A whole answer.
    pub fn json(status: u16, body: &str) -> Self {
        let whole = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        Self::Raw(whole.into_bytes())
    }
}

/// A stream of these events.
pub fn events(data: &[&str]) -> Vec<Piece> {
    let mut pieces = vec![Piece::head("text/event-stream")];
    pieces.extend(data.iter().map(|d| Piece::event(d)));
    pieces
}

/// A list of models.
pub fn model_list(names: &[&str]) -> Vec<Piece> {
    let models: Vec<_> = names.iter().map(|n| serde_json::json!({"id": n})).collect();
    vec![Piece::json(
        200,
        &serde_json::json!({"data": models}).to_string(),
    )]
}

/// What came.
pub struct Request {
    pub path: String,
    pub head: String,
    pub body: String,
}

/// A server on a port of its own, until the process ends.
pub struct Site {
    port: u16,
}

impl Site {
    /// Answers each request with what the closure says.
    pub fn new(answer: impl Fn(&Request) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = Arc::clone(&answer);
                thread::spawn(move || serve(stream, &*answer));
            }
        });
        Self { port }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// One request of a connection; the client may have left at any point.
fn serve(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Vec<Piece>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|l| {
            l.to_lowercase()
                .strip_prefix("content-length:")?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request = Request {
        path: head.split(' ').nth(1)?.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        head,
    };
    let pieces = answer(&request);
    let in_chunks =
        matches!(pieces.first(), Some(Piece::Raw(b)) if b.windows(7).any(|w| w == b"chunked"));
    for piece in pieces {
        match piece {
            Piece::Raw(bytes) => stream.write_all(&bytes).ok()?,
            Piece::Wait(time) => thread::sleep(time),
            Piece::Close => {
                stream.shutdown(Shutdown::Both).ok()?;
                return None;
            }
        }
    }
    if in_chunks {
        stream.write_all(b"0\r\n\r\n").ok()?;
    }
    stream.flush().ok()
}
