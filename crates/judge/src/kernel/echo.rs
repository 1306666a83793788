//! What moving the bytes takes: the judge's own program in the kernel's place, which reads every question and answers zeros.
//!
//! It is no candidate and runs without a cell. Its time is the part of every sample that no kernel can remove.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use measure::Samples;

use super::problem::{Operation, Problem};
use super::values::Call;
use crate::candidate::{Channel, Cut, Fault, Question};
use crate::error::JudgeError;
use crate::random::Random;

/// Calls of each shape; their median counts.
const CALLS: usize = 7;

/// Of one call.
const LIMIT: Duration = Duration::from_secs(20);

/// Answers questions on standard input with zeros on standard output, until the input ends.
///
/// # Errors
/// When a question is none, or the pipes break.
pub fn echo() -> Result<(), JudgeError> {
    let (mut from, mut to) = (io::stdin().lock(), io::stdout().lock());
    let broken = |source| JudgeError::System {
        action: "echo",
        source,
    };
    while let Some(operation) = number_or_end(&mut from).map_err(broken)? {
        let count = number(&mut from).map_err(broken)?;
        let wrong = |came: String| JudgeError::Option {
            name: "a question",
            expected: "an operation and its dimensions".to_owned(),
            came,
        };
        let operation = Operation::of_number(operation)
            .ok_or_else(|| wrong(format!("operation {operation}")))?;
        if count as usize != operation.dimensions().len() {
            return Err(wrong(format!("{count} dimensions of {operation}")));
        }
        let mut dimensions = Vec::new();
        for _ in 0..count {
            dimensions.push(number(&mut from).map_err(broken)? as usize);
        }
        let (inputs, outputs) = Problem::new(operation, dimensions)?.lengths();
        let mut question = vec![0; inputs.iter().sum::<usize>() * 4];
        from.read_exact(&mut question).map_err(broken)?;
        let zeros = vec![0; outputs.iter().sum::<usize>() * 4];
        to.write_all(&zeros)
            .and_then(|()| to.flush())
            .map_err(broken)?;
    }
    Ok(())
}

fn number(from: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    from.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn number_or_end(from: &mut impl Read) -> io::Result<Option<u32>> {
    match number(from) {
        Ok(number) => Ok(Some(number)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The echo, ended when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = (self.0.kill(), self.0.wait());
    }
}

/// The geometric mean over the shapes of the echo's median seconds.
pub(super) fn floor(
    command: &[OsString],
    public: &[Problem],
    hidden: &[Problem],
) -> Result<f64, JudgeError> {
    let system = |action| move |source| JudgeError::System { action, source };
    let Some((program, arguments)) = command.split_first() else {
        return Err(JudgeError::Option {
            name: "the echo",
            expected: "a program and its arguments".to_owned(),
            came: "nothing".to_owned(),
        });
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(system("start the echo"))?;
    let pipes = (child.stdin.take(), child.stdout.take());
    let _running = Running(child);
    let (Some(to), Some(from)) = pipes else {
        return Err(system("start the echo")(io::ErrorKind::BrokenPipe.into()));
    };
    let channel = Channel::of_child(to, from).map_err(system("set a pipe up"))?;
    // Zeros answer zeros: what these values are tells nobody anything.
    let mut random = Random::new(0, "echo");
    let (mut logarithms, mut shapes) = (0.0, 0.0);
    for problem in public.iter().chain(hidden) {
        let call = Call::draw(problem, &mut random);
        let seconds = (0..CALLS)
            .map(|_| once(&channel, &call))
            .collect::<Result<Vec<f64>, _>>()?;
        let median = Samples::new(seconds)
            .map(|seconds| seconds.median())
            .unwrap_or_default();
        logarithms += median.max(f64::MIN_POSITIVE).ln();
        shapes += 1.0;
    }
    Ok((logarithms / shapes).exp())
}

fn once(channel: &Channel, call: &Call) -> Result<f64, JudgeError> {
    let question = call.question();
    let wanted = call.answer_bytes();
    let asked = Question {
        bytes: &question,
        wanted_bytes: wanted,
        limit: LIMIT,
        hold: Some(Duration::ZERO),
    };
    let fault = |fault| JudgeError::Echo { fault };
    match channel.ask(&asked) {
        Ok(reply) => Ok(reply.seconds),
        Err(Cut::Unasked | Cut::Early { .. }) => Err(fault(Fault::Unasked)),
        Err(Cut::Late { got }) => Err(fault(Fault::Late {
            got,
            wanted,
            seconds: LIMIT.as_secs_f64(),
        })),
        Err(Cut::Closed { got }) => Err(fault(Fault::Ended {
            how: "ended".to_owned(),
            got,
            wanted,
            last: String::new(),
        })),
        Err(Cut::System(source)) => Err(JudgeError::System {
            action: "talk with the echo",
            source,
        }),
    }
}
