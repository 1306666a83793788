//! Homes made for the purpose: what is offered of them, and what never is.

use super::*;

struct Home(tempfile::TempDir);

impl Home {
    fn with(programs: &[&str]) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for program in programs {
            home.file(program, "#!");
        }
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn offers(&self, command: &str, path: &[&str]) -> (Vec<PathBuf>, BTreeMap<String, String>) {
        let around = Surroundings {
            path: path.iter().map(|folder| self.at(folder)).collect(),
            home: Some(self.0.path().to_owned()),
            cargo_home: None,
            rustup_home: None,
            rustup_toolchain: None,
        };
        let toolchain = around.look_for(command.as_ref());
        let hosts = toolchain.mounts.into_iter().map(|mount| mount.host);
        (hosts.collect(), toolchain.environment)
    }
}

#[test]
fn a_rustup_shim_brings_the_default_toolchain_and_sources_and_no_credentials() {
    let home = Home::with(&[".cargo/bin/rustup", ".cargo/credentials.toml"]);
    std::os::unix::fs::symlink("rustup", home.at(".cargo/bin/cargo")).unwrap();
    home.file(".rustup/toolchains/stable-x/bin/cargo", "");
    home.file(".cargo/registry/index", "");
    let expected = [".cargo/registry", ".rustup/toolchains/stable-x"];
    let expected = expected.map(|name| home.at(name));
    // The only one there is.
    let (mounts, environment) = home.offers("cargo", &[".cargo/bin"]);
    assert_eq!(mounts, expected);
    assert_eq!(environment["CARGO_HOME"], text(&home.at(".cargo")));
    let bin = text(&home.at(".rustup/toolchains/stable-x/bin"));
    assert!(environment["PATH"].starts_with(&bin));
    // Of two, the one that the settings name; without a name, none.
    home.file(".rustup/toolchains/nightly-x/bin/cargo", "");
    assert_eq!(
        home.offers("cargo", &[".cargo/bin"]).0,
        [""; 0].map(PathBuf::from)
    );
    home.file(
        ".rustup/settings.toml",
        "version = \"12\"\ndefault_toolchain = \"stable\"\n",
    );
    assert_eq!(home.offers("cargo", &[".cargo/bin"]).0, expected);
}

#[test]
fn pythons_bring_their_own_root() {
    let home = Home::with(&["pyenv/shims/python3", "pyenv/versions/3/bin/python3"]);
    let (mounts, environment) = home.offers("python3", &["pyenv/shims"]);
    assert_eq!(mounts, [home.at("pyenv")]);
    assert_eq!(environment["PYENV_ROOT"], text(&home.at("pyenv")));

    let base = text(&home.at("pyenv/versions/3/bin"));
    home.file("venv/pyvenv.cfg", &format!("home = {base}\n"));
    home.file("venv/bin/python3", "");
    let (mounts, _) = home.offers("python3", &["venv/bin"]);
    assert_eq!(mounts, [home.at("pyenv/versions/3"), home.at("venv")]);
}

#[test]
fn a_home_is_never_offered_as_a_whole() {
    let home = Home::with(&["bin/tool", ".local/bin/tool", "opt/tool/bin/tool"]);
    for (folder, offered) in [
        ("bin", "bin/tool"),
        (".local/bin", ".local/bin/tool"),
        ("opt/tool/bin", "opt/tool"),
    ] {
        let (mounts, _) = home.offers("tool", &[folder]);
        assert_eq!(mounts, [home.at(offered)], "{folder}");
    }
}

#[test]
fn the_systems_own_and_the_missing_need_nothing() {
    assert_eq!(toolchain("sh".as_ref()), Toolchain::default());
    assert_eq!(toolchain("no such program".as_ref()), Toolchain::default());
    assert_eq!(toolchain("a/b".as_ref()), Toolchain::default());
}
