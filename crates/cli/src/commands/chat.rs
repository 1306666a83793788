//! `sprag chat`: a conversation at a terminal, or turn by turn from a pipe.
//!
//! 1. A line is a command (`/help` lists them) or a user turn ([`slash`]); [`lines`] reads them.
//! 2. The whole conversation is rendered by the model's template for each answer; the session keeps what the tokens have in
//!    common with the last prompt, so that only the new turn is computed.
//! 3. When the conversation outgrows the context, its oldest turns are dropped, and that is said.
//!
//! At a terminal a failed turn is told and the conversation goes on without it; in a pipe it ends the command.

mod conversation;
mod lines;
mod slash;

use clap::Args;
use runtime::{
    Engine, Finish, Generation, GenerationOptions, RuntimeError, Sampler, SamplingOptions, Session,
};
use text::{ChatTemplate, TemplateOrigin};

use crate::{
    arguments::{EngineArguments, SamplingArguments, tokens},
    checkpoint, exchange,
    failure::{self, Failure},
    interrupt::Interrupt,
    model_file, prompt,
    terminal::{Style, Terminal, complain, say},
};
use conversation::Conversation;
use lines::{Line, Lines};
use slash::{Input, Setting};

/// Tokens of the context that are kept free for an answer of unknown length.
const USUAL_ANSWER: usize = 256;

const AFTER: &str = "\
Ctrl-C interrupts an answer; twice at the prompt, or /exit, leaves. A line that ends in a backslash goes on in the next. From a \
pipe every line is one user turn.

Example: sprag chat default --system \"Answer in one sentence.\"";

/// Talk with a model
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// Path or name of the model
    pub model: String,
    /// A system turn at the beginning
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Most tokens of the conversation that the model sees [default: the model's own, at most 8192]
    #[arg(long, value_name = "N", value_parser = tokens, help_heading = "Engine")]
    pub context: Option<usize>,
    #[command(flatten)]
    pub engine: EngineArguments,
}

/// A conversation under way.
struct Chat<'e> {
    engine: &'e Engine,
    model: String,
    template: ChatTemplate,
    session: Session<'e>,
    conversation: Conversation,
    options: SamplingOptions,
    sampler: Sampler,
    limits: GenerationOptions,
    last: Option<Generation>,
    terminal: Terminal,
    interrupt: Interrupt,
}

/// Runs the command.
pub fn run(arguments: &Arguments, terminal: &Terminal) -> Result<(), Failure> {
    let options = arguments.sampling.options();
    let sampler = Sampler::new(options.clone())?;
    let interrupt = Interrupt::install();
    let path = model_file::locate(&arguments.model, false, terminal, &interrupt)?;
    let gguf = checkpoint::open_for(&path, &arguments.engine)?;
    let loaded = model_file::load(&gguf, &arguments.engine, terminal)?;
    let engine = &loaded.engine;
    let template = match prompt::template(&gguf, engine.tokenizer())? {
        Some(template) => template,
        None => ChatTemplate::chatml(engine.tokenizer())?,
    };
    if template.origin() == TemplateOrigin::ChatMlFallback {
        complain(
            "note: the model has no chat template; turns are written in ChatML, which it may never have seen",
        );
    }
    let session = engine.session(arguments.context)?;
    let mut chat = Chat {
        engine,
        model: arguments.model.clone(),
        template,
        session,
        conversation: Conversation::new(arguments.system.as_deref()),
        options,
        sampler,
        limits: GenerationOptions {
            max_tokens: arguments.sampling.max_tokens,
            stop: arguments.sampling.stop.clone(),
        },
        last: None,
        terminal: *terminal,
        interrupt,
    };
    let mut lines = Lines::open(terminal)?;
    if lines.is_person() {
        let about = format!(
            "{}, a context of {} tokens; /help lists the commands",
            chat.model,
            chat.capacity()
        );
        complain(&terminal.talk().paint(Style::Faint, &about));
    }
    chat.converse(&mut lines)?;
    loaded.keep(terminal, &chat.interrupt);
    Ok(())
}

impl Chat<'_> {
    fn converse(&mut self, lines: &mut Lines) -> Result<(), Failure> {
        let mut leaving = false;
        loop {
            let text = match lines.next()? {
                Line::Text(text) => text,
                Line::Interrupted if !leaving => {
                    complain("(Ctrl-C again, or /exit, leaves)");
                    leaving = true;
                    continue;
                }
                Line::Interrupted | Line::End => return Ok(()),
            };
            leaving = false;
            match self.take(&text) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(failure) if lines.is_person() && goes_on_after(&failure) => {
                    failure::show(&failure, None, &self.terminal);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Does what a line asks for; `false` to leave.
    fn take(&mut self, line: &str) -> Result<bool, Failure> {
        match slash::parse(line).map_err(Failure::Usage)? {
            Input::Nothing => {}
            Input::Turn(text) => {
                self.conversation.push_user(text);
                self.answer()?;
            }
            Input::Help => complain(slash::HELP),
            Input::Reset => {
                self.conversation.reset();
                complain("(the conversation begins anew)");
            }
            Input::System(text) => {
                self.conversation.set_system(&text);
                complain(if text.is_empty() {
                    "(no system turn)"
                } else {
                    "(the system turn is set)"
                });
            }
            Input::Regenerate => {
                if !self.conversation.take_back_answer() {
                    return Err(Failure::Usage(
                        "there is no answer to give again".to_owned(),
                    ));
                }
                self.answer()?;
            }
            Input::Save(path) => {
                self.conversation.save(&path, &self.model)?;
                complain(&format!(
                    "(saved {} turns to {})",
                    self.conversation.len(),
                    path.display()
                ));
            }
            Input::Load(path) => {
                self.conversation = Conversation::load(&path)?;
                complain(&format!(
                    "(loaded {} turns from {})",
                    self.conversation.len(),
                    path.display()
                ));
            }
            Input::Stats => complain(&self.stats()),
            Input::Set(setting) => self.set(setting)?,
            Input::Exit => return Ok(false),
        }
        Ok(true)
    }

    /// Tokens that fit the session.
    fn capacity(&self) -> usize {
        self.session.tokens().len() + self.session.room()
    }

    /// Answers the last user turn. On failure the turn is taken back.
    fn answer(&mut self) -> Result<(), Failure> {
        let answered = self.prompt().and_then(|prompt| {
            exchange::answer(
                exchange::Exchange {
                    session: &mut self.session,
                    prompt: &prompt,
                    sampler: &mut self.sampler,
                    constraint: None,
                    options: &self.limits,
                },
                true,
                &self.terminal,
                &self.interrupt,
            )
        });
        let generation = match answered {
            Ok(generation) => generation,
            Err(failure) => {
                self.conversation.take_back_turn();
                return Err(failure);
            }
        };
        // A blank line between answers, so that a reader of a pipe can tell them apart.
        say(if self.terminal.output { "\n" } else { "\n\n" })?;
        self.conversation.push_answer(generation.text.clone());
        let finish = generation.finish.clone();
        self.last = Some(generation);
        match finish {
            Finish::ContextFull => complain("(the context is full; the answer is cut)"),
            Finish::Interrupted if self.terminal.input => complain("(interrupted)"),
            Finish::Interrupted => return Err(Failure::Interrupted),
            Finish::EndOfGeneration | Finish::Stop(_) | Finish::Length => {}
        }
        Ok(())
    }

    /// The prompt's tokens, with room for an answer: oldest turns go first.
    fn prompt(&mut self) -> Result<Vec<u32>, Failure> {
        let capacity = self.capacity();
        let answer = self
            .limits
            .max_tokens
            .unwrap_or(USUAL_ANSWER)
            .clamp(1, (capacity / 4).max(1));
        let mut dropped = 0;
        loop {
            let tokens =
                prompt::of_conversation(self.engine, &self.template, self.conversation.messages())?;
            if tokens.len().saturating_add(answer) <= capacity || !self.conversation.drop_oldest() {
                if dropped > 0 {
                    complain(&format!(
                        "(the context of {capacity} tokens is full: {dropped} of the oldest turns dropped)"
                    ));
                }
                return Ok(tokens);
            }
            dropped += 1;
        }
    }

    fn set(&mut self, setting: Setting) -> Result<(), Failure> {
        let mut options = self.options.clone();
        match setting {
            Setting::Temperature(x) => options.temperature = x,
            Setting::TopK(x) => options.top_k = x,
            Setting::TopP(x) => options.top_p = x,
            Setting::MinP(x) => options.min_p = x,
            Setting::RepeatPenalty(x) => options.repeat_penalty = x,
            Setting::Seed(x) => options.seed = x,
            Setting::MaxTokens(x) => self.limits.max_tokens = Some(x),
        }
        self.sampler = Sampler::new(options.clone())?;
        self.options = options;
        Ok(())
    }

    fn stats(&self) -> String {
        let used = self.session.tokens().len();
        let o = &self.options;
        let last = self
            .last
            .as_ref()
            .map_or_else(|| "no answer yet".to_owned(), exchange::summary);
        format!(
            "{} turns; {used} of {} tokens of the context used\nlast answer: {last}\ntemperature {}, top-k {}, top-p {}, min-p {}, repeat-penalty {}, seed {}",
            self.conversation.len(),
            self.capacity(),
            o.temperature,
            o.top_k,
            o.top_p,
            o.min_p,
            o.repeat_penalty,
            o.seed
        )
    }
}

/// Whether a conversation can continue after this.
fn goes_on_after(failure: &Failure) -> bool {
    match failure {
        Failure::Usage(_)
        | Failure::Template(_)
        | Failure::Read { .. }
        | Failure::Write { .. }
        | Failure::Content { .. } => true,
        Failure::Runtime(error) => matches!(
            error,
            RuntimeError::PromptTooLong { .. }
                | RuntimeError::EmptyPrompt
                | RuntimeError::Option { .. }
        ),
        _ => false,
    }
}
