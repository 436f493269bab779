//! Searching a graph where it lies: greedily down the upper layers, then with a beam of candidates
//! through the lowest one.
//!
//! Numbers from the file are checked before they lead anywhere. Each node is scored once, so that
//! a walk ends whatever the links are.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::{Error, Result};
use crate::kernel::prefetch;
use crate::layout::{GraphHead, NONE, ZERO_LINKS};
use crate::query::Query;
use crate::segment::{Numbers, Segment};

/// The graph of one segment, and what is searched for in it.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    query: &'a Query,
    segment: &'a Segment,
    graph: &'a GraphHead,
    numbers: Numbers<'a>,
    ef: usize,
    budget: u64,
}

impl<'a> Walk<'a> {
    /// A walk that keeps `ef` nodes and scores at most `budget`; `None` if there is no graph.
    pub(crate) fn new(
        query: &'a Query,
        segment: &'a Segment,
        ef: usize,
        budget: u64,
    ) -> Result<Option<Self>> {
        let Some(graph) = segment.graph() else {
            return Ok(None);
        };
        Ok(Some(Self {
            query,
            segment,
            graph,
            numbers: segment.numbers()?,
            ef,
            budget,
        }))
    }

    /// Up to `ef` of the nearest nodes that are `wanted`, nearest first; `None` if the budget does
    /// not suffice. Other nodes are only stepped over.
    pub(crate) fn nearest(
        &self,
        mut wanted: impl FnMut(u32) -> Result<bool>,
    ) -> Result<Option<Vec<u32>>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let entry = self.descend(scratch)?;
            self.beam(scratch, entry, &mut wanted)
        })
    }

    /// The nearest node of the first upper layer, as far as greed leads.
    fn descend(&self, scratch: &mut Scratch) -> Result<u32> {
        if self.graph.layers() == 0 {
            return Ok(self.graph.entry);
        }
        let mut first: u32 = self.graph.upper.iter().sum();
        let mut at = 0;
        let mut best = self.score(self.upper_node(at)?)?;
        for &len in self.graph.upper[..self.graph.layers()].iter().rev() {
            first -= len;
            scratch.begin(len);
            scratch.visit(at);
            loop {
                let here = at;
                for link in self.segment.upper_links(first, here)?.as_chunks().0 {
                    let link = u32::from_le_bytes(*link);
                    if link == NONE {
                        break;
                    }
                    if link >= len {
                        return Err(bad_link(link, len));
                    }
                    if !scratch.visit(link) {
                        continue;
                    }
                    let score = self.score(self.upper_node(link)?)?;
                    if score > best {
                        (best, at) = (score, link);
                    }
                }
                if at == here {
                    break;
                }
            }
        }
        self.upper_node(at)
    }

    /// The beam: what is near is followed until it leads to nothing that is nearer than the
    /// farthest node that is kept.
    fn beam(
        &self,
        scratch: &mut Scratch,
        entry: u32,
        wanted: &mut impl FnMut(u32) -> Result<bool>,
    ) -> Result<Option<Vec<u32>>> {
        scratch.begin(self.graph.nodes);
        scratch.visit(entry);
        let mut visits = 1;
        self.take(scratch, entry, self.score(entry)?, wanted)?;
        let (mut fresh, mut codes) = ([(0, 0); ZERO_LINKS], [&[][..]; ZERO_LINKS]);
        let mut dots = [0; ZERO_LINKS];
        while let Some(near) = scratch.frontier.pop() {
            if scratch.kept.len() >= self.ef && near < scratch.farthest() {
                break;
            }
            let mut count = 0;
            for link in self.segment.zero_links(near.node())?.as_chunks().0 {
                let node = u32::from_le_bytes(*link);
                if node == NONE {
                    break;
                }
                if node >= self.graph.nodes {
                    return Err(bad_link(node, self.graph.nodes));
                }
                if scratch.visit(node) {
                    let row = self.row(node)?;
                    fresh[count] = (node, row);
                    codes[count] = self.segment.code(row)?;
                    // Lines of memory are asked for some time before they are needed.
                    prefetch(codes[count]);
                    count += 1;
                }
            }
            // What is followed next, unless something nearer is found now.
            if let Some(next) = scratch.frontier.peek() {
                prefetch(self.segment.zero_links(next.node())?);
            }
            visits += count as u64;
            if visits > self.budget {
                return Ok(None);
            }
            let (code, dots) = (self.query.code(), &mut dots[..count]);
            self.query.kernel.dots_of(code, &codes[..count], dots);
            for ((node, row), dot) in fresh.iter().zip(dots) {
                self.take(scratch, *node, self.near(*row, *dot), wanted)?;
            }
        }
        let mut nearest: Vec<Near> = scratch.kept.drain().map(|Reverse(near)| near).collect();
        nearest.sort_unstable_by_key(|near| Reverse(*near));
        Ok(Some(nearest.iter().map(|near| near.node()).collect()))
    }

    /// Follows a node later, and keeps it if it is wanted, unless it is too far away.
    fn take(
        &self,
        scratch: &mut Scratch,
        node: u32,
        score: f32,
        wanted: &mut impl FnMut(u32) -> Result<bool>,
    ) -> Result<()> {
        // What is not a number comes from a damaged scale.
        if score.is_nan() {
            return Ok(());
        }
        let near = Near::new(score, node);
        let full = scratch.kept.len() >= self.ef;
        if full && near < scratch.farthest() {
            return Ok(());
        }
        scratch.frontier.push(near);
        if wanted(node)? {
            scratch.kept.push(Reverse(near));
            if full {
                scratch.kept.pop();
            }
        }
        Ok(())
    }

    fn upper_node(&self, position: u32) -> Result<u32> {
        let node = self.segment.upper_node(position)?;
        if node >= self.graph.nodes {
            return Err(bad_link(node, self.graph.nodes));
        }
        Ok(node)
    }

    fn score(&self, node: u32) -> Result<f32> {
        let row = self.row(node)?;
        let code = self.segment.code(row)?;
        Ok(self.near(row, self.query.kernel.dot(self.query.code(), code)))
    }

    fn row(&self, node: u32) -> Result<u32> {
        let rows = self.numbers.scales.len();
        match self.numbers.node_rows {
            None => Ok(node),
            Some(node_rows) => match node_rows.get(node as usize) {
                Some(row) if (u32::from_le_bytes(*row) as usize) < rows => {
                    Ok(u32::from_le_bytes(*row))
                }
                _ => Err(Error::invalid(
                    format!("a node with a row below {rows}"),
                    node,
                )),
            },
        }
    }

    /// The score of a row by its dot product.
    fn near(&self, row: u32, dot: i32) -> f32 {
        let at = |floats: &[[u8; 4]]| {
            floats
                .get(row as usize)
                .map(|bytes| f32::from_le_bytes(*bytes))
        };
        // There are no norms under the cosine, where they are 1.
        let scale = at(self.numbers.scales).unwrap_or(f32::NAN);
        let norm = at(self.numbers.norms).unwrap_or(1.0);
        self.query.near(dot, scale, norm)
    }
}

fn bad_link(found: u32, below: u32) -> Error {
    Error::invalid(format!("a neighbour below {below}"), found)
}

/// A node with its score, as one number: what is nearer is greater, then what has the lower number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Near(u64);

impl Near {
    fn new(score: f32, node: u32) -> Self {
        let bits = score.to_bits();
        // So that floating-point numbers, negative ones too, compare as unsigned ones.
        let ordered = if bits >> 31 == 0 {
            bits | 1 << 31
        } else {
            !bits
        };
        Self(u64::from(ordered) << 32 | u64::from(!node))
    }

    fn node(self) -> u32 {
        !(self.0 as u32)
    }
}

thread_local! {
    /// Kept from search to search, so that none has to allocate or clear it.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

#[derive(Default)]
struct Scratch {
    /// The walk that came to a node last; a byte for each node of the largest graph so far.
    visited: Vec<u8>,
    walk: u8,
    /// To be followed.
    frontier: BinaryHeap<Near>,
    /// The nearest ones that are wanted.
    kept: BinaryHeap<Reverse<Near>>,
}

impl Scratch {
    /// Begins a walk among so many nodes.
    fn begin(&mut self, nodes: u32) {
        if self.visited.len() < nodes as usize {
            self.visited.resize(nodes as usize, 0);
        }
        self.walk = self.walk.wrapping_add(1);
        if self.walk == 0 {
            self.visited.fill(0);
            self.walk = 1;
        }
        self.frontier.clear();
        self.kept.clear();
    }

    /// Whether this walk comes to a node, one of those that it began with, for the first time.
    fn visit(&mut self, node: u32) -> bool {
        std::mem::replace(&mut self.visited[node as usize], self.walk) != self.walk
    }

    /// The farthest node that is kept; there is one.
    fn farthest(&self) -> Near {
        self.kept.peek().map_or(Near(0), |Reverse(near)| *near)
    }
}

#[cfg(test)]
mod tests {
    use super::Near;

    #[test]
    fn nearer_is_greater_and_the_node_comes_back() {
        let ascending = [f32::MIN, -2.5, -1e-40, 0.0, 1e-40, 0.3, 7.0, f32::INFINITY];
        for pair in ascending.windows(2) {
            assert!(Near::new(pair[0], 0) < Near::new(pair[1], 9), "{pair:?}");
        }
        assert!(Near::new(0.5, 3) > Near::new(0.5, 4));
        for node in [0, 1, 1 << 30, u32::MAX - 1] {
            assert_eq!(Near::new(-0.25, node).node(), node);
        }
    }
}
