//! The same track under another budget: what is best may depend on what it may cost.

use std::time::Duration;

use super::{Track, TrackError, field};

/// What a run may spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So long.
    Time(Duration),
    /// So many units of the track's server, within a time that is only a limit.
    Units {
        /// How many.
        most: u64,
        /// How long at most.
        within: Duration,
    },
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{}", humantime::format_duration(*time)),
            Self::Units { most, within } => {
                write!(f, "{most} within {}", humantime::format_duration(*within))
            }
        }
    }
}

impl Budget {
    /// What is added to the track's name: each budget has a ledger of its own.
    fn suffix(self) -> String {
        let plain = |time: Duration| {
            humantime::format_duration(time)
                .to_string()
                .replace(' ', "")
        };
        match self {
            Self::Time(time) => format!("time-{}", plain(time)),
            Self::Units { most, within } => format!("units-{most}-{}", plain(within)),
        }
    }
}

impl Track {
    /// This track under a budget.
    ///
    /// # Errors
    /// It has no run, no server of units, or makes no sense with that budget.
    pub fn under(&self, budget: Budget) -> Result<Self, TrackError> {
        let mut table: toml::Table =
            toml::from_str(&self.text).map_err(|error| TrackError::Toml(Box::new(error)))?;
        let name = format!("{}-{}", self.file.name, budget.suffix());
        table.insert("name".to_owned(), name.into());
        let missing = |what: &str| {
            field(
                what,
                "expected this table, since another budget is asked for; came none",
            )
        };
        let run = table.get_mut("run").and_then(toml::Value::as_table_mut);
        let run = run.ok_or_else(|| missing("run"))?;
        let (time, most) = match budget {
            Budget::Time(time) => (time, None),
            Budget::Units { most, within } => (within, Some(most)),
        };
        run.insert("time".to_owned(), time.as_secs_f64().into());
        if let Some(most) = most {
            let units = run.get_mut("budget").and_then(toml::Value::as_table_mut);
            let units = units.ok_or_else(|| missing("run.budget"))?;
            let most = i64::try_from(most).map_err(|_| {
                field(
                    "run.budget.most",
                    format!("expected below 2^63, came {most}"),
                )
            })?;
            units.insert("most".to_owned(), most.into());
        }
        let text =
            toml::to_string(&table).map_err(|error| field("the track", error.to_string()))?;
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Track, Budget};

    const TEXT: &str = r#"
name = "t"
[artefact]
mutable = ["a"]
[run]
command = ["./a"]
time = "20s"
output = ["b"]
[run.budget]
unit = "bytes"
most = 1000
server = ["sh", "serve.sh"]
[judge]
command = ["sh", "judge.sh"]
metric = "m"
better = "lower"
kind = "score"
[[proposer]]
kind = "search"
method = "tpe"
[[proposer.knob]]
file = "a"
line = "x = {}"
values = [1, "two"]
"#;

    #[test]
    fn a_budget_changes_its_own_fields_and_the_name() {
        let track = Track::parse(TEXT).unwrap();
        let timed = track.under(Budget::Time(Duration::from_secs(90))).unwrap();
        assert_eq!(timed.name(), "t-time-1m30s");
        let run = timed.file.run.as_ref().unwrap();
        assert_eq!(run.time, Duration::from_secs(90));
        assert_eq!(run.budget.as_ref().unwrap().most, 1000);
        assert_eq!(timed.proposers.len(), 1);
        let within = Duration::from_millis(1500);
        let counted = track.under(Budget::Units { most: 7, within }).unwrap();
        assert_eq!(counted.name(), "t-units-7-1s500ms");
        let run = counted.file.run.as_ref().unwrap();
        assert_eq!((run.time, run.budget.as_ref().unwrap().most), (within, 7));
    }

    #[test]
    fn what_has_no_run_or_server_has_no_such_budget() {
        let without = TEXT.replace(
            "[run.budget]\nunit = \"bytes\"\nmost = 1000\nserver = [\"sh\", \"serve.sh\"]\n",
            "",
        );
        let track = Track::parse(&without).unwrap();
        let within = Duration::from_secs(1);
        let error = track.under(Budget::Units { most: 7, within }).unwrap_err();
        assert!(error.to_string().contains("run.budget"), "{error}");
    }
}
