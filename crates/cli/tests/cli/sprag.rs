//! Runs the built command with an empty store, and makes damaged model files from sound ones.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use formats::gguf::{Gguf, TensorData, TensorInfo, Value, encode};
use tempfile::TempDir;

/// A finished command.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// Standard output as JSON, of a command that ended well.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{}", self.err);
        serde_json::from_str(&self.out).expect("standard output is one JSON document")
    }

    /// The exit code, and everything that is told.
    pub fn told(&self) -> (Option<i32>, &str) {
        (self.code, &self.err)
    }
}

/// A fixture model.
pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/models")
        .join(format!("{name}.gguf"));
    path.canonicalize()
        .expect("the fixture is in the repository")
        .display()
        .to_string()
}

/// The command, in a folder of its own with an empty store, two threads being enough.
pub struct Sandbox {
    pub folder: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprag"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("SPRAG_HOME", self.folder.path().join("home"));
        // A test that reaches for the network has to fail.
        command
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env_remove("NO_PROXY");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, b"")
    }

    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Done {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read its input closes the pipe early.
        let _closed = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        Done {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Writes a file into the folder.
    pub fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// Runs once in a new sandbox.
pub fn sprag(arguments: &[&str]) -> Done {
    Sandbox::new().run(arguments)
}

/// The llama fixture with its metadata and its tensors' bytes changed.
pub fn changed(
    metadata: impl Fn(&mut Vec<(String, Value)>),
    bytes: impl Fn(&str, &mut Vec<u8>),
) -> Vec<u8> {
    let gguf = Gguf::open(Path::new(&fixture("llama"))).unwrap();
    let mut pairs: Vec<(String, Value)> = gguf
        .metadata()
        .iter()
        .map(|(k, v)| (k.to_owned(), v.clone()))
        .collect();
    metadata(&mut pairs);
    let changed = |t: &TensorInfo| {
        let mut data = gguf.bytes(t).to_vec();
        bytes(t.name(), &mut data);
        data
    };
    let weights: Vec<Vec<u8>> = gguf.tensors().iter().map(changed).collect();
    let data: Vec<TensorData<'_>> = gguf
        .tensors()
        .iter()
        .zip(&weights)
        .map(|(t, bytes)| TensorData {
            name: t.name(),
            tensor_type: t.tensor_type(),
            shape: t.shape(),
            bytes,
        })
        .collect();
    encode(&pairs, &data).unwrap()
}
