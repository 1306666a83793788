//! What candidates of a track in Rust are compiled against: their dependencies, built once, in a folder that the track seals.
//!
//! A candidate is then one call of rustc with nothing to fetch and nothing to build but itself: `rustc @layer/arguments src/main.rs`. The
//! folder has the libraries of every crate that the candidate's own crate depends on, and `arguments`, a file of rustc's with an argument a
//! line; paths in it are relative to the folder that holds the layer.

use std::{
    collections::BTreeSet,
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
        // With the same features as the program itself, so that nothing is built twice.
        "--package=sprag",
        "--message-format=json-render-diagnostics",
    ])?;
    // Not what other systems would need: that was never downloaded.
    let platform = format!("--filter-platform={}", host()?);
    let metadata = cargo(&["metadata", "--format-version=1", "--locked", &platform])?;
    let metadata: Value = serde_json::from_str(&metadata).map_err(io::Error::other)?;
    let direct = dependencies(&metadata, package)?;
    let needed = closure(&metadata, package);
    let mut libraries = libraries(&messages);
    libraries.retain(|one| needed.contains(&one.package));
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
        let copy = layer.join(folder_name(&one.file)?);
        fs::copy(&one.file, &copy)?;
        strip(&copy);
        bytes += fs::metadata(&copy)?.len();
    }
    fs::write(layer.join("arguments"), arguments.join("\n") + "\n")?;
    Ok((libraries.len(), bytes))
}

/// Takes out what debuggers read, most of a library: it is laid out again for each candidate. Where there is no `strip`, it stays.
fn strip(library: &Path) {
    let _stays = Command::new("strip")
        .arg("--strip-debug")
        .arg(library)
        .stderr(Stdio::null())
        .status();
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

/// What this machine is to rustc, such as `x86_64-unknown-linux-gnu`.
fn host() -> io::Result<String> {
    let said = Command::new("rustc").arg("-vV").output()?.stdout;
    let said = String::from_utf8_lossy(&said);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| {
        io::Error::other(format!(
            "expected a line `host: ..` of rustc -vV, came {said:?}"
        ))
    })
}

/// A compiled crate: its package, what it is called, and the file that rustc reads.
struct Library {
    package: String,
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
            package: message["package_id"].as_str()?.to_owned(),
            name: message["target"]["name"].as_str()?.to_owned(),
            file: PathBuf::from(file),
        })
    };
    parsed.filter_map(library).collect()
}

/// What the package itself names as dependencies.
fn dependencies(metadata: &Value, package: &str) -> io::Result<Vec<String>> {
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

/// The packages that rustc reads when it compiles this one: its dependencies, and theirs, but for what procedural macros were made of.
fn closure(metadata: &Value, package: &str) -> BTreeSet<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let kinds = |one: &Value| {
        list(&one["targets"])
            .iter()
            .flat_map(|t| list(&t["kind"]))
            .collect::<Vec<_>>()
    };
    let is_macro = |id: &str| {
        let of = packages.iter().find(|one| one["id"] == id);
        of.is_some_and(|one| kinds(one).contains(&"proc-macro".into()))
    };
    let own = packages.iter().find(|one| one["name"] == package);
    let mut open: Vec<String> = own
        .and_then(|one| one["id"].as_str())
        .map(str::to_owned)
        .into_iter()
        .collect();
    let nodes = list(&metadata["resolve"]["nodes"]);
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node["id"] == id.as_str());
        let edges = node.map(|node| list(&node["deps"])).unwrap_or_default();
        if found.insert(id.clone()) && !is_macro(&id) {
            let read = edges.iter().filter(|edge| {
                list(&edge["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            });
            open.extend(read.filter_map(|edge| Some(edge["pkg"].as_str()?.to_owned())));
        }
    }
    found
}

fn folder_name(path: &Path) -> io::Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| io::Error::other(format!("{} has no plain name", path.display())))
}
