//! The parser of the query language.
//!
//! ```text
//! list    := clause*                          clause := ["+" | "-" | "NOT"] either
//! either  := both ("OR" both)*                both   := operand ("AND" ["NOT" | "-" | "+"] operand)*
//! operand := "(" list ")" | "\"" text "\"" | field ":" value | word
//! ```
//!
//! A sentence is not a query: where it holds quotes, parentheses or signs, they are most likely
//! punctuation, and a title in quotes must not become a condition that nothing meets. Operators that
//! nobody writes by chance (`AND`, `OR`, `NOT`, fields) keep a sentence a query.
//!
//! Recursive descent with a bound on depth and clauses: no input can exhaust the stack.

use tantivy::Term;

use super::{Builder, Group, MAX_QUERY_TERMS, Node, Parsed, Query, RawFilter, Scope, tag_filter};
use crate::schema;

/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 32;
/// Fields that can be asked for by name.
const FIELDS: [&str; 7] = ["tag", "uri", "label", "kind", "track", "title", "date"];
/// What a sentence ends with.
const SENTENCE_MARKS: [char; 7] = ['.', '?', '!', '…', '。', '？', '！'];
/// A text that ends like a sentence and has at least so many words between spaces is one.
const SENTENCE_WORDS: usize = 4;
/// A text of more words than this is prose however it ends.
const QUERY_WORDS: usize = 32;
/// Most different date ranges of a query. The caller finds the frames of each.
const MAX_DATES: usize = 16;
/// Most clauses of a query.
const MAX_CLAUSES: usize = MAX_QUERY_TERMS;

pub(super) fn parse(text: &str) -> Parsed {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        clauses: 0,
        negations: 0,
        operators: false,
        deliberate: false,
        builder: Builder::default(),
    };
    match parser.list() {
        Ok(_) if parser.operators && !parser.deliberate && is_prose(text) => Parsed {
            query: Query::words(text),
            warning: Some(
                "the query reads like a sentence; its quotes, signs and parentheses were taken as \
                 punctuation"
                    .to_owned(),
            ),
        },
        Ok(group) => parser.finish(group),
        Err(problem) => Parsed {
            query: Query::words(text),
            warning: Some(format!("{problem}; searched for the plain words instead")),
        },
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    clauses: usize,
    /// How many negations the current clause is under; its terms score only under none.
    negations: usize,
    /// Whether anything but plain optional words was seen.
    operators: bool,
    /// Whether an operator was seen that is no punctuation: a keyword or a field.
    deliberate: bool,
    builder: Builder,
}

/// Whether a text is written to be read, not to be searched for.
fn is_prose(text: &str) -> bool {
    let words = text.split_whitespace().take(QUERY_WORDS + 1).count();
    // What closes a quotation may stand behind the mark that ends the sentence.
    let end = text.trim_end_matches(|c: char| c.is_whitespace() || "\"')]}’”」』）".contains(c));
    words > QUERY_WORDS || (words >= SENTENCE_WORDS && end.ends_with(SENTENCE_MARKS))
}

type Problem = String;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    Must,
    Not,
}

impl Parser<'_> {
    fn finish(mut self, group: Group) -> Parsed {
        let mut warnings = Vec::new();
        if self.builder.truncated {
            warnings.push(format!(
                "the query has more than {MAX_QUERY_TERMS} terms; the rest was left out"
            ));
        }
        let is_empty = group.must.is_empty() && group.should.is_empty() && group.not.is_empty();
        let root = (self.operators && !is_empty).then_some(Node::Group(group));
        let builder = std::mem::take(&mut self.builder);
        Parsed {
            query: builder.finish(root),
            warning: (!warnings.is_empty()).then(|| warnings.join("; ")),
        }
    }

    /// Clauses up to the end or the closing parenthesis, which is consumed.
    fn list(&mut self) -> Result<Group, Problem> {
        let mut group = Group::default();
        loop {
            self.skip_spaces();
            match self.peek() {
                None if self.depth > 0 => {
                    return Err("a parenthesis is not closed".to_owned());
                }
                None => return Ok(group),
                Some(')') => {
                    self.bump();
                    if self.depth > 0 {
                        return Ok(group);
                    }
                    continue;
                }
                Some(_) => {}
            }
            let sign = self.sign();
            self.skip_spaces();
            self.negations += usize::from(sign == Sign::Not);
            let node = self.either()?;
            self.negations -= usize::from(sign == Sign::Not);
            if let Some(node) = node {
                self.place(&mut group, sign, node);
            }
        }
    }

    /// Puts a clause where it belongs: conditions on fields and phrases are required.
    fn place(&mut self, group: &mut Group, sign: Sign, node: Node) {
        let required = matches!(node, Node::Raw(_) | Node::Phrase(_));
        self.operators |= sign != Sign::None || required;
        match sign {
            Sign::Not => group.not.push(node),
            Sign::Must => group.must.push(node),
            Sign::None if required => group.must.push(node),
            Sign::None => match node {
                // Optional words in parentheses are optional words.
                Node::Group(inner) if inner.must.is_empty() && inner.not.is_empty() => {
                    group.should.extend(inner.should);
                }
                node => group.should.push(node),
            },
        }
    }

    /// A sign, if something that it can belong to follows directly.
    fn sign(&mut self) -> Sign {
        if self.keyword("NOT") {
            return Sign::Not;
        }
        let mut chars = self.rest().chars();
        let sign = match chars.next() {
            Some('+') => Sign::Must,
            Some('-') => Sign::Not,
            _ => return Sign::None,
        };
        match chars.next() {
            Some(next) if next.is_alphanumeric() || matches!(next, '"' | '(') => {
                self.bump();
                sign
            }
            _ => Sign::None,
        }
    }

    fn either(&mut self) -> Result<Option<Node>, Problem> {
        let Some(first) = self.both()? else {
            return self.no_operand("OR").map(|()| None);
        };
        self.skip_spaces();
        if !self.keyword("OR") {
            return Ok(Some(first));
        }
        self.operators = true;
        let mut group = Group {
            should: vec![first],
            ..Group::default()
        };
        loop {
            self.skip_spaces();
            let Some(node) = self.both()? else {
                return Err("OR has nothing behind it".to_owned());
            };
            group.should.push(node);
            self.skip_spaces();
            if !self.keyword("OR") {
                return Ok(Some(Node::Group(group)));
            }
        }
    }

    fn both(&mut self) -> Result<Option<Node>, Problem> {
        let Some(first) = self.operand()? else {
            return self.no_operand("AND").map(|()| None);
        };
        self.skip_spaces();
        if !self.keyword("AND") {
            return Ok(Some(first));
        }
        self.operators = true;
        let mut group = Group {
            must: vec![first],
            ..Group::default()
        };
        loop {
            self.skip_spaces();
            let sign = self.sign();
            self.skip_spaces();
            self.negations += usize::from(sign == Sign::Not);
            let node = self.operand()?;
            self.negations -= usize::from(sign == Sign::Not);
            match node {
                None => return Err("AND has nothing behind it".to_owned()),
                Some(node) if sign == Sign::Not => group.not.push(node),
                Some(node) => group.must.push(node),
            }
            self.skip_spaces();
            if !self.keyword("AND") {
                return Ok(Some(Node::Group(group)));
            }
        }
    }

    /// An operator behind an operand that holds no word, as in `- AND x`.
    fn no_operand(&mut self, keyword: &str) -> Result<(), Problem> {
        self.skip_spaces();
        if self.keyword(keyword) {
            return Err(format!("{keyword} has nothing before it"));
        }
        Ok(())
    }

    /// An operand; `None` if it holds no word.
    fn operand(&mut self) -> Result<Option<Node>, Problem> {
        self.clauses += 1;
        if self.clauses > MAX_CLAUSES {
            return Err(format!("the query has more than {MAX_CLAUSES} clauses"));
        }
        for keyword in ["AND", "OR", "NOT"] {
            if self.at_keyword(keyword) {
                return Err(format!("{keyword} stands where a word is expected"));
            }
        }
        match self.peek() {
            None | Some(')') => Ok(None),
            Some('(') => self.parentheses(),
            Some('"') => {
                let text = self.quoted()?;
                let scoring = self.negations == 0;
                Ok(self.builder.phrase(&text, false, scoring))
            }
            Some(_) => match self.field()? {
                Some(found) => Ok(found),
                None => Ok(self.word()),
            },
        }
    }

    fn parentheses(&mut self) -> Result<Option<Node>, Problem> {
        self.bump();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("parentheses are nested deeper than {MAX_DEPTH}"));
        }
        let group = self.list()?;
        self.depth -= 1;
        let is_empty = group.must.is_empty() && group.should.is_empty() && group.not.is_empty();
        Ok((!is_empty).then_some(Node::Group(group)))
    }

    /// The text between two quotes.
    fn quoted(&mut self) -> Result<String, Problem> {
        self.bump();
        let rest = self.rest();
        let Some(end) = rest.find('"') else {
            return Err("a quote is not closed".to_owned());
        };
        let text = rest[..end].to_owned();
        self.at += end + 1;
        Ok(text)
    }

    /// `name:value` with a name that is known; the outer `None` if it is not one.
    #[allow(clippy::option_option)]
    fn field(&mut self) -> Result<Option<Option<Node>>, Problem> {
        let rest = self.rest();
        let starts_value = |c: char| !c.is_whitespace() && c != ':';
        let Some(name) = FIELDS.into_iter().find(|name| {
            rest.strip_prefix(name)
                .and_then(|behind| behind.strip_prefix(':'))
                .is_some_and(|value| value.starts_with(starts_value))
        }) else {
            return Ok(None);
        };
        self.at += name.len() + 1;
        self.deliberate = true;
        if name == "date" {
            let bounds = self.date_bounds()?;
            let dates = &mut self.builder.query.dates;
            let known = dates.iter().position(|known| *known == bounds);
            let index = known.unwrap_or_else(|| {
                dates.push(bounds);
                dates.len() - 1
            });
            if dates.len() > MAX_DATES {
                return Err(format!("the query has more than {MAX_DATES} date ranges"));
            }
            return Ok(Some(Some(Node::Raw(RawFilter::Date(index)))));
        }
        let quoted = self.peek() == Some('"');
        let value = if quoted {
            self.quoted()?
        } else {
            self.bare().to_owned()
        };
        if name == "title" {
            return Ok(Some(self.title(&value, quoted)));
        }
        Ok(Some(Some(Node::Raw(raw_filter(name, &value, quoted)))))
    }

    /// A condition on the title. Japanese and Chinese words have no title field of their own, so
    /// that they are looked up in both and verified on the title.
    fn title(&mut self, value: &str, quoted: bool) -> Option<Node> {
        let scoring = self.negations == 0;
        if quoted || value.chars().any(crate::analyser::char_is_cjk) {
            return self.builder.phrase(value, true, scoring);
        }
        let terms = self.builder.leaf(value, Scope::Title, scoring);
        self.operators = true;
        (!terms.is_empty()).then_some(Node::Word(terms))
    }

    /// `[a TO b]`, or one value for both bounds, in quotes if it has spaces.
    fn date_bounds(&mut self) -> Result<(String, String), Problem> {
        let rest = self.rest();
        let value = if rest.starts_with('[') {
            let Some(end) = rest.find(']') else {
                return Err("a date range is not closed with ]".to_owned());
            };
            let inside = rest[1..end].to_owned();
            self.at += end + 1;
            if let Some((from, to)) = inside.split_once(" TO ") {
                return Ok((from.trim().to_owned(), to.trim().to_owned()));
            }
            inside.trim().to_owned()
        } else if rest.starts_with('"') {
            self.quoted()?
        } else {
            self.bare().to_owned()
        };
        Ok((value.clone(), value))
    }

    fn word(&mut self) -> Option<Node> {
        let scoring = self.negations == 0;
        let start = self.at;
        self.bare();
        let text = self.text;
        let terms = self
            .builder
            .leaf(&text[start..self.at], Scope::Text, scoring);
        (!terms.is_empty()).then_some(Node::Word(terms))
    }

    /// Everything up to a space, or to a parenthesis that closes a group. Parentheses inside of
    /// the word are its own.
    fn bare(&mut self) -> &str {
        let rest = &self.text[self.at..];
        let mut open = 0usize;
        let mut len = rest.len();
        for (at, c) in rest.char_indices() {
            match c {
                '(' => open += 1,
                ')' if open > 0 => open -= 1,
                ')' if self.depth > 0 => {
                    len = at;
                    break;
                }
                c if c.is_whitespace() => {
                    len = at;
                    break;
                }
                _ => {}
            }
        }
        // Nothing is read only if a closing parenthesis stands here, which the caller consumes.
        self.at += len;
        &rest[..len]
    }

    /// Consumes a keyword that stands alone.
    fn keyword(&mut self, keyword: &str) -> bool {
        let found = self.at_keyword(keyword);
        if found {
            self.at += keyword.len();
            self.deliberate = true;
        }
        found
    }

    fn at_keyword(&self, keyword: &str) -> bool {
        self.rest().strip_prefix(keyword).is_some_and(|behind| {
            behind
                .chars()
                .next()
                .is_none_or(|c| c.is_whitespace() || matches!(c, '(' | ')' | '"'))
        })
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }
}

fn raw_filter(name: &str, value: &str, quoted: bool) -> RawFilter {
    let field = match name {
        "tag" => return tag_filter(value),
        "label" => schema::label(),
        "kind" => schema::kind(),
        "track" => schema::track(),
        _ => match value.strip_suffix('*').filter(|_| !quoted) {
            Some(prefix) => return RawFilter::UriPrefix(prefix.to_owned()),
            None => schema::uri(),
        },
    };
    RawFilter::Term(Term::from_field_text(field, &schema::raw_term(value)))
}
