//! A kept file says what was written, and nothing else than a whole one of the right model is taken.

use std::fs;
use std::path::PathBuf;

use ops::Dtype;
use proptest::prelude::*;

use super::{PAGE, PackedFile, PackedWriter, identity_of, is_stale, parse};

const VERSION: u32 = 7;
const MODEL: &str = "12 1:2 3.4 5.6 /a/model.gguf";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sprag-packed-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn written(path: &std::path::Path, identity: &str) {
    let mut writer = PackedWriter::create(path, VERSION, identity).unwrap();
    writer.append(Dtype::F32, 16, 2, &[1; 128]).unwrap();
    assert_eq!(writer.last().unwrap().unwrap().as_ref(), [1; 128]);
    writer.append(Dtype::Q4_0, 16, 32, &[2; 288]).unwrap();
    assert_eq!(writer.last().unwrap().unwrap().as_ref(), [2; 288]);
    writer.finish().unwrap();
}

#[test]
fn what_was_written_is_read() {
    let folder = Folder::new("read");
    let path = folder.0.join("deeper").join("a.packed");
    written(&path, MODEL);
    let file = PackedFile::open(&path, VERSION, MODEL).unwrap();
    let [first, second] = file.entries() else {
        panic!("two matrices were written");
    };
    assert_eq!((first.dtype, first.rows, first.cols), (Dtype::F32, 16, 2));
    assert_eq!(file.bytes(first).as_ref(), [1; 128]);
    assert_eq!((second.dtype, second.cols), (Dtype::Q4_0, 32));
    assert!(second.range.start.is_multiple_of(PAGE));
    let bytes = file.bytes(second);
    bytes.release(0..288);
    assert_eq!(bytes.as_ref(), [2; 288]);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn another_model_version_or_half_a_file_is_none() {
    let folder = Folder::new("other");
    let path = folder.0.join("a.packed");
    written(&path, MODEL);
    assert!(PackedFile::open(&path, VERSION, &MODEL.replace("3.4", "3.5")).is_none());
    assert!(PackedFile::open(&path, VERSION + 1, MODEL).is_none());
    assert!(PackedFile::open(&folder.0.join("b.packed"), VERSION, MODEL).is_none());
    let whole = fs::read(&path).unwrap();
    for len in [0, 7, 40, PAGE, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(
            PackedFile::open(&path, VERSION, MODEL).is_none(),
            "{len} bytes"
        );
    }
}

#[test]
fn a_writer_that_gives_up_leaves_nothing() {
    let folder = Folder::new("gives-up");
    let path = folder.0.join("a.packed");
    let mut writer = PackedWriter::create(&path, VERSION, MODEL).unwrap();
    writer.append(Dtype::F32, 16, 2, &[1; 128]).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
}

#[test]
fn a_file_whose_model_changed_is_stale() {
    let folder = Folder::new("stale");
    let (model, path) = (folder.0.join("m.gguf"), folder.0.join("a.packed"));
    fs::write(&model, "as it is").unwrap();
    written(&path, &identity_of(&model).unwrap());
    assert!(!is_stale(&path));
    fs::write(&model, "as it is now").unwrap();
    assert!(is_stale(&path));
    fs::remove_file(&model).unwrap();
    assert!(is_stale(&path));
    fs::write(&path, "somebody else's").unwrap();
    assert!(!is_stale(&path), "a file that is not ours is left alone");
}

proptest! {
    /// Whatever a byte is changed to, nothing panics and every range lies within the file.
    #[test]
    fn a_changed_byte_harms_nothing(at in 0usize..9000, byte: u8, cut in 0usize..9000) {
        let folder = Folder::new(&format!("changed-{at}-{byte}-{cut}"));
        let path = folder.0.join("a.packed");
        written(&path, MODEL);
        let mut file = fs::read(&path).unwrap();
        let at = at % file.len();
        file[at] = byte;
        file.truncate(file.len() - if cut < 100 { cut } else { 0 });
        if let Some(entries) = parse(&file, VERSION, MODEL) {
            for entry in entries {
                prop_assert!(file.get(entry.range).is_some());
            }
        }
    }
}
