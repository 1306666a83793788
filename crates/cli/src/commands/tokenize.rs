//! `sprag tokenize`: a text's token ids, from the model file's header alone.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use text::{Specials, Tokenizer};

use crate::{
    failure::Failure,
    interrupt::Interrupt,
    model_file, report,
    terminal::{Terminal, say},
};

/// Show the token ids of a text
#[derive(Debug, Args)]
#[command(after_help = "Example: sprag tokenize default \"Hello world\" --json")]
pub struct Arguments {
    /// Path or name of the model
    pub model: String,
    /// The text; standard input is read where neither TEXT nor --file is given
    #[arg(conflicts_with = "file", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// A file with the text; `-` for standard input
    #[arg(long, short, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Text like <|im_start|> becomes control tokens
    #[arg(long)]
    pub control_tokens: bool,
    /// Leave out the begin and end tokens that the model wants around a whole text
    #[arg(long)]
    pub bare: bool,
    /// Report as JSON (schema sprag.tokenize/1)
    #[arg(long)]
    pub json: bool,
}

/// The report; `docs/json.md` describes it.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    count: usize,
    ids: Vec<u32>,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let text = match (&arguments.text, &arguments.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => report::read_text(path)?,
        (None, None) => report::read_text("-".as_ref())?,
    };
    let path = model_file::locate(&arguments.model, false, terminal, &Interrupt::install())?;
    let gguf = model_file::open(&path)?;
    let tokenizer = Tokenizer::from_gguf(gguf.metadata())?;
    let specials = if arguments.control_tokens {
        Specials::Parse
    } else {
        Specials::Plain
    };
    let ids = match arguments.bare {
        true => tokenizer.encode(&text, specials),
        false => tokenizer.encode_prompt(&text, specials),
    };
    if arguments.json {
        return report::json(&Report {
            schema: "sprag.tokenize/1",
            count: ids.len(),
            ids,
        });
    }
    let lines: String = ids
        .iter()
        .map(|&id| format!("{id:>8}  {}\n", shown(tokenizer.bytes_of(id))))
        .collect();
    say(&lines)
}

/// A token's bytes in quotes; escaped where they are no whole characters.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}
