//! The kernels without special instructions: what the others must agree with, bit for bit.

use super::Code;

/// Partial sums of a floating-point kernel; see the head of [`super`].
pub(super) const LANES: usize = 32;

pub(super) fn dot(code: Code<'_>, other: &[u8]) -> i32 {
    code.bytes
        .iter()
        .zip(other)
        .map(|(a, b)| i32::from(*a as i8) * i32::from(*b as i8))
        .sum()
}

pub(super) fn dots(code: Code<'_>, others: &[u8], out: &mut [i32]) {
    for (other, out) in others.chunks_exact(code.bytes.len()).zip(out) {
        *out = dot(code, other);
    }
}

pub(super) fn dots_of(code: Code<'_>, others: &[&[u8]], out: &mut [i32]) {
    for (other, out) in others.iter().zip(out) {
        *out = dot(code, other);
    }
}

pub(super) fn dot_f32(vector: &[f32], other: &[u8]) -> f32 {
    sum::<4>(vector, other, f32::from_le_bytes, |a, b| a * b)
}

pub(super) fn dot_f16(vector: &[f32], other: &[u8]) -> f32 {
    sum::<2>(vector, other, half, |a, b| a * b)
}

pub(super) fn l2_f32(vector: &[f32], other: &[u8]) -> f32 {
    sum::<4>(vector, other, f32::from_le_bytes, square)
}

pub(super) fn l2_f16(vector: &[f32], other: &[u8]) -> f32 {
    sum::<2>(vector, other, half, square)
}

fn square(a: f32, b: f32) -> f32 {
    let difference = a - b;
    difference * difference
}

/// A finite f16 as f32, exactly. Its 15 lower bits, moved into place, are the number with an
/// exponent that is too small by 112; a product with 2^112 repairs that, for subnormal ones too.
/// What is not finite is refused before it is stored.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let scale = f32::from_bits((127 + 112) << 23);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * scale;
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// Adds up `term` over the components, in the order that the head of [`super`] defines.
#[inline(always)]
fn sum<const BYTES: usize>(
    vector: &[f32],
    other: &[u8],
    read: impl Fn([u8; BYTES]) -> f32,
    term: impl Fn(f32, f32) -> f32,
) -> f32 {
    let (others, _) = other.as_chunks::<BYTES>();
    let len = vector.len().min(others.len());
    let (vectors, vector_rest) = vector[..len].as_chunks::<LANES>();
    let (others, other_rest) = others[..len].as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in vectors.iter().zip(others) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], read(b[lane]));
        }
    }
    for (lane, (a, b)) in vector_rest.iter().zip(other_rest).enumerate() {
        sums[lane] += term(*a, read(*b));
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}
