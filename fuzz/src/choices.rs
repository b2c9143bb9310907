//! Numbers decoded from fuzz bytes, and numbers from a seed.

/// Numbers that sit on the edge of something.
pub const EDGES: [i64; 24] = [
    0,
    1,
    -1,
    2,
    -2,
    3,
    4,
    7,
    8,
    15,
    16,
    17,
    63,
    64,
    65,
    255,
    256,
    1023,
    1 << 16,
    1 << 31,
    -1 << 31,
    1 << 32,
    i64::MAX,
    i64::MIN,
];

/// Fuzz bytes, read from the front; zeros when they are used up.
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices made by `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether they are used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    /// One of `len` positions.
    pub fn below(&mut self, len: usize) -> usize {
        self.byte() as usize % len.max(1)
    }

    /// True once in `n`.
    pub fn one_in(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// The next `len` bytes, or as many as are left.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Eight bytes as a number.
    pub fn number(&mut self) -> u64 {
        let mut le = [0; 8];
        let taken = self.bytes(8);
        le[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(le)
    }

    /// A small number, mostly, or one on an edge.
    pub fn hostile(&mut self) -> u64 {
        let byte = self.byte();
        match byte {
            0..160 => u64::from(byte % 40),
            160..208 => EDGES[byte as usize % EDGES.len()] as u64,
            208..240 => u64::MAX / u64::from(byte - 207),
            _ => self.number(),
        }
    }
}

/// SplitMix64: changes to inputs need no better numbers.
pub struct Random(u64);

impl Random {
    /// Numbers that follow from `seed`.
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed))
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of `len` positions; zero if there is none.
    pub fn below(&mut self, len: usize) -> usize {
        (self.number() % len.max(1) as u64) as usize
    }

    /// One of `items`, if there is one.
    pub fn pick<'t, T>(&mut self, items: &'t mut [T]) -> Option<&'t mut T> {
        let at = self.below(items.len());
        items.get_mut(at)
    }

    /// A small number or one on an edge.
    pub fn edge(&mut self) -> i64 {
        match self.below(3) {
            0 => EDGES[self.below(EDGES.len())],
            _ => self.below(9) as i64 - 2,
        }
    }
}
