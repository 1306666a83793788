//! Secrets stay out of what is printed, and hosts are compared as they should be.

use super::*;

#[test]
fn neither_password_nor_signature_is_printed() {
    let address =
        Address::parse("https://user:pa%40ss@Index.Example:8443/simple?token=secret#sha256=00")
            .unwrap();
    assert_eq!(address.to_string(), "https://index.example:8443/simple");
    assert_eq!(
        format!("{address:?}"),
        "Address(https://index.example:8443/simple)"
    );
    assert_eq!(address.credentials(), Some("user:pa@ss"));
    assert_eq!(
        address.request(),
        "https://index.example:8443/simple?token=secret"
    );
    assert_eq!(address.fragment(), Some("sha256=00"));
    assert_eq!(address.host(), "index.example");
    let error = Address::parse("https://user:secret@ho st/").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn joining_follows_rfc_3986_and_keeps_credentials_at_home() {
    let page = Address::parse("https://u:p@host/simple/pkg/").unwrap();
    let file = page.join("../../files/a%2Bb.whl#sha256=ff").unwrap();
    assert_eq!(file.to_string(), "https://host/files/a%2Bb.whl");
    assert_eq!(file.file_name().as_deref(), Some("a+b.whl"));
    assert_eq!(file.credentials(), Some("u:p"));
    assert_eq!(page.join("//other/x").unwrap().credentials(), None);
    assert_eq!(page.join("http://host/x").unwrap().credentials(), None);
    assert!(matches!(
        page.join("javascript:alert(1)"),
        Err(AddressError::Scheme(_) | AddressError::NoHost)
    ));
}

#[test]
fn hosts_and_paths() {
    let v6 = Address::parse("http://[::1]:80").unwrap();
    assert_eq!(v6.host(), "[::1]");
    assert!(v6.is_loopback());
    assert_eq!(v6.file_name(), None);
    assert_eq!(v6.under("a/b").to_string(), "http://[::1]:80/a/b");
    assert!(
        !Address::parse("https://127.0.0.1.example/")
            .unwrap()
            .is_loopback()
    );
    assert_eq!(
        Address::parse("ftp://host/x"),
        Err(AddressError::Scheme("ftp".into()))
    );
    assert_eq!(Address::parse("no address"), Err(AddressError::Malformed));
}
