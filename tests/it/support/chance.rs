//! Chance that can be repeated: every draw follows from a seed, which is printed.

/// A sequence of numbers that follows from its seed (SplitMix64).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// Draws a seed and prints it; `TE_SEED` in the environment repeats an earlier run.
    pub(crate) fn new() -> Self {
        let named =
            std::env::vars().find(|(name, _)| name == "TE_SEED").and_then(|(_, seed)| seed.parse().ok());
        let seed = named.unwrap_or_else(|| getrandom::u64().unwrap());
        println!("TE_SEED={seed}");
        Self(seed)
    }

    /// Returns a number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// Returns a sequence of its own, so that tasks side by side each repeat theirs.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.below(u64::MAX))
    }

    /// Returns one of several.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}
