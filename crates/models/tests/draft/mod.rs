//! A model file taken apart, so that a test changes one thing and puts it together again. Also used by the runtime's tests.

use std::{path::PathBuf, sync::Arc};

use formats::gguf::{Gguf, TensorData, TensorType, Value, encode};

/// A tensor on its own.
#[derive(Clone)]
pub struct Part {
    pub name: String,
    pub tensor_type: TensorType,
    /// Contiguous dimension first.
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

/// Metadata and tensors of a file to be.
#[derive(Clone)]
pub struct Draft {
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<Part>,
}

/// Where the repository keeps the fixture.
pub fn fixture_path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/models")
        .join(file)
}

impl Draft {
    /// The fixture of an architecture.
    pub fn of(fixture: &str) -> Self {
        let gguf = Gguf::open(&fixture_path(&format!("{fixture}.gguf"))).expect("a fixture");
        let metadata = gguf
            .metadata()
            .iter()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .collect();
        let part = |tensor| {
            let bytes = gguf.bytes(tensor).to_vec();
            (
                tensor.name().to_owned(),
                tensor.tensor_type(),
                tensor.shape().to_vec(),
                bytes,
            )
        };
        let parts = gguf.tensors().iter().map(part);
        let tensors = parts
            .map(|(name, tensor_type, shape, bytes)| Part {
                name,
                tensor_type,
                shape,
                bytes,
            })
            .collect();
        Self { metadata, tensors }
    }

    /// Adds or replaces a value.
    pub fn set(&mut self, key: &str, value: Value) -> &mut Self {
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some(pair) => pair.1 = value,
            None => self.metadata.push((key.to_owned(), value)),
        }
        self
    }

    /// Removes a value.
    pub fn unset(&mut self, key: &str) -> &mut Self {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// A tensor, to be changed.
    pub fn tensor(&mut self, name: &str) -> &mut Part {
        self.tensors
            .iter_mut()
            .find(|part| part.name == name)
            .expect("a tensor of the fixture")
    }

    /// Removes a tensor.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.tensors.retain(|part| part.name != name);
        self
    }

    /// Adds an f32 tensor of zeros.
    pub fn add(&mut self, name: &str, shape: &[usize]) -> &mut Self {
        let mut part = Part {
            name: name.to_owned(),
            tensor_type: self.tensors[0].tensor_type,
            shape: vec![],
            bytes: vec![],
        };
        part.reshape(shape);
        self.tensors.push(part);
        self
    }

    /// The file.
    pub fn build(&self) -> Arc<Gguf> {
        let parts = self.tensors.iter();
        let tensors: Vec<TensorData<'_>> = parts
            .map(|p| TensorData {
                name: &p.name,
                tensor_type: p.tensor_type,
                shape: &p.shape,
                bytes: &p.bytes,
            })
            .collect();
        let bytes = encode(&self.metadata, &tensors).expect("sizes fit shapes");
        Arc::new(Gguf::from_bytes(bytes).expect("a valid GGUF"))
    }
}

impl Part {
    /// Another shape; bytes are cut off, or zeros added.
    pub fn reshape(&mut self, shape: &[usize]) -> &mut Self {
        shape.clone_into(&mut self.shape);
        self.fit()
    }

    /// Another format, with zeros for weights.
    pub fn retype(&mut self, tensor_type: TensorType) -> &mut Self {
        self.tensor_type = tensor_type;
        self.bytes.clear();
        self.fit()
    }

    /// Overwrites the f32 at `index`.
    pub fn put(&mut self, index: usize, value: f32) -> &mut Self {
        self.bytes[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn fit(&mut self) -> &mut Self {
        let block = self.tensor_type.block().expect("a format of known size");
        self.bytes.resize(
            self.shape.iter().product::<usize>() / block.len * block.bytes,
            0,
        );
        self
    }
}
