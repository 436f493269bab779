//! Matrix products in single precision: the one place that calls the kernels of `gemm`, and checks what they are given.

#![allow(unsafe_code)]

use gemm::Parallelism;

/// A matrix in a slice. Element (r, c) stands at `r * row_stride + c * column_stride`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one behind the other, without gaps.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// Rows that begin `row_stride` apart.
    ///
    /// # Panics
    /// If the slice is too short.
    pub(super) fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        assert!(end(rows, columns, row_stride) <= data.len());
        Self {
            data,
            rows,
            columns,
            row_stride,
            column_stride: 1,
        }
    }

    /// The same elements, mirrored: rows become columns.
    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Writes `left * right` into rows of `out` that begin `row_stride` apart. What stands between them is not touched.
///
/// An element is summed in an order that depends on the number of terms, not on the number of rows, so that a row comes out
/// the same whatever stands beside it.
///
/// # Panics
/// If the shapes do not fit each other or `out`.
pub(super) fn multiply(left: Matrix<'_>, right: Matrix<'_>, out: &mut [f32], row_stride: usize) {
    let (rows, columns, terms) = (left.rows, right.columns, left.columns);
    assert_eq!(terms, right.rows);
    assert!(columns <= row_stride && end(rows, columns, row_stride) <= out.len());
    let stride =
        |n: usize| isize::try_from(n).expect("a stride is less than the length of a slice");
    // SAFETY: the kernels read element (r, c) of `left` for r < rows, c < terms, of `right` for r < terms, c < columns, and write
    // those of `out` for r < rows, c < columns. Each view was made by `strided`, which holds the last of them against its slice,
    // and `transposed` keeps the set of places; the assertion above does so for `out`. `out` is borrowed mutably, so that it
    // overlaps neither, and its rows do not overlap each other, as they are no longer than their distance. It is not read first.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            terms,
            out.as_mut_ptr(),
            1,
            stride(row_stride),
            false,
            left.data.as_ptr(),
            stride(left.column_stride),
            stride(left.row_stride),
            right.data.as_ptr(),
            stride(right.column_stride),
            stride(right.row_stride),
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Where the last element ends.
///
/// # Panics
/// If that is beyond what a number can hold.
fn end(rows: usize, columns: usize, row_stride: usize) -> usize {
    match (rows, columns) {
        (0, _) | (_, 0) => 0,
        _ => (rows - 1)
            .checked_mul(row_stride)
            .and_then(|start| start.checked_add(columns))
            .expect("a matrix is smaller than the memory"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count)
            .map(|at| ((at * 37 + seed * 11) % 23) as f32 - 11.0)
            .collect()
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_definition(
            rows in 0_usize..20,
            columns in 1_usize..40,
            terms in 1_usize..40,
            gap in 0_usize..3,
            mirrored: bool,
        ) {
            let left = numbers(rows * (terms + gap), 1);
            let right = numbers(terms * columns, 2);
            let mut out = vec![0.5; rows * (columns + gap)];
            let view = match mirrored {
                true => Matrix::new(&right, columns, terms).transposed(),
                false => Matrix::new(&right, terms, columns),
            };
            multiply(Matrix::strided(&left, rows, terms, terms + gap), view, &mut out, columns + gap);
            for row in 0..rows {
                for column in 0..columns + gap {
                    let found = out[row * (columns + gap) + column];
                    let expected: f32 = match (column < columns, mirrored) {
                        (false, _) => 0.5,
                        (true, false) => (0..terms).map(|t| left[row * (terms + gap) + t] * right[t * columns + column]).sum(),
                        (true, true) => (0..terms).map(|t| left[row * (terms + gap) + t] * right[column * terms + t]).sum(),
                    };
                    // Whole numbers this small are summed without rounding.
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn a_slice_that_is_too_short_is_refused() {
        Matrix::new(&[0.0; 5], 2, 3);
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn shapes_that_do_not_fit_are_refused() {
        let data = [0.0; 6];
        multiply(
            Matrix::new(&data, 2, 3),
            Matrix::new(&data, 2, 3),
            &mut [0.0; 6],
            3,
        );
    }
}
