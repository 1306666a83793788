//! What is learned from, what is looked at on the way, and what judges in the end.
//!
//! The last documents are held out. Their first half is public: whoever tunes a run may look at it. Their last half is hidden, for a judge
//! that was never tuned against. A single held-out document is public; a corpus of one document is cut before its last tenth.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use sha2::{Digest as _, Sha256};

use crate::{
    DataError, Document, Encoder, Stream, Tokenizer,
    stream::{CHUNK_BYTES, Chunk, Filling, Tokens, hash, token_bytes},
};

/// Where a document belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Learned from.
    Train,
    /// Held out, and looked at.
    Public,
    /// Held out for a judge.
    Hidden,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Train, Self::Public, Self::Hidden];
}

/// Documents with the part that each belongs to, in their order: the last `held_out` are held out, at least one where there are two or more,
/// and one is left to learn from. So many of them are in memory at a time. After an error there are no more.
pub fn divided<I: IntoIterator<Item = Result<Document, DataError>>>(
    documents: I,
    held_out: usize,
) -> Divided<I::IntoIter> {
    Divided {
        documents: Some(documents.into_iter()),
        held_out: held_out.max(1),
        last: VecDeque::new(),
        is_begun: false,
        public: 0,
    }
}

/// See [`divided`].
pub struct Divided<I> {
    /// None when all are taken.
    documents: Option<I>,
    held_out: usize,
    /// The last ones, so far.
    last: VecDeque<Document>,
    /// Whether there was one to learn from.
    is_begun: bool,
    /// Public ones to come, when all are taken.
    public: usize,
}

impl<I: Iterator<Item = Result<Document, DataError>>> Iterator for Divided<I> {
    type Item = Result<(Part, Document), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(documents) = &mut self.documents {
            match documents.next().map(|one| one.and_then(Document::checked)) {
                Some(Ok(document)) => self.last.push_back(document),
                Some(Err(error)) => {
                    self.documents = None;
                    self.last.clear();
                    return Some(Err(error));
                }
                None => {
                    self.documents = None;
                    return self.ended();
                }
            }
            if self.last.len() > self.held_out {
                return self.first_to_learn_from();
            }
        }
        self.first_held_out()
    }
}

impl<I> Divided<I> {
    fn first_to_learn_from(&mut self) -> Option<Result<(Part, Document), DataError>> {
        self.is_begun = true;
        self.last.pop_front().map(|one| Ok((Part::Train, one)))
    }

    fn first_held_out(&mut self) -> Option<Result<(Part, Document), DataError>> {
        let part = if self.public > 0 {
            self.public -= 1;
            Part::Public
        } else {
            Part::Hidden
        };
        self.last.pop_front().map(|one| Ok((part, one)))
    }

    /// All are taken: the last ones are those held out.
    fn ended(&mut self) -> Option<Result<(Part, Document), DataError>> {
        if self.is_begun {
            self.public = self.last.len().div_ceil(2);
            return self.first_held_out();
        }
        if self.last.is_empty() {
            return Some(Err(DataError::Empty));
        }
        if self.last.len() == 1 {
            let one = self.last.front_mut()?;
            let cut = one.text.len() - one.text.len() / 10;
            let end = one.text.split_off(one.text.floor_char_boundary(cut));
            let end = Document {
                name: format!("{}, its end", one.name),
                text: end,
            };
            self.last.push_back(end);
        }
        self.public = self.last.len().saturating_sub(1).div_ceil(2);
        self.first_to_learn_from()
    }
}

/// Of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Count {
    pub(crate) documents: u64,
    pub(crate) tokens: u64,
    /// Of the texts.
    pub(crate) bytes: u64,
}

/// Tokenises documents into chunks, part after part; how much is of each.
pub(crate) fn fill<E: From<DataError>, F: FnMut(Vec<u8>) -> Result<(), E>>(
    documents: impl Iterator<Item = Result<(Part, Document), DataError>>,
    encoder: &Encoder,
    mut filling: Filling<F>,
    mut seen: impl FnMut(&Document),
) -> Result<[Count; 3], E> {
    let mut counts = [Count::default(); 3];
    for one in documents {
        let (part, document) = one?;
        seen(&document);
        let before = filling.tokens();
        filling.push(crate::SEPARATOR)?;
        for token in encoder.encode(&document.text) {
            filling.push(token)?;
        }
        let count = &mut counts[part as usize];
        count.documents += 1;
        count.tokens += (filling.tokens() - before) as u64;
        count.bytes += document.text.len() as u64;
    }
    filling.end()?;
    Ok(counts)
}

/// A corpus by its parts.
#[derive(Clone, Debug)]
pub struct Splits {
    /// All but the last documents.
    pub train: Stream,
    /// The first half of the last ones.
    pub public: Stream,
    /// The last half of them, where there are two or more.
    pub hidden: Option<Stream>,
    tokenizer: Tokenizer,
}

impl Splits {
    /// Of documents in memory; see [`divided`].
    ///
    /// # Errors
    /// There is no held-out text, or less to learn from than a window of `positions` and the token behind it.
    pub fn of(
        documents: &[Document],
        held_out: usize,
        positions: usize,
        tokenizer: &Tokenizer,
    ) -> Result<Self, DataError> {
        let encoder = tokenizer.encoder()?;
        let vocabulary = tokenizer.vocabulary();
        let (mut chunks, mut hashes) = (Vec::new(), Vec::new());
        let keep = |chunk: Vec<u8>| {
            hashes.push(hash(&chunk));
            chunks.push(Chunk::Memory(chunk));
            Ok(())
        };
        let filling = Filling::new(vocabulary, CHUNK_BYTES, keep);
        let parts = divided(documents.iter().cloned().map(Ok), held_out);
        let counts = fill::<DataError, _>(parts, &encoder, filling, |_| ())?;
        let tokens = Tokens {
            chunks,
            hashes,
            chunk_tokens: CHUNK_BYTES / token_bytes(vocabulary),
            vocabulary,
        };
        Self::new(Arc::new(tokens), counts, tokenizer.clone(), positions)
    }

    /// Of tokens that lie part after part.
    pub(crate) fn new(
        tokens: Arc<Tokens>,
        counts: [Count; 3],
        tokenizer: Tokenizer,
        positions: usize,
    ) -> Result<Self, DataError> {
        let mut start = 0;
        let [train, public, hidden] = counts.map(|count| {
            let range = start..start + count.tokens as usize;
            start = range.end;
            Stream {
                tokens: Arc::clone(&tokens),
                range,
                text_bytes: count.bytes,
            }
        });
        let hidden = (hidden.tokens() > 0).then_some(hidden);
        // Windows to learn from are full; the last one of an evaluation need not be.
        let needs = [
            (
                "the text to learn from",
                Some(&train),
                positions.saturating_add(1),
            ),
            ("the held-out text", Some(&public), 2),
            ("the hidden half of the held-out text", hidden.as_ref(), 2),
        ];
        for (what, stream, needed) in needs {
            let found = stream.map_or(needed, Stream::tokens);
            if found < needed {
                return Err(DataError::TooSmall {
                    what,
                    found,
                    needed,
                });
            }
        }
        Ok(Self {
            train,
            public,
            hidden,
            tokenizer,
        })
    }

    /// What its tokens mean.
    #[must_use]
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// SHA-256 over all parts and the tokenizer, in hexadecimal: which text a run is of. The same in memory and in shards; in shards it is of
    /// the text that they were made from.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        if let Tokenizer::Pairs(pairs) = &self.tokenizer {
            let merges = pairs.merges().as_flattened().iter();
            merges.for_each(|side| hash.update(side.to_le_bytes()));
        }
        hash.update((self.tokenizer.vocabulary() as u64).to_le_bytes());
        let hidden = self.hidden.as_ref().map_or(0..0, |one| one.range.clone());
        for Range { start, end } in [self.train.range.clone(), self.public.range.clone(), hidden] {
            hash.update(((end - start) as u64).to_le_bytes());
        }
        let tokens = &self.train.tokens;
        tokens.hashes.iter().for_each(|one| hash.update(one));
        hexadecimal(&hash.finalize())
    }
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
