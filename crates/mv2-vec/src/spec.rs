//! What the vectors of one space have in common: dimensions, metric, precision, model.

use crate::error::{Error, Result};

/// Most dimensions of a vector: those of the largest embedding models, and few enough that no dot
/// product of int8 codes leaves 32 bits (4,096 x 128 x 255 < 2^31).
pub const MAX_DIMS: u32 = 4_096;

/// How near two vectors are. A larger score is nearer in each metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Metric {
    /// The cosine of the angle between them, -1 to 1. Vectors are normalised when they come in.
    #[default]
    Cosine,
    /// Their dot product.
    Dot,
    /// Their squared Euclidean distance, negated.
    L2,
}

/// What is kept of a vector besides its int8 code, for exact scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Exact {
    /// Nothing: the code *is* the vector. For embedders whose vectors are made of int8 anyway.
    None,
    /// Each component in 16 bits. The ten nearest are those of f32 on real embeddings.
    #[default]
    F16,
    /// Each component in 32 bits.
    F32,
}

/// What the vectors of one space have in common. Vectors of two spaces are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Number of components, 1 to 4,096.
    pub dims: u32,
    /// How near two vectors are.
    pub metric: Metric,
    /// What is kept besides the int8 code.
    pub exact: Exact,
    /// The number of the space within its file, which its segments and rows carry.
    pub space: u32,
    /// The identity of what made the vectors: the first 16 bytes of a hash over the model, its
    /// revision and how it was used.
    pub model: [u8; 16],
}

impl Spec {
    /// A space number 0 of no particular model, by cosine, with an exact part of 16 bits.
    ///
    /// # Errors
    /// [`Error::UnsupportedDims`] unless there are 1 to 4,096 dimensions.
    pub fn new(dims: u32) -> Result<Self> {
        let spec = Self {
            dims,
            metric: Metric::default(),
            exact: Exact::default(),
            space: 0,
            model: [0; 16],
        };
        spec.check()?;
        Ok(spec)
    }

    /// Checks the number of dimensions.
    ///
    /// # Errors
    /// [`Error::UnsupportedDims`] unless there are 1 to 4,096.
    pub fn check(&self) -> Result<()> {
        if self.dims == 0 || self.dims > MAX_DIMS {
            return Err(Error::UnsupportedDims { dims: self.dims });
        }
        Ok(())
    }

    /// Checks that vectors of `other` may stand beside vectors of this space.
    ///
    /// # Errors
    /// [`Error::Mismatch`] that names the first thing that differs.
    pub fn check_same(&self, other: &Self) -> Result<()> {
        let same = |what, expected: String, found: String| {
            if expected == found {
                return Ok(());
            }
            Err(Error::Mismatch {
                what,
                expected,
                found,
            })
        };
        same("dimensions", self.dims.to_string(), other.dims.to_string())?;
        same("metric", name(&self.metric), name(&other.metric))?;
        same("exact part", name(&self.exact), name(&other.exact))?;
        same("space", self.space.to_string(), other.space.to_string())?;
        same("model", hex(&self.model), hex(&other.model))
    }

    /// Bytes of one vector's exact part.
    pub(crate) fn exact_bytes(&self) -> usize {
        self.dims as usize
            * match self.exact {
                Exact::None => 0,
                Exact::F16 => 2,
                Exact::F32 => 4,
            }
    }

    /// Whether each row has its squared norm beside its scale. Under the cosine it is 1.
    pub(crate) fn has_norms(&self) -> bool {
        self.metric != Metric::Cosine
    }
}

/// On the disk
impl Metric {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Cosine => 1,
            Self::Dot => 2,
            Self::L2 => 3,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Cosine, Self::Dot, Self::L2]
            .into_iter()
            .find(|metric| metric.code() == code)
    }
}

/// On the disk
impl Exact {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::F16 => 1,
            Self::F32 => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::None, Self::F16, Self::F32]
            .into_iter()
            .find(|exact| exact.code() == code)
    }
}

fn name(what: &impl std::fmt::Debug) -> String {
    format!("{what:?}").to_lowercase()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
