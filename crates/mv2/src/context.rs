//! Passages for a prompt: the best parts of the best documents under a budget of tokens.
//!
//! ```text
//! query -> search: top_k frames -> the best passage of each -> skip what was said -> while the budget lasts
//! ```

use std::ops::Range;

use mv2_format::{CommitId, FrameId, Timestamp};

use crate::filter::{Filter, filter_steps};
use crate::search::{Mode, Syntax};
use crate::selector::{Selector, past_steps};

/// What a prompt has to know about, and how much room there is.
///
/// ```
/// use mv2::{Filter, ContextRequest};
///
/// let built = ContextRequest::builder("planning").max_tokens(500).tag("project", "alpha").build();
/// let plain = ContextRequest {
///     query: "planning".into(),
///     max_tokens: 500,
///     filter: Filter { tags: vec![("project".into(), "alpha".into())], ..Filter::default() },
///     ..ContextRequest::default()
/// };
/// assert_eq!(built, plain);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextRequest {
    /// The query: what a user asked, as it came.
    pub query: String,
    /// How the query is read; as plain words by default.
    pub syntax: Syntax,
    /// Which indexes are asked.
    pub mode: Mode,
    /// How many tokens the text may have, as [`estimate_tokens`] counts them; 1,000 by default.
    pub max_tokens: usize,
    /// How many documents to take passages from at the most; 20 by default.
    pub top_k: usize,
    /// Which documents are considered at all.
    pub filter: Filter,
    /// The commit to read at; the newest by default.
    pub at: Option<Selector>,
    /// The time to read at: the newest commit that was there then, of the history of `at` if that is set too.
    pub at_timestamp: Option<Timestamp>,
}

impl ContextRequest {
    /// Starts from a query and the defaults.
    pub fn builder(query: impl Into<String>) -> ContextRequestBuilder {
        ContextRequestBuilder {
            request: Self {
                query: query.into(),
                ..Self::default()
            },
        }
    }
}

impl Default for ContextRequest {
    fn default() -> Self {
        Self {
            query: String::new(),
            syntax: Syntax::Words,
            mode: Mode::default(),
            max_tokens: 1_000,
            top_k: 20,
            filter: Filter::default(),
            at: None,
            at_timestamp: None,
        }
    }
}

impl From<&str> for ContextRequest {
    fn from(query: &str) -> Self {
        Self::builder(query).build()
    }
}

/// Makes a [`ContextRequest`] step by step.
#[derive(Clone, Debug)]
#[must_use]
pub struct ContextRequestBuilder {
    request: ContextRequest,
}

impl ContextRequestBuilder {
    /// Sets [`ContextRequest::syntax`].
    pub fn syntax(mut self, syntax: Syntax) -> Self {
        self.request.syntax = syntax;
        self
    }

    /// Sets [`ContextRequest::mode`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.request.mode = mode;
        self
    }

    /// Sets [`ContextRequest::max_tokens`].
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.request.max_tokens = tokens;
        self
    }

    /// Sets [`ContextRequest::top_k`].
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.request.top_k = top_k;
        self
    }

    filter_steps!();

    past_steps!(ContextRequest, request);

    /// The finished request.
    pub fn build(self) -> ContextRequest {
        self.request
    }
}

/// What a prompt can be told.
///
/// The passages are what documents say, not what you say: tell the model so if others may write them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Context {
    /// The query as it was asked.
    pub query: String,
    /// The commit that was read.
    pub commit: CommitId,
    /// The branch that it was read on; see [`Snapshot::branch`](crate::Snapshot::branch).
    pub branch: Option<String>,
    /// The passages, ready for a prompt: each below a line that cites it, like
    /// `[1] Meeting notes (notes/monday.md, frame 12, 2026-11-25)`, with an empty line between them. Empty
    /// if there are none.
    pub text: String,
    /// How many tokens the text has by [`estimate_tokens`]: at most those of the request.
    pub tokens: usize,
    /// How many documents were considered. If there are some and no passages, the budget is too small.
    pub candidates: usize,
    /// What was odd about the query, for a person to read.
    pub warning: Option<String>,
    /// The passages, best first.
    pub passages: Vec<Passage>,
}

/// A part of a document.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Passage {
    /// The number by which the text cites it, from 1.
    pub rank: usize,
    /// The frame.
    pub frame_id: FrameId,
    /// Its uri.
    pub uri: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// The part, as it stands in the document.
    pub text: String,
    /// Where the part is in the text of the frame ([`frame_text_by_id`](crate::Snapshot::frame_text_by_id)),
    /// in bytes.
    pub range: Range<usize>,
    /// How well the document matches. Comparable within one context.
    pub score: f32,
    /// Event time.
    pub timestamp: Timestamp,
    /// The commit that added it.
    pub commit: CommitId,
}

/// How many tokens a text has, estimated without any model, so that it rarely has more.
///
/// Models cut texts differently; this counts what is common practice, rounded towards more. A word in
/// Latin letters is 4/3 of a token, or one for every four of its bytes if that is more. Each other letter
/// (a Chinese or Japanese character, for instance), digit, sign, line end and tab is one token, each
/// character beyond the basic plane, such as an emoji, three. A single space is free, as it belongs to the
/// word behind it; further ones count a quarter. Two texts joined never count more than both alone.
///
/// ```
/// assert_eq!(mv2::estimate_tokens("The quick brown fox."), 7);
/// assert_eq!(mv2::estimate_tokens("東京で会議"), 5);
/// assert_eq!(mv2::estimate_tokens(""), 0);
/// ```
pub fn estimate_tokens(text: &str) -> usize {
    let mut count = TokenCount::default();
    text.chars().for_each(|c| count.push(c));
    count.tokens()
}

/// Counts tokens character by character, in twelfths, which thirds and quarters have in common.
#[derive(Clone, Copy, Default)]
struct TokenCount {
    twelfths: usize,
    /// Bytes of the Latin word that is being read.
    word: usize,
    /// The text goes on with a word or sign, so that a space in front of the next one is free. Not so at
    /// the start: the text in front may end in a space.
    after_mark: bool,
}

impl TokenCount {
    const TOKEN: usize = 12;

    fn push(&mut self, c: char) {
        let latin = c.is_ascii_alphabetic()
            || (c.is_alphabetic() && matches!(c, '\u{80}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}'));
        if latin {
            self.word += c.len_utf8();
            self.after_mark = true;
            return;
        }
        self.end_word();
        self.twelfths += match c {
            ' ' if self.after_mark => 0,
            ' ' => Self::TOKEN / 4,
            _ if c.len_utf8() == 4 => 3 * Self::TOKEN,
            _ => Self::TOKEN,
        };
        self.after_mark = !c.is_whitespace();
    }

    fn end_word(&mut self) {
        if self.word > 0 {
            self.twelfths += (Self::TOKEN * 4 / 3).max(self.word * Self::TOKEN / 4);
            self.word = 0;
        }
    }

    /// How many they are if the text ends here.
    fn tokens(mut self) -> usize {
        self.end_word();
        self.twelfths.div_ceil(Self::TOKEN)
    }
}

#[cfg(feature = "lex")]
pub(crate) use pack::pack;

#[cfg(feature = "lex")]
mod pack {
    //! Chooses passages and writes them down.

    use std::collections::HashSet;
    use std::ops::Range;

    use mv2_format::Timestamp;
    use mv2_lex::{DocText, Query};

    use super::{Context, ContextRequest, Passage, TokenCount, estimate_tokens};
    use crate::ask::Asked;
    use crate::error::Result;
    use crate::search::{SearchHit, SearchRequest, SearchResponse};
    use crate::snapshot::Snapshot;

    /// Passages are sought in so much of a document, a search looks at half of it for a snippet.
    const MAX_TEXT_BYTES: u64 = 2 * mv2_lex::MAX_SNIPPET_SCAN_BYTES as u64;
    /// Most tokens of one passage: several short ones tell more than one long one.
    const MAX_PASSAGE: usize = 256;
    /// A passage may take so many tokens also where the budget is small.
    const MIN_PASSAGE: usize = 64;
    /// A passage is not cut down to less than this; what is shorter by itself is welcome.
    const MIN_CUT: usize = 16;
    /// Longer titles are cut in citations.
    const MAX_TITLE_CHARS: usize = 120;
    /// Longer uris are left out of citations: a part of one leads nowhere, and the frame's number does.
    const MAX_URI_CHARS: usize = 200;
    /// Words that count as the same passage when they stand together.
    const SHINGLE: usize = 5;
    /// From here on (CJK radicals) there are mostly no spaces between words.
    const WIDE: u32 = 0x2e80;

    /// Answers a request from a snapshot.
    pub(crate) fn pack(
        snapshot: &Snapshot,
        request: ContextRequest,
        now: Timestamp,
        searched: &mut dyn FnMut(&SearchRequest, &SearchResponse) -> Result<()>,
    ) -> Result<Context> {
        let search = SearchRequest {
            query: request.query.clone(),
            syntax: request.syntax,
            mode: request.mode,
            top_k: request.top_k,
            // The passages are cut here, where their length and place are known.
            snippet_chars: 0,
            filter: request.filter,
            ..SearchRequest::default()
        };
        let query = Asked::read(&search, now).query;
        let response = snapshot.search_asked_at(search.clone(), now)?;
        searched(&search, &response)?;
        let candidates = response.hits.len();
        let cap = (request.max_tokens / 4).clamp(MIN_PASSAGE, MAX_PASSAGE);
        let mut text = String::new();
        let mut left = request.max_tokens;
        let mut passages: Vec<Passage> = Vec::new();
        let mut said = Said::default();
        for hit in response.hits {
            let rank = passages.len() + 1;
            let gap = if rank == 1 { "" } else { "\n" };
            let head = format!("{gap}{}\n", citation(rank, &hit));
            // The line end behind the passage is one token.
            let Some(room) = left.checked_sub(estimate_tokens(&head) + 1) else {
                continue;
            };
            let whole = snapshot.text_head(hit.frame_id, MAX_TEXT_BYTES)?;
            let Some(range) = passage(&query, &hit, &whole, cap, room) else {
                continue;
            };
            let part = &whole[range.clone()];
            if !said.is_news(part) {
                continue;
            }
            text.push_str(&head);
            text.push_str(part);
            text.push('\n');
            left = left.saturating_sub(estimate_tokens(&head) + estimate_tokens(part) + 1);
            passages.push(Passage {
                rank,
                frame_id: hit.frame_id,
                uri: hit.uri,
                title: hit.title,
                text: part.to_owned(),
                range,
                score: hit.score,
                timestamp: hit.timestamp,
                commit: hit.commit,
            });
        }
        Ok(Context {
            query: request.query,
            commit: response.commit,
            branch: response.branch,
            tokens: estimate_tokens(&text),
            text,
            candidates,
            warning: response.warning,
            passages,
        })
    }

    /// `[1] Title (uri, frame 12, 2026-11-25)`, in one line whatever the title holds.
    fn citation(rank: usize, hit: &SearchHit) -> String {
        let title = hit.title.as_deref().map(|title| {
            let words: Vec<_> = title.split_whitespace().collect();
            let line: String = words.join(" ");
            let line = line.replace(char::is_control, "");
            match line.char_indices().nth(MAX_TITLE_CHARS) {
                Some((at, _)) => format!("{}…", line[..at].trim_end()),
                None => line,
            }
        });
        let title = title.filter(|title| !title.is_empty());
        let uri = hit
            .uri
            .as_deref()
            .filter(|uri| uri.chars().count() <= MAX_URI_CHARS && !uri.contains(char::is_control));
        let frame = format!("frame {}", hit.frame_id);
        let time = hit.timestamp.to_string();
        let date = time.split('T').next().unwrap_or(&time);
        match (title.as_deref(), uri) {
            (Some(title), Some(uri)) if title != uri => {
                format!("[{rank}] {title} ({uri}, {frame}, {date})")
            }
            (Some(name), _) | (None, Some(name)) => format!("[{rank}] {name} ({frame}, {date})"),
            (None, None) => format!("[{rank}] {frame} ({date})"),
        }
    }

    /// The part of a text that answers the query best: at most `cap` tokens, cut down to `room` if that is
    /// less. `None` if there is no text, or not enough room for it to make sense.
    fn passage(
        query: &Query,
        hit: &SearchHit,
        whole: &str,
        cap: usize,
        room: usize,
    ) -> Option<Range<usize>> {
        let limit = cap.min(room);
        let tokens = estimate_tokens(whole);
        if tokens <= limit {
            return trim(whole, 0..whole.len());
        }
        if limit < MIN_CUT {
            return None;
        }
        // As many characters as the limit is worth in this text: a page of Japanese is denser than one of English.
        // A little less, since some parts are denser than the whole.
        let chars = whole.chars().count() * limit / tokens * 9 / 10;
        let doc = DocText {
            title: hit.title.clone(),
            text: whole.to_owned(),
        };
        // The matches are sought in a part of it, so that around them there is room to end a sentence.
        let margin = chars / 5;
        let found = mv2_lex::snippet(query, &doc, (chars - 2 * margin).max(1));
        let at = |offset: usize| found.start + offset;
        // Found by its meaning alone.
        if hit.lex.is_none()
            && found.matches.is_empty()
            && let Some(part) = nearest_part(hit, whole)
        {
            let core = part.start..part.start;
            return trim(whole, cut(whole, part, core, limit));
        }
        let core = match (found.matches.first(), found.matches.last()) {
            (Some(first), Some(last)) => at(first.start)..at(last.end),
            // The beginning, as a title or tag matched: a good part of it rather than its first sentence.
            _ => found.start..at(found.text.len()),
        };
        let window = widen(whole, found.start..at(found.text.len()), margin);
        let range = align(whole, window, core.clone());
        let range = cut(whole, range, core, limit);
        trim(whole, range)
    }

    /// The part of the text that is nearest in meaning, if one is.
    fn nearest_part(hit: &SearchHit, whole: &str) -> Option<Range<usize>> {
        let part = hit.part.as_ref()?;
        let range = usize::try_from(part.start).ok()?..usize::try_from(part.end).ok()?;
        whole.get(range.clone()).map(|_| range)
    }

    /// A range with so many more characters on both sides, without cutting words there.
    fn widen(text: &str, range: Range<usize>, chars: usize) -> Range<usize> {
        let start = text[..range.start]
            .char_indices()
            .rev()
            .take(chars)
            .last()
            .map_or(range.start, |(at, _)| at);
        // Behind the first space, where there are spaces.
        let start = match text[start..range.start].find(char::is_whitespace) {
            Some(at) if start > 0 => start + at,
            _ => start,
        };
        let end = text[range.end..]
            .char_indices()
            .nth(chars)
            .map_or(text.len(), |(at, _)| range.end + at);
        let end = word_border(text, range.end, end);
        let front = &text[start..range.start];
        let lead = front.len() - front.trim_start_matches(' ').len();
        start + lead..end
    }

    /// How good a place is to begin or end a passage at.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Border {
        Line,
        Sentence,
        Paragraph,
    }

    /// Places in a range where something ends, with the start of what follows.
    fn borders(text: &str, range: Range<usize>) -> Vec<(Range<usize>, Border)> {
        let mut found = Vec::new();
        for (at, c) in text[range.clone()].char_indices() {
            let end = range.start + at + c.len_utf8();
            let rest = &text[end..range.end];
            let spaces = rest.len() - rest.trim_start().len();
            let border = match c {
                '\n' if rest[..spaces].contains('\n') => Border::Paragraph,
                '\n' => Border::Line,
                '。' | '！' | '？' => Border::Sentence,
                '.' | '!' | '?' if spaces > 0 => Border::Sentence,
                _ => continue,
            };
            found.push((end..end + spaces, border));
        }
        found
    }

    /// The borders at which a passage may end: not behind a heading, whose text would be missing.
    fn ends(text: &str, range: Range<usize>) -> Vec<(Range<usize>, Border)> {
        let mut found = borders(text, range);
        found.retain(|(gap, _)| {
            let line = text[..gap.start].trim_end().rsplit('\n').next();
            !line.is_some_and(|line| line.starts_with('#'))
        });
        found
    }

    /// Moves the ends of a window inwards to paragraphs, else sentences, else lines, but not over the matches.
    fn align(text: &str, window: Range<usize>, core: Range<usize>) -> Range<usize> {
        let starts_well =
            window.start == 0 || text[..window.start].trim_end_matches(' ').ends_with("\n\n");
        let start = if starts_well {
            window.start
        } else {
            // The earliest of the best kind, so that much is kept.
            borders(text, window.start..core.start)
                .into_iter()
                .rev()
                .max_by_key(|(_, border)| *border)
                .map_or(window.start, |(gap, _)| gap.end)
        };
        let ends_well = text[window.end..]
            .trim_start_matches([' ', '\r'])
            .starts_with("\n\n")
            || text[window.end..].trim().is_empty();
        let end = if ends_well {
            window.end
        } else {
            ends(text, core.end..window.end)
                .into_iter()
                .max_by_key(|(_, border)| *border)
                .map_or(window.end, |(gap, _)| gap.start)
        };
        start..end
    }

    /// Shortens a range that has too many tokens: at its end, and in front too if the matches would not fit else.
    fn cut(text: &str, range: Range<usize>, core: Range<usize>, limit: usize) -> Range<usize> {
        if estimate_tokens(&text[range.clone()]) <= limit {
            return range;
        }
        let sentence = borders(text, range.start..core.start)
            .last()
            .map_or(core.start, |(gap, _)| gap.end);
        let (start, end) = [range.start, sentence]
            .into_iter()
            .map(|start| (start, start + fitting(&text[start..range.end], limit)))
            .find(|(_, end)| *end >= core.end)
            // The matches begin at a word.
            .unwrap_or_else(|| {
                let rest = &text[core.start..range.end];
                (core.start, core.start + fitting(rest, limit))
            });
        if end == range.end {
            return start..end;
        }
        let border = ends(text, core.end.min(end)..end)
            .into_iter()
            .max_by_key(|(_, border)| *border)
            .map(|(gap, _)| gap.start);
        start..border.unwrap_or_else(|| word_border(text, start, end))
    }

    /// How many bytes of a text have no more tokens than the limit.
    fn fitting(text: &str, limit: usize) -> usize {
        let mut count = TokenCount::default();
        for (at, c) in text.char_indices() {
            count.push(c);
            if count.tokens() > limit {
                return at;
            }
        }
        text.len()
    }

    /// The end itself if no word is cut there, else the end of the word before it, if there is one.
    fn word_border(text: &str, start: usize, end: usize) -> usize {
        let joins = |c: char| c.is_alphanumeric() && u32::from(c) < WIDE;
        let cut = text[end..].starts_with(joins) && text[start..end].ends_with(joins);
        let border = text[start..end].rfind(|c: char| !joins(c)).filter(|_| cut);
        border.map_or(end, |at| {
            let last = text[start + at..].chars().next().map_or(0, char::len_utf8);
            start + at + last
        })
    }

    /// Without empty lines and spaces around. `None` if nothing is left.
    fn trim(text: &str, range: Range<usize>) -> Option<Range<usize>> {
        let part = &text[range.clone()];
        let body = part.trim_end();
        // The first line keeps its indent: in code and lists it means something.
        let lead = body.len() - body.trim_start().len();
        let start = body[..lead].rfind('\n').map_or(0, |at| at + 1);
        (!body.is_empty() && lead < body.len())
            .then(|| range.start + start..range.start + body.len())
    }

    /// What the passages so far say: the runs of five words in them.
    #[derive(Default)]
    struct Said(HashSet<Vec<String>>);

    impl Said {
        /// Whether a passage says something new, and notes it then. It does not if more than four fifths of its
        /// runs of five words stand in passages before it.
        fn is_news(&mut self, passage: &str) -> bool {
            let words = words(passage);
            let runs: HashSet<Vec<String>> = words
                .windows(SHINGLE.min(words.len()).max(1))
                .map(<[String]>::to_vec)
                .collect();
            let known = runs.iter().filter(|run| self.0.contains(*run)).count();
            if known > 0 && known * 5 > runs.len() * 4 {
                return false;
            }
            self.0.extend(runs);
            true
        }
    }

    /// Words in lower case; where there are no spaces between words, characters.
    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word = String::new();
        for c in text.chars() {
            let wide = u32::from(c) >= WIDE;
            if c.is_alphanumeric() && !wide {
                word.extend(c.to_lowercase());
                continue;
            }
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            if c.is_alphanumeric() {
                words.push(c.to_string());
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
        words
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn passages_begin_and_end_with_paragraphs_or_sentences() {
            let text = "One two. Three four.\n\nFive six. Seven\neight. Nine\n\nTen.";
            let at = |part: &str| text.find(part).unwrap();
            let aligned = |window: Range<usize>, core: &str| {
                let core = at(core)..at(core) + core.len();
                &text[align(text, window, core)]
            };
            assert_eq!(
                aligned(4..at("Ten"), "Seven"),
                "Five six. Seven\neight. Nine\n"
            );
            assert_eq!(aligned(at("six")..at("Nine") + 2, "Seven"), "Seven\neight.");
            assert_eq!(aligned(0..at("four"), "two"), "One two.");
            assert_eq!(aligned(at("six")..at("eight") + 2, "six"), "six.");
            assert_eq!(aligned(0..text.len(), "Ten"), text);
            let text = "# Head\n\nA sentence. Another one that is long";
            assert_eq!(&text[align(text, 0..30, 2..6)], "# Head\n\nA sentence.");
        }

        #[test]
        fn what_was_said_is_no_news() {
            let mut said = Said::default();
            assert!(said.is_news("The cat sat on the mat and looked at the moon."));
            assert!(!said.is_news("the cat sat on the mat, and looked at the moon"));
            assert!(!said.is_news("sat on the mat and looked"));
            assert!(said.is_news("The cat sat on the roof and looked at the sun."));
            assert!(said.is_news("Moon"));
            assert!(!said.is_news("moon!"));
            assert!(said.is_news("東京で会議があります"));
            assert!(!said.is_news("東京で会議があります。"));
            // Signs alone say nothing and are no repetition of one another.
            assert!(said.is_news("***"));
        }

        #[test]
        fn a_cut_keeps_the_limit_and_whole_words() {
            let text = "Some words in front of it. The needle lies here among very many other words of hay";
            let needle = text.find("needle").unwrap();
            for limit in 2..24 {
                let range = cut(text, 0..text.len(), needle..needle + 6, limit);
                let part = &text[range];
                assert!(estimate_tokens(part) <= limit, "{part}");
                assert!(part.contains("needle"), "{part}");
                let part = part.trim_end();
                assert!(
                    text.contains(&format!("{part} ")) || text.ends_with(part),
                    "{part}"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_estimated_towards_more() {
        let cases = [
            ("", 0),
            ("a", 2),
            ("word word word", 4),
            // 20 / 4
            ("internationalisation", 5),
            ("für", 2),
            ("東京", 2),
            ("2026", 4),
            ("{}();", 5),
            ("a  b", 3),
            ("\n\n\n", 3),
            ("🦀", 3),
            ("да", 2),
        ];
        for (text, tokens) in cases {
            assert_eq!(estimate_tokens(text), tokens, "{text:?}");
        }
    }

    #[test]
    fn joined_texts_never_count_more() {
        let text = "A memory,  kept  in 1 file:\n\n\t東京で会議があります。 Ça va — 🦀  internationalisation";
        for (at, _) in text.char_indices() {
            let (left, right) = text.split_at(at);
            let parts = estimate_tokens(left) + estimate_tokens(right);
            assert!(estimate_tokens(text) <= parts, "{left:?} {right:?}");
        }
    }
}
