//! Numbers by chance, for tests and for benches.

/// A small generator: the same numbers on each machine.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below another.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// About normal, from -3 to 3.
    pub(crate) fn normal(&mut self) -> f32 {
        let sum: u64 = (0..6).map(|_| self.below(1 << 20)).sum();
        sum as f32 / (1 << 20) as f32 - 3.0
    }
}
