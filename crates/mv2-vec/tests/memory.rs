//! What a join allocates. One test, as the allocator counts for all that run at a time.

use mv2_format::{FrameId, SegmentBytes};
use mv2_vec::{Exact, Segment, SegmentBuilder, Spec, encode_rows};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const DIMS: usize = 256;

/// A segment of those frames that are so much apart.
fn segment(spec: &Spec, first: u64, step: usize, frames: usize) -> Segment {
    let mut builder = SegmentBuilder::new(*spec).unwrap();
    for frame in (first..).step_by(step).take(frames) {
        let vector: Vec<f32> = (0..DIMS as u64)
            .map(|at| ((frame + 1) * (at + 7) % 97) as f32 - 48.0)
            .collect();
        let rows = encode_rows(spec, &[(0..9, &vector)]).unwrap();
        builder.add(FrameId(frame), &rows).unwrap();
    }
    Segment::open(SegmentBytes::from_vec(builder.finish().unwrap())).unwrap()
}

#[test]
fn a_join_has_what_it_writes_in_memory_once_and_some_bytes_for_each_row() {
    let spec = Spec {
        exact: Exact::None,
        ..Spec::new(DIMS as u32).unwrap()
    };
    // One behind the other, as an import leaves them; and row by row in turn, which no copy of a run does.
    let behind: Vec<_> = (0..8).map(|at| segment(&spec, at * 500, 1, 500)).collect();
    let in_turn: Vec<_> = (0..8).map(|at| segment(&spec, at, 8, 500)).collect();
    let bytes = [behind, in_turn].map(|segments| {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let mut builder = SegmentBuilder::new(spec).unwrap();
        for segment in &segments {
            builder.add_segment(segment, &|_| true).unwrap();
        }
        let bytes = builder.finish().unwrap();
        let peak = MEMORY.peak_usage() - before;
        let allowed = bytes.len() + 4_000 * 64;
        assert!(
            peak < allowed,
            "{peak} bytes for a segment of {}",
            bytes.len()
        );
        assert_eq!(bytes.len(), bytes.capacity());
        bytes
    });
    assert_eq!(bytes[0], bytes[1], "the same rows");
}
