//! Which documents a search or a context considers at all.

use mv2_format::Timestamp;

#[cfg(feature = "lex")]
use crate::error::Result;

/// Which documents a question considers at all. All that is set must hold; by default nothing is.
///
/// ```
/// use mv2::{Filter, SearchRequest};
///
/// let built = SearchRequest::builder("planning").tag("project", "alpha").since(1_795_569_003).build();
/// let filter = Filter {
///     tags: vec![("project".into(), "alpha".into())],
///     since: Some(1_795_569_003.into()),
///     ..Filter::default()
/// };
/// assert_eq!(built.filter, filter);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only documents under this uri, or under this prefix if it ends in `*`.
    pub uri: Option<String>,
    /// Only documents of this kind.
    pub kind: Option<String>,
    /// Only documents of this track.
    pub track: Option<String>,
    /// Only documents with all of these tags.
    pub tags: Vec<(String, String)>,
    /// Only documents with all of these labels.
    pub labels: Vec<String>,
    /// The earliest event time, included.
    pub since: Option<Timestamp>,
    /// The latest event time, included.
    pub until: Option<Timestamp>,
}

impl Filter {
    /// The range of event times, checked.
    ///
    /// # Errors
    /// `invalid_range` if it ends before it begins.
    #[cfg(feature = "lex")]
    pub(crate) fn times(&self) -> Result<Option<mv2_time::Query>> {
        let range = mv2_time::Query {
            since: self.since,
            until: self.until,
            ..mv2_time::Query::default()
        };
        range.check()?;
        Ok((self.since.is_some() || self.until.is_some()).then_some(range))
    }
}

/// Whether a uri is the wanted one, or begins as it does if that ends in `*`.
pub(crate) fn uri_matches(wanted: &str, uri: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(prefix) => uri.starts_with(prefix),
        None => uri == wanted,
    }
}

/// The steps that builders of requests with a filter have in common, each of which sets a field of it.
macro_rules! filter_steps {
    () => {
        /// Sets the whole filter.
        pub fn filter(mut self, filter: $crate::Filter) -> Self {
            self.request.filter = filter;
            self
        }

        /// Sets [`Filter::uri`](crate::Filter::uri).
        pub fn uri(mut self, uri: impl Into<String>) -> Self {
            self.request.filter.uri = Some(uri.into());
            self
        }

        /// Sets [`Filter::kind`](crate::Filter::kind).
        pub fn kind(mut self, kind: impl Into<String>) -> Self {
            self.request.filter.kind = Some(kind.into());
            self
        }

        /// Sets [`Filter::track`](crate::Filter::track).
        pub fn track(mut self, track: impl Into<String>) -> Self {
            self.request.filter.track = Some(track.into());
            self
        }

        /// Asks for a tag.
        pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
            self.request.filter.tags.push((key.into(), value.into()));
            self
        }

        /// Asks for a label.
        pub fn label(mut self, label: impl Into<String>) -> Self {
            self.request.filter.labels.push(label.into());
            self
        }

        /// Sets [`Filter::since`](crate::Filter::since). A whole number is seconds since the Unix epoch.
        pub fn since(mut self, since: impl Into<$crate::Timestamp>) -> Self {
            self.request.filter.since = Some(since.into());
            self
        }

        /// Sets [`Filter::until`](crate::Filter::until). A whole number is seconds since the Unix epoch.
        pub fn until(mut self, until: impl Into<$crate::Timestamp>) -> Self {
            self.request.filter.until = Some(until.into());
            self
        }
    };
}
pub(crate) use filter_steps;
