//! The visible text of an HTML page.
//!
//! ```text
//! tokens of html5gum  ->  piece: text | line break | column | what is not shown  ->  one string
//! ```
//!
//! Tokens suffice, no tree is built: nothing here nests deeper than two counters, so that hostile pages cost time in
//! proportion to their length and no stack.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

/// What a person sees of an HTML page.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HtmlText {
    /// The page's `<title>`, if it has one that is not blank.
    pub title: Option<String>,
    /// The text of its body: entities decoded, white space joined except in `<pre>`, one line for each block.
    pub text: String,
}

/// Reads what is visible of an HTML page: no markup, comments, scripts and styles.
///
/// Any text is a page to HTML, also one with errors or without markup. Takes time and memory in proportion to its
/// length.
///
/// ```
/// let page = "<title>Tea</title><style>p { color: red }</style><p>Ada drinks&nbsp;<b>green</b> tea.<p>Caf&eacute;";
/// let html = mv2::text::html(page);
/// assert_eq!(html.title.as_deref(), Some("Tea"));
/// assert_eq!(html.text, "Ada drinks green tea.\nCafé");
/// ```
pub fn html(page: &str) -> HtmlText {
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| piece(&event));
    // Scripts, styles and titles end where their own end tag is, whatever else looks like markup in them.
    emitter.naively_switch_states(true);
    let mut reader = Reader::default();
    let page = page.strip_prefix('\u{feff}').unwrap_or(page);
    for piece in Tokenizer::new_with_emitter(page, emitter) {
        match piece {
            Ok(piece) => reader.take(piece),
            Err(never) => match never {},
        }
    }
    reader.finish()
}

/// What a token means for the text.
enum Piece {
    Text(String),
    Start(Element),
    End(Element),
}

/// Elements, as far as they differ here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Title,
    /// Its content is not shown. The number tells them apart.
    Hidden(u8),
    /// White space in it counts.
    Pre,
    /// Stands on lines of its own.
    Block,
    /// A cell of a table.
    Cell,
    /// Part of the line around it.
    Inline,
}

impl Element {
    fn of(name: &[u8]) -> Self {
        match name {
            b"title" => Self::Title,
            b"script" => Self::Hidden(0),
            b"style" => Self::Hidden(1),
            b"template" => Self::Hidden(2),
            // Shown only by browsers that run no scripts, which most pages fill with a request to turn them on.
            b"noscript" => Self::Hidden(3),
            b"iframe" => Self::Hidden(4),
            b"noembed" => Self::Hidden(5),
            b"noframes" => Self::Hidden(6),
            b"datalist" => Self::Hidden(7),
            b"pre" | b"textarea" | b"listing" | b"xmp" | b"plaintext" => Self::Pre,
            b"td" | b"th" => Self::Cell,
            b"address" | b"article" | b"aside" | b"blockquote" | b"body" | b"br" | b"button"
            | b"canvas" | b"caption" | b"center" | b"dd" | b"details" | b"dialog" | b"dir"
            | b"div" | b"dl" | b"dt" | b"fieldset" | b"figcaption" | b"figure" | b"footer"
            | b"form" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"head" | b"header"
            | b"hgroup" | b"hr" | b"html" | b"legend" | b"li" | b"main" | b"menu" | b"nav"
            | b"ol" | b"optgroup" | b"option" | b"p" | b"search" | b"section" | b"select"
            | b"summary" | b"table" | b"tbody" | b"tfoot" | b"thead" | b"tr" | b"ul" => Self::Block,
            _ => Self::Inline,
        }
    }
}

fn piece(event: &CallbackEvent<'_>) -> Option<Piece> {
    match event {
        CallbackEvent::String { value } => {
            Some(Piece::Text(String::from_utf8_lossy(value).into_owned()))
        }
        CallbackEvent::OpenStartTag { name } => Some(Piece::Start(Element::of(name))),
        CallbackEvent::EndTag { name } => Some(Piece::End(Element::of(name))),
        _ => None,
    }
}

/// What stands between the text so far and the next word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Gap {
    #[default]
    None,
    Space,
    Tab,
    Line,
}

/// Puts the pieces together.
#[derive(Default)]
struct Reader {
    text: String,
    title: Option<String>,
    gap: Gap,
    /// The element whose content is passed over, and how often it stands within itself.
    hidden: Option<(Element, usize)>,
    pre: usize,
}

impl Reader {
    fn take(&mut self, piece: Piece) {
        if let Some((element, depth)) = &mut self.hidden {
            match piece {
                // Of these only a template may hold another; the others hold raw text.
                Piece::Start(start) if start == *element => *depth += 1,
                Piece::End(end) if end == *element && *depth > 0 => *depth -= 1,
                Piece::End(end) if end == *element => self.hidden = None,
                Piece::Text(text) if *element == Element::Title && self.title.is_none() => {
                    self.title = Some(text);
                }
                _ => {}
            }
            return;
        }
        match piece {
            Piece::Text(text) if self.pre > 0 => self.verbatim(&text),
            Piece::Text(text) => self.words(&text),
            Piece::Start(element @ Element::Title) => {
                // One behind text is no title of the page: drawings have them, as tooltips.
                if !self.text.is_empty() {
                    self.title.get_or_insert_default();
                }
                self.hidden = Some((element, 0));
            }
            Piece::Start(element @ Element::Hidden(_)) => self.hidden = Some((element, 0)),
            Piece::Start(Element::Pre) => {
                self.pre += 1;
                self.widen(Gap::Line);
            }
            Piece::End(Element::Pre) => {
                self.pre = self.pre.saturating_sub(1);
                self.widen(Gap::Line);
            }
            Piece::Start(Element::Block) | Piece::End(Element::Block) => self.widen(Gap::Line),
            Piece::Start(Element::Cell) => self.widen(Gap::Tab),
            Piece::Start(Element::Inline) | Piece::End(_) => {}
        }
    }

    fn finish(self) -> HtmlText {
        let title = self.title.unwrap_or_default();
        let words: Vec<&str> = title.split_whitespace().collect();
        let title = words.join(" ");
        HtmlText {
            title: (!title.is_empty()).then_some(title),
            text: self.text,
        }
    }

    fn widen(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    /// Text whose white space is only space between words.
    fn words(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                // Where a word may be broken; part of no word.
                '\u{ad}' => {}
                c if c.is_whitespace() => self.widen(Gap::Space),
                c => {
                    self.bridge();
                    self.text.push(c);
                }
            }
        }
    }

    fn verbatim(&mut self, text: &str) {
        // The first line break belongs to the tag.
        let text = match self.gap {
            Gap::Line => text.trim_start_matches('\n'),
            _ => text,
        };
        if text.trim().is_empty() {
            let breaks = text.contains('\n');
            self.widen(if breaks { Gap::Line } else { Gap::Space });
            return;
        }
        self.bridge();
        let kept = text.trim_end();
        self.text.push_str(kept);
        let rest = &text[kept.len()..];
        match rest.contains('\n') {
            true => self.widen(Gap::Line),
            false if !rest.is_empty() => self.widen(Gap::Space),
            false => {}
        }
    }

    fn bridge(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        if self.text.is_empty() {
            return;
        }
        match gap {
            Gap::None => {}
            Gap::Space => self.text.push(' '),
            Gap::Tab => self.text.push('\t'),
            Gap::Line => self.text.push('\n'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(page: &str) -> String {
        html(page).text
    }

    fn title(page: &str) -> Option<String> {
        html(page).title
    }

    #[test]
    fn markup_comments_scripts_and_styles_are_not_text() {
        let page = r#"<!DOCTYPE html><html><head><meta charset=utf-8><link rel=x>
            <script>if (a < b) { document.write("<p>no</p>") }</script>
            <style>p::before { content: "no" }</style></head>
            <body class="no" data-no='no > no'><!-- no <p>no --><p>yes</p>
            <template><p>no<template>no</template>no</p></template>
            <noscript>no</noscript><iframe>no</iframe>
            <script src="no"></script><svg><title>no</title><text>drawn</text></svg></body>"#;
        assert_eq!(text(page), "yes\ndrawn");
        assert_eq!(title(page), None);
    }

    #[test]
    fn entities_are_characters() {
        assert_eq!(
            text("Caf&eacute; &amp; &lt;b&gt; &#26085;&#x672C; &copy &unknown; a&nbsp;b co&shy;op"),
            "Café & <b> 日本 © &unknown; a b coop"
        );
    }

    #[test]
    fn blocks_break_lines_and_white_space_is_joined() {
        assert_eq!(text("<p>a\n  b<p>c<br>d<div>e</div>f"), "a b\nc\nd\ne\nf");
        assert_eq!(text("<ul><li>a<li>b</ul>c"), "a\nb\nc");
        assert_eq!(text("<b>a</b><i>b</i> c"), "ab c");
        assert_eq!(
            text("<table><tr><th>a<th>b<tr><td>c</td><td>d</td></table>"),
            "a\tb\nc\td"
        );
        assert_eq!(
            text("x<pre>\nfn f() {\n    1\n}\n</pre>y"),
            "x\nfn f() {\n    1\n}\ny"
        );
        assert_eq!(text("no markup\nat all"), "no markup at all");
        assert_eq!(text(""), "");
    }

    #[test]
    fn the_title_is_the_first_one_of_the_head() {
        assert_eq!(
            title("<title>\n Tea &amp;\n milk </title><p>x<title>y</title>").as_deref(),
            Some("Tea & milk")
        );
        assert_eq!(title("<title> </title>"), None);
        assert_eq!(title("<p>x<svg><title>y</title></svg>"), None);
        assert_eq!(text("<title>a</title>b"), "b");
    }

    #[test]
    fn broken_pages_are_read_as_far_as_they_make_sense() {
        assert_eq!(text("a<p"), "a");
        assert_eq!(text("a<!-- b"), "a");
        assert_eq!(text("a < b > c"), "a < b > c");
        assert_eq!(text("</p></pre></template>a</script>b"), "ab");
        assert_eq!(text("<script>never closed <p>"), "");
        assert_eq!(text("\u{feff}a\0b&#0;"), text("a\0b&#0;"));
        assert_eq!(html("<title>never closed <p>x").text, "");
    }

    /// Deep nesting takes no stack, and no page takes more than a few bytes for each of its own.
    #[test]
    fn hostile_pages_are_read_too() {
        let times = 200_000;
        assert_eq!(text(&("<div>".repeat(times) + "x")), "x");
        assert_eq!(text(&("<template>".repeat(times) + "x")), "");
        for unit in [
            "<",
            "&",
            "<!--",
            "<a b=",
            "&#",
            "<![CDATA[",
            "</",
            "<pre>",
            "<title>",
        ] {
            let page = unit.repeat(times);
            assert!(text(&page).len() <= page.len(), "{unit}");
        }
    }
}
