//! What all pages that Sprag writes have in common: one file, no network, no script that runs, light or dark as the reader's system
//! says, readable on a phone and on paper; and how foreign text gets onto them.
//!
//! Names of models and machines, addresses, what servers and candidates said are foreign: [`plain`] takes their control characters
//! and [`escape`] what HTML obeys.

/// The style that all pages share; each adds that of its own pictures.
const STYLE: &str = include_str!("page.css");

/// A page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p> {
    /// HTML.
    pub title: &'p str,
    /// Style of its own, behind the common one.
    pub style: &'p str,
    /// HTML of the body's `main`.
    pub main: &'p str,
    /// HTML of the last lines in it.
    pub footer: &'p str,
    /// HTML behind it that is not shown; may be empty.
    pub data: &'p str,
}

impl Page<'_> {
    /// The whole file.
    #[must_use]
    pub fn html(&self) -> String {
        let Self {
            title,
            style,
            main,
            footer,
            data,
        } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, \
             initial-scale=1\"><title>{title}</title><style>{STYLE}{style}</style></head><body><main>{main}\
             <footer class=\"soft small\">{footer}</footer></main>{data}</body></html>\n"
        )
    }
}

/// Foreign text on one line, without anything that a terminal obeys or that turns the direction of what follows.
#[must_use]
pub fn plain(text: &str) -> String {
    let visible = |c: char| if c.is_control() || turns(c) { '?' } else { c };
    text.chars().map(visible).collect()
}

/// Whether a character turns the direction of what follows.
#[must_use]
pub fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Foreign text as HTML, within an element or a quoted attribute.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_neither_ends_an_element_nor_obeys() {
        assert_eq!(
            escape("<b a=\"1\" c='2'>&\u{1b}[31m\u{202e}\n"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;?[31m??"
        );
        assert_eq!(plain("plain, \u{e4}"), "plain, \u{e4}");
    }

    #[test]
    fn a_page_is_whole_and_fetches_nothing() {
        let page = Page {
            title: "a title",
            style: ".own { color: red; }",
            main: "<h1>what</h1>",
            footer: "end",
            data: "",
        }
        .html();
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        assert!(page.contains(".own { color: red; }") && page.contains("<h1>what</h1>"));
        assert!(!page.contains("http") && !page.contains("url("));
    }
}
