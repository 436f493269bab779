//! Damaged bytes behind sound checksums: an error or some rows, never a panic or an endless walk.

use mv2_format::{Frame, FrameId, FrameMeta, IndexFactory, SegmentBytes, Timestamp};
use mv2_time::{Error, Order, Query, Segment, TimeIndex, Timeline};
use proptest::prelude::*;

fn bytes(rows: u64) -> Vec<u8> {
    let mut builder = TimeIndex::new().builder();
    for id in 0..rows {
        // Scattered, so that blocks share frames and some rows share a time.
        let time = (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as i64;
        let meta = FrameMeta {
            id: FrameId(id),
            timestamp: Timestamp(time * 1_000),
            ..FrameMeta::default()
        };
        let frame = Frame {
            meta,
            payload: Vec::new(),
        };
        builder.add(&frame).unwrap();
    }
    builder.finish().unwrap()
}

/// Does everything that can be done with a segment. Returns whether it verifies.
fn use_all(bytes: Vec<u8>) -> bool {
    let len = bytes.len();
    let Ok(segment) = Segment::open(SegmentBytes::from_vec(bytes)) else {
        return false;
    };
    let verified = segment.verify().is_ok();
    let _ = (segment.first_time(), segment.last_time(), segment.rows());
    let test = |_| Ok(false);
    for cutoff in [segment.end_frame(), FrameId(200), FrameId(0)] {
        let timeline = Timeline::new([&segment], cutoff, &test);
        for order in [Order::NewestFirst, Order::OldestFirst] {
            for since in [None, Some(Timestamp(2_000_000))] {
                let query = Query {
                    since,
                    order,
                    ..Query::default()
                };
                if let Ok(rows) = timeline.rows(&query, None) {
                    assert!(rows.take(len + 1).count() <= len, "a row takes a byte");
                }
                let _ = timeline.page(&query, usize::MAX, None);
            }
        }
    }
    verified
}

#[test]
fn every_flipped_bit_of_a_small_segment_is_survived() {
    let sound = bytes(300);
    assert!(use_all(sound.clone()));
    for at in 0..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            use_all(damaged);
        }
    }
}

#[test]
fn damage_of_head_and_directories_does_not_verify() {
    let sound = bytes(300);
    let directory = 64 + 32;
    for at in 0..directory + 3 * 40 {
        // Where a block begins is content: changed, it may be another sound segment.
        if at >= directory + 40 && (at - directory) % 40 < 16 {
            continue;
        }
        let mut damaged = sound.clone();
        damaged[at] ^= 0x10;
        assert!(!use_all(damaged), "byte {at}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let sound = bytes(300);
    for len in 0..sound.len() {
        assert!(!use_all(sound[..len].to_vec()), "{len} bytes");
    }
    let mut longer = sound;
    longer.push(0);
    assert!(!use_all(longer));
}

#[test]
fn another_version_is_said_to_be_one() {
    let mut other = bytes(1);
    other[4] = 2;
    assert!(matches!(
        Segment::open(SegmentBytes::from_vec(other)),
        Err(Error::Unsupported { found: 2, .. })
    ));
}

#[test]
fn a_huge_number_of_rows_is_refused_before_anything_is_allocated() {
    for rows in [u64::MAX, 1 << 32, (1 << 32) + 1, 1 << 40] {
        let mut damaged = bytes(300);
        damaged[8..16].copy_from_slice(&rows.to_le_bytes());
        damaged[24..32].copy_from_slice(&(u64::MAX - 1).to_le_bytes());
        assert!(Segment::open(SegmentBytes::from_vec(damaged)).is_err());
    }
}

proptest! {
    #[test]
    fn several_changed_bytes_are_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        rows in 1u64..700,
    ) {
        let mut damaged = bytes(rows);
        for (at, byte) in changes {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        use_all(damaged);
    }

    #[test]
    fn any_bytes_behind_a_head_are_survived(tail: Vec<u8>, rows in 1u64..400) {
        let mut made = bytes(1);
        made.truncate(64);
        made[8..16].copy_from_slice(&rows.to_le_bytes());
        made[24..32].copy_from_slice(&rows.to_le_bytes());
        made.extend(tail.iter().cycle().take(tail.len().min(1) * 2_000));
        use_all(made);
    }
}
