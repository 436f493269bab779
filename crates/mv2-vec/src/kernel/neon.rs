//! The int8 kernels with NEON. Floating point needs none of its own: NEON belongs to every AArch64
//! target, so that the compiler makes the portable loops of it.

#![expect(unsafe_code, reason = "loads from slices by pointer")]

use std::arch::aarch64::*;

use super::Code;

/// `other` has as many bytes as the code.
#[target_feature(enable = "neon")]
#[inline]
pub(super) fn dot(code: Code<'_>, other: &[u8]) -> i32 {
    let mut sums = [vdupq_n_s32(0); 2];
    let (a, a_rest) = code.bytes.as_chunks::<16>();
    let (b, b_rest) = other.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        // SAFETY: both are arrays of 16 bytes; the loads need no alignment.
        let (a, b) = unsafe { (vld1q_s8(a.as_ptr().cast()), vld1q_s8(b.as_ptr().cast())) };
        // A product of two bytes fits 16 bits, -128 x -128 included; pairs are added in 32.
        sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(a), vget_low_s8(b)));
        sums[1] = vpadalq_s16(sums[1], vmull_high_s8(a, b));
    }
    let rest: i32 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(a, b)| i32::from(*a as i8) * i32::from(*b as i8))
        .sum();
    vaddvq_s32(vaddq_s32(sums[0], sums[1])) + rest
}

#[target_feature(enable = "neon")]
pub(super) fn dots(code: Code<'_>, others: &[u8], out: &mut [i32]) {
    for (other, out) in others.chunks_exact(code.bytes.len()).zip(out) {
        *out = dot(code, other);
    }
}

#[target_feature(enable = "neon")]
pub(super) fn dots_of(code: Code<'_>, others: &[&[u8]], out: &mut [i32]) {
    for (other, out) in others.iter().zip(out) {
        *out = dot(code, other);
    }
}
