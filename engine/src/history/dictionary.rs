//! [`Dictionary`]: each text once, numbered in the order of its first appearance.

/// Texts in one block of memory with a table of their numbers: 12 to 20 bytes a text beside the text
/// itself, which is a third of what a map of boxed strings takes.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Open addressing; 0 is free, otherwise number + 1. Its length is a power of two.
    slots: Vec<u32>,
}

impl Dictionary {
    /// How many texts there are.
    pub fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// The text with this number.
    pub fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.bytes[start..self.ends[at] as usize]
    }

    /// All texts in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|number| self.get(number))
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &str) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot(text.as_bytes())].checked_sub(1)
    }

    /// The number of a text, which is added when it is not there.
    pub fn number(&mut self, text: &str) -> u32 {
        if (self.ends.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let slot = self.slot(text.as_bytes());
        if let Some(number) = self.slots[slot].checked_sub(1) {
            return number;
        }
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len() as u32);
        self.slots[slot] = self.len();
        self.len() - 1
    }

    /// The slot that holds a text or is free for it.
    fn slot(&self, text: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = hash(text) as usize & mask;
        while self.slots[slot] != 0 && self.get(self.slots[slot] - 1) != text {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(64)];
        for number in 0..self.len() {
            let slot = self.slot(self.get(number));
            self.slots[slot] = number + 1;
        }
    }
}

/// Eight bytes at a time, each mixed in by a multiplication and a shift; it lives in memory only, so it
/// may change at any time.
fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut value = text.len() as u64;
    for chunk in text.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        value = (value ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        value ^= value >> 32;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_number() {
        let mut dictionary = Dictionary::default();
        assert_eq!(dictionary.find("a"), None);
        for round in 0..2 {
            for number in 0..1_000 {
                assert_eq!(dictionary.number(&format!("host.{number}")), number, "round {round}");
            }
        }
        assert_eq!(dictionary.get(999), b"host.999");
        assert_eq!(dictionary.find("host.1000"), None);
        assert_eq!(dictionary.number(""), 1_000);
        assert_eq!(dictionary.get(1_000), b"");
    }
}
