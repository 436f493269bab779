//! How far a search in a graph has to go: tried on the graph when it was built.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout::Calibration;
use crate::search::{CALIBRATED_TOP_K, Hit, Searcher, VecSearchOptions, walk_pays};
use crate::segment::Segment;
use crate::spec::Metric;
use crate::view::View;

/// What is tried, the least first.
const EFS: [u32; 13] = [24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048];
/// Likewise.
const SLACKS: [f32; 21] = [
    0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3, 0.33, 0.36,
    0.4, 0.5, 0.6, 0.8, 1.0,
];
/// Recall@10 that is to be reached: of samples, so that other questions reach 0.995.
const WANTED: f32 = 0.9975;
/// Searches that are compared with exact ones.
const SAMPLE: u32 = 400;

/// The more rows, the more comparisons it takes: about by this power of their number. Sentences and the built-in embedder
/// need 2,000 of 5,000 vectors and 5,000 of 99,616.
const GROWTH: f64 = 0.3;

/// The least that finds nearly all of the ten best. `None` if that takes so much that a scan costs less: the graph is of no
/// use then.
///
/// The segment may be a sample of so many rows; then it is about a graph of all of them.
pub(crate) fn calibrate(
    segment: &Arc<Segment>,
    rows: u64,
    cancelled: &dyn Fn() -> bool,
) -> Result<Option<Calibration>> {
    let sample = Sample::new(segment, cancelled)?;
    let growth = (rows as f64 / f64::from(segment.rows().max(1))).powf(GROWTH);
    let pays = |visits: u32| walk_pays((f64::from(visits) * growth) as u64, rows);
    let reaches = |found: &Calibration| found.recall >= WANTED;
    let mut enough = None;
    for (at, ef) in EFS.into_iter().enumerate() {
        if cancelled() {
            return Ok(None);
        }
        let tried = sample.search(ef, f32::INFINITY)?;
        // The other limit saves less than two thirds.
        if !pays(tried.visits / 3) {
            return Ok(None);
        }
        if reaches(&tried) {
            enough = Some(at);
            break;
        }
    }
    let Some(enough) = enough else {
        return Ok(None);
    };
    // One step more than it takes: some questions are harder than all of the sample.
    let mut best = sample.search(EFS[(enough + 1).min(EFS.len() - 1)], f32::INFINITY)?;
    if segment.spec().metric == Metric::Dot {
        return Ok(Some(best).filter(|best| pays(best.visits)));
    }
    // With more candidates, the slack may be less.
    for ef in EFS.into_iter().skip(enough + 1).take(3) {
        if cancelled() {
            return Ok(None);
        }
        let mut fault = None;
        let least = SLACKS.partition_point(|slack| match sample.search(ef, *slack) {
            Ok(tried) => !reaches(&tried),
            Err(error) => {
                fault = Some(error);
                false
            }
        });
        if let Some(error) = fault {
            return Err(error);
        }
        let Some(slack) = SLACKS.get(least + 1) else {
            continue;
        };
        let tried = sample.search(ef, *slack)?;
        if reaches(&tried) && tried.visits < best.visits {
            best = tried;
        }
    }
    Ok(Some(best).filter(|best| pays(best.visits)))
}

/// What a search with so many candidates finds.
pub(crate) fn measure(
    segment: &Arc<Segment>,
    ef: u32,
    cancelled: &dyn Fn() -> bool,
) -> Result<Calibration> {
    Sample::new(segment, cancelled)?.search(ef, f32::INFINITY)
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
            top_k: CALIBRATED_TOP_K,
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

    fn search(&self, ef: u32, slack: f32) -> Result<Calibration> {
        let options = VecSearchOptions {
            top_k: CALIBRATED_TOP_K,
            ef: Some(ef as usize),
            slack: Some(slack),
            ..VecSearchOptions::default()
        };
        let (mut found, mut all, mut visits) = (0, 0, 0);
        for (vector, best) in &self.asked {
            let (hits, visited) = self.searcher.search_and_count(vector, &options)?;
            // What scores like the last one would do as well.
            let least = best.last().map_or(f32::INFINITY, |hit| hit.score);
            found += hits.iter().filter(|hit| hit.score >= least).count();
            all += best.len();
            visits += visited;
        }
        Ok(Calibration {
            ef,
            slack,
            recall: found as f32 / all.max(1) as f32,
            visits: u32::try_from(visits / self.asked.len().max(1) as u64).unwrap_or(u32::MAX),
        })
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
