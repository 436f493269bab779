//! Looking at few rows: a walk through the graph of a segment finds candidates, unless the planner
//! says that a scan costs less, or the walk comes to no good end.

use crate::error::Result;
use crate::graph::walk::{Reach, Walk};
use crate::layout::Calibration;
use crate::query::Query;
use crate::segment::Segment;
use crate::view::{RowBits, View};

use super::collect::Collector;
use super::{VecSearchOptions, flat};

/// What it costs to score a row in a run, the unit of these.
const SCAN: u64 = 1;
/// A row out of a run.
const PICK: u64 = 2;
/// A node of a graph: its code comes from anywhere in memory, and its links have to be read.
const VISIT: u64 = 8;
/// Nodes that a walk scores for each that it keeps, where that was not measured.
const VISITS: u64 = 20;
/// Fewest nodes to keep where several segments share the work.
const LEAST_EF: usize = 16;
/// Hits for which graphs are calibrated.
pub(crate) const CALIBRATED_TOP_K: usize = 10;

/// Whether a walk that scores so many nodes costs less than a scan of so many rows.
pub(crate) fn walk_pays(visits: u64, rows: u64) -> bool {
    pays(visits, rows * SCAN)
}

fn pays(visits: u64, scan: u64) -> bool {
    visits.saturating_mul(VISIT) < scan
}

/// How far a walk goes in one of so many graphs, and how many nodes it is likely to score.
fn reach_of(
    calibration: &Calibration,
    graphs: usize,
    options: &VecSearchOptions<'_>,
) -> (Reach, u64) {
    let top_k = options.top_k.max(CALIBRATED_TOP_K);
    if let Some(ef) = options.ef {
        let slack = options.slack.unwrap_or(f32::INFINITY);
        let ef = ef.max(1);
        return (Reach { ef, slack, top_k }, 0);
    }
    let calibrated = calibration.ef as usize;
    // The ten best of four graphs are as good with half as many candidates in each.
    let shared = (calibrated / graphs.max(1).isqrt()).max(LEAST_EF);
    let ef = shared.max(options.top_k.saturating_mul(2));
    let visits = match calibration.visits {
        0 => VISITS.saturating_mul(ef as u64),
        visits => u64::from(visits).saturating_mul(ef as u64) / calibrated.max(1) as u64,
    };
    let slack = match calibration.slack {
        0.0 => f32::INFINITY,
        slack => slack,
    };
    (Reach { ef, slack, top_k }, visits)
}

/// Offers the rows of a view that a walk through its graph finds. If it did not, a scan has to:
/// there is no graph, or a scan costs less, or the walk found too little or did not end in time.
///
/// `rows` are those that match a filter; `graphs` is how many segments with a graph are searched.
pub(super) fn offer(
    query: &Query,
    index: usize,
    view: &View,
    rows: Option<&RowBits>,
    graphs: usize,
    options: &VecSearchOptions<'_>,
    collector: &mut Collector,
) -> Result<bool> {
    let segment = view.segment();
    let Some(graph) = segment.graph() else {
        return Ok(false);
    };
    let all = u64::from(segment.rows());
    let matching = u64::from(rows.map_or(view.visible_rows(), RowBits::count));
    let scan = (matching * PICK).min(u64::from(view.cut()) * SCAN);
    let wanted = |row: u32| match rows {
        Some(rows) => rows.contains(row),
        None => view.is_visible(row),
    };
    let (mut reach, mut visits) = reach_of(&graph.calibration, graphs, options);
    loop {
        let mut budget = u64::MAX;
        if options.ef.is_none() {
            // What does not match is stepped over.
            if !pays(visits.saturating_mul(all) / matching.max(1), scan) {
                return Ok(false);
            }
            budget = scan / VISIT;
        }
        let Some(nodes) = segment.nodes_of_graph()? else {
            return Ok(false);
        };
        let walk = Walk::new(query, nodes, reach, budget);
        let found = if matching == all {
            walk.nearest(|_| Ok(true))?
        } else {
            walk.nearest(|node| any_row(segment, node, wanted))?
        };
        let Some(found) = found else {
            return Ok(false);
        };
        let near = rows_of(view, &found.nodes, options.top_k, wanted)?;
        let (near, frames) = whole_frames(segment, near)?;
        if frames >= options.top_k {
            collector.visits += found.visits;
            flat::offer_rows(query, index, view, near.into_iter(), collector)?;
            return Ok(true);
        }
        // Frames have many rows, or there are few. A walk that kept less than it may has nowhere
        // else to go.
        if found.all < reach.ef.min(reach.top_k) {
            return Ok(false);
        }
        reach.ef = reach.ef.saturating_mul(4);
        reach.top_k = reach.top_k.saturating_mul(4);
        visits = visits.saturating_mul(4);
    }
}

fn any_row(segment: &Segment, node: u32, wanted: impl Fn(u32) -> bool) -> Result<bool> {
    let mut row = Some(segment.node_row(node)?);
    while let Some(at) = row {
        if wanted(at) {
            return Ok(true);
        }
        row = segment.next_row(at)?;
    }
    Ok(false)
}

/// The rows of nodes that are wanted: of each node those of its first `top_k` frames, which are
/// the best as equal scores go by the frame.
fn rows_of(
    view: &View,
    nodes: &[u32],
    top_k: usize,
    wanted: impl Fn(u32) -> bool,
) -> Result<Vec<u32>> {
    let segment = view.segment();
    let mut found = Vec::with_capacity(nodes.len());
    for node in nodes {
        let mut frames = 0;
        let mut last = None;
        let mut row = Some(segment.node_row(*node)?);
        while let Some(at) = row.filter(|at| *at < view.cut()) {
            row = segment.next_row(at)?;
            if !wanted(at) {
                continue;
            }
            let frame = segment.frame(at)?;
            if last != Some(frame) {
                frames += 1;
                last = Some(frame);
            }
            if frames > top_k {
                break;
            }
            found.push(at);
        }
    }
    Ok(found)
}

/// Adds the other rows of the frames of these rows, as a frame scores as its best row, whether a
/// walk came to that one or not. Returns rows that ascend, and how many frames they are of.
fn whole_frames(segment: &Segment, mut rows: Vec<u32>) -> Result<(Vec<u32>, usize)> {
    rows.sort_unstable();
    let mut whole = Vec::with_capacity(rows.len());
    let mut frames = 0;
    for row in rows {
        let end = whole.last().map_or(0, |last| last + 1);
        if row < end {
            continue;
        }
        let frame = segment.frame(row)?;
        let mut start = row;
        while start > end && segment.frame(start - 1)? == frame {
            start -= 1;
        }
        whole.extend(start..=row);
        let mut next = row + 1;
        while next < segment.rows() && segment.frame(next)? == frame {
            whole.push(next);
            next += 1;
        }
        frames += 1;
    }
    Ok((whole, frames))
}
