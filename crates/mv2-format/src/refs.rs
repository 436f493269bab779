//! Branches and tags as properties hold them: keys, values and what a name may be.
//! `docs/format.md`, section "Branches and tags".

use crate::error::{Error, Result};
use crate::ids::{CommitId, LineageId};
use crate::wire::Reader;

/// The branch that there is without a property.
pub const MAIN: &str = "main";

/// Longest name of a branch or tag, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

const BRANCH: &str = "mv2.branch.";
const TAG: &str = "mv2.tag.";

/// The key of the branch that is checked out.
pub const HEAD_KEY: &str = "mv2.head";

/// What a property says if it is not an ordinary one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKey<'a> {
    /// The branch with this name.
    Branch(&'a str),
    /// The tag with this name.
    Tag(&'a str),
    /// The branch that is checked out.
    Head,
}

impl<'a> RefKey<'a> {
    /// What a key of a property means; `None` for ordinary ones, which belong to the history of their commit.
    pub fn parse(key: &'a str) -> Option<Self> {
        if key == HEAD_KEY {
            return Some(Self::Head);
        }
        let branch = key.strip_prefix(BRANCH).map(Self::Branch);
        branch.or_else(|| key.strip_prefix(TAG).map(Self::Tag))
    }

    /// The key.
    pub fn encode(&self) -> String {
        match self {
            Self::Branch(name) => format!("{BRANCH}{name}"),
            Self::Tag(name) => format!("{TAG}{name}"),
            Self::Head => HEAD_KEY.to_owned(),
        }
    }
}

/// Where a branch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BranchValue {
    /// Its lineage.
    pub lineage: LineageId,
    /// The commit that it began at: its head as long as its lineage has no commit.
    pub base: CommitId,
}

impl BranchValue {
    /// The value of the property.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.lineage.0.to_le_bytes().to_vec();
        out.extend_from_slice(&self.base.0.to_le_bytes());
        out
    }

    /// Reads the value of a property.
    ///
    /// # Errors
    /// [`Error::Truncated`] or [`Error::Invalid`].
    pub fn decode(value: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(value, "branch");
        let branch = Self {
            lineage: LineageId(reader.u32()?),
            base: CommitId(reader.u64()?),
        };
        reader.finish()?;
        if branch.lineage == LineageId::BOOKKEEPING {
            return Err(Error::invalid(
                "lineage of a branch",
                "another one",
                branch.lineage,
            ));
        }
        Ok(branch)
    }
}

/// The value of a tag.
pub fn encode_tag(commit: CommitId) -> Vec<u8> {
    commit.0.to_le_bytes().to_vec()
}

/// Reads the value of a tag.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Invalid`].
pub fn decode_tag(value: &[u8]) -> Result<CommitId> {
    let mut reader = Reader::new(value, "tag");
    let commit = CommitId(reader.u64()?);
    reader.finish()?;
    Ok(commit)
}

/// Checks that a text can name a branch or a tag, so that it cannot be taken for a number, a time or an option.
///
/// # Errors
/// [`Error::Invalid`] says what is wrong with it.
pub fn check_name(name: &str) -> Result<()> {
    let bad = |expected: &str| {
        Err(Error::invalid(
            "name of a branch or tag",
            expected,
            format!("{:?}", name.chars().take(80).collect::<String>()),
        ))
    };
    let Some(first) = name.chars().next() else {
        return bad("at least one character");
    };
    if name.len() > MAX_NAME_BYTES {
        return bad("at most 255 bytes");
    }
    if first.is_ascii_digit() || "-@.".contains(first) {
        return bad("no digit, '-', '@' or '.' at the beginning");
    }
    if name
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
    {
        return bad("no white space and none of ~ ^ : ? * [ \\");
    }
    if name.eq_ignore_ascii_case("head") {
        return bad("another name than head");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_come_back() {
        for key in [RefKey::Branch("main"), RefKey::Tag("v1.0"), RefKey::Head] {
            assert_eq!(RefKey::parse(&key.encode()), Some(key));
        }
        assert_eq!(RefKey::parse("mv2.vectors"), None);
        let branch = BranchValue {
            lineage: LineageId(7),
            base: CommitId(9),
        };
        assert_eq!(BranchValue::decode(&branch.encode()).unwrap(), branch);
        assert_eq!(decode_tag(&encode_tag(CommitId(5))).unwrap(), CommitId(5));
        for bytes in [&b""[..], &[0; 7], &[0; 13], &[0xff; 12]] {
            assert!(BranchValue::decode(bytes).is_err());
            assert!(decode_tag(bytes).is_err());
        }
    }

    #[test]
    fn a_name_cannot_be_taken_for_something_else() {
        for name in ["main", "draft-2", "agent/7", "Größe", "v1.0", "日本"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let long = "x".repeat(256);
        for name in [
            "", "1x", "-x", "@x", ".x", "a b", "a~1", "tag:x", "a*", "HEAD", "a\n", &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
