//! Branches for review: each merged change by itself where it can stand alone, else on top of those that it needs.
//!
//! A race may have merged several changes, one on top of the other. For each, its own difference is applied to the first champion's files;
//! if none of the files that it changes was changed before it by another merged one, the branch is independent. Otherwise it is the
//! change as it was made, on its own base. Branches are named `sprag/TRACK/NUMBER`; one that is there already is left as it is.

use crate::{
    git::ObjectId,
    history::History,
    place::Place,
    proposer::Standing,
    tree::{self, TreeError},
};

/// One branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The experiment.
    pub experiment: u64,
    /// Its name, without `refs/heads/`.
    pub name: String,
    /// What the change is.
    pub title: String,
    /// Whether it stands on the first champion alone.
    pub independent: bool,
    /// Its commit.
    pub commit: ObjectId,
}

/// Makes a branch for each merged change.
///
/// # Errors
/// [`TreeError`].
pub fn branches(place: &Place, history: &History) -> Result<Vec<Branch>, TreeError> {
    let (repository, track) = (&place.repository, &place.track);
    let Some(first) = &history.first else {
        return Ok(Vec::new());
    };
    let files = tree::mutable(repository, track, first)?;
    let mut out = Vec::new();
    for experiment in history
        .experiments
        .values()
        .filter(|e| e.standing == Standing::Merged)
    {
        let proposal = &experiment.proposal;
        let name = format!("sprag/{}/{}", track.name(), experiment.number);
        let reference = format!("refs/heads/{name}");
        let before = tree::mutable(repository, track, &proposal.base)?;
        let after = tree::mutable(repository, track, &proposal.commit)?;
        let changes = tree::changes(&before, &after);
        let independent = changes
            .keys()
            .all(|path| before.get(path) == files.get(path));
        let commit = match (repository.resolve(&reference)?, independent) {
            (Some(there), _) => there,
            (None, false) => {
                repository.point(&reference, &proposal.commit)?;
                proposal.commit.clone()
            }
            (None, true) => {
                let words = experiment.words.join("\n");
                let message = format!("{}\n\n{words}\n", proposal.title);
                repository.commit(first, &changes, &message, &reference)?
            }
        };
        out.push(Branch {
            experiment: experiment.number,
            name,
            title: proposal.title.clone(),
            independent,
            commit,
        });
    }
    Ok(out)
}
