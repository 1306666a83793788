//! Why there is no report at all. A single request that fails is no error: it is kept in the report with its cause.

use crate::exchange::Cause;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The address is none.
    #[error(
        "{address} is no address of a server: {why}; expected for example http://127.0.0.1:8080 or https://host/v1"
    )]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// Several models, and none was named.
    #[error("the server at {address} has {}: name one with --model", list(.models))]
    WhichModel {
        /// The server.
        address: String,
        /// What it lists.
        models: Vec<String>,
    },
    /// The model is not there.
    #[error("the server at {address} has no model {model:?}; it has {}", list(.models))]
    NoModel {
        /// The server.
        address: String,
        /// What was asked for.
        model: String,
        /// What it lists.
        models: Vec<String>,
    },
    /// Nothing could be learned: the first requests failed.
    #[error("the server at {address} gave no answer to measure: {cause}")]
    NoAnswer {
        /// The server.
        address: String,
        /// Why.
        cause: Cause,
    },
}

fn list(models: &[String]) -> String {
    const SHOWN: usize = 8;
    match models {
        [] => "none".to_owned(),
        [one] => format!("only {one}"),
        _ => {
            let more = models.len().saturating_sub(SHOWN);
            let mut text = models[..models.len() - more].join(", ");
            if more > 0 {
                text += &format!(" and {more} more");
            }
            text
        }
    }
}
