//! Timelines against a naive sorted list: random segmentations, cut-offs, dead frames, both orders.

use std::cell::Cell;
use std::collections::BTreeSet;

use mv2_format::{
    Frame, FrameId, FrameMeta, FrameSet, IndexFactory, SegmentBytes, SegmentKind, Timestamp,
};
use mv2_time::{Error, Order, Page, Query, Row, Segment, TimeIndex, Timeline};
use proptest::prelude::*;

/// Frames with times, cut into segments at some places.
#[derive(Clone, Debug)]
struct Memory {
    times: Vec<i64>,
    cuts: BTreeSet<usize>,
}

impl Memory {
    fn segments(&self) -> Vec<Segment> {
        let mut ends: Vec<usize> = self.cuts.iter().copied().collect();
        ends.push(self.times.len());
        let mut start = 0;
        let mut segments = Vec::new();
        for end in ends {
            if start < end {
                let rows = (start..end).map(|at| (Timestamp(self.times[at]), FrameId(at as u64)));
                segments.push(Segment::build(rows).unwrap());
            }
            start = end;
        }
        segments
    }

    /// The answer, the naive way.
    fn expected(&self, query: &Query, cutoff: u64, dead: &BTreeSet<u64>) -> Vec<Row> {
        let mut rows: Vec<Row> = (0..self.times.len().min(cutoff as usize))
            .map(|at| Row {
                timestamp: Timestamp(self.times[at]),
                frame: FrameId(at as u64),
            })
            .filter(|row| !dead.contains(&row.frame.get()))
            .filter(|row| query.since.is_none_or(|since| row.timestamp >= since))
            .filter(|row| query.until.is_none_or(|until| row.timestamp <= until))
            .collect();
        rows.sort();
        if query.order == Order::NewestFirst {
            rows.reverse();
        }
        rows
    }
}

/// Times that mostly rise, that are often equal, that are wild.
fn times() -> impl Strategy<Value = Vec<i64>> {
    let rising = prop::collection::vec(0i64..3, 0..900).prop_map(|deltas| {
        let mut now = 1_700_000_000_000_000;
        deltas
            .iter()
            .map(|delta| {
                now += delta * 1_000_000;
                now
            })
            .collect()
    });
    let equal = prop::collection::vec(0i64..4, 0..900);
    let wild = prop::collection::vec(any::<i64>(), 0..400);
    prop_oneof![rising, equal, wild]
}

fn memory() -> impl Strategy<Value = Memory> {
    times().prop_flat_map(|times| {
        let len = times.len().max(1);
        prop::collection::btree_set(0..len, 0..5).prop_map(move |cuts| Memory {
            times: times.clone(),
            cuts,
        })
    })
}

/// A bound near one of the times.
fn bound(memory: &Memory, pick: Option<(prop::sample::Index, i64)>) -> Option<Timestamp> {
    let (index, nudge) = pick?;
    let time = memory.times.get(index.index(memory.times.len().max(1)))?;
    Some(Timestamp(time.saturating_add(nudge)))
}

fn near() -> impl Strategy<Value = Option<(prop::sample::Index, i64)>> {
    prop::option::of((any::<prop::sample::Index>(), -1i64..2))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pages_show_each_visible_row_once(
        memory in memory(),
        ends in (near(), near()),
        oldest: bool,
        cut: prop::sample::Index,
        whole: bool,
        every in 2u64..9,
        sizes in prop::collection::vec(1usize..200, 1..4),
    ) {
        let (mut since, mut until) = (bound(&memory, ends.0), bound(&memory, ends.1));
        if since.is_some() && until.is_some() && since > until {
            std::mem::swap(&mut since, &mut until);
        }
        let order = if oldest { Order::OldestFirst } else { Order::NewestFirst };
        let query = Query { since, until, order };
        let len = memory.times.len();
        let cutoff = if whole { len } else { cut.index(len + 1) } as u64;
        let dead: BTreeSet<u64> = (0..len as u64).filter(|id| id % every == 1).collect();
        let segments = memory.segments();
        for segment in &segments {
            segment.verify().unwrap();
        }
        let test = |id: FrameId| Ok(dead.contains(&id.get()));
        let timeline = Timeline::new(&segments, FrameId(cutoff), &test);
        let expected = memory.expected(&query, cutoff, &dead);

        let all: Vec<Row> = timeline.rows(&query, None).unwrap().collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(&all, &expected);

        let mut paged = Vec::new();
        let mut cursor = None;
        for size in sizes.iter().cycle() {
            let Page { rows, next } = timeline.page(&query, *size, cursor.as_ref()).unwrap();
            prop_assert!(rows.len() <= *size);
            prop_assert!(next.is_none() || rows.len() == *size);
            paged.extend(rows);
            // A cursor goes through its text, as it does between two commands.
            cursor = next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(&paged, &expected);

        let runs = segments.iter().flat_map(|segment| segment.frames_between(since, until).unwrap());
        let found: FrameSet = runs.collect();
        let everyone = memory.expected(&query, u64::MAX, &BTreeSet::new());
        let expected: FrameSet = everyone.into_iter().map(|row| row.frame).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn the_factory_writes_what_build_writes(times in times()) {
        prop_assume!(!times.is_empty());
        let mut builder = TimeIndex::new().builder();
        for (at, time) in times.iter().enumerate() {
            let meta = FrameMeta {
                id: FrameId(at as u64 + 7),
                timestamp: Timestamp(*time),
                ..FrameMeta::default()
            };
            builder.add(&Frame { meta, payload: Vec::new() }).unwrap();
        }
        let bytes = builder.finish().unwrap();
        let segment = Segment::open(SegmentBytes::from_vec(bytes)).unwrap();
        segment.verify().unwrap();
        prop_assert_eq!(segment.rows(), times.len() as u64);
        prop_assert_eq!(segment.first_frame(), FrameId(7));
        prop_assert_eq!(segment.end_frame(), FrameId(7 + times.len() as u64));
        prop_assert_eq!(segment.first_time().unwrap().0, *times.iter().min().unwrap());
        prop_assert_eq!(segment.last_time().0, *times.iter().max().unwrap());
    }
}

#[test]
fn frames_in_the_order_of_their_times_are_a_few_runs() {
    let rows = (0..40_000).map(|at| (Timestamp(at), FrameId(at as u64)));
    let segment = Segment::build(rows).unwrap();
    let runs = segment.frames_between(Some(Timestamp(16_384)), None);
    assert_eq!(runs.unwrap().len(), 2, "a run for each group");
    let runs = segment.frames_between(Some(Timestamp(100)), Some(Timestamp(39_000)));
    let runs = runs.unwrap();
    // Blocks up to the first whole group, that group, blocks behind it, and rows at both ends.
    assert!(runs.len() < 127 + 1 + 50 + 256, "{}", runs.len());
    let set: FrameSet = runs.into_iter().collect();
    assert_eq!(set.runs(), [FrameId(100)..FrameId(39_001)]);
}

#[test]
fn a_past_snapshot_skips_what_came_later() {
    // A million rows would take longer to build; 40,000 have three groups.
    let rows = (0..40_000).map(|at| (Timestamp(at), FrameId(at as u64)));
    let segment = Segment::build(rows).unwrap();
    let asked = Cell::new(0);
    let test = |_| {
        asked.set(asked.get() + 1);
        Ok(false)
    };
    let timeline = Timeline::new([&segment], FrameId(100), &test);
    let page = timeline.page(&Query::default(), 10, None).unwrap();
    let frames: Vec<u64> = page.rows.iter().map(|row| row.frame.get()).collect();
    assert_eq!(frames, (90..100).rev().collect::<Vec<_>>());
    assert_eq!(
        asked.get(),
        11,
        "only the page and the row behind it are asked about"
    );
}

#[test]
fn a_cursor_of_another_timeline_is_an_error_that_says_what_differs() {
    let segment = Segment::build((0..10).map(|at| (Timestamp(at), FrameId(at as u64)))).unwrap();
    let test = |_| Ok(false);
    let timeline = Timeline::new([&segment], FrameId(10), &test);
    let query = Query {
        since: Some(Timestamp(1)),
        ..Query::default()
    };
    let cursor = timeline.page(&query, 2, None).unwrap().next.unwrap();
    let others = [
        ("since", Query::default()),
        (
            "until",
            Query {
                until: Some(Timestamp(9)),
                ..query
            },
        ),
        (
            "order",
            Query {
                order: Order::OldestFirst,
                ..query
            },
        ),
    ];
    for (expected, other) in others {
        match timeline.page(&other, 2, Some(&cursor)) {
            Err(Error::OtherCursor { what }) => assert_eq!(what, expected),
            result => panic!("{result:?}"),
        }
    }
    assert_eq!(cursor.query(), query);
}

#[test]
fn a_range_that_ends_before_it_begins_is_an_error_that_names_both() {
    let test = |_| Ok(false);
    let timeline = Timeline::new([], FrameId(0), &test);
    let query = Query {
        since: Some(Timestamp::from_secs(2)),
        until: Some(Timestamp::from_secs(1)),
        ..Query::default()
    };
    let message = timeline.page(&query, 1, None).unwrap_err().to_string();
    assert!(message.contains("1970-01-01T00:00:02") && message.contains("1970-01-01T00:00:01"));
}

#[test]
fn a_limit_of_nothing_or_everything_is_no_trouble() {
    let segment = Segment::build((0..10).map(|at| (Timestamp(at), FrameId(at as u64)))).unwrap();
    let test = |_| Ok(false);
    let timeline = Timeline::new([&segment], FrameId(10), &test);
    let none = timeline.page(&Query::default(), 0, None).unwrap();
    assert_eq!(none, Page::default());
    let all = timeline.page(&Query::default(), usize::MAX, None).unwrap();
    assert_eq!(all.rows.len(), 10);
    assert_eq!(all.next, None);
}

#[test]
fn a_failed_test_of_life_ends_the_timeline() {
    let segment = Segment::build((0..10).map(|at| (Timestamp(at), FrameId(at as u64)))).unwrap();
    let test = |id: FrameId| {
        if id.get() == 7 {
            Err("unreadable".into())
        } else {
            Ok(false)
        }
    };
    let timeline = Timeline::new([&segment], FrameId(10), &test);
    let mut rows = timeline.rows(&Query::default(), None).unwrap();
    assert!(rows.next().unwrap().is_ok() && rows.next().unwrap().is_ok());
    assert!(matches!(rows.next(), Some(Err(Error::Dead { frame, .. })) if frame.get() == 7));
    assert!(rows.next().is_none());
}

#[test]
fn frames_out_of_order_and_empty_segments_are_typed_errors() {
    let row = |id| (Timestamp(0), FrameId(id));
    assert!(matches!(Segment::build([]), Err(Error::NoFrames)));
    for ids in [[1, 1], [2, 1]] {
        assert!(matches!(
            Segment::build(ids.map(row)),
            Err(Error::Order { .. })
        ));
    }
    assert!(Segment::build([row(u64::MAX)]).is_err());
    assert!(Segment::build([row(u64::MAX - 1)]).is_ok());
}

#[test]
fn the_kind_has_a_name() {
    assert_eq!(SegmentKind::TIME.name(), "time");
}
