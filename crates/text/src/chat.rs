//! Chat templates: a conversation as the one string that the model was trained on.
//!
//! A model file carries its template as a Jinja program. It runs here as the `transformers` library runs it, since that is
//! what authors test against: block tags swallow the newline behind them and the blanks before them, `tojson` writes
//! Python's separators without escaping HTML, `raise_exception` refuses a conversation, `strftime_now` gives the date (here
//! in UTC), loops may `break`, strings and mappings have Python's methods, and undefined variables are false.
//!
//! The program is foreign, so it runs on fuel: every step, and every 64 bytes of data made, costs one. That bounds time and
//! memory together. Recursion is bounded too. It reaches nothing outside the conversation but the clock.
//!
//! Files of RWKV's World models name a format (`rwkv-world`) instead of carrying a program; that format is written here.
//!
//! A model without a template is an error; [`ChatTemplate::chatml`] is the fallback that a caller may choose and must then
//! report ([`ChatTemplate::origin`]).
//!
//! Rendering does not separate the template's text from what users wrote. Put contents through
//! [`Tokenizer::defuse`] first and encode the result with [`crate::Specials::ParseDefused`], so that no content can spell
//! a control token.

mod clock;
mod python_json;

use std::collections::BTreeMap;

use formats::gguf::Metadata;
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};

use crate::error::TemplateError;
use crate::tokenizer::Tokenizer;

/// Steps that one rendering may take; 64 bytes of data made cost as much as a step, so that this bounds memory at 512 MB.
/// A conversation of a million characters takes well under a tenth.
const FUEL: u64 = 8_000_000;

/// Deep enough for nested tool schemas, and well within a thread's stack.
const RECURSION_LIMIT: usize = 200;

const NAME: &str = "chat_template";

/// The template of models that name none but were trained on `<|im_start|>` turns.
const CHATML: &str = "{% for message in messages %}\
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}\
{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// What files of RWKV's World models have for a template: the name of a format that programs are expected to know.
const RWKV_WORLD_NAME: &str = "rwkv-world";

/// That format. A blank line is what ends a turn, so contents keep none: their lines are joined by single newlines.
const RWKV_WORLD: &str = "{% for message in messages %}\
{% set role = message['role'] %}\
{{ {'system': 'System', 'user': 'User', 'assistant': 'Assistant'}[role] or role | capitalize }}: \
{{ message['content'] | lines | map('trim', '\r') | select | join('\n') | trim }}{{ '\n\n' }}\
{% endfor %}\
{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}";

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A message of that role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }
}

/// Where a template comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateOrigin {
    /// The model file.
    Model,
    /// The ChatML fallback: the model may never have seen this form, so its use must be shown to the user.
    ChatMlFallback,
}

/// A parsed chat template with the variables that do not change between conversations.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    origin: TemplateOrigin,
    bos_token: String,
    eos_token: String,
    variables: BTreeMap<String, bool>,
}

impl ChatTemplate {
    /// The template that the model file carries, or names.
    ///
    /// # Errors
    /// [`TemplateError::Missing`] without one, [`TemplateError::Syntax`] if it does not parse.
    pub fn from_gguf(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self, TemplateError> {
        let source = metadata
            .opt_str("tokenizer.chat_template")?
            .ok_or(TemplateError::Missing)?;
        let is_name = source.trim() == RWKV_WORLD_NAME;
        Self::from_source(if is_name { RWKV_WORLD } else { source }, tokenizer)
    }

    /// A template from its Jinja source.
    ///
    /// # Errors
    /// [`TemplateError::Syntax`] if it does not parse.
    pub fn from_source(source: &str, tokenizer: &Tokenizer) -> Result<Self, TemplateError> {
        let mut environment = environment()?;
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| TemplateError::Syntax {
                reason: describe(&error),
            })?;
        let special = tokenizer.special_ids();
        let text = |id: Option<u32>| id.map(|id| tokenizer.spelling(id)).unwrap_or_default();
        Ok(Self {
            environment,
            origin: TemplateOrigin::Model,
            bos_token: text(special.bos),
            eos_token: text(special.eos),
            variables: BTreeMap::new(),
        })
    }

    /// The ChatML fallback, for a model file without a template.
    ///
    /// # Errors
    /// None in practice: the source is a constant.
    pub fn chatml(tokenizer: &Tokenizer) -> Result<Self, TemplateError> {
        Ok(Self {
            origin: TemplateOrigin::ChatMlFallback,
            ..Self::from_source(CHATML, tokenizer)?
        })
    }

    /// Where this template comes from.
    pub fn origin(&self) -> TemplateOrigin {
        self.origin
    }

    /// Sets a variable that some templates read, such as `enable_thinking`.
    #[must_use]
    pub fn with_flag(mut self, name: impl Into<String>, value: bool) -> Self {
        self.variables.insert(name.into(), value);
        self
    }

    /// The conversation up to where the assistant's answer begins, to be encoded with [`crate::Specials::ParseDefused`].
    ///
    /// Contents are defused before they enter the template ([`Tokenizer::defuse`]), so that no turn can write control tokens.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn prompt(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
    ) -> Result<String, TemplateError> {
        let safe = messages
            .iter()
            .map(|m| Message::new(&*m.role, tokenizer.defuse(&m.content)));
        self.render(&safe.collect::<Vec<_>>(), true)
    }

    /// The conversation as one string; with `add_generation_prompt`, up to where the assistant's next turn begins.
    ///
    /// # Errors
    /// When the template refuses the conversation, runs out of fuel, or fails.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let template = self.environment.get_template(NAME).map_err(failure)?;
        let turn = |message: &Message| {
            Value::from_pairs([
                ("role", message.role.as_str()),
                ("content", message.content.as_str()),
            ])
        };
        let messages: Vec<Value> = messages.iter().map(turn).collect();
        let context = context! {
            messages,
            add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
            ..Value::from_pairs(self.variables.iter().map(|(name, &value)| (name.as_str(), value))),
        };
        template.render(context).map_err(failure)
    }
}

fn environment() -> Result<Environment<'static>, TemplateError> {
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build();
    let mut environment = Environment::new();
    environment.set_syntax(syntax.map_err(|error| TemplateError::Syntax {
        reason: describe(&error),
    })?);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", clock::strftime_now);
    environment.add_filter("tojson", python_json::tojson);
    Ok(environment)
}

/// Marks an error as the template's own refusal.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Refusal(message)))
}

fn failure(error: Error) -> TemplateError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(Refusal(message)) = inner.downcast_ref::<Refusal>() {
            return TemplateError::Refused {
                message: message.clone(),
            };
        }
        if inner
            .downcast_ref::<Error>()
            .is_some_and(|inner| inner.kind() == ErrorKind::OutOfFuel)
        {
            return TemplateError::OutOfFuel { fuel: FUEL };
        }
        cause = inner.source();
    }
    TemplateError::Render {
        reason: describe(&error),
    }
}

fn describe(error: &Error) -> String {
    error.to_string().replace(" (in chat_template:", " (line ")
}

#[cfg(test)]
mod tests;
