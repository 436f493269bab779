//! The kernels with AVX2 and F16C, and with AVX-512 VNNI for int8.
//!
//! VNNI multiplies unsigned by signed bytes. A stored component plus 128 is unsigned, and adding
//! 128 flips its highest bit; the surplus is 128 times the sum of the query's components, which is
//! known once for all rows, so that rows need no sum of their own.

#![expect(unsafe_code, reason = "loads from slices by pointer")]

use std::arch::x86_64::*;

use super::Code;
use super::portable::LANES;

pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
}

pub(super) fn has_vnni() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

#[inline(always)]
pub(super) fn prefetch(bytes: &[u8]) {
    for line in bytes.chunks(64) {
        // SAFETY: a hint, which reads nothing; SSE, which has it, belongs to every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
}

/// `other` has as many bytes as the code.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
pub(super) fn dot_vnni(code: Code<'_>, other: &[u8]) -> i32 {
    let high = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); 2];
    let (a, a_rest) = code.bytes.as_chunks::<64>();
    let (b, b_rest) = other.as_chunks::<64>();
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        // SAFETY: both are arrays of 64 bytes; the loads need no alignment.
        let (a, b) = unsafe {
            (
                _mm512_loadu_si512(a.as_ptr().cast()),
                _mm512_loadu_si512(b.as_ptr().cast()),
            )
        };
        sums[at % 2] = _mm512_dpbusd_epi32(sums[at % 2], _mm512_xor_si512(b, high), a);
    }
    if !a_rest.is_empty() && a_rest.len() == b_rest.len() {
        let mask = (1u64 << a_rest.len()) - 1;
        // SAFETY: the mask has as many bits as both rests have bytes; others are not read.
        let (a, b) = unsafe {
            (
                _mm512_maskz_loadu_epi8(mask, a_rest.as_ptr().cast()),
                _mm512_maskz_loadu_epi8(mask, b_rest.as_ptr().cast()),
            )
        };
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_xor_si512(b, high), a);
    }
    _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])) - 128 * code.sum
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dots_vnni(code: Code<'_>, others: &[u8], out: &mut [i32]) {
    let dims = code.bytes.len();
    let (fours, rest) = out.as_chunks_mut::<4>();
    let mut rows = others.chunks_exact(dims);
    for out in fours {
        if let (Some(a), Some(b), Some(c), Some(d)) =
            (rows.next(), rows.next(), rows.next(), rows.next())
        {
            *out = dot4_vnni(code, [a, b, c, d]);
        }
    }
    for (other, out) in rows.zip(rest) {
        *out = dot_vnni(code, other);
    }
}

/// Each of the others has as many bytes as the code.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) fn dots_of_vnni(code: Code<'_>, others: &[&[u8]], out: &mut [i32]) {
    let (fours, rest) = others.as_chunks::<4>();
    let (out_fours, out_rest) = out.as_chunks_mut::<4>();
    for (four, out) in fours.iter().zip(out_fours) {
        *out = dot4_vnni(code, *four);
    }
    for (other, out) in rest.iter().zip(out_rest) {
        *out = dot_vnni(code, other);
    }
}

/// Four at once: the code is loaded once, and the sums are folded together. Without `map`, whose closures would not be inlined
/// and would pass their registers through memory.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn dot4_vnni(code: Code<'_>, others: [&[u8]; 4]) -> [i32; 4] {
    let high = _mm512_set1_epi8(-128);
    let zero = _mm512_setzero_si512();
    let mut sums = [zero, zero, zero, zero];
    let (a, a_rest) = code.bytes.as_chunks::<64>();
    let (b, b_rest) = others[0].as_chunks::<64>();
    let (c, c_rest) = others[1].as_chunks::<64>();
    let (d, d_rest) = others[2].as_chunks::<64>();
    let (e, e_rest) = others[3].as_chunks::<64>();
    for ((((a, b), c), d), e) in a.iter().zip(b).zip(c).zip(d).zip(e) {
        // SAFETY: arrays of 64 bytes; the loads need no alignment.
        let (a, b, c, d, e) = unsafe {
            (
                _mm512_loadu_si512(a.as_ptr().cast()),
                _mm512_loadu_si512(b.as_ptr().cast()),
                _mm512_loadu_si512(c.as_ptr().cast()),
                _mm512_loadu_si512(d.as_ptr().cast()),
                _mm512_loadu_si512(e.as_ptr().cast()),
            )
        };
        sums[0] = _mm512_dpbusd_epi32(sums[0], _mm512_xor_si512(b, high), a);
        sums[1] = _mm512_dpbusd_epi32(sums[1], _mm512_xor_si512(c, high), a);
        sums[2] = _mm512_dpbusd_epi32(sums[2], _mm512_xor_si512(d, high), a);
        sums[3] = _mm512_dpbusd_epi32(sums[3], _mm512_xor_si512(e, high), a);
    }
    if !a_rest.is_empty() {
        let mask = (1u64 << a_rest.len()) - 1;
        // SAFETY: the mask has as many bits as the rest has bytes; others are not read.
        let a = unsafe { _mm512_maskz_loadu_epi8(mask, a_rest.as_ptr().cast()) };
        for (sum, other) in sums.iter_mut().zip([b_rest, c_rest, d_rest, e_rest]) {
            if other.len() == a_rest.len() {
                // SAFETY: as above, with a rest of the same length.
                let other = unsafe { _mm512_maskz_loadu_epi8(mask, other.as_ptr().cast()) };
                *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(other, high), a);
            }
        }
    }
    let left = _mm256_hadd_epi32(halve(sums[0]), halve(sums[1]));
    let right = _mm256_hadd_epi32(halve(sums[2]), halve(sums[3]));
    // Each half of this has a part of each of the four sums.
    let halves = _mm256_hadd_epi32(left, right);
    let sums = _mm_add_epi32(
        _mm256_castsi256_si128(halves),
        _mm256_extracti128_si256(halves, 1),
    );
    let sums = _mm_sub_epi32(sums, _mm_set1_epi32(128 * code.sum));
    [
        _mm_extract_epi32(sums, 0),
        _mm_extract_epi32(sums, 1),
        _mm_extract_epi32(sums, 2),
        _mm_extract_epi32(sums, 3),
    ]
}

/// The sums of both halves.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
fn halve(sums: __m512i) -> __m256i {
    _mm256_add_epi32(
        _mm512_castsi512_si256(sums),
        _mm512_extracti64x4_epi64(sums, 1),
    )
}

/// `other` has as many bytes as the code.
#[target_feature(enable = "avx2")]
#[inline]
pub(super) fn dot_avx2(code: Code<'_>, other: &[u8]) -> i32 {
    let mut sums = [_mm256_setzero_si256(); 2];
    let (a, a_rest) = code.bytes.as_chunks::<16>();
    let (b, b_rest) = other.as_chunks::<16>();
    for (at, (a, b)) in a.iter().zip(b).enumerate() {
        // SAFETY: both are arrays of 16 bytes; the loads need no alignment.
        let (a, b) = unsafe {
            (
                _mm_loadu_si128(a.as_ptr().cast()),
                _mm_loadu_si128(b.as_ptr().cast()),
            )
        };
        // Pairs of 16-bit products fit 32 bits for any bytes, -128 included.
        let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b));
        sums[at % 2] = _mm256_add_epi32(sums[at % 2], products);
    }
    let sum = _mm256_add_epi32(sums[0], sums[1]);
    let sum = _mm_add_epi32(
        _mm256_castsi256_si128(sum),
        _mm256_extracti128_si256(sum, 1),
    );
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b01_00_11_10));
    let sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0b10_11_00_01));
    let rest: i32 = a_rest
        .iter()
        .zip(b_rest)
        .map(|(a, b)| i32::from(*a as i8) * i32::from(*b as i8))
        .sum();
    _mm_cvtsi128_si32(sum) + rest
}

#[target_feature(enable = "avx2")]
pub(super) fn dots_avx2(code: Code<'_>, others: &[u8], out: &mut [i32]) {
    for (other, out) in others.chunks_exact(code.bytes.len()).zip(out) {
        *out = dot_avx2(code, other);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn dots_of_avx2(code: Code<'_>, others: &[&[u8]], out: &mut [i32]) {
    for (other, out) in others.iter().zip(out) {
        *out = dot_avx2(code, other);
    }
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn dot_f32(vector: &[f32], other: &[u8]) -> f32 {
    sum::<4, false>(vector, other)
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn dot_f16(vector: &[f32], other: &[u8]) -> f32 {
    sum::<2, false>(vector, other)
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn l2_f32(vector: &[f32], other: &[u8]) -> f32 {
    sum::<4, true>(vector, other)
}

#[target_feature(enable = "avx2,f16c")]
pub(super) fn l2_f16(vector: &[f32], other: &[u8]) -> f32 {
    sum::<2, true>(vector, other)
}

/// Adds up products, or squares of differences, in the order that the head of [`super`] defines:
/// four registers of eight partial sums. `BYTES` is 4 for components of f32 and 2 for f16.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn sum<const BYTES: usize, const SQUARES: bool>(vector: &[f32], other: &[u8]) -> f32 {
    let (others, _) = other.as_chunks::<BYTES>();
    let len = vector.len().min(others.len());
    let (vectors, vector_rest) = vector[..len].as_chunks::<LANES>();
    let (others, other_rest) = others[..len].as_chunks::<LANES>();
    let mut sums = [_mm256_setzero_ps(); 4];
    for (a, b) in vectors.iter().zip(others) {
        sums = add::<BYTES, SQUARES>(sums, a, b);
    }
    if !vector_rest.is_empty() {
        let (mut a, mut b) = ([0.0; LANES], [[0; BYTES]; LANES]);
        a[..vector_rest.len()].copy_from_slice(vector_rest);
        b[..other_rest.len()].copy_from_slice(other_rest);
        sums = add::<BYTES, SQUARES>(sums, &a, &b);
    }
    let eight = _mm256_add_ps(
        _mm256_add_ps(sums[0], sums[2]),
        _mm256_add_ps(sums[1], sums[3]),
    );
    let four = _mm_add_ps(
        _mm256_castps256_ps128(eight),
        _mm256_extractf128_ps(eight, 1),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    let one = _mm_add_ss(two, _mm_shuffle_ps(two, two, 1));
    _mm_cvtss_f32(one)
}

/// The sums with one more term each.
#[target_feature(enable = "avx2,f16c")]
#[inline]
fn add<const BYTES: usize, const SQUARES: bool>(
    mut sums: [__m256; 4],
    a: &[f32; LANES],
    b: &[[u8; BYTES]; LANES],
) -> [__m256; 4] {
    const { assert!(BYTES == 2 || BYTES == 4) };
    for (at, sum) in sums.iter_mut().enumerate() {
        let (a, b) = (&a[at * 8..at * 8 + 8], &b[at * 8..at * 8 + 8]);
        // SAFETY: eight components of `a` are 32 bytes, eight of `b` are 32 or 16; the loads read
        // just as many and need no alignment.
        let (a, b) = unsafe {
            let b = if BYTES == 4 {
                _mm256_loadu_ps(b.as_ptr().cast())
            } else {
                _mm256_cvtph_ps(_mm_loadu_si128(b.as_ptr().cast()))
            };
            (_mm256_loadu_ps(a.as_ptr()), b)
        };
        let term = if SQUARES {
            let difference = _mm256_sub_ps(a, b);
            _mm256_mul_ps(difference, difference)
        } else {
            _mm256_mul_ps(a, b)
        };
        *sum = _mm256_add_ps(*sum, term);
    }
    sums
}
