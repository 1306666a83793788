//! Both forms of a package index are read, and nothing hostile in them is believed.

use super::*;

const SUM: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

fn page() -> Address {
    Address::parse("https://index.example/simple/pkg/").unwrap()
}

#[test]
fn html_pages() {
    let text = format!(
        "<!DOCTYPE html><html><body><!-- <a href=\"no.whl\"> -->
        <a href=\"../../files/pkg-1.0-py3-none-any.whl#sha256={SUM}\" data-requires-python=\"&gt;=3.9\">x</a>
        <A HREF='https://cdn.example/a/pkg-2.0-py3-none-any.whl?x=1&amp;y=2#md5=00' data-yanked>y</A>
        <a href=\"mailto:someone\">z</a><a>no link</a><a href=\"/\">root</a></body>"
    );
    let links = read(&page(), "text/html; charset=utf-8", text.as_bytes()).unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(links[0].file_name, "pkg-1.0-py3-none-any.whl");
    assert_eq!(
        links[0].address.to_string(),
        "https://index.example/files/pkg-1.0-py3-none-any.whl"
    );
    assert_eq!(links[0].sha256, SUM.parse().ok());
    assert!(!links[0].yanked && links[1].yanked && links[1].sha256.is_none());
    assert_eq!(
        links[1].address.request(),
        "https://cdn.example/a/pkg-2.0-py3-none-any.whl?x=1&y=2"
    );
    let based = b"<base href='https://cdn.example/d/'><a href='p.whl'>p</a>";
    assert_eq!(
        read(&page(), "", based).unwrap()[0].address.to_string(),
        "https://cdn.example/d/p.whl"
    );
}

#[test]
fn json_pages() {
    let text = format!(
        r#"{{"meta":{{"api-version":"1.1"}},"name":"pkg","files":[
        {{"filename":"pkg-1.0-py3-none-any.whl","url":"../f/pkg-1.0-py3-none-any.whl","hashes":{{"sha256":"{SUM}"}},"yanked":false}},
        {{"filename":"pkg-1.1-py3-none-any.whl","url":"https://h/x.whl","hashes":{{}},"yanked":"broken"}},
        {{"filename":"bad","url":"::","hashes":{{}}}}]}}"#
    );
    let links = read(
        &page(),
        "application/vnd.pypi.simple.v1+json",
        text.as_bytes(),
    )
    .unwrap();
    assert_eq!(links.len(), 2);
    assert_eq!(links[0].sha256, SUM.parse().ok());
    assert!(links[1].yanked);
}

#[test]
fn what_is_no_page_is_an_error_and_garbage_is_no_panic() {
    assert!(read(&page(), "application/json", b"[]").is_err());
    assert!(read(&page(), "image/png", b"\x89PNG").is_err());
    assert!(
        read(
            &page(),
            "text/html",
            b"\xff\xfe<a href=\"<a <<a href='\0\xc3"
        )
        .unwrap()
        .len()
            < 2
    );
}
