//! Proxy and certificate settings are taken from where pip and curl would take them.

use std::collections::HashMap;
use std::fs;

use super::*;

fn gather(pairs: &[(&str, &str)], pip: &PipConfig) -> Result<Network, PullError> {
    let map: HashMap<String, String> = pairs
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    Network::gather(&|name| map.get(name).cloned(), pip)
}

fn shown(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn an_empty_environment_means_the_public_index() {
    let network = gather(&[], &PipConfig::default()).unwrap();
    assert_eq!(shown(&network.indexes), ["https://pypi.org/simple"]);
    assert!(network.proxies.https.is_none() && network.find_links.is_empty());
}

#[test]
fn files_are_merged_and_variables_win() {
    let folder = tempfile::tempdir().unwrap();
    let (general, special) = (folder.path().join("a.conf"), folder.path().join("b.conf"));
    fs::write(
        &general,
        "[global]\nindex-url = https://u:hunter2@one.example/simple\nextra-index-url =\n    https://two.example/simple\n    https://three.example/simple#x\ncert = /ca.pem\nproxy = http://p:hunter2@proxy:3128\n",
    )
    .unwrap();
    fs::write(
        &special,
        "[install]\nfind_links = /wheels https://links.example/\n[global]\nno-index = false\n",
    )
    .unwrap();
    let pip = PipConfig::read(&[general, folder.path().join("missing"), special]).unwrap();

    let network = gather(&[], &pip).unwrap();
    let expected = [
        "https://one.example/simple",
        "https://two.example/simple",
        "https://three.example/simple",
    ];
    assert_eq!(shown(&network.indexes), expected);
    assert_eq!(network.certificates, [PathBuf::from("/ca.pem")]);
    assert_eq!(network.find_links.len(), 2);
    let page = Address::parse("https://any.example/").unwrap();
    assert_eq!(
        network.proxies.choose(&page).map(Secret::expose),
        Some("http://p:hunter2@proxy:3128")
    );
    assert!(!format!("{network:?}").contains("hunter2"));

    let network = gather(
        &[
            ("PIP_INDEX_URL", "https://env.example/simple"),
            ("PIP_EXTRA_INDEX_URL", "  "),
        ],
        &pip,
    )
    .unwrap();
    assert_eq!(shown(&network.indexes)[0], "https://env.example/simple");
    assert_eq!(network.indexes.len(), 3);
    assert!(
        gather(&[("PIP_NO_INDEX", "1")], &pip)
            .unwrap()
            .indexes
            .is_empty()
    );
}

#[test]
fn a_bad_setting_is_named_but_not_repeated() {
    let error = gather(
        &[("PIP_INDEX_URL", "https://u:hunter2@bad host/simple")],
        &PipConfig::default(),
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("PIP_INDEX_URL") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn proxies_follow_scheme_and_exceptions() {
    let pairs = [
        ("HTTPS_PROXY", "http://secure:1"),
        ("http_proxy", "http://plain:2"),
        ("NO_PROXY", "localhost, .inner.example,10.0.0.1:80,[::1]"),
    ];
    let proxies = gather(&pairs, &PipConfig::default()).unwrap().proxies;
    let via = |text: &str| {
        proxies
            .choose(&Address::parse(text).unwrap())
            .map(Secret::expose)
    };
    assert_eq!(via("https://host.example/"), Some("http://secure:1"));
    assert_eq!(via("http://host.example/"), Some("http://plain:2"));
    for direct in [
        "http://localhost:8/",
        "https://a.inner.example/",
        "https://inner.example/",
        "http://10.0.0.1/",
        "http://[::1]:9/",
    ] {
        assert_eq!(via(direct), None, "{direct}");
    }
    assert_eq!(via("https://notinner.example/"), Some("http://secure:1"));
    let all = gather(
        &[("ALL_PROXY", "http://any:3"), ("no_proxy", "*")],
        &PipConfig::default(),
    )
    .unwrap()
    .proxies;
    assert!(all.https.is_some() && all.choose(&Address::parse("https://x/").unwrap()).is_none());
}
