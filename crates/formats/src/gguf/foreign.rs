//! Says what a file is that was given in place of a model file of the expected format.
//!
//! People name the wrong file all the time: the checkpoint beside it, an error page that a download saved, a
//! pointer that `git` left. Naming it saves them the search. This looks at the first bytes only and guesses;
//! nothing else depends on the answer.

use std::fmt;

/// What a file that is not GGUF looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A safetensors checkpoint.
    Safetensors,
    /// A GGUF file, where something else was expected.
    Gguf,
    /// A zip archive: a wheel, or a PyTorch checkpoint.
    Zip,
    /// A gzip stream.
    Gzip,
    /// A web page, most likely an error page saved by a download.
    Html,
    /// The text that stands in a git repository for a large file.
    LfsPointer,
    /// A format of the time before GGUF.
    LegacyGgml,
    /// Nothing but zeros so far: space reserved by an unfinished download.
    Zeros,
    /// None of these.
    Unknown,
}

/// Bytes that are enough to tell.
const SAMPLE_LEN: usize = 512;

impl Foreign {
    pub(crate) fn recognise(bytes: &[u8]) -> Self {
        let sample = &bytes[..bytes.len().min(SAMPLE_LEN)];
        let text = sample.trim_ascii_start().to_ascii_lowercase();
        if sample.starts_with(b"GGUF") {
            Self::Gguf
        } else if sample.starts_with(b"PK\x03\x04") {
            Self::Zip
        } else if sample.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if sample.starts_with(b"version https://git-lfs") {
            Self::LfsPointer
        } else if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
            Self::Html
        } else if [b"lmgg", b"fmgg", b"tjgg", b"algg"]
            .iter()
            .any(|magic| sample.starts_with(*magic))
        {
            Self::LegacyGgml
        } else if !sample.is_empty() && sample.iter().all(|&byte| byte == 0) {
            Self::Zeros
        } else if is_safetensors(bytes) {
            Self::Safetensors
        } else {
            Self::Unknown
        }
    }
}

/// A safetensors file starts with the length of its JSON head (u64) and that head.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((len, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    rest.first() == Some(&b'{')
        && usize::try_from(u64::from_le_bytes(*len)).is_ok_and(|len| len <= rest.len())
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "it looks like safetensors: name it .safetensors, with config.json and tokenizer.json beside it, or convert it with `sprag convert`",
            Self::Gguf => "it looks like GGUF: name it .gguf",
            Self::Zip => "it looks like a zip archive (a wheel or a PyTorch checkpoint): unpack or convert it first",
            Self::Gzip => "it looks like gzip: unpack it first",
            Self::Html => "it looks like a web page, perhaps an error that was saved by a download: check the address and fetch it again",
            Self::LfsPointer => "it is a git-lfs pointer and not the file itself: run `git lfs pull` or download the file",
            Self::LegacyGgml => "it looks like the GGML format before GGUF: convert the model again with a current converter",
            Self::Zeros => "it starts with zeros only, as an unfinished download does: fetch it again",
            Self::Unknown => "check that this is the file you meant",
        })
    }
}
