//! [`Dice`]: the only source of chance, so that a seed repeats a run.

/// A generator (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// The seed of this run: `PAVLOV_FAULT_SEED`, or a new one. Printed.
    pub fn seed(test: &str) -> u64 {
        let seed = match std::env::var("PAVLOV_FAULT_SEED") {
            Ok(text) => text.parse().expect("PAVLOV_FAULT_SEED is a number"),
            Err(_) => pavlov_engine::clock::now().micros().unsigned_abs() % 1_000_000_007,
        };
        println!("{test}: repeat with PAVLOV_FAULT_SEED={seed}");
        seed
    }

    /// The generator of one part of a run.
    pub fn new(seed: u64, part: u64) -> Self {
        let mut dice = Self(seed ^ part.wrapping_mul(0xa076_1d64_78bd_642f));
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// The text of a random UUID.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }
}

/// How many rounds: `PAVLOV_FAULT_ROUNDS`, or `default`.
pub fn rounds(default: u64) -> u64 {
    std::env::var("PAVLOV_FAULT_ROUNDS")
        .map_or(default, |text| text.parse().expect("PAVLOV_FAULT_ROUNDS is a number"))
}
