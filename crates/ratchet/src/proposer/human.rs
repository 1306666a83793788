//! People: a change that somebody made by hand waits as a commit under `refs/sprag/NAME/inbox/` until the engine takes it.
//!
//! So a person can propose while an engine runs, from any work tree, and nothing is lost if it stops.

use std::path::Path;

use super::{Answer, Idea};
use crate::{
    git::{Files, ObjectId, Repository},
    record::Void,
    track::Track,
    tree::{self, TreeError},
};

/// Where proposals wait.
#[must_use]
pub fn inbox(track: &Track) -> String {
    format!("refs/sprag/{}/inbox/", track.name())
}

/// Puts the mutable files of `folder` into the inbox, as a change of `base`. Gives the reference.
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
    let files = match tree::collect(track, folder, &std::collections::BTreeMap::new())? {
        Ok(files) => files,
        Err(void) => return Ok(Err(void)),
    };
    let before = tree::mutable(repository, track, base)?;
    let changes = tree::changes(&before, &files);
    if changes.is_empty() {
        return Ok(Err(Void::NoChange));
    }
    let number = chrono::Utc::now().timestamp_micros();
    let reference = format!("{}{number}", inbox(track));
    repository.commit(base, &changes, title, &reference)?;
    Ok(Ok(reference))
}

/// The oldest proposal that waits: its reference and commit.
///
/// # Errors
/// [`TreeError`].
pub fn waiting(repository: &Repository, track: &Track) -> Result<Option<(String, ObjectId)>, TreeError> {
    Ok(repository.references(&inbox(track))?.into_iter().next())
}

/// Takes a waiting proposal on top of `base`: its changes against its own parent, applied to the files of the base.
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
    let mut files = base.clone();
    for (path, contents) in tree::changes(&before, &theirs) {
        if before.get(&path) != base.get(&path) {
            let said = format!(
                "{} was changed both here and in the champion since; propose it again from the champion's files",
                path.display()
            );
            return Ok(Err(Void::Proposer { said }));
        }
        match contents {
            Some(contents) => files.insert(path, contents),
            None => files.remove(&path),
        };
    }
    Ok(Ok(Idea {
        files,
        title,
        knobs: None,
    }))
}
