//! A query, prepared: its code, its exact form, and how far a score by codes can be off.
//!
//! Let x be a stored vector, q the query, x' and q' their codes times their scales. Then
//!
//! ```text
//! q.x - q'.x' = q.(x - x') + (q - q').x'
//! |q.(x - x')|  <=  |q|_1 * HALF_STEP * scale of x        each component is off by half a step
//! |(q - q').x'| <=  |q - q'|_2 * (|x|_2 + |x - x'|_2)     Cauchy and Schwarz
//! ```
//!
//! plus what sums of rounded products are off by. So a scan of the codes leaves out only rows that
//! cannot be among the best: what it finds is exact, whatever the vectors are.

use crate::error::{Result, Which};
use crate::kernel::{Code, Kernel};
use crate::rows::{prepare, quantise, squared_norm};
use crate::segment::Segment;
use crate::spec::{Exact, Metric, Spec};

/// How far a component is from its code, in scales: half a step, and what rounding adds.
pub(crate) const HALF_STEP: f32 = 0.501;

/// A query for one space.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) spec: Spec,
    pub(crate) kernel: Kernel,
    exact: Vec<f32>,
    code: Vec<u8>,
    code_sum: i32,
    scale: f32,
    norm: f32,
    /// Its squared length.
    length: f32,
    /// The bound of a dot product is this times the row's scale,
    per_scale: f32,
    /// plus this times the row's norm.
    per_norm: f32,
    /// Relative rounding of sums.
    rounding: f32,
}

impl Query {
    pub(crate) fn new(spec: &Spec, vector: &[f32], kernel: Kernel) -> Result<Self> {
        let exact = prepare(spec, vector, Which::Query)?;
        let mut code = Vec::with_capacity(exact.len());
        let scale = quantise(spec, &exact, &mut code);
        let norm = squared_norm(spec, &exact, &code, scale);
        let mut query = Self {
            spec: *spec,
            kernel,
            scale,
            norm,
            length: 0.0,
            per_scale: 0.0,
            per_norm: 0.0,
            rounding: 0.0,
            exact,
            code_sum: Code::new(&code).sum(),
            code,
        };
        if spec.exact != Exact::None {
            query.bound();
        }
        Ok(query)
    }

    fn bound(&mut self) {
        let dims = f64::from(self.spec.dims);
        let (mut sum, mut squares, mut off) = (0.0, 0.0, 0.0);
        for (x, code) in self.exact.iter().zip(&self.code) {
            let x = f64::from(*x);
            let coded = f64::from(*code as i8) * f64::from(self.scale);
            sum += x.abs();
            squares += x * x;
            off += (x - coded) * (x - coded);
        }
        let (norm, off) = (squares.sqrt(), off.sqrt());
        // A sum of n products in f32 is off by at most n steps of 2^-24 of |q||x|; four times that
        // also covers the scores by codes and these bounds themselves.
        let rounding = (dims + 8.0) * 2f64.powi(-22);
        let half = f64::from(HALF_STEP);
        self.per_scale =
            (sum * half + (off + rounding * norm) * half * dims.sqrt()) as f32 * 1.0001;
        self.per_norm = (off + rounding * norm) as f32 * 1.0001;
        self.rounding = rounding as f32;
        self.length = squares as f32;
    }

    /// The code.
    pub(crate) fn code(&self) -> Code<'_> {
        Code::with_sum(&self.code, self.code_sum)
    }

    /// The score by codes, from their dot product and the row's scale and squared norm.
    #[inline(always)]
    pub(crate) fn near(&self, dot: i32, scale: f32, norm: f32) -> f32 {
        let near = dot as f32 * self.scale * scale;
        match self.spec.metric {
            Metric::Cosine | Metric::Dot => near,
            Metric::L2 => 2.0 * near - self.norm - norm,
        }
    }

    /// How far the exact score can be from the score by codes.
    #[inline(always)]
    pub(crate) fn off(&self, scale: f32, norm: f32) -> f32 {
        match self.spec.metric {
            // Norms are 1, or off by what rounding to f16 does.
            Metric::Cosine => self.per_scale * scale + self.per_norm * 1.001,
            Metric::Dot => self.per_scale * scale + self.per_norm * norm.sqrt(),
            Metric::L2 => {
                2.0 * (self.per_scale * scale + self.per_norm * norm.sqrt())
                    + self.rounding * (self.norm + norm)
            }
        }
    }

    /// How far the exact score is from the score by codes at the most, but for one row in a thousand million: components are rounded
    /// independently, each by up to half a scale, so that the error of a sum of products has a deviation of a scale times the other
    /// one's length by the root of 12. Six times that, and not beyond the bound.
    pub(crate) fn likely_off(&self, scale: f32, norm: f32) -> f32 {
        if self.spec.exact == Exact::None {
            return 0.0;
        }
        let (of_row, of_query) = (scale * scale * self.length, self.scale * self.scale * norm);
        let six = 6.0 * ((of_row + of_query) / 12.0).sqrt();
        let six = match self.spec.metric {
            Metric::Cosine | Metric::Dot => six,
            Metric::L2 => 2.0 * six,
        };
        six.min(self.off(scale, norm))
    }

    /// The score of what is `1 + slack` times as far away, by squared distances. The dot product is none, so that it gives no
    /// measure of what is a little farther.
    pub(crate) fn farther(&self, score: f32, slack: f32) -> f32 {
        match self.spec.metric {
            // Of vectors of length 1, the squared distance is 2 - 2 cos.
            Metric::Cosine => score - slack * (1.0 - score).max(0.0),
            Metric::L2 => score + slack * score.min(0.0),
            Metric::Dot => score,
        }
    }

    /// The score of a row: the one that is returned, and that ranks.
    pub(crate) fn score(&self, segment: &Segment, row: u32) -> Result<f32> {
        let (metric, vector) = (self.spec.metric, &self.exact);
        Ok(match self.spec.exact {
            Exact::None => {
                let dot = self.kernel.dot(self.code(), segment.code(row)?);
                self.near(dot, segment.scale(row)?, segment.norm(row)?)
            }
            Exact::F16 if metric == Metric::L2 => {
                0.0 - self.kernel.squared_l2_f16(vector, segment.exact(row)?)
            }
            Exact::F16 => self.kernel.dot_f16(vector, segment.exact(row)?),
            Exact::F32 if metric == Metric::L2 => {
                0.0 - self.kernel.squared_l2_f32(vector, segment.exact(row)?)
            }
            Exact::F32 => self.kernel.dot_f32(vector, segment.exact(row)?),
        })
    }
}
