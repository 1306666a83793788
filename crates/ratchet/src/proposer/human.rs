//! People: a change that somebody made by hand waits as a commit under `refs/sprag/NAME/inbox/` until the engine takes it.
//!
//! So a person can propose while an engine runs, from any work tree, and nothing is lost if it stops. What changed in the champion
//! meanwhile is merged, file by file, as `git merge` would; only where both changed the same lines is the person asked again.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{Answer, Idea};
use crate::{
    git::{Files, ObjectId, Repository},
    record::Void,
    track::Track,
    tree::{self, Laid, TreeError},
};

/// Where proposals wait.
#[must_use]
pub fn inbox(track: &Track) -> String {
    format!("refs/sprag/{}/inbox/", track.name())
}

/// Puts the mutable files of `folder` into the inbox, as a change of `base`. Gives the reference.
///
/// In a work tree of git, files that git ignores are no part of it.
///
/// # Errors
/// [`TreeError`]; the inner error says why it is no candidate.
pub fn put(
    repository: &Repository,
    track: &Track,
    base: &ObjectId,
    folder: &Path,
    title: &str,
) -> Result<Result<String, Void>, TreeError> {
    let before = tree::snapshot(repository, track, base)?;
    let laid = Laid {
        links: before.links,
        ..Laid::default()
    };
    let known: Option<BTreeSet<PathBuf>> =
        Repository::around(folder).and_then(|own| own.known()).ok();
    let is_ignored = |path: &Path| {
        let is_known = |known: &BTreeSet<PathBuf>| {
            known
                .range(path.to_path_buf()..)
                .next()
                .is_some_and(|next| next.starts_with(path))
        };
        known.as_ref().is_some_and(|known| !is_known(known))
    };
    let files = match tree::collect(track, folder, &laid, &is_ignored)? {
        Ok(files) => files,
        Err(void) => return Ok(Err(void)),
    };
    let changes = tree::changes(&before.files, &files);
    if changes.is_empty() {
        return Ok(Err(Void::NoChange));
    }
    let taken = tree::in_the_way(changes.keys(), &before.others);
    if !taken.is_empty() {
        return Ok(Err(Void::Foreign { paths: taken }));
    }
    let waiting = repository.references(&inbox(track))?;
    let mut number = chrono::Utc::now().timestamp_micros();
    let reference = loop {
        let reference = format!("{}{number}", inbox(track));
        if waiting.iter().all(|(name, _)| *name != reference) {
            break reference;
        }
        number += 1;
    };
    repository.commit(base, &changes, title, &reference)?;
    Ok(Ok(reference))
}

/// The proposals that wait, the oldest first: their references and commits.
///
/// # Errors
/// [`TreeError`].
pub fn waiting(
    repository: &Repository,
    track: &Track,
) -> Result<Vec<(String, ObjectId)>, TreeError> {
    Ok(repository.references(&inbox(track))?)
}

/// Takes a waiting proposal on top of `base`: its changes against its own parent, merged into the files of the base.
///
/// # Errors
/// [`TreeError`].
pub fn take(
    repository: &Repository,
    track: &Track,
    commit: &ObjectId,
    base: &Files,
) -> Result<Answer, TreeError> {
    let title = repository.subject(commit)?;
    let theirs = tree::mutable(repository, track, commit)?;
    let before = match repository.resolve(&format!("{commit}^"))? {
        Some(parent) => tree::mutable(repository, track, &parent)?,
        None => Files::new(),
    };
    let files = match tree::onto(repository, base, &before, &theirs)? {
        Ok(files) => files,
        Err(path) => {
            let said = format!(
                "the same part of {} was changed here and in the champion since; propose it again from the champion's files",
                path.display()
            );
            return Ok(Err(Void::Proposer { said }));
        }
    };
    Ok(Ok(Idea {
        files,
        title,
        knobs: None,
    }))
}
