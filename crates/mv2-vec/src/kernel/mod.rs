//! Dot products and distances: one safe entry, with the best instructions that the processor has.
//!
//! ```text
//! int8   exact integers, so every path gives the same bits whatever its order of adding
//! f16    32 partial sums: component i goes to sum i mod 32, a product is rounded before it is
//! f32    added (no fused multiply-add), short vectors end in zeros; then the sums are folded,
//!        16 + 16, 8 + 8, 4 + 4, 2 + 2, 1 + 1. Every path does exactly that, so the bits are the
//!        same on each processor.
//! ```
//!
//! Vectors come as little-endian bytes, as they stand in a segment: nothing has to be aligned.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

/// An int8 code, one byte for each component in two's complement, and the sum of its components.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    bytes: &'a [u8],
    sum: i32,
}

impl<'a> Code<'a> {
    /// A code with its sum, which is computed here.
    pub fn new(bytes: &'a [u8]) -> Self {
        let sum = bytes.iter().map(|byte| i32::from(*byte as i8)).sum();
        Self { bytes, sum }
    }

    /// A code whose sum is known.
    pub(crate) fn with_sum(bytes: &'a [u8], sum: i32) -> Self {
        Self { bytes, sum }
    }

    /// The sum of the components.
    pub(crate) fn sum(self) -> i32 {
        self.sum
    }

    /// The bytes.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// The instructions to compute with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel(Level);

/// Only made by [`Kernel::best`] and [`Kernel::all`], which ask the processor first: the calls of
/// functions with target features below rely on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

/// Calls the function of the level.
macro_rules! dispatch {
    ($kernel:expr, $x86:ident, $vnni:ident, $neon:path, $portable:path, ($($arg:expr),*)) => {
        match $kernel.0 {
            Level::Portable => $portable($($arg),*),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is only made after AVX2 and F16C were detected.
            Level::Avx2 => unsafe { x86::$x86($($arg),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is only made after AVX2, F16C, and AVX-512 F, BW and VNNI were detected.
            Level::Vnni => unsafe { x86::$vnni($($arg),*) },
            #[cfg(target_arch = "aarch64")]
            #[allow(unused_unsafe, reason = "some are the portable ones")]
            // SAFETY: every AArch64 target that we compile for has NEON, which is detected besides.
            Level::Neon => unsafe { $neon($($arg),*) },
        }
    };
}

/// Choose
impl Kernel {
    /// The best that this processor has.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if x86::has_vnni() {
                return Self(Level::Vnni);
            }
            if x86::has_avx2() {
                return Self(Level::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Self(Level::Neon);
        }
        Self(Level::Portable)
    }

    /// All that this processor has, the portable one first, to compare them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            if x86::has_avx2() {
                all.push(Self(Level::Avx2));
            }
            if x86::has_vnni() {
                all.push(Self(Level::Vnni));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            all.push(Self(Level::Neon));
        }
        all
    }

    /// The name of the instructions: `portable`, `avx2`, `avx512-vnni` or `neon`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Vnni => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Level::Neon => "neon",
        }
    }
}

/// int8: a code of up to 4,096 components with others of the same length
#[expect(
    unsafe_code,
    reason = "functions with target features, after detection"
)]
impl Kernel {
    /// The dot product of two codes. Components that only one of them has count as zero.
    pub fn dot(self, code: Code<'_>, other: &[u8]) -> i32 {
        let len = code.bytes.len().min(other.len());
        // The sum belongs to all of the code's components.
        let other = &other[..len];
        if len < code.bytes.len() {
            return portable::dot(code, other);
        }
        dispatch!(
            self,
            dot_avx2,
            dot_vnni,
            neon::dot,
            portable::dot,
            (code, other)
        )
    }

    /// The dot products of a code with `out.len()` codes that stand one behind the other.
    ///
    /// # Panics
    /// If `others` is shorter than that many codes.
    pub fn dots(self, code: Code<'_>, others: &[u8], out: &mut [i32]) {
        let others = &others[..code.bytes.len() * out.len()];
        if others.is_empty() {
            out.fill(0);
            return;
        }
        dispatch!(
            self,
            dots_avx2,
            dots_vnni,
            neon::dots,
            portable::dots,
            (code, others, out)
        );
    }

    /// The dot products of a code with others, wherever they stand.
    ///
    /// # Panics
    /// If `out` is not as long as `others`, or one of these not as long as the code.
    pub(crate) fn dots_of(self, code: Code<'_>, others: &[&[u8]], out: &mut [i32]) {
        assert_eq!(others.len(), out.len());
        for other in others {
            assert_eq!(other.len(), code.bytes.len());
        }
        dispatch!(
            self,
            dots_of_avx2,
            dots_of_vnni,
            neon::dots_of,
            portable::dots_of,
            (code, others, out)
        );
    }
}

/// Floating point: a vector with the bytes of another of the same length
#[expect(
    unsafe_code,
    reason = "functions with target features, after detection"
)]
impl Kernel {
    /// The dot product with a vector of f32.
    pub fn dot_f32(self, vector: &[f32], other: &[u8]) -> f32 {
        dispatch!(
            self,
            dot_f32,
            dot_f32,
            portable::dot_f32,
            portable::dot_f32,
            (vector, other)
        )
    }

    /// The dot product with a vector of f16.
    pub fn dot_f16(self, vector: &[f32], other: &[u8]) -> f32 {
        dispatch!(
            self,
            dot_f16,
            dot_f16,
            portable::dot_f16,
            portable::dot_f16,
            (vector, other)
        )
    }

    /// The squared Euclidean distance to a vector of f32.
    pub fn squared_l2_f32(self, vector: &[f32], other: &[u8]) -> f32 {
        dispatch!(
            self,
            l2_f32,
            l2_f32,
            portable::l2_f32,
            portable::l2_f32,
            (vector, other)
        )
    }

    /// The squared Euclidean distance to a vector of f16.
    pub fn squared_l2_f16(self, vector: &[f32], other: &[u8]) -> f32 {
        dispatch!(
            self,
            l2_f16,
            l2_f16,
            portable::l2_f16,
            portable::l2_f16,
            (vector, other)
        )
    }
}

/// Asks for the memory under these bytes, to be read soon.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    x86::prefetch(bytes);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
