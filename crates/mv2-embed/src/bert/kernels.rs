//! What a layer does between two matrix products, element by element, each in one pass over memory.
//!
//! The loops are written for the compiler to vectorise: sums run in [`LANES`] lanes, nothing branches, and `exp` is a
//! polynomial. [`pulp`] compiles them for the processors that it knows and picks one when the program runs. The lanes are part
//! of the definition, so that all of them add in the same order.

use pulp::Arch;

/// Sums that run beside each other: what the widest registers hold, 512 bits.
const LANES: usize = 16;

/// Adds `bias` to each row.
pub(super) fn add_bias(rows: &mut [f32], bias: &[f32]) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (x, b) in row.iter_mut().zip(bias) {
                    *x += b;
                }
            }
        },
    );
}

/// Softmax of `scale * row` for each row of `length` numbers.
pub(super) fn softmax(rows: &mut [f32], length: usize, scale: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(length) {
                let top = max(row);
                for x in row.iter_mut() {
                    *x = exp(scale * (*x - top));
                }
                let factor = 1.0 / sum(row);
                for x in row.iter_mut() {
                    *x *= factor;
                }
            }
        },
    );
}

/// What a layer is told to do with numbers after they are added up: LayerNorm's weights.
#[derive(Clone, Copy)]
pub(super) struct Norm<'a> {
    pub(super) weight: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) epsilon: f32,
}

/// `rows = norm(rows + added + bias)`, row by row.
pub(super) fn add_norm(rows: &mut [f32], added: &[f32], bias: &[f32], norm: Norm<'_>) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let width = norm.weight.len();
            for (row, added) in rows.chunks_exact_mut(width).zip(added.chunks_exact(width)) {
                for ((x, a), b) in row.iter_mut().zip(added).zip(bias) {
                    *x += a + b;
                }
                let mean = sum(row) / width as f32;
                for x in row.iter_mut() {
                    *x -= mean;
                }
                let variance = dot(row, row) / width as f32;
                let factor = 1.0 / (variance + norm.epsilon).sqrt();
                for ((x, w), b) in row.iter_mut().zip(norm.weight).zip(norm.bias) {
                    *x = *x * factor * w + b;
                }
            }
        },
    );
}

/// What the middle of a layer does to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activation {
    /// x times the normal distribution function, by the error function.
    Gelu,
    /// The same by a hyperbolic tangent, which differs by up to 5e-4.
    GeluTanh,
    /// x where it is positive, else 0.
    Relu,
}

/// `rows = activation(rows + bias)`.
pub(super) fn activate(rows: &mut [f32], bias: &[f32], activation: Activation) {
    match activation {
        Activation::Gelu => each(rows, bias, gelu),
        Activation::GeluTanh => each(rows, bias, gelu_tanh),
        Activation::Relu => each(rows, bias, relu),
    }
}

fn each(rows: &mut [f32], bias: &[f32], function: impl Fn(f32) -> f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (x, b) in row.iter_mut().zip(bias) {
                    *x = function(*x + b);
                }
            }
        },
    );
}

/// Each row holds two halves, `width` numbers each: `out = first half * silu(second half)`.
pub(super) fn gate(rows: &[f32], out: &mut [f32], width: usize) {
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, out) in rows
                .chunks_exact(2 * width)
                .zip(out.chunks_exact_mut(width))
            {
                let (up, gate) = row.split_at(width);
                for ((out, up), gate) in out.iter_mut().zip(up).zip(gate) {
                    *out = up * gate / (1.0 + exp(-gate));
                }
            }
        },
    );
}

/// Turns each pair (x of the first half, x of the second half) of a head by an angle. `turns` holds the cosines of all pairs,
/// then the sines.
pub(super) fn rotate(head: &mut [f32], turns: &[f32]) {
    let half = head.len() / 2;
    let (cosines, sines) = turns.split_at(half);
    let (first, second) = head.split_at_mut(half);
    let pairs = first.iter_mut().zip(second).zip(cosines.iter().zip(sines));
    for ((a, b), (cosine, sine)) in pairs {
        (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine);
    }
}

/// Adds up rows: `out += row` for each.
pub(super) fn add_rows(rows: &[f32], out: &mut [f32]) {
    for row in rows.chunks_exact(out.len()) {
        for (sum, x) in out.iter_mut().zip(row) {
            *sum += x;
        }
    }
}

#[inline(always)]
fn sum(row: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += x;
    }
    lanes.iter().sum()
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *lane += a * b;
    }
    lanes.iter().sum()
}

#[inline(always)]
fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, *x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, *x);
    }
    lanes.iter().copied().fold(f32::NEG_INFINITY, larger)
}

/// e to the x, within 2e-7 of it; 0 below -87 and large above 88. Not a number stays so.
///
/// `x = n ln 2 + r` with |r| <= ln 2 / 2; e to the r is its series up to the 7th power, and n goes into the exponent. ln 2 is
/// taken in two parts, the first short enough that n times it is exact (W. J. Cody and W. Waite, 1980).
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 * 2^23: adding it leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Comparisons and not `clamp`, which would ask for its bounds' order and turn the order of the operands.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let series = 1.0
        + r * (1.0
            + r * (0.5
                + r * (1.0 / 6.0
                    + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r / 5040.0))))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    series * power
}

/// x times the normal distribution function. The error function is the one of C. Hastings (Approximations for Digital
/// Computers, 1955; formula 7.1.26 of Abramowitz and Stegun), within 1.5e-7.
#[inline(always)]
fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let polynomial = t
        * (0.254_829_6
            + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    // 1 - erf(z), which is what a negative x needs; a positive one needs 2 minus it.
    let tail = polynomial * exp(-z * z);
    0.5 * x * if x < 0.0 { tail } else { 2.0 - tail }
}

/// [`gelu`] as some models have it, by a hyperbolic tangent.
#[inline(always)]
fn gelu_tanh(x: f32) -> f32 {
    // sqrt(2 / pi); 0.5 (1 + tanh y) = 1 / (1 + exp(-2 y)).
    let y = 0.797_884_6 * (x + 0.044_715 * x * x * x);
    x / (1.0 + exp(-2.0 * y))
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    // Not `max`, which would make 0 of what is not a number.
    if x < 0.0 { 0.0 } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error function by its series, and by its continued fraction where that converges slowly.
    fn erf(x: f64) -> f64 {
        let mut term = x;
        let mut total = x;
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            total += term / (2.0 * n + 1.0);
        }
        total * std::f64::consts::FRAC_2_SQRT_PI
    }

    #[test]
    fn exp_is_within_its_error() {
        let mut x = -86.9_f32;
        while x < 88.0 {
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!(
                (found / expected - 1.0).abs() < 2e-7,
                "{x}: {found} {expected}"
            );
            x += 0.0137;
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e9) < 1e-37 && exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn gelu_is_within_its_error() {
        let mut x = -4.5_f32;
        while x < 4.5 {
            let wide = f64::from(x);
            let expected = 0.5 * wide * (1.0 + erf(wide / 2.0_f64.sqrt()));
            assert!((f64::from(gelu(x)) - expected).abs() < 1e-6, "{x}");
            assert!((f64::from(gelu_tanh(x)) - expected).abs() < 6e-4, "{x}");
            x += 0.0031;
        }
        assert_eq!(gelu(30.0), 30.0);
        assert!(gelu(-30.0).abs() < 1e-30 && gelu_tanh(-30.0).abs() < 1e-30);
        assert!(gelu(f32::NAN).is_nan() && gelu_tanh(f32::NAN).is_nan() && relu(f32::NAN).is_nan());
    }

    #[test]
    fn softmax_adds_up_to_one_and_does_not_overflow() {
        for length in [1, 2, 15, 16, 17, 100] {
            let row: Vec<f32> = (0..length).map(|at| (at * 7 % 13) as f32 * 30.0).collect();
            let mut found = [row.clone(), row.iter().map(|x| x + 1e4).collect()].concat();
            softmax(&mut found, length, 0.25);
            let top = row.iter().copied().fold(0.0, f32::max);
            let powers: Vec<f64> = row
                .iter()
                .map(|x| f64::from((x - top) * 0.25).exp())
                .collect();
            let total: f64 = powers.iter().sum();
            for (at, found) in found.iter().enumerate() {
                let expected = powers[at % length] / total;
                assert!((f64::from(*found) - expected).abs() < 1e-6);
            }
        }
        let mut spoilt = [1.0, f32::NAN, 2.0];
        softmax(&mut spoilt, 3, 1.0);
        assert!(spoilt.iter().any(|x| x.is_nan()));
    }

    #[test]
    fn norm_has_mean_and_variance_of_its_weights() {
        for width in [2, 16, 40] {
            let rows: Vec<f32> = (0..3 * width).map(|at| (at * at % 31) as f32).collect();
            let added: Vec<f32> = (0..3 * width).map(|at| (at % 7) as f32).collect();
            let bias: Vec<f32> = (0..width).map(|at| at as f32 / 8.0).collect();
            let norm = Norm {
                weight: &vec![2.0; width],
                bias: &vec![-1.0; width],
                epsilon: 1e-12,
            };
            let mut found = rows.clone();
            add_norm(&mut found, &added, &bias, norm);
            for at in 0..3 {
                let row = at * width..(at + 1) * width;
                let sums: Vec<f64> = (0..width)
                    .map(|i| f64::from(rows[row.start + i] + added[row.start + i] + bias[i]))
                    .collect();
                let mean = sums.iter().sum::<f64>() / width as f64;
                let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                for (found, sum) in found[row].iter().zip(&sums) {
                    let expected = 2.0 * (sum - mean) / variance.sqrt() - 1.0;
                    assert!((f64::from(*found) - expected).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_gate_multiplies_by_silu() {
        let mut out = [0.0; 2];
        gate(&[2.0, 3.0, 1.0, -1.0], &mut out, 2);
        let silu = |x: f64| x / (1.0 + (-x).exp());
        assert!((f64::from(out[0]) - 2.0 * silu(1.0)).abs() < 1e-6);
        assert!((f64::from(out[1]) - 3.0 * silu(-1.0)).abs() < 1e-6);
    }

    #[test]
    fn a_turn_keeps_the_length() {
        let mut head = [3.0, 0.0, 4.0, 2.0];
        rotate(&mut head, &[0.6, 0.0, 0.8, 1.0]);
        let expected = [3.0 * 0.6 - 4.0 * 0.8, -2.0, 4.0 * 0.6 + 3.0 * 0.8, 0.0];
        for (found, expected) in head.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6);
        }
    }
}
