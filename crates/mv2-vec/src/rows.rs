//! Rows: the vectors of one frame as they stand in the log and, code for code, in segments. So a
//! score does not move when a checkpoint folds the log. Normative text: `FORMAT.md`, section "Rows".

use std::ops::Range;

use half::f16;
use mv2_format::wire::{Reader, put_varint};

use crate::error::{Error, Result, Which};
use crate::spec::{Exact, Metric, Spec};

const VERSION: u8 = 1;

/// Components beyond this could overflow a score of 4,096 of them in f32.
const LIMIT_F32: f32 = 1e15;
/// The largest f16.
const LIMIT_F16: f32 = 65_504.0;
/// A vector whose largest component is smaller is stored as zeros: its scale would lose bits.
const SMALLEST: f32 = 1e-30;

/// Encodes the vectors of one frame, each with the bytes of the document that it stands for.
///
/// Under [`Metric::Cosine`] vectors are normalised here. With [`Exact::None`] only the int8 code is
/// kept, so that the vector *is* its code from here on.
///
/// ```
/// use mv2_vec::{Rows, Spec, encode_rows};
///
/// # fn main() -> mv2_vec::Result<()> {
/// let spec = Spec::new(3)?;
/// let bytes = encode_rows(&spec, &[(0..120, &[1.0, 0.0, 0.0]), (120..260, &[0.0, 3.0, 4.0])])?;
/// let rows = Rows::parse(&spec, &bytes)?;
/// assert_eq!(rows.len(), 2);
/// assert_eq!(rows.iter().nth(1).unwrap().range(), 120..260);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Dimensions`], [`Error::NotFinite`], [`Error::Overflow`], [`Error::Zero`] (cosine only)
/// and [`Error::ByteRange`], each with the position of the vector; [`Error::NoRows`] for none at
/// all; [`Error::UnsupportedDims`].
pub fn encode_rows(spec: &Spec, rows: &[(Range<u64>, &[f32])]) -> Result<Vec<u8>> {
    spec.check()?;
    if rows.is_empty() {
        return Err(Error::NoRows);
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|row| (rows[*row].0.start, rows[*row].0.end));
    let mut out = vec![VERSION, spec.metric.code(), spec.exact.code()];
    put_varint(&mut out, u64::from(spec.dims));
    put_varint(&mut out, rows.len() as u64);
    out.reserve(rows.len() * (16 + spec.dims as usize + spec.exact_bytes()));
    for row in order {
        let (range, vector) = &rows[row];
        if range.start > range.end || range.end > u64::from(u32::MAX) {
            return Err(Error::ByteRange {
                row,
                start: range.start,
                end: range.end,
            });
        }
        let vector = prepare(spec, vector, Which::Row(row))?;
        put_varint(&mut out, range.start);
        put_varint(&mut out, range.end - range.start);
        let mut code = Vec::with_capacity(spec.dims as usize);
        let scale = quantise(spec, &vector, &mut code);
        out.extend_from_slice(&scale.to_le_bytes());
        if spec.has_norms() {
            out.extend_from_slice(&squared_norm(spec, &vector, &code, scale).to_le_bytes());
        }
        out.extend_from_slice(&code);
        match spec.exact {
            Exact::None => {}
            Exact::F16 => {
                for x in &vector {
                    out.extend_from_slice(&f16::from_f32(*x).to_bits().to_le_bytes());
                }
            }
            Exact::F32 => {
                for x in &vector {
                    out.extend_from_slice(&x.to_le_bytes());
                }
            }
        }
    }
    Ok(out)
}

/// The space that encoded rows say they are of: dimensions, metric and exact part. Neither its number nor the model is in
/// them.
///
/// # Errors
/// [`Error::Format`] if the bytes are damaged or not encoded rows, [`Error::Unsupported`].
pub fn spec_of_rows(bytes: &[u8]) -> Result<Spec> {
    let mut reader = Reader::new(bytes, "vector rows");
    read_head(&mut reader)
}

/// Reads version, metric, exact part and dimensions.
fn read_head(reader: &mut Reader<'_>) -> Result<Spec> {
    let version = reader.u8()?;
    if version != VERSION {
        return Err(Error::Unsupported {
            what: "vector rows",
            found: version.into(),
            readable: VERSION.into(),
        });
    }
    let (metric, exact) = (reader.u8()?, reader.u8()?);
    let dims = reader.varint()?;
    Ok(Spec {
        metric: Metric::from_code(metric)
            .ok_or_else(|| Error::invalid_rows("a metric from 1 to 3", metric))?,
        exact: Exact::from_code(exact)
            .ok_or_else(|| Error::invalid_rows("an exact part from 0 to 2", exact))?,
        ..Spec::new(u32::try_from(dims).unwrap_or(u32::MAX))?
    })
}

/// The encoded rows of one frame, parsed.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    spec: Spec,
    rows: Vec<RowRef<'a>>,
}

impl<'a> Rows<'a> {
    /// Parses what [`encode_rows`] made for the same spec.
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are damaged or not encoded rows, [`Error::Unsupported`],
    /// [`Error::Mismatch`] if they are of another spec.
    pub fn parse(spec: &Spec, bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "vector rows");
        let head = read_head(&mut reader)?;
        spec.check_same(&Spec {
            space: spec.space,
            model: spec.model,
            ..head
        })?;
        let count = reader.length()?;
        let least = 6 + spec.dims as usize + spec.exact_bytes();
        if count == 0 || count > reader.left() / least {
            return Err(Error::invalid_rows(
                format!("1 to {} rows", reader.left() / least),
                count,
            ));
        }
        let mut rows = Vec::with_capacity(count);
        let mut previous = (0, 0);
        for _ in 0..count {
            let row = RowRef::read(spec, &mut reader)?;
            let range = (row.start, row.end);
            if range < previous {
                return Err(Error::invalid_rows("ascending byte ranges", row.start));
            }
            previous = range;
            rows.push(row);
        }
        reader.finish()?;
        Ok(Self { spec: *spec, rows })
    }

    /// Number of rows, at least 1.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row, which is never so.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The spec.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The rows in the order of their byte ranges.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &RowRef<'a>> {
        self.rows.iter()
    }
}

/// One encoded vector.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) scale: f32,
    /// Squared norm; 1 under the cosine.
    pub(crate) norm: f32,
    pub(crate) code: &'a [u8],
    pub(crate) exact: &'a [u8],
}

impl<'a> RowRef<'a> {
    fn read(spec: &Spec, reader: &mut Reader<'a>) -> Result<Self> {
        let (start, len) = (reader.varint()?, reader.varint()?);
        let end = start.saturating_add(len);
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else {
            return Err(Error::invalid_rows("a byte range below 4 GiB", end));
        };
        let scale = f32::from_bits(reader.u32()?);
        let norm = if spec.has_norms() {
            f32::from_bits(reader.u32()?)
        } else {
            1.0
        };
        let row = Self {
            start,
            end,
            scale,
            norm,
            code: reader.bytes(spec.dims as usize)?,
            exact: reader.bytes(spec.exact_bytes())?,
        };
        row.check(spec)?;
        Ok(row)
    }

    /// Checks what kernels and bounds rely on for meaningful scores.
    pub(crate) fn check(&self, spec: &Spec) -> Result<()> {
        if !(self.scale >= 0.0 && self.scale.is_finite()) {
            return Err(Error::invalid_rows(
                "a finite scale of at least 0",
                self.scale,
            ));
        }
        if !(self.norm >= 0.0 && self.norm.is_finite()) {
            return Err(Error::invalid_rows(
                "a finite norm of at least 0",
                self.norm,
            ));
        }
        if self.code.contains(&0x80) {
            return Err(Error::invalid_rows("codes from -127 to 127", -128));
        }
        let finite = match spec.exact {
            Exact::None => true,
            Exact::F16 => halves(self.exact).all(|x| x.is_finite()),
            Exact::F32 => floats(self.exact).all(|x| x.is_finite()),
        };
        if !finite {
            return Err(Error::invalid_rows("finite components", "others"));
        }
        Ok(())
    }

    /// The bytes of the document that the vector stands for.
    pub fn range(&self) -> Range<u64> {
        self.start.into()..self.end.into()
    }

    /// The vector as it is stored: its exact part, or its code times its scale.
    pub fn vector(&self) -> Vec<f32> {
        if self.exact.is_empty() {
            let component = |byte: &u8| f32::from(*byte as i8) * self.scale;
            self.code.iter().map(component).collect()
        } else if self.exact.len() == self.code.len() * 2 {
            halves(self.exact).collect()
        } else {
            floats(self.exact).collect()
        }
    }
}

fn halves(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (halves, _) = bytes.as_chunks::<2>();
    halves.iter().map(|x| f16::from_le_bytes(*x).to_f32())
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    let (floats, _) = bytes.as_chunks::<4>();
    floats.iter().map(|x| f32::from_le_bytes(*x))
}

/// Checks a vector, normalises it under the cosine and rounds it to what is stored.
pub(crate) fn prepare(spec: &Spec, vector: &[f32], which: Which) -> Result<Vec<f32>> {
    if vector.len() != spec.dims as usize {
        return Err(Error::Dimensions {
            which,
            expected: spec.dims,
            found: vector.len(),
        });
    }
    // A query is never stored.
    let stored_as_f16 = spec.exact == Exact::F16 && which != Which::Query;
    let limit = match spec.metric {
        Metric::Cosine => f32::MAX,
        _ if stored_as_f16 => LIMIT_F16,
        _ => LIMIT_F32,
    };
    for (component, &value) in vector.iter().enumerate() {
        if !value.is_finite() {
            return Err(Error::NotFinite {
                which,
                component,
                value,
            });
        }
        if value.abs() > limit {
            return Err(Error::Overflow {
                which,
                component,
                value,
                limit,
            });
        }
    }
    let mut prepared = vector.to_vec();
    if spec.metric == Metric::Cosine {
        let norm = vector
            .iter()
            .map(|x| f64::from(*x) * f64::from(*x))
            .sum::<f64>()
            .sqrt();
        if norm == 0.0 {
            return Err(Error::Zero { which });
        }
        for x in &mut prepared {
            *x = (f64::from(*x) / norm) as f32;
        }
    } else if largest(&prepared) < SMALLEST {
        prepared.fill(0.0);
    }
    if stored_as_f16 {
        for x in &mut prepared {
            *x = f16::from_f32(*x).to_f32();
        }
    }
    Ok(prepared)
}

/// Appends the int8 code of a prepared vector and returns its scale.
///
/// Each component is the code times the scale within half a scale; see `Bounds` in the search.
/// Where the code is the vector, the scale under the cosine makes its norm 1 instead.
pub(crate) fn quantise(spec: &Spec, vector: &[f32], out: &mut Vec<u8>) -> f32 {
    /// Added and taken away again, it rounds a number below 2^22 to an integer, ties to even.
    const ROUND: f32 = 12_582_912.0;
    let largest = largest(vector);
    if largest < SMALLEST {
        out.resize(out.len() + vector.len(), 0);
        return 0.0;
    }
    let factor = 127.0 / largest;
    let first = out.len();
    out.extend(vector.iter().map(|x| {
        let rounded = (x * factor + ROUND) - ROUND;
        rounded.clamp(-127.0, 127.0) as i8 as u8
    }));
    if spec.exact == Exact::None && spec.metric == Metric::Cosine {
        (1.0 / (squares(&out[first..]) as f64).sqrt()) as f32
    } else {
        largest / 127.0
    }
}

/// The squared norm of the vector that is stored.
pub(crate) fn squared_norm(spec: &Spec, vector: &[f32], code: &[u8], scale: f32) -> f32 {
    if spec.exact == Exact::None {
        return (squares(code) as f64 * f64::from(scale) * f64::from(scale)) as f32;
    }
    let sum: f64 = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    sum as f32
}

fn largest(vector: &[f32]) -> f32 {
    vector.iter().fold(0.0, |most, x| most.max(x.abs()))
}

fn squares(code: &[u8]) -> u64 {
    let square = |byte: &u8| u64::from((*byte as i8).unsigned_abs()).pow(2);
    code.iter().map(square).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn specs(dims: u32) -> Vec<Spec> {
        let mut specs = Vec::new();
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            for exact in [Exact::None, Exact::F16, Exact::F32] {
                specs.push(Spec {
                    metric,
                    exact,
                    ..Spec::new(dims).unwrap()
                });
            }
        }
        specs
    }

    proptest! {
        #[test]
        fn vectors_come_back_as_near_as_they_are_kept(
            vector in proptest::collection::vec(-3.0f32..3.0, 1..80),
            start in 0u64..1000,
        ) {
            prop_assume!(vector.iter().any(|x| x.abs() > 1e-3));
            for spec in specs(vector.len() as u32) {
                let bytes = encode_rows(&spec, &[(start..start + 9, &vector)]).unwrap();
                let rows = Rows::parse(&spec, &bytes).unwrap();
                let row = rows.iter().next().unwrap();
                prop_assert_eq!(row.range(), start..start + 9);
                let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                let unit = if spec.metric == Metric::Cosine { norm } else { 1.0 };
                let most = vector.iter().fold(0.0f32, |m, x| m.max(x.abs())) / unit;
                let near = match spec.exact {
                    Exact::None => most / 127.0,
                    Exact::F16 => most / 2000.0,
                    Exact::F32 => most / 1e6,
                };
                // Components of a code that was made a unit vector move together.
                let near = if spec.exact == Exact::None { near + most * 0.02 } else { near };
                for (a, b) in row.vector().iter().zip(&vector) {
                    prop_assert!((a - b / unit).abs() <= near, "{a} {} {near}", b / unit);
                }
            }
        }

        #[test]
        fn any_bytes_parse_to_rows_or_an_error(mut bytes: Vec<u8>, keep in 0usize..8) {
            let spec = Spec::new(2).unwrap();
            let _ = Rows::parse(&spec, &bytes);
            let good = encode_rows(&spec, &[(0..1, &[1.0, 2.0]), (1..2, &[2.0, 1.0])]).unwrap();
            bytes.splice(0..0, good[..keep].iter().copied());
            let _ = Rows::parse(&spec, &bytes);
        }
    }

    #[test]
    fn what_is_no_vector_is_refused_with_its_place() {
        let spec = Spec::new(2).unwrap();
        let dot = Spec {
            metric: Metric::Dot,
            ..spec
        };
        let good: &[f32] = &[1.0, 2.0];
        let encode = |spec: &Spec, bad: &[f32]| {
            encode_rows(spec, &[(0..1, good), (1..2, bad)])
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            encode(&spec, &[1.0, f32::NAN]),
            "vector 1 holds NaN at component 1: vectors must be finite"
        );
        assert!(encode(&spec, &[f32::NEG_INFINITY, 0.0]).contains("-inf at component 0"));
        assert!(encode(&spec, &[0.0, 0.0]).contains("vector 1 is all zeros"));
        assert!(encode(&spec, &[0.0]).contains("vector 1 has 1 dimensions, this space has 2"));
        assert!(encode(&dot, &[1e5, 0.0]).contains("beyond 65504"));
        assert!(encode_rows(&dot, &[(0..1, &[0.0, 0.0])]).is_ok());
        assert!(matches!(
            encode_rows(&spec, &[(5..u64::MAX, good)]),
            Err(Error::ByteRange { row: 0, .. })
        ));
        assert!(matches!(encode_rows(&spec, &[]), Err(Error::NoRows)));
        assert!(matches!(
            Spec::new(4097),
            Err(Error::UnsupportedDims { dims: 4097 })
        ));
    }

    #[test]
    fn extreme_magnitudes_keep_their_direction() {
        let spec = Spec::new(2).unwrap();
        for factor in [1e-44f32, 1e-20, 1.0, 1e38] {
            let vector = [3.0 * factor, 3.0 * factor];
            let bytes = encode_rows(&spec, &[(0..1, &vector)]).unwrap();
            let rows = Rows::parse(&spec, &bytes).unwrap();
            let stored = rows.iter().next().unwrap().vector();
            assert!(
                (stored[0] - 0.5f32.sqrt()).abs() < 1e-3,
                "{factor} {stored:?}"
            );
        }
    }

    #[test]
    fn rows_of_another_space_are_refused() {
        let spec = Spec::new(2).unwrap();
        let bytes = encode_rows(&spec, &[(0..1, &[1.0, 2.0])]).unwrap();
        for other in specs(2).into_iter().chain(specs(3)) {
            assert_eq!(Rows::parse(&other, &bytes).is_ok(), other == spec);
        }
    }
}
