//! Chance that can be repeated: a seed gives the same throws always. Each test prints its seed.

/// A generator (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From the seed in a variable, else from the clock; told on standard output.
    ///
    /// # Panics
    /// When the variable holds no number.
    pub fn from_variable(name: &str) -> Self {
        let seed = match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} '{text}' is no number")),
            Err(_) => {
                let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                now.map_or(0, |since| since.as_nanos() as u64 % 1_000_000_000)
            }
        };
        println!("repeat with {name}={seed}");
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next_number() % end
    }

    /// Heads or tails.
    pub fn toss(&mut self) -> bool {
        self.next_number() & 1 == 1
    }
}
