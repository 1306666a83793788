//! What candidates of a track in Rust are compiled against: their dependencies, built once, in a folder that the track seals.
//!
//! A candidate is then one call of rustc with nothing to fetch and nothing to build but itself: `rustc @layer/arguments src/main.rs`. The
//! folder has the libraries of every crate that the candidate's own crate depends on, and `arguments`, a file of rustc's with an argument a
//! line; paths in it are relative to the folder that holds the layer.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

/// Builds the dependencies of `package` and lays them into `layer`, which is made anew; how many libraries, and of how many bytes.
pub(crate) fn build(package: &str, layer: &Path) -> io::Result<(usize, u64)> {
    // It is emptied below.
    let is_other = fs::read_dir(layer).is_ok_and(|mut files| files.next().is_some())
        && !layer.join("arguments").is_file();
    if is_other {
        let why = format!(
            "{} holds something else than a layer; name a new folder, such as tracks/train/layer",
            layer.display()
        );
        return Err(io::Error::other(why));
    }
    let messages = cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        package,
        "--message-format=json-render-diagnostics",
    ])?;
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"])?;
    let direct = dependencies(&metadata, package)?;
    let libraries = libraries(&messages);
    let name = folder_name(layer)?;
    let mut arguments = [
        "--edition=2024",
        "--crate-name=candidate",
        "-Copt-level=3",
        "-Ccodegen-units=4",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("-Ldependency={name}"));
    for dependency in direct {
        let crate_name = dependency.replace('-', "_");
        let found: Vec<&Library> = libraries
            .iter()
            .filter(|one| one.name.replace('-', "_") == crate_name)
            .collect();
        let [one] = found[..] else {
            let why = format!("{} libraries are called {dependency}", found.len());
            return Err(io::Error::other(why));
        };
        let file = folder_name(&one.file)?;
        arguments.push(format!("--extern={crate_name}={name}/{file}"));
    }
    match fs::remove_dir_all(layer) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(layer)?,
    }
    let mut bytes = 0;
    for one in &libraries {
        bytes += fs::copy(&one.file, layer.join(folder_name(&one.file)?))?;
    }
    fs::write(layer.join("arguments"), arguments.join("\n") + "\n")?;
    Ok((libraries.len(), bytes))
}

fn cargo(words: &[&str]) -> io::Result<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(words)
        .stderr(Stdio::inherit())
        .output()?;
    if !done.status.success() {
        let why = format!("cargo {} ended with {}", words[0], done.status);
        return Err(io::Error::other(why));
    }
    String::from_utf8(done.stdout).map_err(io::Error::other)
}

/// A compiled crate: what it is called, and the file that rustc reads.
struct Library {
    name: String,
    file: PathBuf,
}

/// All libraries and procedural macros that cargo says it has built or found fresh.
fn libraries(messages: &str) -> Vec<Library> {
    let parsed = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact");
    let library = |message: Value| {
        let files = message["filenames"].as_array()?.iter();
        let file = files.filter_map(Value::as_str).find(|file| {
            [".rlib", ".so", ".dylib", ".dll"]
                .iter()
                .any(|end| file.ends_with(end))
        })?;
        Some(Library {
            name: message["target"]["name"].as_str()?.to_owned(),
            file: PathBuf::from(file),
        })
    };
    parsed.filter_map(library).collect()
}

/// What the package itself names as dependencies.
fn dependencies(metadata: &str, package: &str) -> io::Result<Vec<String>> {
    let metadata: Value = serde_json::from_str(metadata).map_err(io::Error::other)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let own = packages
        .into_iter()
        .find(|one| one["name"] == package)
        .ok_or_else(|| io::Error::other(format!("no package {package} in this workspace")))?;
    let names = own["dependencies"].as_array().into_iter().flatten();
    Ok(names
        .filter(|one| one["kind"].is_null())
        .filter_map(|one| one["name"].as_str().map(str::to_owned))
        .collect())
}

fn folder_name(path: &Path) -> io::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| io::Error::other(format!("{} has no plain name", path.display())))
}
