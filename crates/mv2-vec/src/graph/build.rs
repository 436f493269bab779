//! Building a graph: one node for each distinct code, on one thread, so that bytes are the same.

use core::time::Duration;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use instant_distance::{Builder, Hnsw, PointId};

use super::extract;
use super::point::{CodePoint, Stopped};
use super::refine::{BUILT_LINKS, Lists, refine};
use crate::error::{Error, Result};
use crate::kernel::{Code, Kernel};
use crate::layout::{Calibration, GraphHead, MAX_UPPER, NONE, UPPER_LINKS};
use crate::spec::Metric;

/// Candidates kept while a node is linked: the fewest that do not shorten the lists silently. More find no better links in the end.
const EF_CONSTRUCTION: usize = BUILT_LINKS + 1;
/// Each layer has this part of the nodes of the one below: the recall of the default at 8 to 11 %
/// fewer distances, and 43 bytes a vector less.
const LAYER_RATIO: f32 = 1.0 / 16.0;
/// How often a build looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_millis(20);

/// The rows to link: code, scale and squared norm of each.
pub(crate) struct Source<'a> {
    pub(crate) dims: usize,
    pub(crate) metric: Metric,
    pub(crate) codes: &'a [u8],
    pub(crate) scales: &'a [f32],
    pub(crate) norms: &'a [f32],
}

/// A graph as its sections hold it.
pub(crate) struct Built {
    pub(crate) head: GraphHead,
    /// Empty if no two rows have the same code, as are the next rows.
    pub(crate) node_rows: Vec<u32>,
    pub(crate) next_rows: Vec<u32>,
    pub(crate) zero: Vec<u32>,
    pub(crate) upper_nodes: Vec<u32>,
    pub(crate) upper: Vec<u32>,
}

/// Builds the graph of rows that stand in their order. What a search needs is not known yet.
pub(crate) fn build(source: &Source<'_>, seed: u64, cancelled: &dyn Fn() -> bool) -> Result<Built> {
    let (node_rows, next_rows) = nodes(source);
    let kernel = Kernel::best();
    let stop = AtomicBool::new(false);
    let points: Vec<CodePoint<'_>> = node_rows
        .iter()
        .map(|row| CodePoint {
            kernel,
            metric: source.metric,
            code: Code::new(source.code(*row)),
            scale: source.scales[*row as usize],
            norm: source.norms.get(*row as usize).copied().unwrap_or(1.0),
            stop: &stop,
        })
        .collect();
    let (graph, ids) = link(points.clone(), seed, &stop, cancelled)?;
    let links = extract::links(&graph).map_err(|error| Error::Graph(error.to_string()))?;
    drop(graph);
    let (rows, nodes) = (next_rows.len(), node_rows.len());
    let mut node_of = vec![0; nodes];
    for (node, id) in ids.iter().enumerate() {
        node_of[id.into_inner() as usize] = node as u32;
    }
    let mut layers = links.layers.into_iter();
    let by_id = layers.next().unwrap_or_default();
    if by_id.len() != nodes * BUILT_LINKS {
        return Err(Error::Graph(format!("{} links", by_id.len())));
    }
    let mut lists = Lists::new(nodes);
    for (id, list) in by_id.chunks_exact(BUILT_LINKS).enumerate() {
        for link in list {
            // Behind the last one stands a number that is no id.
            if let Some(link) = node_of.get(*link as usize) {
                lists.push(node_of[id], *link);
            }
        }
    }
    drop(by_id);
    let mut head = GraphHead {
        nodes: nodes as u32,
        entry: node_of[0],
        calibration: Calibration {
            ef: 1,
            ..Calibration::default()
        },
        seed,
        ef_construction: EF_CONSTRUCTION as u32,
        upper: [0; MAX_UPPER],
    };
    let mut upper = Vec::new();
    for (index, layer) in layers.enumerate() {
        let Some(len) = head.upper.get_mut(index) else {
            return Err(Error::Graph(format!("more than {MAX_UPPER} layers")));
        };
        *len = (layer.len() / UPPER_LINKS) as u32;
        upper.extend(layer);
    }
    let zero = refine(&points, head.entry, lists, cancelled)?;
    // Ids of a layer are those from 0 on.
    node_of.truncate(head.upper[0] as usize);
    let duplicates = nodes < rows;
    Ok(Built {
        head,
        node_rows: if duplicates { node_rows } else { Vec::new() },
        next_rows: if duplicates { next_rows } else { Vec::new() },
        zero,
        upper_nodes: node_of,
        upper,
    })
}

/// The first row of each node, and of each row the next one of the same node.
fn nodes(source: &Source<'_>) -> (Vec<u32>, Vec<u32>) {
    let rows = source.scales.len() as u32;
    let mut node_rows = Vec::new();
    let mut next_rows = vec![NONE; rows as usize];
    let mut last_of: HashMap<(&[u8], u32), u32> = HashMap::new();
    for row in 0..rows {
        // Equal ones would only link to each other and cut off the rest. Under the cosine, one
        // code is one direction; otherwise the length counts, too.
        let scale = match source.metric {
            Metric::Cosine => 0,
            Metric::Dot | Metric::L2 => source.scales[row as usize].to_bits(),
        };
        match last_of.insert((source.code(row), scale), row) {
            Some(previous) => next_rows[previous as usize] = row,
            None => node_rows.push(row),
        }
    }
    (node_rows, next_rows)
}

type Linked<'a> = (Hnsw<CodePoint<'a>>, Vec<PointId>);

/// Has the points linked by a thread of its own, as the builder would use all that there are.
fn link<'a>(
    points: Vec<CodePoint<'a>>,
    seed: u64,
    stop: &'a AtomicBool,
    cancelled: &dyn Fn() -> bool,
) -> Result<Linked<'a>> {
    let builder = Builder::default()
        .ef_construction(EF_CONSTRUCTION)
        .ml(LAYER_RATIO)
        .seed(seed)
        .select_heuristic(None);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .map_err(|error| Error::Graph(error.to_string()))?;
    let (sender, receiver) = mpsc::channel();
    let linked = pool.in_place_scope(|scope| {
        scope.spawn(move |_| {
            let build = AssertUnwindSafe(|| builder.build_hnsw(points));
            // The receiver waits until the sender is gone.
            let _ = sender.send(catch_unwind(build));
        });
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Err(mpsc::RecvTimeoutError::Timeout) if cancelled() => {
                    stop.store(true, Ordering::Relaxed);
                    return receiver.recv().ok();
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
                Ok(linked) => return Some(linked),
            }
        }
    });
    match linked {
        Some(Ok(linked)) => Ok(linked),
        Some(Err(panic)) if panic.is::<Stopped>() => Err(Error::Cancelled),
        Some(Err(panic)) => resume_unwind(panic),
        None => Err(Error::Graph("its thread is gone".to_owned())),
    }
}

impl<'a> Source<'a> {
    fn code(&self, row: u32) -> &'a [u8] {
        let start = row as usize * self.dims;
        &self.codes[start..start + self.dims]
    }
}
