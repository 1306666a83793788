//! `/proc/cpuinfo`: blocks of `key : value` lines, one block for each logical processor.

use crate::Fact;

/// Parsed blocks, in file order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuInfo {
    blocks: Vec<Vec<(String, String)>>,
}

impl CpuInfo {
    /// Parses the text; lines without a colon are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut blocks = Vec::new();
        let mut block = Vec::new();
        for line in text.lines() {
            if line.trim().is_empty() {
                if !block.is_empty() {
                    blocks.push(std::mem::take(&mut block));
                }
            } else if let Some((key, value)) = line.split_once(':') {
                block.push((key.trim().to_owned(), value.trim().to_owned()));
            }
        }
        if !block.is_empty() {
            blocks.push(block);
        }
        Self { blocks }
    }

    /// The first value of `key` that is not empty, in any block.
    #[must_use]
    pub fn first(&self, key: &str) -> Fact<String> {
        match self
            .blocks
            .iter()
            .flatten()
            .find(|(name, value)| name == key && !value.is_empty())
        {
            Some((_, value)) => Fact::known(value.clone(), format!("/proc/cpuinfo, {key}")),
            None => Fact::unknown(format!("/proc/cpuinfo has no '{key}'")),
        }
    }

    /// The values of two keys, of every block that has both.
    #[must_use]
    pub fn each(&self, first: &str, second: &str) -> Vec<(&str, &str)> {
        let at =
            |block: &[(String, String)], key: &str| block.iter().position(|(name, _)| name == key);
        self.blocks
            .iter()
            .filter_map(|block| {
                let (first, second) = (at(block, first)?, at(block, second)?);
                Some((block[first].1.as_str(), block[second].1.as_str()))
            })
            .collect()
    }

    /// The first value of `key` as a number.
    #[must_use]
    pub fn first_number<T: std::str::FromStr>(&self, key: &str) -> Fact<T> {
        match self.first(key) {
            Fact::Known { value, source } => match value.parse() {
                Ok(number) => Fact::known(number, source),
                Err(_) => Fact::unknown(format!(
                    "/proc/cpuinfo, {key}: expected a number, got '{}'",
                    super::files::excerpt(&value)
                )),
            },
            Fact::Unknown { reason } => Fact::Unknown { reason },
        }
    }
}
