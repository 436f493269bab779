//! Every path that this processor has, against plain loops and against each other, bit for bit.

use half::f16;
use proptest::prelude::*;

use super::{Code, Kernel};

fn naive_dot(a: &[u8], b: &[u8]) -> i32 {
    let mut sum = 0;
    for at in 0..a.len() {
        sum += i32::from(a[at] as i8) * i32::from(b[at] as i8);
    }
    sum
}

/// The definition in the head of the module, said once more without chunks.
fn naive_sum(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 32];
    for at in 0..a.len() {
        sums[at % 32] += term(a[at], b[at]);
    }
    for width in [16, 8, 4, 2, 1] {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0]
}

fn bytes_of(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

proptest! {
    #[test]
    fn int8_paths_agree_with_a_plain_loop(
        (dims, bytes) in (1usize..300).prop_flat_map(|dims| {
            (Just(dims), proptest::collection::vec(any::<u8>(), dims * 8))
        })
    ) {
        let (query, rows) = bytes.split_at(dims);
        let expected: Vec<i32> = rows.chunks(dims).map(|row| naive_dot(query, row)).collect();
        for kernel in Kernel::all() {
            let mut out = vec![1; 7];
            kernel.dots(Code::new(query), rows, &mut out);
            prop_assert_eq!(&out, &expected, "{}", kernel.name());
            prop_assert_eq!(kernel.dot(Code::new(query), &rows[..dims]), expected[0]);
            let mut others: Vec<&[u8]> = rows.chunks(dims).collect();
            others.reverse();
            kernel.dots_of(Code::new(query), &others, &mut out);
            out.reverse();
            prop_assert_eq!(&out, &expected, "{}", kernel.name());
        }
    }

    #[test]
    fn floating_point_paths_agree_bit_for_bit(
        pairs in proptest::collection::vec((-2.0f32..2.0, -2.0f32..2.0), 1..300)
    ) {
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let halves: Vec<f16> = b.iter().map(|x| f16::from_f32(*x)).collect();
        let rounded: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
        let half_bytes: Vec<u8> = halves.iter().flat_map(|x| x.to_bits().to_le_bytes()).collect();
        let product = |a: f32, b: f32| a * b;
        let square = |a: f32, b: f32| (a - b) * (a - b);
        for kernel in Kernel::all() {
            let found = [
                kernel.dot_f32(&a, &bytes_of(&b)),
                kernel.squared_l2_f32(&a, &bytes_of(&b)),
                kernel.dot_f16(&a, &half_bytes),
                kernel.squared_l2_f16(&a, &half_bytes),
            ];
            let expected = [
                naive_sum(&a, &b, product),
                naive_sum(&a, &b, square),
                naive_sum(&a, &rounded, product),
                naive_sum(&a, &rounded, square),
            ];
            prop_assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits), "{}", kernel.name());
        }
    }
}

#[test]
fn every_finite_half_is_read_exactly() {
    for bits in 0..=u16::MAX {
        let expected = f16::from_bits(bits).to_f32();
        if !expected.is_finite() {
            continue;
        }
        for kernel in Kernel::all() {
            // Zero plus a negative zero is a positive one.
            let found = kernel.dot_f16(&[1.0], &bits.to_le_bytes());
            assert_eq!(found, expected, "{bits:#x} {}", kernel.name());
        }
    }
}

#[test]
fn the_largest_codes_of_the_most_dimensions_do_not_overflow() {
    let low = vec![0x80u8; 4096];
    let high = vec![0x7fu8; 4096];
    for kernel in Kernel::all() {
        assert_eq!(kernel.dot(Code::new(&low), &low), 4096 * 128 * 128);
        assert_eq!(kernel.dot(Code::new(&low), &high), -4096 * 128 * 127);
        assert_eq!(kernel.dot(Code::new(&high), &high), 4096 * 127 * 127);
    }
}

#[test]
fn a_shorter_row_counts_as_zeros() {
    let code = [1u8, 2, 3, 4];
    for kernel in Kernel::all() {
        assert_eq!(kernel.dot(Code::new(&code), &[1, 1]), 3);
        assert_eq!(kernel.dot_f32(&[1.0, 2.0], &1.0f32.to_le_bytes()), 1.0);
    }
}
