//! Weights that were packed once, kept, and taken from there: the same bytes, and never another model's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use formats::gguf::Gguf;
use kernels::{PackedMatrix, RuntimeProfile};
use models::{Model, Placement};

/// A folder with a model of its own, which a test may change.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, fixture: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("sprag-kept-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
        fs::copy(fixtures.join(fixture), folder.join("model.gguf")).expect("the fixture");
        Self(folder)
    }

    fn kept(&self) -> PathBuf {
        self.0.join("model.packed")
    }

    fn load(&self, placement: &Placement) -> Model {
        let gguf = Arc::new(Gguf::open(&self.0.join("model.gguf")).expect("a GGUF file"));
        Model::from_gguf(gguf, &RuntimeProfile::default(), placement, &mut |_| {})
            .expect("a model we run")
    }

    /// Another number in the last tensor, in a file of the same size.
    fn change_model(&self) {
        let path = self.0.join("model.gguf");
        let mut bytes = fs::read(&path).expect("the copy");
        let at = bytes.len() - 100;
        bytes[at..at + 4].copy_from_slice(&2.5f32.to_le_bytes());
        fs::write(&path, bytes).expect("the copy");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the temporary folder");
    }
}

fn weights(model: &Model) -> Vec<&[u8]> {
    let matrices = model.program.matrices().iter();
    matrices.map(PackedMatrix::packed_bytes).collect()
}

#[test]
fn kept_weights_are_the_packed_ones() {
    // One with experts, one whose rows are permuted.
    for fixture in ["qwen3next-moe.gguf", "llama.gguf"] {
        let folder = Folder::new("same", fixture);
        let packed = folder.load(&Placement::Memory);
        assert!(!packed.is_kept);
        packed.keep(&folder.kept(), &mut |_, _| true).unwrap();
        for placement in [
            Placement::Kept(folder.kept()),
            Placement::Disk(folder.kept()),
        ] {
            let taken = folder.load(&placement);
            assert!(taken.is_kept, "{placement:?}");
            assert!(weights(&taken) == weights(&packed), "{placement:?}");
        }
        // Written as it is packed, and used where it lies.
        fs::remove_file(folder.kept()).unwrap();
        let written = folder.load(&Placement::Disk(folder.kept()));
        assert!(weights(&written) == weights(&packed));
        assert!(folder.kept().is_file());
    }
}

#[test]
fn a_model_that_changed_is_packed_anew() {
    let folder = Folder::new("changed", "llama.gguf");
    let before = folder.load(&Placement::Disk(folder.kept()));
    folder.change_model();
    let packed = folder.load(&Placement::Memory);
    let kept = folder.load(&Placement::Kept(folder.kept()));
    assert!(!kept.is_kept);
    assert!(weights(&kept) == weights(&packed));
    // What ran meanwhile keeps what it has.
    let after = folder.load(&Placement::Disk(folder.kept()));
    assert!(weights(&after) == weights(&packed));
    assert!(weights(&before).iter().all(|bytes| !bytes.is_empty()));
}

#[test]
fn keeping_can_be_given_up() {
    let folder = Folder::new("up", "llama.gguf");
    let model = folder.load(&Placement::Memory);
    model
        .keep(&folder.kept(), &mut |done, _| done == 0)
        .unwrap();
    assert!(!folder.kept().exists());
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn a_disk_that_refuses_is_told() {
    let folder = Folder::new("refuses", "llama.gguf");
    let gguf = Arc::new(Gguf::open(&folder.0.join("model.gguf")).unwrap());
    // A file where the folder would be.
    let place = Placement::Disk(folder.0.join("model.gguf").join("model.packed"));
    let refused = Model::from_gguf(gguf, &RuntimeProfile::default(), &place, &mut |_| {});
    let error = refused
        .err()
        .expect("no folder can be made there")
        .to_string();
    assert!(error.contains("cannot be kept on disk"), "{error}");
}
