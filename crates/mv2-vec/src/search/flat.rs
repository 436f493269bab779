//! Looking at every row: a scan of the codes that leaves out only what cannot be among the best.

use mv2_format::FrameId;

use crate::error::Result;
use crate::query::Query;
use crate::view::{RowBits, View};

use super::collect::Collector;

/// Rows whose dot products are computed at a time: few enough to stay in the first cache.
const BLOCK: u32 = 512;
/// Rows that are passed over together.
const GROUP: usize = 16;

/// Offers all visible rows of a view.
pub(super) fn scan(
    query: &Query,
    index: usize,
    view: &View,
    collector: &mut Collector,
) -> Result<()> {
    scan_blocks(query, index, view, collector, |row| view.is_visible(row))
}

/// Offers those rows of a view, which are visible.
pub(super) fn scan_rows(
    query: &Query,
    index: usize,
    view: &View,
    rows: &RowBits,
    collector: &mut Collector,
) -> Result<()> {
    // A row out of a run costs twice as much as one within.
    if rows.count() > view.cut() / 2 {
        return scan_blocks(query, index, view, collector, |row| rows.contains(row));
    }
    offer_rows(query, index, view, rows.iter(), collector)
}

/// Offers those rows of a view, which are visible and ascend.
pub(super) fn offer_rows(
    query: &Query,
    index: usize,
    view: &View,
    rows: impl Iterator<Item = u32>,
    collector: &mut Collector,
) -> Result<()> {
    let (segment, code) = (view.segment(), query.code());
    for row in rows {
        let dot = query.kernel.dot(code, segment.code(row)?);
        let (scale, norm) = (segment.scale(row)?, segment.norm(row)?);
        let (near, off) = (query.near(dot, scale, norm), query.off(scale, norm));
        if near + off >= collector.threshold() {
            collector.offer(index, row, segment.frame(row)?, near, off);
        }
    }
    Ok(())
}

fn scan_blocks(
    query: &Query,
    index: usize,
    view: &View,
    collector: &mut Collector,
    wanted: impl Fn(u32) -> bool,
) -> Result<()> {
    let (segment, code) = (view.segment(), query.code());
    let first_frame = segment.first_frame().get();
    let mut dots = [0; BLOCK as usize];
    let mut scales = [0.0; BLOCK as usize];
    let mut norms = [1.0; BLOCK as usize];
    let mut uppers = [0.0; BLOCK as usize];
    for start in (0..view.cut()).step_by(BLOCK as usize) {
        let rows = start..view.cut().min(start + BLOCK);
        let len = rows.len();
        query
            .kernel
            .dots(code, segment.codes(rows.clone())?, &mut dots[..len]);
        read(segment.scales(rows.clone())?, &mut scales);
        read(segment.norms(rows.clone())?, &mut norms);
        let numbers = dots.iter().zip(&scales).zip(&norms);
        for (upper, ((dot, scale), norm)) in uppers[..len].iter_mut().zip(numbers) {
            *upper = query.near(*dot, *scale, *norm) + query.off(*scale, *norm);
        }
        let mut offsets: Option<&[[u8; 4]]> = None;
        for first in (0..len).step_by(GROUP) {
            // Nearly all groups have no row that is of interest, which is soon seen.
            let (group, threshold) = (first..len.min(first + GROUP), collector.threshold());
            let uppers_here = uppers[group.clone()].iter();
            if uppers_here.filter(|upper| **upper >= threshold).count() == 0 {
                continue;
            }
            for at in group {
                let row = start + at as u32;
                if uppers[at] < collector.threshold() || !wanted(row) {
                    continue;
                }
                let offsets = match offsets {
                    Some(offsets) => offsets,
                    None => {
                        let read = segment.frame_offsets(rows.clone())?.as_chunks().0;
                        *offsets.insert(read)
                    }
                };
                let offset = u32::from_le_bytes(offsets[at]);
                let frame = FrameId(first_frame.saturating_add(offset.into()));
                let near = query.near(dots[at], scales[at], norms[at]);
                let off = query.off(scales[at], norms[at]);
                collector.offer(index, row, frame, near, off);
            }
        }
    }
    Ok(())
}

fn read(bytes: &[u8], out: &mut [f32]) {
    for (bytes, out) in bytes.as_chunks::<4>().0.iter().zip(out) {
        *out = f32::from_le_bytes(*bytes);
    }
}
