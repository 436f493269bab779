//! The graph of a segment, read where it lies.

use mv2_format::segment::Pages;

use crate::error::{Error, Result};
use crate::layout::{GraphHead, Sections, UPPER_LINKS, ZERO_LINKS, entry};

/// Codes, numbers and neighbours of nodes, for who looks at thousands of them.
#[derive(Clone, Copy)]
pub(crate) struct Nodes<'a> {
    pub(crate) graph: &'a GraphHead,
    pub(crate) at: &'a Sections,
    pub(crate) dims: usize,
    pub(crate) pages: Pages<'a>,
    /// Of each row. These are little beside the codes, so that all of them were checked at once, as were norms and rows.
    pub(crate) scales: &'a [[u8; 4]],
    /// Squared, of each row; empty under the cosine, where they are 1.
    pub(crate) norms: &'a [[u8; 4]],
    /// The first row of each node; none where a node is a row.
    pub(crate) rows: Option<&'a [[u8; 4]]>,
}

impl<'a> Nodes<'a> {
    /// The first row of a node, which is one.
    #[inline(always)]
    pub(crate) fn row(&self, node: u32) -> Result<u32> {
        let Some(rows) = self.rows else {
            return Ok(node);
        };
        let row = rows.get(node as usize).map(|row| u32::from_le_bytes(*row));
        match row {
            Some(row) if (row as usize) < self.scales.len() => Ok(row),
            _ => Err(self.bad_row(node)),
        }
    }

    /// The code of a row.
    #[inline(always)]
    pub(crate) fn code(&self, row: u32) -> Result<&'a [u8]> {
        Ok(self.pages.get(entry(self.at.codes, row, self.dims))?)
    }

    /// The scale and the squared norm of a row, NaN for one that there is not.
    #[inline(always)]
    pub(crate) fn numbers(&self, row: u32) -> (f32, f32) {
        let at = |floats: &[[u8; 4]]| {
            floats
                .get(row as usize)
                .map(|bytes| f32::from_le_bytes(*bytes))
        };
        let scale = at(self.scales).unwrap_or(f32::NAN);
        (scale, at(self.norms).unwrap_or(1.0))
    }

    /// The neighbours of a node in the lowest layer, up to the first mark for none.
    #[inline(always)]
    pub(crate) fn links(&self, node: u32) -> Result<&'a [[u8; 4]]> {
        let links = self.pages.get(entry(self.at.zero, node, ZERO_LINKS * 4))?;
        Ok(links.as_chunks().0)
    }

    /// The neighbours, as positions, in an upper layer that begins at `first` of the section.
    pub(crate) fn upper_links(&self, first: u32, position: u32) -> Result<&'a [[u8; 4]]> {
        let index = first + position;
        let links = self
            .pages
            .get(entry(self.at.upper, index, UPPER_LINKS * 4))?;
        Ok(links.as_chunks().0)
    }

    /// The node at a position of the upper layers.
    pub(crate) fn upper_node(&self, position: u32) -> Result<u32> {
        let node = self.pages.get(entry(self.at.upper_nodes, position, 4))?;
        let node = node
            .first_chunk()
            .map_or(u32::MAX, |node| u32::from_le_bytes(*node));
        if node >= self.graph.nodes {
            return Err(bad_link(node, self.graph.nodes));
        }
        Ok(node)
    }

    #[cold]
    fn bad_row(&self, node: u32) -> Error {
        Error::invalid(
            format!("a node with a row below {}", self.scales.len()),
            node,
        )
    }
}

/// A number from the file that is none of a node.
#[cold]
pub(crate) fn bad_link(found: u32, below: u32) -> Error {
    Error::invalid(format!("a neighbour below {below}"), found)
}
