//! What is asked: the terms that score and the tree of conditions that candidates must meet.

mod parser;

use std::collections::HashMap;

use crate::FUNCTION_WORD_WEIGHT;
use crate::analyser::stream::Bigrams;
use crate::analyser::{Kind, Scanner, StemCache, is_function_word};
use crate::schema::{self, TextField};

/// Most distinct terms of a query. Further ones are left out, and the parser says so.
pub const MAX_QUERY_TERMS: usize = 1_024;

/// A query, parsed and analysed. Cheap to use again for many searches.
///
/// # Syntax
/// | | |
/// |---|---|
/// | `deep sea` | frames with either word, best first |
/// | `"deep sea"` | these exact words side by side; required |
/// | `+deep -sea` | required, excluded |
/// | `deep AND (sea OR ocean) NOT lake` | the same in words; `AND` binds tighter than `OR`, `OR` tighter than a space |
/// | `title:sea`, `title:"deep sea"` | in the title |
/// | `tag:project=alpha`, `tag:project` | frames with the tag, or with any tag of that key; required |
/// | `uri:notes/a.md`, `uri:notes/*` | one uri, or all that begin so; required |
/// | `label:x`, `kind:x`, `track:x` | required |
/// | `date:[2024-01-01 TO *]`, `date:2024-05` | event times from one to another, or during one; required; see [`dates`](Self::dates) |
///
/// A value with spaces stands in quotes: `tag:"project=deep sea"`. Anything else that looks like
/// an operator, such as `std::vec`, `c++` or `main()`, is a word.
///
/// A text that reads like a sentence is taken as [`words`](Self::words), with a warning, if quotes,
/// signs and parentheses are all that it has of the syntax: one of at least 4 words that ends in a
/// full stop, question mark or the like, or one of more than 32 words. `AND`, `OR`, `NOT` or a field
/// keep it a query.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Terms that score, in the order of the query, each once.
    pub(crate) terms: Vec<BagTerm>,
    /// What candidates must meet; `None` for plain words: at least one term that ranks.
    pub(crate) root: Option<Node>,
    pub(crate) phrases: Vec<Phrase>,
    /// Terms of content words with single letters right behind them: the D of `vitamin D`. Such a letter is a
    /// function word, which is what it mostly is, and yet belongs to the word before it.
    pub(crate) companions: Vec<(usize, usize)>,
    /// Each pair of bounds once.
    dates: Vec<(String, String)>,
}

/// A query and what the parser has to say about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Parsed {
    /// The query.
    pub query: Query,
    /// A sentence for the user, if the query was not taken as it was written.
    pub warning: Option<String>,
}

/// Where a term is looked for and how it weighs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scope {
    /// Body, and the title at a quarter.
    Text,
    Title,
    Cjk,
    /// All `cjk` terms that begin with a character.
    CjkPrefix,
}

#[derive(Clone, Debug)]
pub(crate) struct BagTerm {
    pub(crate) scope: Scope,
    pub(crate) text: String,
    /// Weight in the first phase: occurrences that are not function words.
    pub(crate) content: f32,
    /// Weight of all occurrences.
    pub(crate) all: f32,
}

/// One term of a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MatchTerm {
    pub(crate) scope: Scope,
    pub(crate) text: String,
    /// Whether it may stand for its leaf alone: function words do not, where there are others.
    pub(crate) content: bool,
    /// Whether it is needed if the whole leaf is: the parts of a compound are, the compound is not.
    pub(crate) needed: bool,
}

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The terms of a word: any of them where the word is optional, all where it is required.
    Word(Vec<MatchTerm>),
    /// An index into [`Query::phrases`].
    Phrase(usize),
    Raw(RawFilter),
    Group(Group),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) must: Vec<Node>,
    pub(crate) should: Vec<Node>,
    pub(crate) not: Vec<Node>,
}

impl Group {
    /// Whether something that is required ranks, so that optional words need not match. Conditions
    /// on fields that are not text only filter what the words find.
    pub(crate) fn ranks_alone(&self) -> bool {
        self.must.iter().any(|node| !matches!(node, Node::Raw(_)))
    }
}

/// Consecutive words or characters, to be found exactly.
#[derive(Clone, Debug)]
pub(crate) struct Phrase {
    pub(crate) title_only: bool,
    pub(crate) units: Vec<PhraseUnit>,
    /// Terms that each document with the phrase holds.
    pub(crate) terms: Vec<MatchTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PhraseUnit {
    pub(crate) text: String,
    /// A character, not a word.
    pub(crate) is_char: bool,
    /// The character directly follows the one before it.
    pub(crate) glued: bool,
}

/// A condition on a field that is not text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RawFilter {
    Term(tantivy::Term),
    UriPrefix(String),
    /// An index into [`Query::dates`].
    Date(usize),
}

impl Query {
    /// Parses a query. Never fails: where the syntax is broken, the query is its plain words and
    /// the warning says why.
    ///
    /// ```
    /// let parsed = mv2_lex::Query::parse("deep (sea");
    /// assert!(parsed.warning.unwrap().contains("parenthesis"));
    /// assert!(!parsed.query.is_empty());
    /// ```
    pub fn parse(text: &str) -> Parsed {
        parser::parse(text)
    }

    /// The plain words of a text, without operators: for text as it comes, such as a question that
    /// someone asks. Nothing in it is required or excluded.
    ///
    /// ```
    /// use mv2_lex::Query;
    ///
    /// assert!(Query::words("\"?!\"").is_empty());
    /// assert!(!Query::words("-not").is_empty());
    /// ```
    pub fn words(text: &str) -> Self {
        let mut builder = Builder::default();
        builder.leaf(text, Scope::Text, true);
        builder.finish(None)
    }

    /// Whether nothing is asked, as for an empty text or mere punctuation. Finds nothing.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.root.is_none()
    }

    /// Whether it is a bag of words, without operators, phrases or fields: then a document need not hold any of them to be
    /// an answer.
    pub fn is_plain(&self) -> bool {
        self.root.is_none()
    }

    /// The bounds of each `date:[a TO b]`, as they were written; a single value is both. Which frames
    /// they stand for is told by [`SearchOptions::dates`](crate::SearchOptions::dates).
    ///
    /// ```
    /// let query = mv2_lex::Query::parse("sea date:[2024 TO *] -date:2025-05").query;
    /// let dates: Vec<_> = query.dates().collect();
    /// assert_eq!(dates, [("2024", "*"), ("2025-05", "2025-05")]);
    /// ```
    pub fn dates(&self) -> impl Iterator<Item = (&str, &str)> {
        self.dates.iter().map(|(from, to)| (&from[..], &to[..]))
    }

    /// Whether any word ranks in the first phase. If not, all words do.
    pub(crate) fn has_content(&self) -> bool {
        self.terms.iter().any(|term| term.content > 0.0)
    }

    /// Whether the second phase can change the order.
    pub(crate) fn has_second_phase(&self) -> bool {
        self.has_content() && self.terms.iter().any(|term| term.content != term.all)
    }
}

/// Collects terms and phrases while a query is read.
#[derive(Default)]
struct Builder {
    query: Query,
    seen: HashMap<(Scope, String), usize>,
    stems: StemCache,
    /// The content word right before, if there is one.
    before: Option<usize>,
    truncated: bool,
}

impl Builder {
    /// The terms of a piece of text. `scoring` is false below a negation.
    fn leaf(&mut self, text: &str, scope: Scope, scoring: bool) -> Vec<MatchTerm> {
        let mut terms: Vec<MatchTerm> = Vec::new();
        let mut scanner = Scanner::new(text);
        let mut bigrams = Bigrams::new(false);
        let mut chars: Vec<String> = Vec::new();
        while let Some(unit) = scanner.next_unit() {
            if terms.len() + chars.len() > 2 * MAX_QUERY_TERMS {
                self.truncated = true;
                break;
            }
            if unit.kind == Kind::Char {
                bigrams.push(&unit, &mut |term, _| chars.push(term.to_owned()));
                continue;
            }
            let content = unit.kind != Kind::Word || !is_function_word(unit.text);
            terms.extend(cjk_terms(&mut chars));
            terms.push(MatchTerm {
                scope,
                text: self.stems.term(&unit).to_owned(),
                content,
                needed: unit.kind == Kind::Word,
            });
        }
        bigrams.finish(&mut |term, _| chars.push(term.to_owned()));
        terms.extend(cjk_terms(&mut chars));
        if scoring {
            self.score_all(&terms);
        }
        terms
    }

    fn score_all(&mut self, terms: &[MatchTerm]) {
        for term in terms {
            let index = self.score(term);
            if !term.needed {
                continue;
            }
            if let (Some(before), Some(index)) = (self.before, index)
                && !term.content
                && term.text.len() == 1
            {
                self.query.companions.push((before, index));
            }
            self.before = index.filter(|_| term.content);
        }
    }

    /// Where the term stands in the list of those that score.
    fn score(&mut self, term: &MatchTerm) -> Option<usize> {
        let weight = if term.content {
            1.0
        } else {
            FUNCTION_WORD_WEIGHT
        };
        let content = if term.content { 1.0 } else { 0.0 };
        let key = (term.scope, term.text.clone());
        if let Some(&at) = self.seen.get(&key) {
            self.query.terms[at].content += content;
            self.query.terms[at].all += weight;
            return Some(at);
        }
        if self.query.terms.len() >= MAX_QUERY_TERMS {
            self.truncated = true;
            return None;
        }
        self.seen.insert(key, self.query.terms.len());
        self.query.terms.push(BagTerm {
            scope: term.scope,
            text: term.text.clone(),
            content,
            all: weight,
        });
        Some(self.query.terms.len() - 1)
    }

    /// A phrase; `None` if there is no word in it.
    fn phrase(&mut self, text: &str, title_only: bool, scoring: bool) -> Option<Node> {
        let units = phrase_units(text);
        if units.is_empty() || units.len() > MAX_QUERY_TERMS {
            self.truncated |= !units.is_empty();
            return None;
        }
        let scope = if title_only {
            Scope::Title
        } else {
            Scope::Text
        };
        let mut terms = self.leaf(text, scope, false);
        for term in &mut terms {
            if term.scope == Scope::Cjk && term.text.chars().nth(1).is_none() {
                term.scope = Scope::CjkPrefix;
            }
        }
        terms.retain(|term| term.needed);
        if scoring {
            self.score_all(&terms);
        }
        self.query.phrases.push(Phrase {
            title_only,
            units,
            terms,
        });
        Some(Node::Phrase(self.query.phrases.len() - 1))
    }

    fn finish(mut self, root: Option<Node>) -> Query {
        self.query.root = root;
        // A query of single characters only: each stands for all that begins with it.
        let lone = |term: &BagTerm| term.scope == Scope::Cjk && term.text.chars().nth(1).is_none();
        if self.query.root.is_none() && self.query.terms.iter().all(lone) {
            for term in &mut self.query.terms {
                term.scope = Scope::CjkPrefix;
            }
        }
        self.query
    }
}

fn cjk_terms(chars: &mut Vec<String>) -> impl Iterator<Item = MatchTerm> + '_ {
    chars.drain(..).map(|text| MatchTerm {
        scope: Scope::Cjk,
        text,
        content: true,
        needed: true,
    })
}

/// The folded words and characters of a phrase, without the wholes of compounds.
fn phrase_units(text: &str) -> Vec<PhraseUnit> {
    let mut units = Vec::new();
    let mut scanner = Scanner::new(text);
    while let Some(unit) = scanner.next_unit() {
        if matches!(unit.kind, Kind::Word | Kind::Char) {
            units.push(PhraseUnit {
                text: unit.text.to_owned(),
                is_char: unit.kind == Kind::Char,
                glued: unit.glued,
            });
        }
        if units.len() > MAX_QUERY_TERMS {
            break;
        }
    }
    units
}

impl Scope {
    /// The fields of a scope with their weights, in the order in which scores are added.
    pub(crate) fn fields(self) -> &'static [(TextField, f32)] {
        match self {
            Self::Text => &[
                (TextField::Body, 1.0),
                (TextField::Title, crate::TITLE_WEIGHT),
            ],
            Self::Title => &[(TextField::Title, 1.0)],
            Self::Cjk | Self::CjkPrefix => &[(TextField::Cjk, 1.0)],
        }
    }
}

/// The filter of `tag:key=value`, or of a key alone.
fn tag_filter(value: &str) -> RawFilter {
    let term = match value.split_once('=') {
        Some((key, value)) => schema::tag_term(key, value),
        None => schema::tag_key_term(value),
    };
    RawFilter::Term(tantivy::Term::from_field_text(schema::tag(), &term))
}
