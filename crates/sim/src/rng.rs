//! The dice: SplitMix64, so that a seed means the same history on every machine and in every release.
//!
//! Not for secrets. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).

/// A deterministic source of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Dice of that seed.
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give similar histories.
        let mut rng = Self(seed ^ 0x5851_f42d_4c95_7f2d);
        rng.draw();
        rng
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; zero for zero.
    pub fn below(&mut self, n: u64) -> u64 {
        // The bias of a multiplication is far below what a simulation could notice.
        ((u128::from(self.draw()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of a thousand cases.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Sixteen bytes.
    pub fn bytes16(&mut self) -> [u8; 16] {
        (u128::from(self.draw()) << 64 | u128::from(self.draw())).to_be_bytes()
    }

    /// Dice of their own for a part of the history, so that one part's throws do not shift another's.
    pub fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }
}
