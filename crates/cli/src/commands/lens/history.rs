//! The runs that `sprag lens` kept: `HOME/lens/DATE-MODEL.json`, each a whole report. They are listed by `sprag lens log`, compared by
//! `sprag lens diff`, and a new run is held against those of the same work on the same machine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use clap::Args;
use lens::{
    Report,
    report::{Earlier, SCHEMA},
};
use page::plain;
use serde::Serialize;
use store::Store;

use crate::{
    failure::Failure,
    quantity, report,
    terminal::{complain, say},
};

/// The largest report that is read; real ones take some hundred kilobytes.
const MAX_BYTES: u64 = 64 << 20;
/// Characters of the model's name in a file's name.
const NAME: usize = 40;

/// List the runs that were kept
#[derive(Debug, Args)]
pub struct Arguments {
    /// Report as JSON (schema sprag.lens-log/1)
    #[arg(long)]
    pub json: bool,
}

/// A folder's runs, and the files in it that are none, with the reason.
type Found = (Vec<Kept>, Vec<(String, String)>);

/// A run that was kept.
pub struct Kept {
    /// The file's name without its end.
    pub id: String,
    pub path: PathBuf,
    pub report: Report,
}

#[derive(Serialize)]
struct Log {
    schema: &'static str,
    runs: Vec<Row>,
    /// Files that are no reports.
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    id: String,
    path: String,
    date: String,
    model: String,
    quantisation: String,
    machine: String,
    threads: usize,
    prompt: usize,
    depth: usize,
    prefill_tokens_per_s: Option<f64>,
    decode_tokens_per_s: Option<f64>,
}

/// Runs `sprag lens log`.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let folder = Store::open()?.lens_folder();
    let (kept, unreadable) = all(&folder)?;
    let runs: Vec<Row> = kept.into_iter().map(row).collect();
    if arguments.json {
        let unreadable = unreadable.into_iter().map(|(path, _)| path).collect();
        return report::json(&Log {
            schema: "sprag.lens-log/1",
            runs,
            unreadable,
        });
    }
    if runs.is_empty() {
        say("no run is kept yet: sprag lens MODEL keeps each\n")?;
    } else {
        let ids = runs.iter().map(|r| r.id.chars().count()).max().unwrap_or(0);
        let mut text = "speeds in tokens/s, as the user saw them\n".to_owned();
        text += &format!(
            "{:<ids$}  {:>8}  {:>7}  {:>7}  {:>6}  model\n",
            "run", "prefill", "decode", "threads", "depth"
        );
        let rate = |x: Option<f64>| x.map_or("-".to_owned(), quantity::digits);
        for run in &runs {
            text += &format!(
                "{:<ids$}  {:>8}  {:>7}  {:>7}  {:>6}  {} {}, {}\n",
                run.id,
                rate(run.prefill_tokens_per_s),
                rate(run.decode_tokens_per_s),
                run.threads,
                run.depth,
                run.model,
                run.quantisation,
                run.machine
            );
        }
        say(&text)?;
    }
    for (path, why) in unreadable {
        complain(&format!("{path} is left out: {why}"));
    }
    Ok(())
}

fn row(kept: Kept) -> Row {
    let report = &kept.report;
    Row {
        date: report.date.clone(),
        model: plain(&report.model.name),
        quantisation: quantisation(report),
        machine: plain(&machine(report)),
        threads: report.profile.threads,
        prompt: report.prefill.tokens,
        depth: report.decode.depth,
        prefill_tokens_per_s: report.prefill.speed(),
        decode_tokens_per_s: report.decode.speed(),
        path: kept.path.display().to_string(),
        id: kept.id,
    }
}

fn quantisation(report: &Report) -> String {
    let largest = report.model.formats.first();
    largest.map_or_else(|| "?".to_owned(), |f| plain(&f.name))
}

fn machine(report: &Report) -> String {
    let name = report.machine.cpu.name.value();
    name.map_or_else(|| "unnamed processor".to_owned(), Clone::clone)
}

/// Gives a report its earlier runs, and what they say of it. Nothing that goes wrong with it is worth the run.
pub fn remember(found: &mut Report) {
    let paths = Store::open()
        .map_err(Failure::from)
        .and_then(|store| paths(&store.lens_folder()));
    // One after another: a report may have megabytes.
    let same = paths.unwrap_or_default().into_iter().filter_map(|path| {
        let report = read(&path).ok().filter(|r| found.is_same_work(r))?;
        Some(Earlier::of(id_of(&path), &report))
    });
    let mut history: Vec<Earlier> = same.collect();
    history.sort_by_key(|run| order(&run.date, &run.id));
    found.history = history;
    found.build = build();
    found.know_drift();
}

/// Which build this is: its executable's length and time, which every build changes. A digest of so many bytes would take a second.
fn build() -> Option<String> {
    let metadata = fs::metadata(std::env::current_exe().ok()?).ok()?;
    let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{}-{}", metadata.len(), since.as_nanos()))
}

/// Keeps a report. Nothing that goes wrong with it is worth the run.
pub fn keep(found: &Report) {
    let kept = Store::open()
        .map_err(Failure::from)
        .and_then(|store| keep_in(&store.lens_folder(), found));
    if let Err(failure) = kept {
        complain(&format!("the run is not kept: {failure}"));
    }
}

fn keep_in(folder: &Path, found: &Report) -> Result<(), Failure> {
    let failed = |source: io::Error| Failure::Write {
        path: folder.to_owned(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    let id = id(found);
    let free = (1..1000)
        .map(|n| match n {
            1 => folder.join(format!("{id}.json")),
            n => folder.join(format!("{id}-{n}.json")),
        })
        .find(|path| !path.exists());
    if let Some(path) = free {
        let alone = Report {
            history: Vec::new(),
            ..found.clone()
        };
        report::file(&path, serde_json::to_string(&alone)?)?;
    }
    Ok(())
}

/// The date's digits and the model's letters.
fn id(found: &Report) -> String {
    let digits: String = found.date.chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at(digits.len().min(8));
    let name: String = found
        .model
        .name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(NAME)
        .collect();
    let words: Vec<&str> = name.split('-').filter(|w| !w.is_empty()).collect();
    format!("{day}-{time}-{}", words.join("-"))
}

/// All that is in a folder, the oldest first.
fn all(folder: &Path) -> Result<Found, Failure> {
    let (mut kept, mut unreadable): (Vec<Kept>, _) = (Vec::new(), Vec::new());
    for path in paths(folder)? {
        match read(&path) {
            Ok(report) => kept.push(Kept {
                id: id_of(&path),
                path,
                report,
            }),
            Err(failure) => unreadable.push((path.display().to_string(), failure.to_string())),
        }
    }
    kept.sort_by_key(|kept| order(&kept.report.date, &kept.id));
    Ok((kept, unreadable))
}

/// By date; of one second, the one with a number behind its name is the later.
fn order(date: &str, id: &str) -> (String, usize) {
    (date.to_owned(), id.len())
}

fn id_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    plain(&stem.to_string_lossy())
}

/// The files that may be runs.
fn paths(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Failure::Read {
                path: folder.to_owned(),
                source,
            });
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// A run by what a user calls it: a file, an id of the log or the beginning of one, or `last`.
pub fn named(given: &str) -> Result<Report, Failure> {
    let path = Path::new(given);
    if path.is_file() {
        return read(path);
    }
    let (mut kept, _) = all(&Store::open()?.lens_folder())?;
    if given == "last"
        && let Some(last) = kept.pop()
    {
        return Ok(last.report);
    }
    let mut found: Vec<Kept> = kept
        .into_iter()
        .filter(|kept| kept.id.starts_with(given))
        .collect();
    if let Some(exact) = found.iter().position(|kept| kept.id == given) {
        return Ok(found.swap_remove(exact).report);
    }
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one.report),
        (Some(_), more) => Err(Failure::Usage(format!(
            "{} runs begin with {given:?}: give more of the name; sprag lens log lists them",
            more + 1
        ))),
        (None, _) => Err(Failure::Read {
            path: path.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        }),
    }
}

fn read(path: &Path) -> Result<Report, Failure> {
    let failed = |source: io::Error| Failure::Read {
        path: path.to_owned(),
        source,
    };
    let content = |why: String| Failure::Content {
        path: path.to_owned(),
        why,
    };
    if fs::metadata(path).map_err(failed)?.len() > MAX_BYTES {
        return Err(content(format!("larger than {MAX_BYTES} bytes: no report")));
    }
    let bytes = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| content(format!("no report of the schema {SCHEMA}: {e}")))
}
