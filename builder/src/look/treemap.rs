//! The reasons of an initramfs as a picture: a treemap in one SVG file that
//! needs no other. The same sizes make the same bytes.

use std::fmt::Write;

use super::reasons::{Reason, ReasonPart};
use crate::progress::bytes;

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 760.0;
/// Above the map, for its title.
const TITLE: f64 = 40.0;
/// Above the parts of a reason, for its name.
const CAPTION: f64 = 18.0;
/// Of a letter, at the size that names are written in.
const LETTER: f64 = 6.6;
/// Smaller ones would be dust: they are drawn as one.
const PARTS: usize = 60;
/// Colour-blind safe (Okabe and Ito), light enough for black letters.
const COLOURS: [&str; 8] = ["#56b4e9", "#e69f00", "#2fbf8f", "#f0e442", "#d98cb3", "#e8845a", "#9fb7d9", "#bbbbbb"];

#[derive(Debug, Clone, Copy, PartialEq)]
struct Area {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Area {
    /// Less a margin, of which small ones have none.
    fn inset(self, top: f64) -> Self {
        const MARGIN: f64 = 2.0;
        let Self { x, y, width, height } = self;
        if width <= 2.0 * MARGIN || height <= top + 2.0 * MARGIN {
            return self;
        }
        let (width, height) = (width - 2.0 * MARGIN, height - top - 2.0 * MARGIN);
        Self { x: x + MARGIN, y: y + top + MARGIN, width, height }
    }
}

/// `title` stands above it.
pub fn svg(title: &str, reasons: &[Reason]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text transform=\"translate(4,26)\" font-size=\"18\">{}</text>\n",
        HEIGHT + TITLE,
        escape(title)
    );
    let whole = Area { x: 0.0, y: TITLE, width: WIDTH, height: HEIGHT };
    let reasons: Vec<&Reason> = reasons.iter().filter(|reason| reason.size.bytes > 0).collect();
    let areas = squarify(&weights(reasons.iter().map(|reason| reason.size.bytes)), whole);
    for ((reason, area), colour) in reasons.iter().zip(areas).zip(COLOURS.iter().cycle()) {
        draw(&mut svg, area, "#444444", &format!("{}, {}", reason.reason, bytes(reason.size.bytes)));
        let parts = largest(&reason.parts);
        let inner = area.inset(CAPTION);
        let sizes = weights(parts.iter().map(|(_, size)| *size));
        for ((name, size), area) in parts.iter().zip(squarify(&sizes, inner)) {
            draw(&mut svg, area, colour, &format!("{name}, {}", bytes(*size)));
        }
    }
    svg + "</svg>\n"
}

/// Those that have bytes, what is beyond [`PARTS`] as one.
fn largest(parts: &[ReasonPart]) -> Vec<(String, u64)> {
    let (shown, rest) = parts.split_at(parts.len().min(PARTS));
    let more = (format!("{} more", rest.len()), rest.iter().map(|part| part.size.bytes).sum());
    let mut all: Vec<_> = shown.iter().map(|part| (part.name.clone(), part.size.bytes)).chain([more]).collect();
    all.retain(|(_, bytes)| *bytes > 0);
    all.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    all
}

/// A box with its name, cut to what fits; the whole of it shows on hovering.
fn draw(svg: &mut String, area: Area, colour: &str, name: &str) {
    let Area { x, y, width, height } = area;
    let ink = if colour.starts_with("#4") { "white" } else { "black" };
    let _ = write!(
        svg,
        "<g transform=\"translate({x:.1},{y:.1})\"><title>{}</title><rect width=\"{width:.1}\" height=\"{height:.1}\" \
         fill=\"{colour}\" stroke=\"white\"/>",
        escape(name)
    );
    let letters = ((width - 6.0) / LETTER) as usize;
    if height >= CAPTION && letters >= 4 {
        let shown: String = name.chars().take(letters).collect();
        let shown = escape(&shown);
        let _ = write!(svg, "<text transform=\"translate(4,14)\" fill=\"{ink}\">{shown}</text>");
    }
    svg.push_str("</g>\n");
}

/// XML 1.0 has no way to write most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[expect(clippy::cast_precision_loss, reason = "a picture has no 52 bits")]
fn weights(bytes: impl Iterator<Item = u64>) -> Vec<f64> {
    bytes.map(|bytes| bytes as f64).collect()
}

/// Areas in proportion to sizes, which are sorted, the largest first, and none
/// zero: rows along the shorter side, each as long as that makes its boxes more
/// like squares (Bruls, Huizing, van Wijk: "Squarified Treemaps", 2000).
fn squarify(sizes: &[f64], area: Area) -> Vec<Area> {
    let total: f64 = sizes.iter().sum();
    let scale = area.width * area.height / total;
    let mut rest = area;
    let mut areas = Vec::with_capacity(sizes.len());
    let mut open = sizes;
    while let Some(first) = open.first() {
        let side = rest.width.min(rest.height);
        let largest = first * scale;
        // How far from square the worst box of a row is: the first, or the last.
        let worst = |sum: f64, last: f64| {
            let (squared, sum) = (side * side, sum * sum);
            (squared * largest / sum).max(sum / (squared * last))
        };
        let (mut sum, mut len) = (largest, 1);
        while let Some(next) = open.get(len).map(|size| size * scale) {
            if worst(sum + next, next) > worst(sum, open[len - 1] * scale) {
                break;
            }
            sum += next;
            len += 1;
        }
        let (row, after) = open.split_at(len);
        open = after;
        let thick = if side > 0.0 { sum / side } else { 0.0 };
        let mut at = 0.0;
        for size in row {
            let long = if sum > 0.0 { size * scale / sum * side } else { 0.0 };
            areas.push(if rest.width >= rest.height {
                Area { x: rest.x, y: rest.y + at, width: thick, height: long }
            } else {
                Area { x: rest.x + at, y: rest.y, width: long, height: thick }
            });
            at += long;
        }
        if rest.width >= rest.height {
            (rest.x, rest.width) = (rest.x + thick, (rest.width - thick).max(0.0));
        } else {
            (rest.y, rest.height) = (rest.y + thick, (rest.height - thick).max(0.0));
        }
    }
    areas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::reasons::Size;

    const WHOLE: Area = Area { x: 0.0, y: 0.0, width: 600.0, height: 400.0 };

    /// The example of the paper.
    #[test]
    fn boxes_fill_the_area_in_proportion_and_are_nearly_square() {
        let sizes = [6.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0];
        let areas = squarify(&sizes, WHOLE);
        for (size, area) in sizes.iter().zip(&areas) {
            let wanted = 10_000.0 * size;
            assert!((area.width * area.height - wanted).abs() < 1.0, "{area:?}");
            assert!(area.width / area.height < 3.0 && area.height / area.width < 3.0, "{area:?}");
            assert!(area.x >= 0.0 && area.x + area.width < 600.1 && area.y + area.height < 400.1, "{area:?}");
        }
        assert_eq!(format!("{:.0} x {:.0}", areas[0].width, areas[0].height), "300 x 200");
        for (n, a) in areas.iter().enumerate() {
            for b in &areas[n + 1..] {
                let apart = |from: f64, len: f64, other: f64, other_len: f64| {
                    from + len < other + 0.01 || other + other_len < from + 0.01
                };
                assert!(apart(a.x, a.width, b.x, b.width) || apart(a.y, a.height, b.y, b.height), "{a:?} {b:?}");
            }
        }
        assert_eq!(squarify(&[], WHOLE), []);
    }

    #[test]
    fn names_cannot_end_the_picture_they_stand_in() {
        let part = |name: &str, bytes| ReasonPart { name: name.into(), size: Size { bytes, entries: 1 } };
        let parts = vec![part("</text><script>\"&\u{1b}", 9000), part("empty", 0), part("b", 1000)];
        let reason = Reason { reason: "kmods", size: Size { bytes: 10_000, entries: 3 }, parts };
        let svg = svg("a < b", std::slice::from_ref(&reason));
        assert!(!svg.contains("<script>") && !svg.contains('\u{1b}') && !svg.contains("empty"), "{svg}");
        assert!(svg.contains("a &lt; b") && svg.contains("&lt;/text&gt;&lt;script&gt;&quot;&amp;"), "{svg}");
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
        assert_eq!(svg, super::svg("a < b", &[reason]));
    }
}
