//! What a line of a conversation asks for.

use std::path::PathBuf;

/// Shown by `/help`.
pub const HELP: &str = "\
/help               this list
/reset              begin anew (the system turn stays)
/system TEXT        set the system turn; without TEXT, remove it
/regen              answer the last turn again
/save FILE          save the conversation as JSON
/load FILE          go on with a saved conversation
/stats              context, speed and settings
/set NAME VALUE     temperature, top-k, top-p, min-p, repeat-penalty, seed, max-tokens
/exit               leave (as Ctrl-D does)
//TEXT              a turn that begins with a slash";

/// A line, understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Nothing,
    Turn(String),
    Help,
    Reset,
    System(String),
    Regenerate,
    Save(PathBuf),
    Load(PathBuf),
    Stats,
    Set(Setting),
    Exit,
}

/// A sampling option and its value; ranges are the sampler's to check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Setting {
    Temperature(f32),
    TopK(usize),
    TopP(f32),
    MinP(f32),
    RepeatPenalty(f32),
    Seed(u64),
    MaxTokens(usize),
}

/// Understands a line.
///
/// # Errors
/// Says what is wrong with a command, and what would be right.
pub fn parse(line: &str) -> Result<Input, String> {
    if line.trim().is_empty() {
        return Ok(Input::Nothing);
    }
    let Some(command) = line.strip_prefix('/') else {
        return Ok(Input::Turn(line.to_owned()));
    };
    if command.starts_with('/') {
        return Ok(Input::Turn(command.to_owned()));
    }
    let (name, rest) = command
        .split_once(char::is_whitespace)
        .unwrap_or((command, ""));
    let rest = rest.trim();
    let file = || match rest {
        "" => Err(format!("/{name} needs a file name")),
        _ => Ok(PathBuf::from(rest)),
    };
    match name {
        "help" | "?" => Ok(Input::Help),
        "reset" => Ok(Input::Reset),
        "system" => Ok(Input::System(rest.to_owned())),
        "regen" => Ok(Input::Regenerate),
        "save" => file().map(Input::Save),
        "load" => file().map(Input::Load),
        "stats" => Ok(Input::Stats),
        "set" => setting(rest).map(Input::Set),
        "exit" | "quit" => Ok(Input::Exit),
        _ => Err(format!(
            "there is no command /{name}; /help lists them, and a turn that begins with a slash is written //{name}"
        )),
    }
}

fn setting(rest: &str) -> Result<Setting, String> {
    const NAMES: &str = "temperature, top-k, top-p, min-p, repeat-penalty, seed or max-tokens";
    let Some((name, value)) = rest.split_once(char::is_whitespace) else {
        return Err(format!(
            "/set needs a name and a value; the name is {NAMES}"
        ));
    };
    fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
        value.trim().parse().map_err(|_| {
            format!(
                "{:?} is no value for {name}; expected a number",
                value.trim()
            )
        })
    }
    match name {
        "temperature" => number(name, value).map(Setting::Temperature),
        "top-k" => number(name, value).map(Setting::TopK),
        "top-p" => number(name, value).map(Setting::TopP),
        "min-p" => number(name, value).map(Setting::MinP),
        "repeat-penalty" => number(name, value).map(Setting::RepeatPenalty),
        "seed" => number(name, value).map(Setting::Seed),
        "max-tokens" => number(name, value).map(Setting::MaxTokens),
        _ => Err(format!("{name:?} cannot be set; the name is {NAMES}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        assert_eq!(parse("  \t"), Ok(Input::Nothing));
        assert_eq!(parse("hi /help"), Ok(Input::Turn("hi /help".into())));
        assert_eq!(parse("//etc"), Ok(Input::Turn("/etc".into())));
        assert_eq!(
            parse("/system be  brief "),
            Ok(Input::System("be  brief".into()))
        );
        assert_eq!(
            parse("/set temperature 0.5"),
            Ok(Input::Set(Setting::Temperature(0.5)))
        );
        assert_eq!(parse("/set top-k  7"), Ok(Input::Set(Setting::TopK(7))));
        assert_eq!(parse("/save a b.json"), Ok(Input::Save("a b.json".into())));
    }

    #[test]
    fn mistakes_are_told() {
        for (line, told) in [
            ("/save", "file name"),
            ("/frob", "//frob"),
            ("/set", "temperature"),
            ("/set heat 3", "\"heat\""),
            ("/set top-k many", "\"many\""),
            ("/", "/help"),
        ] {
            assert!(parse(line).unwrap_err().contains(told), "{line}");
        }
    }
}
