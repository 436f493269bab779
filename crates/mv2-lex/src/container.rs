//! The container of a lexical segment: a header, a table of sections, the sections.
//!
//! Layout, limits and meaning of each field: `FORMAT.md`, section "Container".

use mv2_format::{FrameId, SegmentBytes};

use crate::analyser::ANALYSER_VERSION;
use crate::error::{Error, Result};

pub(crate) const MAGIC: [u8; 4] = *b"MV2L";
pub(crate) const CONTAINER_VERSION: u16 = 1;
/// Index formats of tantivy that this build reads.
pub(crate) const TANTIVY_FORMATS: std::ops::RangeInclusive<u32> =
    tantivy::INDEX_FORMAT_OLDEST_SUPPORTED_VERSION..=tantivy::INDEX_FORMAT_VERSION;
/// Most documents of one segment. tantivy's own limit is 2^31 - 1; this one keeps sums of 32-bit
/// counts and offsets in columns far from their ends.
pub(crate) const MAX_DOCS: u32 = 1 << 28;

const HEADER_BYTES: usize = 80;
const ENTRY_BYTES: usize = 24;
const FLAG_DENSE: u32 = 1;
const FLAG_NO_POSITIONS: u32 = 2;
const ALIGN: usize = 8;

/// A section's kind, in the order in which sections lie in the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
#[repr(u16)]
pub(crate) enum Section {
    Term = 1,
    FieldNorm = 2,
    Fast = 3,
    Postings = 4,
    Positions = 5,
    BodyCounts = 6,
    TitleCounts = 7,
    CjkCounts = 8,
    FrameGaps = 9,
}

impl Section {
    pub(crate) const ALL: [Self; 9] = [
        Self::Term,
        Self::FieldNorm,
        Self::Fast,
        Self::Postings,
        Self::Positions,
        Self::BodyCounts,
        Self::TitleCounts,
        Self::CjkCounts,
        Self::FrameGaps,
    ];

    /// Sections that are files of tantivy, with their extensions.
    pub(crate) const FILES: [(Self, &'static str); 5] = [
        (Self::Term, "term"),
        (Self::FieldNorm, "fieldnorm"),
        (Self::Fast, "fast"),
        (Self::Postings, "idx"),
        (Self::Positions, "pos"),
    ];
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) tantivy_format: u32,
    pub(crate) dense: bool,
    /// Whether the words of the body have their positions.
    pub(crate) positions: bool,
    pub(crate) first_frame: FrameId,
    pub(crate) last_frame: FrameId,
    pub(crate) max_doc: u32,
    /// Tokens of all documents: body, title, cjk.
    pub(crate) tokens: [u64; 3],
}

/// Writes a segment. Sections come in the order of [`Section`].
pub(crate) fn encode(header: &Header, sections: &[(Section, &[u8])]) -> Vec<u8> {
    let body: usize = sections
        .iter()
        .map(|(_, bytes)| bytes.len().next_multiple_of(ALIGN))
        .sum();
    // As long as it becomes: growing would take twice as much of a large segment.
    let mut out = Vec::with_capacity(HEADER_BYTES + sections.len() * ENTRY_BYTES + body);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&CONTAINER_VERSION.to_le_bytes());
    out.extend_from_slice(&ANALYSER_VERSION.to_le_bytes());
    out.extend_from_slice(&header.tantivy_format.to_le_bytes());
    let dense = if header.dense { FLAG_DENSE } else { 0 };
    let positions = if header.positions {
        0
    } else {
        FLAG_NO_POSITIONS
    };
    let flags = dense | positions;
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&header.first_frame.get().to_le_bytes());
    out.extend_from_slice(&header.last_frame.get().to_le_bytes());
    out.extend_from_slice(&header.max_doc.to_le_bytes());
    out.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    for tokens in header.tokens {
        out.extend_from_slice(&tokens.to_le_bytes());
    }
    out.resize(HEADER_BYTES, 0);
    let mut offset = (HEADER_BYTES + sections.len() * ENTRY_BYTES) as u64;
    for (section, bytes) in sections {
        out.extend_from_slice(&(*section as u16).to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        offset += bytes.len().next_multiple_of(ALIGN) as u64;
    }
    for (_, bytes) in sections {
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
    }
    out
}

/// Reads header and table. Returns each section that is there.
pub(crate) fn decode(bytes: &SegmentBytes) -> Result<(Header, Vec<(Section, SegmentBytes)>)> {
    let head = bytes.get(0..HEADER_BYTES)?;
    if head[..4] != MAGIC {
        return Err(Error::invalid(
            "magic of a lexical segment",
            "MV2L",
            format!("{:02x?}", &head[..4]),
        ));
    }
    let container = u32::from(read_u16(head, 4));
    if container != u32::from(CONTAINER_VERSION) {
        return Err(Error::Unsupported {
            what: "container version",
            found: container,
            readable: "1",
        });
    }
    let analyser = u32::from(read_u16(head, 6));
    if analyser != u32::from(ANALYSER_VERSION) {
        return Err(Error::Unsupported {
            what: "analyser version",
            found: analyser,
            readable: "1",
        });
    }
    let tantivy_format = read_u32(head, 8);
    if !TANTIVY_FORMATS.contains(&tantivy_format) {
        return Err(Error::Unsupported {
            what: "tantivy index format",
            found: tantivy_format,
            readable: "4 to 7",
        });
    }
    let flags = read_u32(head, 12);
    let header = Header {
        tantivy_format,
        dense: flags & FLAG_DENSE != 0,
        positions: flags & FLAG_NO_POSITIONS == 0,
        first_frame: FrameId(read_u64(head, 16)),
        last_frame: FrameId(read_u64(head, 24)),
        max_doc: read_u32(head, 32),
        tokens: [read_u64(head, 40), read_u64(head, 48), read_u64(head, 56)],
    };
    if flags & !(FLAG_DENSE | FLAG_NO_POSITIONS) != 0 || head[64..] != [0; 16] {
        return Err(Error::invalid(
            "header of a lexical segment",
            "zeros",
            flags,
        ));
    }
    check_frames(&header)?;
    let sections = decode_table(bytes, &header, read_u32(head, 36))?;
    Ok((header, sections))
}

fn check_frames(header: &Header) -> Result<()> {
    if header.max_doc == 0 || header.max_doc > MAX_DOCS {
        return Err(Error::invalid(
            "documents of a lexical segment",
            format!("1 to {MAX_DOCS}"),
            header.max_doc,
        ));
    }
    let (first, last) = (header.first_frame.get(), header.last_frame.get());
    let span = last
        .checked_sub(first)
        .and_then(|span| span.checked_add(1))
        .filter(|_| last < u64::MAX)
        .unwrap_or(0);
    let docs = u64::from(header.max_doc);
    if (header.dense && span != docs) || span < docs {
        return Err(Error::invalid(
            "frames of a lexical segment",
            format!("room for {docs} documents"),
            format!("{first} to {last}"),
        ));
    }
    Ok(())
}

fn decode_table(
    bytes: &SegmentBytes,
    header: &Header,
    count: u32,
) -> Result<Vec<(Section, SegmentBytes)>> {
    let expected: &[Section] = if header.dense {
        &Section::ALL[..8]
    } else {
        &Section::ALL
    };
    if count as usize != expected.len() {
        return Err(Error::invalid(
            "sections of a lexical segment",
            expected.len().to_string(),
            count,
        ));
    }
    let mut end = HEADER_BYTES + expected.len() * ENTRY_BYTES;
    let table = bytes.get(HEADER_BYTES..end)?;
    let mut sections = Vec::with_capacity(expected.len());
    for (section, entry) in expected.iter().zip(table.chunks_exact(ENTRY_BYTES)) {
        let offset = read_u64(entry, 8);
        let len = usize::try_from(read_u64(entry, 16)).unwrap_or(usize::MAX);
        if read_u16(entry, 0) != *section as u16 || entry[2..8] != [0; 6] || offset != end as u64 {
            return Err(Error::invalid(
                "section of a lexical segment",
                format!("{section:?} at {end}"),
                format!("kind {} at {offset}", read_u16(entry, 0)),
            ));
        }
        let stop = end.saturating_add(len);
        sections.push((*section, bytes.slice(end..stop)?));
        end = stop.next_multiple_of(ALIGN);
        if end > bytes.len() || bytes.get(stop..end)?.iter().any(|byte| *byte != 0) {
            return Err(Error::invalid(
                "padding of a lexical segment",
                "zeros",
                format!("section {section:?}"),
            ));
        }
    }
    if end != bytes.len() {
        return Err(Error::invalid(
            "length of a lexical segment",
            end.to_string(),
            bytes.len(),
        ));
    }
    Ok(sections)
}

fn read_u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
