//! The card as pixels (PNG), for places that take no SVG. The letters are this system's: without a font there is no picture.

use std::sync::Arc;

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use crate::failure::Failure;

/// Taken for the letters, whichever is there first; else any.
const FAMILIES: [&str; 8] = [
    "Inter",
    "Segoe UI",
    "Helvetica Neue",
    "Noto Sans",
    "DejaVu Sans",
    "Liberation Sans",
    "Arial",
    "Cantarell",
];

/// An SVG as a PNG of its own size.
///
/// # Errors
/// The system has no font, or the picture can't be drawn.
pub fn png(svg: &str) -> Result<Vec<u8>, Failure> {
    let failed = |why: String| Failure::Usage(format!("{why}: write the card as .svg instead"));
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    let families = || fonts.faces().flat_map(|face| &face.families);
    let has = |wanted: &&str| families().any(|(name, _)| name == wanted);
    let family = FAMILIES
        .iter()
        .find(|wanted| has(wanted))
        .map(|name| (*name).to_owned())
        .or_else(|| families().next().map(|(name, _)| name.clone()))
        .ok_or_else(|| {
            failed("this system has no font to draw the card's letters with".to_owned())
        })?;
    fonts.set_sans_serif_family(&family);
    let options = Options {
        font_family: family,
        fontdb: Arc::new(fonts),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options)
        .map_err(|error| failed(format!("the card can't be drawn: {error}")))?;
    let size = tree.size().to_int_size();
    let mut pixels = Pixmap::new(size.width(), size.height())
        .ok_or_else(|| failed("there is no memory for the picture".to_owned()))?;
    resvg::render(&tree, Transform::identity(), &mut pixels.as_mut());
    pixels
        .encode_png()
        .map_err(|error| failed(format!("the picture can't be written as PNG: {error}")))
}
