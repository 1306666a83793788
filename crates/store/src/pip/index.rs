//! Which wheel: asking every index and every find-links place, and choosing one file.
//!
//! The choice, as pip makes it for a package without compiled code: wheels for any machine (`py3-none-any`) only, not yanked
//! (unless that version was asked for), the newest version, final releases before pre-releases; among equals a local file
//! first, then in the order of the indexes. Requirements on the Python version are not looked at: no Python will run.

use std::path::PathBuf;
use std::str::FromStr;

use pep440_rs::Version;

use super::links::{self, Link};
use crate::address::Address;
use crate::digest::Sha256;
use crate::error::PullError;
use crate::http::Client;
use crate::network::{FindLinks, Network};
use crate::progress::Progress;
use crate::source::normalise;

/// A wheel that was chosen.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) file_name: String,
    pub(crate) version: Version,
    pub(crate) place: Place,
}

/// Where a wheel is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Local(PathBuf),
    Remote {
        address: Address,
        sha256: Option<Sha256>,
    },
}

struct Candidate {
    choice: Choice,
    yanked: bool,
}

/// Finds the wheel for `package` (a normalised name), of exactly `version` if one is given.
pub(crate) fn choose(
    client: &Client<'_>,
    network: &Network,
    package: &str,
    version: Option<&Version>,
    progress: &mut dyn Progress,
) -> Result<Choice, PullError> {
    let mut offers = Offers {
        package,
        candidates: Vec::new(),
        others: Vec::new(),
    };
    for place in &network.find_links {
        match place {
            FindLinks::Folder(folder) => offers.look_into(folder),
            FindLinks::Page(page) => match ask(client, page, progress) {
                Ok(links) => offers.take(links),
                Err(PullError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            },
        }
    }
    let mut first_failure = None;
    for index in &network.indexes {
        match ask(client, &index.under(&format!("{package}/")), progress) {
            Ok(links) => offers.take(links),
            Err(PullError::Cancelled) => return Err(PullError::Cancelled),
            Err(error) => {
                // An index that refuses or fails may be the one that has it: told only if no other has.
                let known = matches!(error, PullError::NotFound { .. });
                first_failure = first_failure.or(if known { None } else { Some(error) });
            }
        }
    }
    if let Some(best) = offers.best(version) {
        return Ok(best);
    }
    Err(first_failure.unwrap_or_else(|| offers.explain(network, version)))
}

fn ask(
    client: &Client<'_>,
    page: &Address,
    progress: &mut dyn Progress,
) -> Result<Vec<Link>, PullError> {
    let (reply, text) = client.document(page, links::ACCEPT, progress)?;
    let content_type = reply
        .headers
        .get("content-type")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    links::read(&reply.address, content_type, &text).map_err(|why| PullError::Index {
        asked: page.to_string(),
        why,
    })
}

struct Offers<'a> {
    package: &'a str,
    /// In order of preference among equals.
    candidates: Vec<Candidate>,
    /// Files of the package that will not do, for the error message.
    others: Vec<String>,
}

impl Offers<'_> {
    fn look_into(&mut self, folder: &std::path::Path) {
        // pip, too, passes over a find-links folder that does not exist.
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        let mut names: Vec<_> = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        for name in names {
            self.add(&name, Place::Local(folder.join(&name)), false);
        }
    }

    fn take(&mut self, links: Vec<Link>) {
        for link in links {
            let place = Place::Remote {
                address: link.address,
                sha256: link.sha256,
            };
            self.add(&link.file_name, place, link.yanked);
        }
    }

    fn add(&mut self, file_name: &str, place: Place, yanked: bool) {
        match wheel_version(file_name, self.package) {
            Some(version) => self.candidates.push(Candidate {
                choice: Choice {
                    file_name: file_name.to_owned(),
                    version,
                    place,
                },
                yanked,
            }),
            None if self.others.len() < 5 && self.is_ours(file_name) => {
                self.others.push(file_name.to_owned())
            }
            None => {}
        }
    }

    fn is_ours(&self, file_name: &str) -> bool {
        let plain = file_name.to_ascii_lowercase().replace(['_', '.'], "-");
        plain.starts_with(self.package)
    }

    fn best(&self, version: Option<&Version>) -> Option<Choice> {
        let fits = |c: &&Candidate| match version {
            Some(wanted) => c.choice.version == *wanted,
            None => !c.yanked,
        };
        let rank = |c: &Candidate| {
            (
                !c.yanked,
                c.choice.version.is_stable(),
                c.choice.version.clone(),
            )
        };
        // Reversed, because of equals the last one wins.
        let best = self
            .candidates
            .iter()
            .rev()
            .filter(fits)
            .max_by_key(|c| rank(c))?;
        Some(best.choice.clone())
    }

    fn explain(&self, network: &Network, version: Option<&Version>) -> PullError {
        let package = self.package.to_owned();
        if self.candidates.is_empty() && self.others.is_empty() {
            let places = network.indexes.iter().map(ToString::to_string);
            let asked = places.collect::<Vec<_>>().join(", ");
            let asked = if asked.is_empty() {
                "find-links only: PIP_NO_INDEX is set".to_owned()
            } else {
                asked
            };
            return PullError::NotFound {
                what: format!("package {package}"),
                asked,
                hint: ", and that PIP_INDEX_URL or pip.conf name the index that has it",
            };
        }
        let mut found: Vec<String> = self
            .candidates
            .iter()
            .map(|c| c.choice.version.to_string())
            .collect();
        found.dedup();
        found.extend(self.others.iter().cloned());
        PullError::NoWheel {
            package,
            wanted: version.map_or_else(
                || "a wheel for any machine (py3-none-any) that is not yanked".to_owned(),
                |v| format!("version {v} as a wheel for any machine (py3-none-any)"),
            ),
            found: found.join(", "),
        }
    }
}

/// The version in the name of a wheel of `package` for any machine:
/// `NAME-VERSION[-BUILD]-PYTHON-none-any.whl`, where PYTHON contains `py3`.
fn wheel_version(file_name: &str, package: &str) -> Option<Version> {
    let stem = file_name.strip_suffix("-none-any.whl")?;
    let fields: Vec<&str> = stem.split('-').collect();
    let (name, version, python) = match fields[..] {
        [name, version, python] | [name, version, _, python] => (name, version, python),
        _ => return None,
    };
    // The name becomes part of a path.
    if !file_name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-+!".contains(&b))
    {
        return None;
    }
    let ours = normalise(name).as_deref() == Some(package);
    let python3 = python.split('.').any(|tag| tag.starts_with("py3"));
    (ours && python3).then(|| Version::from_str(version).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_wheels() {
        let version = |name| wheel_version(name, "my-pkg").map(|v| v.to_string());
        assert_eq!(
            version("my_pkg-1.0-py3-none-any.whl").as_deref(),
            Some("1.0")
        );
        assert_eq!(
            version("My.Pkg-1.0-1-py2.py3-none-any.whl").as_deref(),
            Some("1.0")
        );
        for other in [
            "my_pkg-1.0-cp311-cp311-linux_x86_64.whl",
            "my_pkg-1.0-py2-none-any.whl",
            "my_pkg_x-1.0-py3-none-any.whl",
            "my_pkg-1.0.tar.gz",
            "my_pkg-../../x-py3-none-any.whl",
            "my_pkg-nonsense-py3-none-any.whl",
        ] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[test]
    fn the_newest_final_release_that_is_not_yanked() {
        let mut offers = Offers {
            package: "p",
            candidates: Vec::new(),
            others: Vec::new(),
        };
        for (version, yanked) in [
            ("1.9", false),
            ("1.10", false),
            ("2.0rc1", false),
            ("3.0", true),
        ] {
            let place = Place::Local(PathBuf::from(version));
            offers.add(&format!("p-{version}-py3-none-any.whl"), place, yanked);
        }
        let best = |v: Option<&str>| {
            let version = v.map(|v| Version::from_str(v).unwrap());
            offers.best(version.as_ref()).map(|c| c.version.to_string())
        };
        assert_eq!(best(None).as_deref(), Some("1.10"));
        assert_eq!(best(Some("3.0")).as_deref(), Some("3.0"));
        assert_eq!(best(Some("2.0.rc1")).as_deref(), Some("2.0rc1"));
        assert_eq!(best(Some("4")), None);
    }
}
