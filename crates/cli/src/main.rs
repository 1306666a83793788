//! The `sprag` command: arguments in, calls of the libraries, text or JSON out.
//!
//! 1. [`arguments`] is what a user may type; each sub-command's own part stands in its file under [`commands`].
//! 2. A command returns `Ok(())` or a [`failure::Failure`]; it never ends the process.
//! 3. Here the failure becomes `error:` and `hint:` lines on standard error, and an exit code of `docs/exit-codes.md`.
//!
//! Data goes to standard output and talk to standard error, so that `--json` can be piped anywhere. Libraries print nothing;
//! all that a person reads is written in this crate.

mod addresses;
mod arguments;
mod built_in;
mod checkpoint;
mod commands;
mod device;
mod exchange;
mod failure;
mod headroom;
mod hint;
mod interrupt;
mod machine_profile;
mod model_file;
mod placement;
mod progress;
mod prompt;
mod quantity;
mod report;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;
use failure::Exit;
use terminal::Terminal;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        terminal::complain(&format!(
            "error: internal: {panic}\nhint: this is a bug in sprag {}; please report it with this message and the command that you ran",
            env!("CARGO_PKG_VERSION")
        ));
        std::process::exit(Exit::Internal.code().into());
    }));
    // A sandbox's child is this program too; it knows no other arguments.
    let mut words = std::env::args_os().skip(1);
    if words
        .next()
        .is_some_and(|word| word == commands::ratchet::CELL)
    {
        return sandbox::inner::main(words);
    }
    if let Some(told) = headroom::lacking() {
        terminal::complain(&told);
        return Exit::DoesNotFit.into();
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => {
            // Help and version are such "errors" too, with exit code 0; a closed pipe leaves nobody to tell.
            let _closed = refusal.print();
            return if refusal.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let terminal = Terminal::detect();
    match commands::run(&arguments, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let hint = hint::next_step(&failure, &arguments);
            failure::show(&failure, hint.as_deref(), &terminal);
            failure.exit().into()
        }
    }
}
