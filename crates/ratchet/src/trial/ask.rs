//! Asking a judge: its own copies of what was sealed, what the candidate left, and a file for its answer that only it can reach.
//!
//! Sprag's own judges run as they are, since they are the sealed copy of this very program, and put the candidate's process behind a seal
//! themselves; any other judge is sealed as a candidate is.

use std::{fs, path::Path, time::Instant};

use sandbox::End;

use super::{
    Arm, Judged, Loss, Workshop, cell,
    cell::Extra,
    judge::{self, JudgeError, Verdict},
    taking::{Taking, Trouble, last_words},
};
use crate::disk;

/// The file of a judge's answer.
const ANSWER: &str = "result.json";

impl Workshop<'_> {
    /// Asks the judge, and the second one.
    pub(super) fn judge(
        &self,
        artefact: &Path,
        champion: Option<&Path>,
        arm: Arm,
        split: &str,
        taking: &mut Taking,
    ) -> Result<(Verdict, super::Values), Trouble> {
        taking.arm = arm;
        let start = Instant::now();
        let rules = &self.track.file.judge;
        let result = self.ask(&rules.command, artefact, champion, split, taking)?;
        let second = match &rules.second {
            None => None,
            Some(second) => Some(self.ask(&second.command, artefact, champion, split, taking)?),
        };
        let kept = (
            taking.kept(&result),
            second.as_ref().map(|second| taking.kept(second)),
        );
        taking.figures.judged.push(Judged {
            arm,
            split: split.to_owned(),
            seed: self.split_seed(split, taking),
            result: kept.0,
            second: kept.1,
            seconds: start.elapsed().as_secs_f64(),
        });
        let found = judge::read(self.track, &result)?.map_err(Trouble::Loss)?;
        if let (Some(second), Some(rules)) = (second, &rules.second) {
            let other = judge::read(self.track, &second)?.map_err(Trouble::Loss)?;
            let repeated = match &rules.metric {
                None => figures_of(&found.0),
                Some(name) => vec![judge::number(&result, name)?.map_err(Trouble::Loss)?],
            };
            for (judge, second) in repeated.into_iter().zip(figures_of(&other.0)) {
                if !judge::agree(judge, second, rules.within) {
                    let within = rules.within;
                    return Err(Trouble::Loss(Loss::Disagree {
                        judge,
                        second,
                        within,
                    }));
                }
            }
        }
        Ok(found)
    }

    /// Another seed for each split: what is seen of one tells nothing of the other.
    fn split_seed(&self, split: &str, taking: &Taking) -> u64 {
        self.key.seed(&format!("{}/{split}", taking.label))
    }

    /// What the candidate's run has for a seed. Not the judge's: a run that knew that could foresee which cases are drawn.
    pub(super) fn run_seed(&self, taking: &Taking) -> u64 {
        self.key.seed(&format!("run/{}", taking.label))
    }

    fn ask(
        &self,
        command: &[String],
        artefact: &Path,
        champion: Option<&Path>,
        split: &str,
        taking: &mut Taking,
    ) -> Result<serde_json::Value, Trouble> {
        split.clone_into(&mut taking.figures.asked);
        let (folder, answers) = (self.sealed_folder("judge")?, self.work.join("answer"));
        disk::fresh(&answers).map_err(|e| Trouble::io(&answers, e))?;
        let file = answers.join(ANSWER);
        let mut environment = vec![
            (judge::ARTEFACT.to_owned(), artefact.display().to_string()),
            (judge::RESULT.to_owned(), file.display().to_string()),
            (judge::SPLIT.to_owned(), split.to_owned()),
            (judge::MEASUREMENT.to_owned(), taking.label.clone()),
            (
                judge::SEED.to_owned(),
                self.split_seed(split, taking).to_string(),
            ),
            // The run is over: what it was to draw from can be checked now.
            (
                judge::RUN_SEED.to_owned(),
                self.run_seed(taking).to_string(),
            ),
        ];
        let mut readable = vec![artefact.to_path_buf()];
        if let Some(champion) = champion {
            environment.push((judge::CHAMPION.to_owned(), champion.display().to_string()));
            readable.push(champion.to_path_buf());
        }
        let extra = Extra {
            writable: vec![folder.clone(), answers.clone()],
            readable,
            environment,
            data: true,
        };
        let job = cell::sealed(self, command, &folder, self.track.file.judge.time, extra);
        let outcome = self.within(self.seal_of(command), &job, taking)?;
        let own = command.first().is_some_and(|program| program == "sprag");
        // Only Sprag's judges are believed here: another may be made to say so by the candidate that it runs.
        if own && outcome.end == End::Exited(judge::FAULT) {
            let how = format!("the judge cannot judge{}", last_words(&outcome));
            return Err(Trouble::Fault(how));
        }
        if outcome.end != End::Exited(0) {
            let program = command.first().map_or("", String::as_str);
            let how = format!("{program} {}{}", outcome.end, last_words(&outcome));
            return Err(Trouble::Loss(Loss::Judge { how }));
        }
        let text = answered(&answers, judge::MOST_BYTES)?;
        let stdout = String::from_utf8_lossy(&outcome.stdout.bytes).into_owned();
        Ok(judge::result(self.track, text.as_deref(), &stdout)?)
    }
}

fn figures_of(verdict: &Verdict) -> Vec<f64> {
    match verdict {
        Verdict::Value(value) => vec![*value],
        Verdict::Cases(cases) => cases.clone(),
        Verdict::Times { .. } => Vec::new(),
    }
}

/// What the judge wrote, if it wrote anything.
fn answered(folder: &Path, most: u64) -> Result<Option<String>, JudgeError> {
    let path = Path::new(ANSWER);
    match fs::symlink_metadata(folder.join(path)) {
        Err(_) => Ok(None),
        Ok(data) if data.is_file() && data.len() > most => Err(JudgeError::Answer {
            expected: "a result of at most 1 MiB",
            came: format!("{} bytes", data.len()),
        }),
        Ok(_) => Ok(disk::read_regular(folder, path, most)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
    }
}
