//! A code as graphs are built of it.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};

use instant_distance::Point;
use serde::{Serialize, Serializer};

use crate::kernel::{Code, Kernel};
use crate::spec::Metric;

/// The code of a node with its numbers. Serialises as nothing: only the links are wanted.
#[derive(Clone)]
pub(super) struct CodePoint<'a> {
    pub(super) kernel: Kernel,
    pub(super) metric: Metric,
    pub(super) code: Code<'a>,
    pub(super) scale: f32,
    /// Squared; 1 under the cosine.
    pub(super) norm: f32,
    /// Says that the graph is not wanted any more.
    pub(super) stop: &'a AtomicBool,
}

/// What unwinds the builder, which knows no other way to end early.
pub(super) struct Stopped;

impl CodePoint<'_> {
    /// How far another one is, by the dot product of the codes: the squared distance, half of it under the cosine. The dot
    /// product is no distance; less is nearer all the same.
    #[inline(always)]
    pub(super) fn distance_by(&self, dot: i32, other: &Self) -> f32 {
        let dot = dot as f32 * self.scale * other.scale;
        match self.metric {
            Metric::Cosine => 1.0 - dot,
            Metric::Dot => -dot,
            Metric::L2 => self.norm + other.norm - 2.0 * dot,
        }
    }
}

impl Point for CodePoint<'_> {
    fn distance(&self, other: &Self) -> f32 {
        if cfg!(panic = "unwind") && self.stop.load(Ordering::Relaxed) {
            resume_unwind(Box::new(Stopped));
        }
        self.distance_by(self.kernel.dot(self.code, other.code.bytes()), other)
    }
}

impl Serialize for CodePoint<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}
