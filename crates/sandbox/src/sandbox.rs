//! How commands are sealed on this machine: found once, tried, and then used for every job.

#[cfg(target_os = "linux")]
use std::{ffi::OsString, path::PathBuf};

use crate::error::{SandboxError, Unavailable};
use crate::job::Job;
use crate::level::{Helper, Level, Probe};
use crate::outcome::{Continue, Outcome, Pulse};
use crate::running::Running;

/// A seal that held.
#[derive(Clone, Debug)]
pub struct Sandbox {
    level: Level,
    #[cfg(target_os = "linux")]
    helper: Vec<OsString>,
    #[cfg(target_os = "linux")]
    bubblewrap: Option<PathBuf>,
    probes: Vec<Probe>,
}

impl Sandbox {
    /// The best seal there is: bubblewrap, else Landlock, else none. `wanted` takes that level and no other;
    /// [`Level::Unsealed`] is only ever taken when it is wanted. Removes what killed engines left on this machine.
    ///
    /// Each candidate for the job runs a hostile command ([`probes`](Self::probes)); one that lets anything through is not used.
    ///
    /// # Errors
    /// When no level, or not the wanted one, can be had, with the reason for each.
    pub fn detect(helper: Helper, wanted: Option<Level>) -> Result<Self, Unavailable> {
        Self::find(helper, wanted)
    }

    /// How good the seal is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// What was tried to break it. Empty only where there is no seal.
    #[must_use]
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }
}

#[cfg(target_os = "linux")]
impl Sandbox {
    fn find(helper: Helper, wanted: Option<Level>) -> Result<Self, Unavailable> {
        use crate::linux::{inner::bubblewrap, probe, sweep};
        sweep();
        let program = helper.program.canonicalize().map_err(|e| Unavailable {
            reasons: vec![format!("{:?} is not there: {e}", helper.program)],
            remedy: "start again; if it was replaced meanwhile, that helps".to_owned(),
        })?;
        let mut line = vec![program.into_os_string()];
        line.extend(helper.arguments);
        let levels = match wanted {
            Some(level) => vec![level],
            None => vec![Level::Bubblewrap, Level::Landlock],
        };
        let mut reasons = Vec::new();
        for level in levels {
            let mut sandbox = Self {
                level,
                helper: line.clone(),
                bubblewrap: None,
                probes: Vec::new(),
            };
            if level == Level::Unsealed {
                return Ok(sandbox);
            }
            if level == Level::Bubblewrap {
                sandbox.bubblewrap = bubblewrap::find();
                if sandbox.bubblewrap.is_none() {
                    reasons.push("bubblewrap is not installed".to_owned());
                    continue;
                }
            }
            match probe::try_to_break(&sandbox) {
                Ok(probes) => {
                    sandbox.probes = probes;
                    return Ok(sandbox);
                }
                Err(reason) => reasons.push(format!("{level}: {reason}")),
            }
        }
        Err(Unavailable {
            reasons,
            remedy: "install bubblewrap (package `bubblewrap`) and allow user namespaces, or use Linux 5.13 or newer \
                     with Landlock; only `--seal unsealed` runs commands without a seal"
                .to_owned(),
        })
    }

    pub(crate) fn helper(&self) -> &[OsString] {
        &self.helper
    }

    pub(crate) fn bubblewrap(&self) -> Option<&std::path::Path> {
        self.bubblewrap.as_deref()
    }

    /// Runs a job to its end. `watch` sees it at least every 100 ms, and can stop it; the thread that calls waits.
    ///
    /// # Errors
    /// When the job can't be run as it says. A command that fails, or breaks a limit, is no error.
    pub fn run(
        &self,
        job: &Job,
        watch: &mut dyn FnMut(Pulse) -> Continue,
    ) -> Result<Outcome, SandboxError> {
        use crate::job::{Capture, Stdin};
        use crate::linux::session::{Session, Wish};
        for (what, piped) in [
            ("standard input", job.stdin == Stdin::Piped),
            ("standard output", job.stdout == Capture::Piped),
        ] {
            if piped {
                return Err(SandboxError::Piped { what });
            }
        }
        let mut wish = |pulse| match watch(pulse) {
            Continue::Yes => Wish::Go,
            Continue::Stop => Wish::Stop,
        };
        self.check(job)?;
        let (mut session, _pipes) = Session::launch(self, job)?;
        session.begin(&mut wish)?;
        session.finish(&mut wish)
    }

    /// Starts a job, which then runs beside the caller with the same limits. With [`Stdin::Piped`](crate::Stdin::Piped) and
    /// [`Capture::Piped`](crate::Capture::Piped) the caller can talk with it.
    ///
    /// # Errors
    /// When the job can't be run as it says.
    pub fn start(&self, job: &Job) -> Result<Running, SandboxError> {
        use crate::linux::session::{Session, Wish};
        self.check(job)?;
        let (mut session, pipes) = Session::launch(self, job)?;
        session.begin(&mut |_| Wish::Go)?;
        Running::watch(session, pipes)
    }

    fn check(&self, job: &Job) -> Result<(), SandboxError> {
        if job.stderr == crate::job::Capture::Piped {
            return Err(SandboxError::Piped {
                what: "standard error",
            });
        }
        crate::linux::check(job, self.level)
    }
}

#[cfg(not(target_os = "linux"))]
impl Sandbox {
    fn find(_helper: Helper, _wanted: Option<Level>) -> Result<Self, Unavailable> {
        Err(Unavailable {
            reasons: vec!["there is no seal for this system yet".to_owned()],
            remedy: "use Linux".to_owned(),
        })
    }

    /// Never reached: there is no [`Sandbox`] on this system.
    ///
    /// # Errors
    /// Always.
    pub fn run(
        &self,
        _job: &Job,
        _watch: &mut dyn FnMut(Pulse) -> Continue,
    ) -> Result<Outcome, SandboxError> {
        Err(elsewhere())
    }

    /// Never reached: there is no [`Sandbox`] on this system.
    ///
    /// # Errors
    /// Always.
    pub fn start(&self, _job: &Job) -> Result<Running, SandboxError> {
        Err(elsewhere())
    }
}

#[cfg(not(target_os = "linux"))]
fn elsewhere() -> SandboxError {
    SandboxError::Lost {
        how: "does not exist on this system".to_owned(),
    }
}
