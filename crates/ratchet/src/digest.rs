//! SHA-256 of contents, and the seeds that are drawn from the track's key.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::Path,
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hexadecimal(&Sha256::digest(bytes)))
    }

    /// Of a file's contents.
    ///
    /// # Errors
    /// Reading it.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let mut file = fs::File::open(path)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(Self(hexadecimal(&hasher.finalize()))),
                n => hasher.update(&buffer[..n]),
            }
        }
    }

    /// All digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough digits for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects named parts, each with its length, so that no two lists of parts have the same digest.
#[derive(Default)]
pub struct Parts(Sha256);

impl Parts {
    /// One more part.
    pub fn add(&mut self, part: &[u8]) -> &mut Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    /// Of all parts.
    #[must_use]
    pub fn digest(self) -> Digest {
        Digest(hexadecimal(&self.0.finalize()))
    }
}

/// The secret that a track's seeds are drawn from. A candidate cannot foresee what it will be measured with.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// Reads the key, or makes one.
    ///
    /// # Errors
    /// Reading or writing it, or a file that holds no key.
    pub fn at(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => bytes.try_into().map(Self).map_err(|bytes: Vec<u8>| {
                let why = format!("expected a key of 32 bytes, came {}", bytes.len());
                io::Error::new(io::ErrorKind::InvalidData, why)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; 32];
                fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
                crate::disk::write_private(path, &key)?;
                Ok(Self(key))
            }
            Err(error) => Err(error),
        }
    }

    /// A seed for what `label` names. The same label always gives the same seed, so a measurement that an engine's death cut short is
    /// repeated with it.
    #[must_use]
    pub fn seed(&self, label: &str) -> u64 {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return 0; // An HMAC takes keys of any length.
        };
        mac.update(label.as_bytes());
        let bytes = mac.finalize().into_bytes();
        let first: [u8; 8] = std::array::from_fn(|i| bytes[i]);
        u64::from_le_bytes(first)
    }

    /// What the ledger may know of the key.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.0)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
