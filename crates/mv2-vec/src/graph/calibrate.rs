//! How many candidates a search in a graph has to keep: tried on the graph when it was built.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::search::{Hit, Searcher, VecSearchOptions, walk_pays};
use crate::segment::Segment;
use crate::view::View;

/// What is tried, the least first.
const TRIED: [u32; 13] = [24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048];
/// Recall@10 that is to be reached: of samples, so that other questions reach 0.995.
const WANTED: f32 = 0.998;
/// Searches that are compared with exact ones.
const SAMPLE: u32 = 400;
const TOP_K: usize = 10;

/// The more rows, the more candidates it takes: about by this power of their number. Sentences and
/// the built-in embedder need 256 of 5,000 and of 10,000 vectors, and 512 of 20,000 and of 99,616.
const GROWTH: f64 = 0.25;

/// The fewest candidates that find nearly all of the ten best, and what part of them was found.
/// `None` if that takes so many that a scan costs less: the graph is of no use then.
///
/// The segment may be a sample of so many rows; then it is about a graph of all of them.
pub(crate) fn calibrate(
    segment: &Arc<Segment>,
    rows: u64,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<(u32, f32)>> {
    let sample = Sample::new(segment, cancelled)?;
    let growth = (rows as f64 / f64::from(segment.rows().max(1))).powf(GROWTH);
    let mut reached = false;
    for ef in TRIED {
        if cancelled() || !walk_pays((f64::from(ef) * growth) as u64, rows) {
            break;
        }
        let recall = sample.recall(ef)?;
        // One step more than it takes: some questions are harder than all of the sample.
        if reached {
            return Ok(Some((ef, recall)));
        }
        reached = recall >= WANTED;
    }
    Ok(None)
}

/// The recall@10 with so many candidates.
pub(crate) fn recall(segment: &Arc<Segment>, ef: u32, cancelled: &dyn Fn() -> bool) -> Result<f32> {
    Sample::new(segment, cancelled)?.recall(ef)
}

/// Searches with what they have to find.
struct Sample {
    searcher: Searcher,
    asked: Vec<(Vec<f32>, Vec<Hit>)>,
}

impl Sample {
    fn new(segment: &Arc<Segment>, cancelled: &dyn Fn() -> bool) -> Result<Self> {
        let views = vec![View::all(Arc::clone(segment))];
        let searcher = Searcher::new(*segment.spec(), views)?;
        let options = VecSearchOptions {
            top_k: TOP_K,
            exact: true,
            ..VecSearchOptions::default()
        };
        let mut asked = Vec::new();
        for at in 0..SAMPLE.min(segment.rows()) {
            if cancelled() {
                break;
            }
            let vector = question(segment, at)?;
            match searcher.search(&vector, &options) {
                Ok(best) => asked.push((vector, best)),
                // Two vectors can cancel each other out.
                Err(Error::Zero { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { searcher, asked })
    }

    fn recall(&self, ef: u32) -> Result<f32> {
        let options = VecSearchOptions {
            top_k: TOP_K,
            ef: Some(ef as usize),
            ..VecSearchOptions::default()
        };
        let (mut found, mut all) = (0, 0);
        for (vector, best) in &self.asked {
            let hits = self.searcher.search(vector, &options)?;
            // What scores like the last one would do as well.
            let least = best.last().map_or(f32::INFINITY, |hit| hit.score);
            found += hits.iter().filter(|hit| hit.score >= least).count();
            all += best.len();
        }
        Ok(found as f32 / all.max(1) as f32)
    }
}

/// What is searched for: a stored vector, moved towards another one. There are no questions yet,
/// and those that come are not as near to what answers them as stored vectors are to each other.
/// With half of the other one, as many candidates suffice as for real questions.
fn question(segment: &Segment, at: u32) -> Result<Vec<f32>> {
    let rows = u64::from(segment.rows());
    let one = u64::from(at) * rows / u64::from(SAMPLE.min(segment.rows()));
    // Some other row, the same one each time.
    let other = (one + 1 + u64::from(at) * 0x9e37_79b9 % rows) % rows;
    let mut vector = segment.row(one as u32)?.vector();
    let other = segment.row(other as u32)?.vector();
    for (x, other) in vector.iter_mut().zip(other) {
        *x += other / 2.0;
    }
    Ok(vector)
}
