//! A step, and the checks that make walking it sound: nothing starts before they hold.

use std::sync::Arc;

use super::{State, StepLimits, Workspace};
use crate::{Isa, Pool, RuntimeProfile, program::Program};

/// For which tokens logits are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// None: an earlier chunk of a prompt.
    None,
    /// The last one.
    Last,
    /// Every one.
    All,
}

/// Tokens that follow what the state has seen.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// For which of them logits are computed.
    pub outputs: Outputs,
}

/// A sequence's part in a step of several sequences.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Whose: an index of the states given beside.
    pub sequence: usize,
    /// Its tokens.
    pub step: Step<'a>,
}

impl Step<'_> {
    /// How many rows of logits it asks for.
    #[must_use]
    pub fn output_rows(&self) -> usize {
        match self.outputs {
            Outputs::None => 0,
            Outputs::Last => self.tokens.len().min(1),
            Outputs::All => self.tokens.len(),
        }
    }
}

/// A step that cannot be run; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecuteError {
    /// No tokens.
    Empty,
    /// More tokens or outputs than the workspace has rows.
    Workspace {
        /// Asked for.
        asked: usize,
        /// Rows there are.
        rows: usize,
    },
    /// More sequences than the workspace was made for.
    Sequences {
        /// Asked for.
        asked: usize,
        /// There is room for.
        room: usize,
    },
    /// A sequence that does not exist, or not behind the one before it: each takes part once, in the order of the states.
    Order {
        /// The index given.
        sequence: usize,
        /// States there are.
        states: usize,
    },
    /// The state is full.
    Context {
        /// Positions needed.
        needed: usize,
        /// Positions there are.
        capacity: usize,
    },
    /// A token beyond the vocabulary.
    Token {
        /// The id.
        token: u32,
        /// Rows of the embedding table.
        vocabulary: usize,
    },
    /// The program was built from a file's header alone, to be looked at.
    Hollow,
    /// The workspace was made for fewer threads than the pool has.
    Threads {
        /// Of the pool.
        pool: usize,
        /// Of the workspace.
        workspace: usize,
    },
    /// The state or the workspace was made for another program.
    OtherProgram,
    /// The processor lacks the profile's instruction set.
    Isa(Isa),
    /// The workspace was made for a profile with a smaller attention tile.
    AttentionTile {
        /// Of the profile.
        profile: usize,
        /// Of the workspace.
        workspace: usize,
    },
}

impl std::fmt::Display for ExecuteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => write!(f, "expected at least one token, got none"),
            Self::Workspace { asked, rows } => {
                write!(f, "a step of {asked} rows in a workspace of {rows}")
            }
            Self::Sequences { asked, room } => {
                write!(f, "{asked} sequences in a workspace for {room}")
            }
            Self::Order { sequence, states } => write!(
                f,
                "sequence {sequence} of {states}; expected each at most once, in rising order"
            ),
            Self::Context { needed, capacity } => {
                write!(
                    f,
                    "{needed} tokens do not fit the context of {capacity}; shorten the text or raise --context"
                )
            }
            Self::Token { token, vocabulary } => {
                write!(f, "token {token} is beyond the vocabulary of {vocabulary}")
            }
            Self::Hollow => write!(f, "the model's weights were not loaded; load it to run it"),
            Self::Threads { pool, workspace } => {
                write!(f, "a pool of {pool} threads, a workspace for {workspace}")
            }
            Self::OtherProgram => {
                write!(f, "the state or the workspace was made for another model")
            }
            Self::Isa(isa) => write!(
                f,
                "this processor has no {}; its best instruction set is {}",
                isa.name(),
                Isa::detect().name()
            ),
            Self::AttentionTile { profile, workspace } => write!(
                f,
                "an attention tile of {profile}, a workspace for {workspace}; make it with the profile that runs"
            ),
        }
    }
}

impl std::error::Error for ExecuteError {}

pub(super) fn check(
    program: &Program,
    states: &[State],
    workspace: &Workspace,
    members: &[Member<'_>],
    pool: &Pool,
    profile: &RuntimeProfile,
) -> Result<(), ExecuteError> {
    if program.is_hollow() {
        return Err(ExecuteError::Hollow);
    }
    if pool.threads() > workspace.threads() {
        return Err(ExecuteError::Threads {
            pool: pool.threads(),
            workspace: workspace.threads(),
        });
    }
    if profile.attention_tile > workspace.attention_tile {
        return Err(ExecuteError::AttentionTile {
            profile: profile.attention_tile,
            workspace: workspace.attention_tile,
        });
    }
    if !profile.isa.is_available() {
        return Err(ExecuteError::Isa(profile.isa));
    }
    if !Arc::ptr_eq(&workspace.program, &program.identity) {
        return Err(ExecuteError::OtherProgram);
    }
    let vocabulary = program.embedding.rows();
    for member in members {
        let state = states.get(member.sequence);
        if state.is_some_and(|state| !Arc::ptr_eq(&state.program, &program.identity)) {
            return Err(ExecuteError::OtherProgram);
        }
    }
    let fill = |sequence: usize| {
        let state: &State = states.get(sequence)?;
        let capacity = state.capacity().min(workspace.limits.capacity);
        Some((state.positions, capacity))
    };
    check_members(members, workspace.limits, vocabulary, states.len(), &fill)
}

/// Whether a step's members fit: `fill` says how many positions of how many each of `states` sequences has filled.
///
/// # Errors
/// What does not.
pub fn check_members(
    members: &[Member<'_>],
    limits: StepLimits,
    vocabulary: usize,
    states: usize,
    fill: &dyn Fn(usize) -> Option<(usize, usize)>,
) -> Result<(), ExecuteError> {
    if members.is_empty() {
        return Err(ExecuteError::Empty);
    }
    if members.len() > limits.sequences {
        return Err(ExecuteError::Sequences {
            asked: members.len(),
            room: limits.sequences,
        });
    }
    let (mut tokens, mut outputs, mut next) = (0usize, 0usize, 0);
    for &Member { sequence, step } in members {
        let Some((positions, capacity)) = fill(sequence).filter(|_| sequence >= next) else {
            return Err(ExecuteError::Order { sequence, states });
        };
        if step.tokens.is_empty() {
            return Err(ExecuteError::Empty);
        }
        let needed = positions.saturating_add(step.tokens.len());
        if needed > capacity {
            return Err(ExecuteError::Context { needed, capacity });
        }
        if let Some(&token) = step.tokens.iter().find(|&&t| t as usize >= vocabulary) {
            return Err(ExecuteError::Token { token, vocabulary });
        }
        tokens = tokens.saturating_add(step.tokens.len());
        outputs = outputs.saturating_add(step.output_rows());
        next = sequence + 1;
    }
    for (asked, rows) in [(tokens, limits.tokens), (outputs, limits.outputs)] {
        if asked > rows {
            return Err(ExecuteError::Workspace { asked, rows });
        }
    }
    Ok(())
}
