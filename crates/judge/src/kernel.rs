//! temp
pub fn echo() -> Result<(), crate::JudgeError> { Ok(()) }
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
/// t
pub struct Times;
