//! Searching a graph where it lies: greedily down the upper layers, then along the lowest one, from what is near to
//! what is near to that.
//!
//! Each node is scored once, so that a walk ends whatever the links are.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::kernel::prefetch;
use crate::layout::{NONE, ZERO_LINKS};
use crate::query::Query;

use super::near::{Near, keep};
use super::nodes::{Nodes, bad_link};

/// How far a walk goes. What is nearer than both limits is followed.
///
/// The second one is the "distance adaptive" rule of Al-Jazzazi et al., "Distance Adaptive Beam Search for Provably Accurate
/// Graph-Based Nearest Neighbor Search" (2025): a question whose best are near ends soon, one in a crowd goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reach {
    /// As far as the last of so many of the nearest.
    pub(crate) ef: usize,
    /// `1 + slack` times as far as the last of the `top_k` nearest; infinite for no such limit.
    pub(crate) slack: f32,
    pub(crate) top_k: usize,
}

/// A search in the graph of one segment.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    query: &'a Query,
    nodes: Nodes<'a>,
    reach: Reach,
    budget: u64,
}

impl<'a> Walk<'a> {
    /// A walk that scores at most `budget` nodes.
    pub(crate) fn new(query: &'a Query, nodes: Nodes<'a>, reach: Reach, budget: u64) -> Self {
        Self {
            query,
            nodes,
            reach,
            budget,
        }
    }

    /// The nearest of the nodes that are `wanted`; others are only stepped over. `None` if the budget does not suffice.
    pub(crate) fn nearest(
        &self,
        mut wanted: impl FnMut(u32) -> Result<bool>,
    ) -> Result<Option<Found>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let entry = self.descend(scratch)?;
            self.along(scratch, entry, &mut wanted)
        })
    }

    /// The nearest node of the first upper layer, as far as greed leads.
    fn descend(&self, scratch: &mut Scratch) -> Result<u32> {
        let graph = self.nodes.graph;
        if graph.layers() == 0 {
            return Ok(graph.entry);
        }
        let mut first: u32 = graph.upper.iter().sum();
        let mut batch = Batch::new();
        let mut at = 0;
        batch.add(0);
        self.score(&mut batch, |at| self.nodes.upper_node(at))?;
        let mut best = batch.scores[0];
        for &len in graph.upper[..graph.layers()].iter().rev() {
            first -= len;
            scratch.begin(len);
            scratch.visited[at as usize] = scratch.walk;
            loop {
                let here = at;
                scratch.unvisited(self.nodes.upper_links(first, here)?, len, &mut batch)?;
                self.score(&mut batch, |at| self.nodes.upper_node(at))?;
                for (position, score) in batch.scored() {
                    if score > best {
                        (best, at) = (score, position);
                    }
                }
                if at == here {
                    break;
                }
            }
        }
        self.nodes.upper_node(at)
    }

    /// What is near is followed until all that is left is beyond the reach.
    fn along(
        &self,
        scratch: &mut Scratch,
        entry: u32,
        wanted: &mut impl FnMut(u32) -> Result<bool>,
    ) -> Result<Option<Found>> {
        let count = self.nodes.graph.nodes;
        let mut batch = Batch::new();
        scratch.begin(count);
        scratch.visited[entry as usize] = scratch.walk;
        batch.add(entry);
        let mut visits = 0;
        loop {
            // What is followed next, unless something nearer is found now.
            if let Some(next) = scratch.frontier.peek() {
                prefetch(self.nodes.links(next.node())?.as_flattened());
            }
            visits += batch.len as u64;
            if visits > self.budget {
                return Ok(None);
            }
            self.score(&mut batch, Ok)?;
            for (node, score) in batch.scored() {
                let near = Near::new(score, node);
                // What is not a number comes from a damaged scale.
                if near < scratch.limit || score.is_nan() {
                    continue;
                }
                scratch.frontier.push(near);
                if wanted(node)? {
                    self.keep(scratch, near);
                }
            }
            match scratch.frontier.pop() {
                Some(near) if near >= scratch.limit => {
                    scratch.unvisited(self.nodes.links(near.node())?, count, &mut batch)?;
                }
                _ => break,
            }
        }
        let mut nearest: Vec<Near> = scratch.kept.drain().map(|Reverse(near)| near).collect();
        nearest.sort_unstable_by_key(|near| Reverse(*near));
        Ok(Some(Found {
            all: nearest.len(),
            nodes: self.likely(&nearest)?,
            visits,
        }))
    }

    /// Of nodes that descend, those whose exact score may be among the `top_k` best.
    fn likely(&self, nearest: &[Near]) -> Result<Vec<u32>> {
        let off = |near: &Near| -> Result<f32> {
            let (scale, norm) = self.nodes.numbers(self.nodes.row(near.node())?);
            Ok(self.query.likely_off(scale, norm))
        };
        let mut least = f32::NEG_INFINITY;
        if let Some(last) = nearest.get(self.reach.top_k.saturating_sub(1)) {
            least = last.score() - off(last)?;
        }
        let mut likely = Vec::new();
        for near in nearest {
            if near.score() + off(near)? >= least {
                likely.push(near.node());
            }
        }
        Ok(likely)
    }

    /// Takes in a node that is wanted, which may bring the limit nearer.
    fn keep(&self, scratch: &mut Scratch, near: Near) {
        let Reach { ef, slack, top_k } = self.reach;
        if let Some(last) = keep(&mut scratch.kept, near, ef) {
            scratch.limit = scratch.limit.max(last);
        }
        if slack.is_finite()
            && let Some(last) = keep(&mut scratch.top, near, top_k)
        {
            let score = self.query.farther(last.score(), slack);
            scratch.limit = scratch.limit.max(Near::new(score, last.node()));
        }
    }

    /// The scores of all that is in a batch; `node_of` is the node of each.
    #[inline(always)]
    fn score(&self, batch: &mut Batch, node_of: impl Fn(u32) -> Result<u32>) -> Result<()> {
        let (mut rows, mut codes) = ([0; ZERO_LINKS], [&[][..]; ZERO_LINKS]);
        let mut dots = [0; ZERO_LINKS];
        let len = batch.len;
        for ((at, row), code) in batch.at[..len].iter().zip(&mut rows).zip(&mut codes) {
            *row = self.nodes.row(node_of(*at)?)?;
            *code = self.nodes.code(*row)?;
            // Lines of memory are asked for some time before they are needed.
            prefetch(code);
        }
        let kernel = self.query.kernel;
        kernel.dots_of(self.query.code(), &codes[..len], &mut dots[..len]);
        for ((row, dot), score) in rows.iter().zip(dots).zip(&mut batch.scores[..len]) {
            let (scale, norm) = self.nodes.numbers(*row);
            *score = self.query.near(dot, scale, norm);
        }
        Ok(())
    }
}

/// What a walk found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The nodes that may be among the best.
    pub(crate) nodes: Vec<u32>,
    /// How many were kept: fewer than the reach says if there was nowhere else to go.
    pub(crate) all: usize,
    /// How many were scored.
    pub(crate) visits: u64,
}

/// Neighbours of one node, scored together.
struct Batch {
    /// Nodes, or positions of an upper layer.
    at: [u32; ZERO_LINKS],
    scores: [f32; ZERO_LINKS],
    len: usize,
}

impl Batch {
    fn new() -> Self {
        Self {
            at: [0; ZERO_LINKS],
            scores: [0.0; ZERO_LINKS],
            len: 0,
        }
    }

    fn add(&mut self, at: u32) {
        self.at[self.len] = at;
        self.len += 1;
    }

    fn scored(&self) -> impl Iterator<Item = (u32, f32)> {
        let len = self.len;
        self.at[..len]
            .iter()
            .copied()
            .zip(self.scores[..len].iter().copied())
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
    /// The first of these.
    top: BinaryHeap<Reverse<Near>>,
    /// Farther nodes are not followed.
    limit: Near,
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
        self.top.clear();
        self.limit = Near::default();
    }

    /// Those of some neighbours, up to the mark for none, that this walk did not come to before.
    #[inline(always)]
    fn unvisited(&mut self, links: &[[u8; 4]], nodes: u32, batch: &mut Batch) -> Result<()> {
        let visited = &mut self.visited[..nodes as usize];
        let mut len = 0;
        for (link, _) in links.iter().zip(0..ZERO_LINKS) {
            let link = u32::from_le_bytes(*link);
            if link == NONE {
                break;
            }
            let Some(visited) = visited.get_mut(link as usize) else {
                return Err(bad_link(link, nodes));
            };
            // Without a branch, which nobody could predict.
            batch.at[len] = link;
            len += usize::from(*visited != self.walk);
            *visited = self.walk;
        }
        batch.len = len;
        Ok(())
    }
}
