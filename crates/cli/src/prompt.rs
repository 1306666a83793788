//! From what a user wrote to the tokens that the model reads.
//!
//! # User text cannot steer the model
//! Contents are defused before they enter the template ([`ChatTemplate::prompt`]), and only the template's own control tokens are
//! parsed. Raw text is plain text: `<|im_end|>` in it is nine characters, unless the user asks for control tokens.

use formats::gguf::Gguf;
use runtime::Engine;
use text::{ChatTemplate, Message, Specials, TemplateError, Tokenizer};

use crate::failure::Failure;

/// The model's chat template, if it has one.
///
/// # Errors
/// It has one that can't be read.
pub fn template(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Option<ChatTemplate>, Failure> {
    match ChatTemplate::from_gguf(gguf.metadata(), tokenizer) {
        Ok(template) => Ok(Some(template)),
        Err(TemplateError::Missing) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The tokens of a conversation up to where the assistant's answer begins.
///
/// # Errors
/// The template refuses the conversation.
pub fn of_conversation(
    engine: &Engine,
    template: &ChatTemplate,
    messages: &[Message],
) -> Result<Vec<u32>, Failure> {
    let tokenizer = engine.tokenizer();
    let text = template.prompt(tokenizer, messages)?;
    Ok(tokenizer.encode_to_continue(&text, Specials::ParseDefused))
}
