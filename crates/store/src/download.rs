//! One file from one address into one `.part` file, whatever happens on the way.
//!
//! # Algorithm
//! 1. Beside `NAME.part` lies `NAME.state`: which address the bytes came from, the validator that the server gave with them
//!    (a strong `ETag`, else `Last-Modified`), the total length and the expected sum. If it does not fit what is wanted now,
//!    both are thrown away.
//! 2. What is here already is hashed, then the rest is asked for: `Range: bytes=N-` with `If-Range: VALIDATOR`, so that a
//!    server whose file has changed sends the new one whole. Without a validator, a range is asked for only if the sum is
//!    known, which then catches the mixture.
//! 3. `206` at offset N is appended; `200` means begin again; `416` means that nothing is left, or that the file has changed.
//! 4. A broken or stalled connection is tried again, with growing pauses ([`Retry`]); tries count only while they bring
//!    nothing that was not here before, so that a server that breaks off each time after a megabyte is still worth it, and
//!    one that begins anew each time is not.
//! 5. The sum is compared. A wrong sum of a file that came in several sittings is forgiven once (the pieces may be of two
//!    versions), of a file in one sitting never. The file is flushed to the disk.
//!
//! The caller holds the lock, and gives the file its final name.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use ureq::http::header;

use crate::address::Address;
use crate::digest::{self, Hasher, Sha256};
use crate::disk;
use crate::error::PullError;
use crate::http::{self, Client, Failure, Reply, Retry};
use crate::progress::Progress;

/// What to fetch, and where to.
pub(crate) struct Wanted<'a> {
    pub(crate) address: &'a Address,
    /// The `.part` file.
    pub(crate) part: &'a Path,
    /// The sum, if something trustworthy has told.
    pub(crate) sha256: Option<Sha256>,
    /// Bytes to be written elsewhere on the same disk afterwards, for each byte of the file (1 when it will be unpacked).
    pub(crate) copies: u64,
}

/// A file that is complete and flushed.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) sha256: Sha256,
    pub(crate) bytes: u64,
    /// Whether the sum was compared with one that was told beforehand.
    pub(crate) verified: bool,
}

/// The content of the `.state` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The sum of the address: the address itself may hold a secret.
    address: Sha256,
    validator: Option<String>,
    total_bytes: Option<u64>,
    sha256: Option<Sha256>,
}

/// A download in progress.
struct Transfer<'a> {
    wanted: &'a Wanted<'a>,
    state_path: PathBuf,
    state: State,
    file: File,
    /// Of the bytes in `file`, from its beginning.
    hasher: Hasher,
    /// Whether the bytes come from more than one answer.
    mixed: bool,
    /// The most bytes there have ever been, in this process.
    reached: u64,
}

/// Fetches `wanted`.
pub(crate) fn fetch(
    client: &Client<'_>,
    wanted: &Wanted<'_>,
    progress: &mut dyn Progress,
) -> Result<Fetched, PullError> {
    let mut transfer = Transfer::resume(wanted, progress)?;
    let mut retry = Retry::new(client.patience(), wanted.address);
    let mut forgiven = false;
    loop {
        let before = transfer.reached;
        let outcome = if transfer.is_complete() {
            Ok(())
        } else {
            transfer.once(client, progress)
        };
        if transfer.reached > before {
            retry.reset();
        }
        if let Err(failure) = outcome {
            retry.after(failure, transfer.hasher.bytes(), progress)?;
            continue;
        }
        let got = transfer.hasher.clone().finish();
        let Some(expected) = transfer.state.sha256.filter(|expected| *expected != got) else {
            return transfer.finish(got);
        };
        let mixed = transfer.mixed;
        transfer.restart()?;
        if !mixed || forgiven {
            disk::remove(wanted.part)?;
            disk::remove(&transfer.state_path)?;
            let what = wanted.address.to_string();
            return Err(PullError::WrongSum {
                what,
                expected,
                got,
            });
        }
        forgiven = true;
        progress.stage("the pieces do not fit together: beginning again");
    }
}

impl<'a> Transfer<'a> {
    /// Takes up what an earlier pull has left, if it is of use.
    fn resume(wanted: &'a Wanted<'a>, progress: &mut dyn Progress) -> Result<Self, PullError> {
        let state_path = wanted.part.with_extension("state");
        let fresh = State {
            address: digest::of_text(wanted.address.request()),
            validator: None,
            total_bytes: None,
            sha256: wanted.sha256,
        };
        // An unreadable state is no state.
        let left: Option<State> = fs::read(&state_path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        let usable = left.filter(|s| {
            let same_file = s.address == fresh.address
                && (wanted.sha256.is_none() || s.sha256 == wanted.sha256);
            same_file && (s.validator.is_some() || s.sha256.is_some())
        });
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(wanted.part)
            .map_err(PullError::file("write", wanted.part))?;
        let mut transfer = Self {
            wanted,
            state_path,
            state: usable.clone().unwrap_or(fresh),
            file,
            hasher: Hasher::default(),
            mixed: false,
            reached: 0,
        };
        if usable.is_none() {
            transfer.restart()?;
            return Ok(transfer);
        }
        let here = fs::metadata(wanted.part)
            .map_err(PullError::file("read", wanted.part))?
            .len();
        if here > 0 {
            progress.stage("checking what is already here");
            digest::absorb(&mut transfer.hasher, &mut transfer.file)
                .map_err(PullError::file("read", wanted.part))?;
        }
        transfer.mixed = transfer.hasher.bytes() > 0;
        transfer.reached = transfer.hasher.bytes();
        Ok(transfer)
    }

    /// Whether nothing is left to ask for.
    fn is_complete(&self) -> bool {
        self.hasher.bytes() > 0 && self.state.total_bytes == Some(self.hasher.bytes())
    }

    /// Forgets every byte.
    fn restart(&mut self) -> Result<(), PullError> {
        let part = self.wanted.part;
        self.hasher = Hasher::default();
        self.mixed = false;
        self.state.validator = None;
        self.state.total_bytes = None;
        self.state.sha256 = self.wanted.sha256;
        let rewind = |file: &mut File| {
            // Asked first, because a special file has no length to set.
            if file.metadata()?.len() > 0 {
                file.set_len(0)?;
            }
            io::Seek::rewind(file)
        };
        rewind(&mut self.file).map_err(PullError::file("empty", part))
    }

    /// One request, and its answer to the end.
    fn once(&mut self, client: &Client<'_>, progress: &mut dyn Progress) -> Result<(), Failure> {
        let here = self.hasher.bytes();
        let range = format!("bytes={here}-");
        let mut headers: Vec<(&str, &str)> = Vec::new();
        let validator = self.state.validator.clone();
        if here > 0 {
            headers.push(("range", &range));
            if let Some(validator) = &validator {
                headers.push(("if-range", validator));
            }
        }
        let reply = client.open(self.wanted.address, &headers)?;
        self.note(reply.stated_sha256)?;
        match reply.status.as_u16() {
            206 if here > 0 => self.check_range(&reply, here)?,
            416 if here > 0 => return self.end_of_range(&reply),
            200 => {
                if here > 0 {
                    progress.stage("the server sends the file from its beginning");
                    self.restart().map_err(Failure::Final)?;
                    self.note(reply.stated_sha256)?;
                }
                self.state.total_bytes = length(&reply);
            }
            // A part that nobody asked for.
            _ => {
                return Err(Failure::Passing(
                    format!("HTTP {} out of place", reply.status),
                    None,
                ));
            }
        }
        self.state.validator = validator_of(&reply);
        self.begin(progress).map_err(Failure::Final)?;
        self.copy(reply, progress)
    }

    /// Takes note of a sum that the hub stated. One that has changed means another file.
    fn note(&mut self, stated: Option<Sha256>) -> Result<(), Failure> {
        let Some(stated) = stated.filter(|_| self.wanted.sha256.is_none()) else {
            return Ok(());
        };
        if self.hasher.bytes() > 0 && self.state.sha256.is_some_and(|known| known != stated) {
            self.restart().map_err(Failure::Final)?;
            self.state.sha256 = Some(stated);
            return Err(Failure::Passing(
                "the file has changed on the server".to_owned(),
                None,
            ));
        }
        self.state.sha256 = Some(stated);
        Ok(())
    }

    /// Whether a `206` is the rest of what is here.
    fn check_range(&mut self, reply: &Reply, here: u64) -> Result<(), Failure> {
        let (start, total) = content_range(reply).unwrap_or((None, None));
        let agrees =
            self.state.total_bytes.is_none() || total.is_none() || total == self.state.total_bytes;
        if start == Some(here) && agrees {
            self.mixed = true;
            self.state.total_bytes = total.or(self.state.total_bytes);
            return Ok(());
        }
        self.restart().map_err(Failure::Final)?;
        Err(Failure::Passing(
            "the server sent another range than asked".to_owned(),
            None,
        ))
    }

    /// After a `416`: everything is here, or the file is another one.
    fn end_of_range(&mut self, reply: &Reply) -> Result<(), Failure> {
        let total = content_range(reply).and_then(|(_, total)| total);
        if total == Some(self.hasher.bytes()) {
            self.state.total_bytes = total;
            return Ok(());
        }
        self.restart().map_err(Failure::Final)?;
        Err(Failure::Passing(
            "the file has changed on the server".to_owned(),
            None,
        ))
    }

    /// Before the first byte is written: is there room, and what would a later pull have to know.
    fn begin(&mut self, progress: &mut dyn Progress) -> Result<(), PullError> {
        let here = self.hasher.bytes();
        progress.started(self.state.total_bytes, here);
        if let Some(total) = self.state.total_bytes {
            let more = total.saturating_sub(here);
            let needed = more.saturating_add(total.saturating_mul(self.wanted.copies));
            disk::require_space(self.wanted.part.parent().unwrap_or(Path::new(".")), needed)?;
        }
        let text = serde_json::to_vec(&self.state)
            .map_err(|e| PullError::file("write", &self.state_path)(e.into()))?;
        disk::replace(&self.state_path, &text)
    }

    fn copy(&mut self, mut reply: Reply, progress: &mut dyn Progress) -> Result<(), Failure> {
        let mut body = reply.body.as_reader();
        let mut block = vec![0u8; 1 << 17];
        loop {
            if progress.cancelled() {
                return Err(Failure::Final(PullError::Cancelled));
            }
            let n = match body.read(&mut block) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(http::passing(&e)),
            };
            if n == 0 {
                break;
            }
            self.file
                .write_all(&block[..n])
                .map_err(|e| Failure::Final(PullError::file("write", self.wanted.part)(e)))?;
            self.hasher.update(&block[..n]);
            self.reached = self.reached.max(self.hasher.bytes());
            progress.advanced(n as u64);
        }
        let here = self.hasher.bytes();
        match self.state.total_bytes {
            Some(total) if here < total => Err(Failure::Passing(
                format!("the connection ended {} bytes early", total - here),
                None,
            )),
            Some(total) if here > total => {
                self.restart().map_err(Failure::Final)?;
                Err(Failure::Passing(
                    "more bytes came than announced".to_owned(),
                    None,
                ))
            }
            _ => Ok(()),
        }
    }

    fn finish(mut self, sha256: Sha256) -> Result<Fetched, PullError> {
        let bytes = self.hasher.bytes();
        self.file
            .sync_all()
            .map_err(PullError::file("flush", self.wanted.part))?;
        // So that the next pull knows that nothing is left, even if the server never told the length.
        self.state.total_bytes = Some(bytes);
        let text = serde_json::to_vec(&self.state)
            .map_err(|e| PullError::file("write", &self.state_path)(e.into()))?;
        disk::replace(&self.state_path, &text)?;
        Ok(Fetched {
            sha256,
            bytes,
            verified: self.state.sha256.is_some(),
        })
    }
}

/// What `If-Range` may carry (RFC 9110, section 13.1.5): a weak tag is no promise about bytes.
fn validator_of(reply: &Reply) -> Option<String> {
    let text = |name| reply.headers.get(name).and_then(|v| v.to_str().ok());
    let tag = text(header::ETAG).filter(|t| t.starts_with('"'));
    tag.or_else(|| text(header::LAST_MODIFIED))
        .map(str::to_owned)
}

fn length(reply: &Reply) -> Option<u64> {
    let text = reply.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.trim().parse().ok()
}

/// `bytes FIRST-LAST/TOTAL` or `bytes */TOTAL`: first and total, as far as told.
fn content_range(reply: &Reply) -> Option<(Option<u64>, Option<u64>)> {
    let text = reply.headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let first = range
        .split_once('-')
        .and_then(|(first, _)| first.trim().parse().ok());
    Some((first, total.trim().parse().ok()))
}
