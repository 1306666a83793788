//! The kernels' source, and its way to machine code: compiled at first use, kept on disk under a name that says for what.

use std::{
    ffi::{CStr, CString, c_char},
    fs, io,
    path::{Path, PathBuf},
    process,
};

use cudarc::nvrtc::{result, sys};
use sha2::{Digest, Sha256};

use crate::{CudaError, many, op::OP_BYTES};

/// Kernels that are compiled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A token as one kernel, with rings of so many places, and what brings weights into its form.
    Token {
        /// Places of a ring.
        depth: u32,
    },
    /// Many tokens at once.
    Many,
}

const DEVICE: &str = include_str!("../kernels/device.cuh");
/// Behind that, in the order in which they build on each other.
const TOKEN: [&str; 6] = [
    include_str!("../kernels/block.cuh"),
    include_str!("../kernels/product.cuh"),
    include_str!("../kernels/delta.cuh"),
    include_str!("../kernels/attend.cuh"),
    include_str!("../kernels/token.cu"),
    include_str!("../kernels/pack.cuh"),
];
const MANY: [&str; 6] = [
    include_str!("../kernels/many/wgmma.cuh"),
    include_str!("../kernels/many/matmul.cuh"),
    include_str!("../kernels/many/rows.cuh"),
    include_str!("../kernels/many/delta.cuh"),
    include_str!("../kernels/many/attend.cuh"),
    include_str!("../kernels/many/batch.cuh"),
];
const DIGEST_BYTES: usize = 32;
/// More machine code than this is not ours.
const MOST_BYTES: u64 = 64 << 20;

impl Unit {
    /// Its source as one text.
    #[must_use]
    pub fn text(self) -> String {
        let parts = match self {
            Self::Token { .. } => TOKEN.as_slice(),
            Self::Many => &MANY,
        };
        [DEVICE].iter().chain(parts).copied().collect()
    }

    /// What it is compiled with for `architecture` (as `sm_90a`). Sizes of what the host hands over are checked by the kernels.
    #[must_use]
    pub fn options(self, architecture: &str) -> Vec<String> {
        let define = |(name, value): (&str, usize)| format!("--define-macro={name}={value}");
        let mut options = vec![
            format!("--gpu-architecture={architecture}"),
            "--std=c++17".to_owned(),
        ];
        match self {
            Self::Token { depth } => {
                options.extend([("DEPTH_", depth as usize), ("OP_BYTES", OP_BYTES)].map(define));
            }
            Self::Many => options.extend(many::op::DEFINITIONS.map(define)),
        }
        options
    }
}

/// Machine code for `architecture`; from `cache`, a folder, where it was kept by an earlier start with the same driver.
///
/// # Errors
/// There is no compiler, or it refuses.
pub fn compiled(
    unit: Unit,
    architecture: &str,
    driver: i32,
    cache: Option<&Path>,
) -> Result<Vec<u8>, CudaError> {
    let (text, options) = (unit.text(), unit.options(architecture));
    let kept = cache.map(|folder| folder.join(file_name(&text, &options, architecture, driver)));
    if let Some(code) = kept.as_deref().and_then(read) {
        return Ok(code);
    }
    let code = compile(&text, &options, architecture)?;
    if let Some(path) = kept {
        // A cache that can't be written costs time at the next start, no more.
        let _ = write(&path, &code);
    }
    Ok(code)
}

fn file_name(text: &str, options: &[String], architecture: &str, driver: i32) -> String {
    let mut hash = Sha256::new();
    hash.update(text);
    for option in options {
        hash.update(option);
    }
    let digest: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("{architecture}-{driver}-{digest}.cubin")
}

/// A kept file: the digest of what follows, and that. Anything else counts as nothing.
fn read(path: &Path) -> Option<Vec<u8>> {
    if fs::metadata(path).ok()?.len() > MOST_BYTES {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let (digest, code) = bytes.split_at_checked(DIGEST_BYTES)?;
    (Sha256::digest(code).as_slice() == digest).then(|| code.to_vec())
}

/// Beside its place first: another start sees a whole file or none.
fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside: PathBuf = path.with_extension(format!("{}.part", process::id()));
    let bytes = [Sha256::digest(code).as_slice(), code].concat();
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// A program of the compiler, given back when it goes.
struct Compiling(sys::nvrtcProgram);

impl Drop for Compiling {
    fn drop(&mut self) {
        // SAFETY: it was created and is not used again.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// Compiles the kernels now.
///
/// # Errors
/// There is no compiler, or it refuses.
pub fn compile(text: &str, options: &[String], architecture: &str) -> Result<Vec<u8>, CudaError> {
    // SAFETY: looking for a library runs its initialisers, which those of NVIDIA allow at any time.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoCompiler);
    }
    let refused = |log: String| CudaError::Compile {
        architecture: architecture.to_owned(),
        log,
    };
    let text = CString::new(text).map_err(|error| refused(error.to_string()))?;
    let unit = result::create_program(&text, Some(c"sprag.cu"))
        .map(Compiling)
        .map_err(|error| refused(error.to_string()))?;
    // SAFETY: the program was created above.
    if let Err(error) = unsafe { result::compile_program(unit.0, options) } {
        // SAFETY: as above; the log is a string that ends with a zero.
        let log = unsafe { result::get_program_log(unit.0) }.unwrap_or_default();
        return Err(refused(match text_of(&log) {
            empty if empty.trim().is_empty() => error.to_string(),
            log => log,
        }));
    }
    let mut len = 0;
    // SAFETY: the program is compiled; `code` has as many bytes as the compiler says.
    let code = unsafe {
        sys::nvrtcGetCUBINSize(unit.0, &raw mut len)
            .result()
            .and_then(|()| {
                let mut code = vec![0u8; len];
                sys::nvrtcGetCUBIN(unit.0, code.as_mut_ptr().cast::<c_char>())
                    .result()
                    .map(|()| code)
            })
    };
    code.map_err(|error| refused(error.to_string()))
}

fn text_of(log: &[c_char]) -> String {
    let bytes: Vec<u8> = log.iter().map(|&c| c.to_ne_bytes()[0]).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map_or_else(|_| String::from_utf8_lossy(&bytes), CStr::to_string_lossy)
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Unit, file_name, read, write};

    #[test]
    fn what_is_kept_is_found_and_what_is_damaged_is_not() {
        let folder = std::env::temp_dir().join(format!("sprag-cubin-{}", std::process::id()));
        let path = folder.join("code.cubin");
        assert!(read(&path).is_none());
        write(&path, b"machine code").expect("a folder that can be written");
        assert_eq!(read(&path).as_deref(), Some(&b"machine code"[..]));
        let mut bytes = std::fs::read(&path).expect("it was written");
        *bytes.last_mut().expect("not empty") ^= 1;
        std::fs::write(&path, &bytes).expect("writable");
        assert!(read(&path).is_none());
        std::fs::write(&path, b"short").expect("writable");
        assert!(read(&path).is_none());
        std::fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn what_the_code_depends_on_is_in_its_name() {
        let of = |text, architecture, depth, driver| {
            let options = Unit::Token { depth }.options(architecture);
            file_name(text, &options, architecture, driver)
        };
        let one = of("text", "sm_90a", 4, 13000);
        assert_eq!(one, of("text", "sm_90a", 4, 13000));
        for other in [
            of("texts", "sm_90a", 4, 13000),
            of("text", "sm_100a", 4, 13000),
            of("text", "sm_90a", 3, 13000),
            of("text", "sm_90a", 4, 12080),
        ] {
            assert_ne!(one, other);
        }
    }
}
