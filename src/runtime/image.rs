//! The flat image of a program: layout, access, checks.
//!
//! Owns the format. Its invariant: an [`Image`] has been checked, so that every section, buffer
//! and dimension it names lies where it says. Little-endian words of 32 bits:
//!
//! | part | contents |
//! |---|---|
//! | header | magic, version, length, memory sizes, counts, place of each section |
//! | dims | four words each: operation, two extents; an entry refers to earlier ones only |
//! | buffers | four words each: base, offset, length in bytes, element type |
//! | steps | five words each: kernel, place and length of the record, place and length of the name |
//! | records | the steps' parameters |
//! | ports | ten words each: inputs, then outputs |
//! | states | two words each: input, output |
//! | text | names, UTF-8 |
//! | constants | packed weights, 64-byte aligned |

use core::fmt;
use core::ops::Range;

use crate::tensor::DType;

use super::record::Extent;

pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"nwc\0");
pub(super) const VERSION: u32 = 1;
const HEADER_WORDS: usize = 32;
const SECTIONS_AT: usize = 8;
const SECTIONS: usize = 8;

/// The base of constants; the image itself.
pub(crate) const CONSTANTS: u32 = 0;
/// The base of the arena.
pub(crate) const ARENA: u32 = 1;
/// The base of what is kept between runs.
pub(crate) const STATE: u32 = 2;
/// The base of the first port; inputs, then outputs.
pub(crate) const PORTS: u32 = 3;

const DIM_WORDS: usize = 4;
const BUFFER_WORDS: usize = 4;
const STEP_WORDS: usize = 5;
const PORT_WORDS: usize = 10;
const STATE_WORDS: usize = 2;

/// Why an image is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// It does not begin as an image does.
    NotAnImage,
    /// It has another version than this build reads.
    Version {
        /// The image's version.
        found: u32,
        /// The version this build reads.
        expected: u32,
    },
    /// It is shorter than it says.
    Truncated {
        /// Bytes there are.
        found: usize,
        /// Bytes it says.
        expected: usize,
    },
    /// Its constants are not on a 64-byte boundary.
    Misaligned,
    /// A table names a place outside what it belongs to.
    Damaged {
        /// Which section, by position in the header.
        section: u32,
        /// Which entry.
        entry: u32,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnImage => write!(f, "this is not a compiled program"),
            Self::Version { found, expected } => write!(
                f,
                "the program has format version {found}, this build reads {expected}: compile the \
                 model again"
            ),
            Self::Truncated { found, expected } => {
                write!(f, "the program has {found} bytes of {expected}: the file is cut short")
            }
            Self::Misaligned => write!(f, "the program does not lie on a 64-byte boundary"),
            Self::Damaged { section, entry } => {
                write!(f, "the program is damaged: entry {entry} of section {section}")
            }
        }
    }
}

impl core::error::Error for ImageError {}

/// Operations of the dimension table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum DimOp {
    /// A number: low word, high word.
    Constant = 0,
    /// Chosen per call, between two numbers.
    Variable = 1,
    Add = 2,
    Mul = 3,
    FloorDiv = 4,
    Min = 5,
    Max = 6,
}

impl DimOp {
    const ALL: [Self; 7] = [
        Self::Constant,
        Self::Variable,
        Self::Add,
        Self::Mul,
        Self::FloorDiv,
        Self::Min,
        Self::Max,
    ];

    fn from_word(word: u32) -> Option<Self> {
        Self::ALL.get(word as usize).copied()
    }
}

/// A region of one of the bases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    pub(crate) base: u32,
    pub(crate) offset: usize,
    pub(crate) bytes: usize,
    pub(crate) dtype: DType,
}

/// The table of buffers.
#[derive(Clone, Copy)]
pub(crate) struct Buffers<'p>(&'p [u32]);

impl Buffers<'_> {
    /// Buffer `index`; an empty one outside the table.
    #[inline(always)]
    pub(crate) fn at(&self, index: u32) -> Buffer {
        let at = index as usize * BUFFER_WORDS;
        match self.0.get(at..at + BUFFER_WORDS) {
            Some(w) => Buffer {
                base: w[0],
                offset: w[1] as usize,
                bytes: w[2] as usize,
                dtype: DType::from_code(w[3] as u8).unwrap_or(DType::U8),
            },
            None => Buffer { base: ARENA, offset: 0, bytes: 0, dtype: DType::U8 },
        }
    }

    fn len(&self) -> usize {
        self.0.len() / BUFFER_WORDS
    }
}

/// Sections in the order of the header.
#[derive(Clone, Copy, Debug)]
enum Section {
    Dims = 0,
    Buffers = 1,
    Steps = 2,
    Records = 3,
    Ports = 4,
    States = 5,
    Text = 6,
    Constants = 7,
}

/// A port as it stands in the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawPort<'p> {
    pub(super) name: &'p str,
    pub(super) dtype: DType,
    pub(super) shape: &'p [u32],
    /// The axis along which a cache grows in place, and the extent there is room for; the axes
    /// before it lie that far apart.
    pub(super) room: Option<(usize, usize)>,
    /// Where it lives unless it is bound: arena, state or constants.
    pub(super) home: u32,
    pub(super) home_offset: usize,
    pub(super) bytes: usize,
}

/// A step as it stands in the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawStep<'p> {
    pub(super) kernel: u32,
    pub(super) name: &'p str,
}

/// A checked image.
#[derive(Clone, Copy)]
pub(super) struct Image<'p> {
    words: &'p [u32],
}

impl<'p> Image<'p> {
    /// Checks `words`.
    pub(super) fn new(words: &'p [u32]) -> Result<Self, ImageError> {
        let image = Self { words };
        if words.len() < HEADER_WORDS || words[0] != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        if words[1] != VERSION {
            return Err(ImageError::Version { found: words[1], expected: VERSION });
        }
        let expected = words[2] as usize;
        if words.len() < expected {
            let (found, expected) = (words.len() * 4, expected * 4);
            return Err(ImageError::Truncated { found, expected });
        }
        if !words.as_ptr().addr().is_multiple_of(64) {
            return Err(ImageError::Misaligned);
        }
        image.check()?;
        Ok(image)
    }

    /// Takes words that have been checked before.
    pub(super) fn checked_before(words: &'p [u32]) -> Self {
        Self { words }
    }

    fn range(&self, section: Section) -> Range<usize> {
        let at = SECTIONS_AT + 2 * section as usize;
        let start = self.words[at] as usize;
        start..start + self.words[at + 1] as usize
    }

    fn section(&self, section: Section) -> &'p [u32] {
        &self.words[self.range(section)]
    }

    fn check(&self) -> Result<(), ImageError> {
        let damaged = |section: Section, entry: usize| ImageError::Damaged {
            section: section as u32,
            entry: entry as u32,
        };
        for section in 0..SECTIONS {
            let at = SECTIONS_AT + 2 * section;
            let end = u64::from(self.words[at]) + u64::from(self.words[at + 1]);
            if end > self.words.len() as u64 {
                return Err(ImageError::Damaged { section: section as u32, entry: 0 });
            }
        }
        if !self.range(Section::Constants).start.is_multiple_of(16) {
            return Err(ImageError::Misaligned);
        }
        for (i, dim) in self.section(Section::Dims).chunks_exact(DIM_WORDS).enumerate() {
            let op = DimOp::from_word(dim[0]).ok_or(damaged(Section::Dims, i))?;
            let earlier =
                |word: u32| word & Extent::TABLE == 0 || ((word & !Extent::TABLE) as usize) < i;
            let numbers = matches!(op, DimOp::Constant | DimOp::Variable);
            if !(numbers || earlier(dim[1]) && earlier(dim[2])) {
                return Err(damaged(Section::Dims, i));
            }
        }
        let ports = (self.inputs_len(), self.outputs_len());
        if self.section(Section::Ports).len() != (ports.0 + ports.1) * PORT_WORDS {
            return Err(damaged(Section::Ports, 0));
        }
        for i in 0..ports.0 + ports.1 {
            let p = &self.section(Section::Ports)[i * PORT_WORDS..][..PORT_WORDS];
            let text = self.text_bytes(p[0], p[1]).and_then(|b| core::str::from_utf8(b).ok());
            let shape = self.section(Section::Records).get(p[4] as usize..);
            let fits = text.is_some()
                && DType::from_code(p[2] as u8).is_some()
                && shape.is_some_and(|s| s.len() >= p[3] as usize)
                && (ARENA..=STATE).contains(&p[5])
                && p[6].is_multiple_of(64)
                && u64::from(p[6]) + u64::from(p[7]) <= self.base_bytes(p[5]) as u64
                && p[8] <= p[3];
            if !fits {
                return Err(damaged(Section::Ports, i));
            }
        }
        let buffers = self.buffers();
        for i in 0..buffers.len() {
            let word = self.section(Section::Buffers)[i * BUFFER_WORDS + 3];
            let Buffer { base, offset, bytes, dtype } = buffers.at(i as u32);
            let fits = DType::from_code(word as u8).is_some()
                && base < PORTS + (ports.0 + ports.1) as u32
                && offset.is_multiple_of(dtype.bytes())
                && offset as u64 + bytes as u64 <= self.base_bytes(base) as u64;
            if !fits {
                return Err(damaged(Section::Buffers, i));
            }
        }
        for i in 0..self.steps_len() {
            let s = &self.section(Section::Steps)[i * STEP_WORDS..][..STEP_WORDS];
            let record = self.section(Section::Records).get(s[1] as usize..);
            let text = self.text_bytes(s[3], s[4]).and_then(|b| core::str::from_utf8(b).ok());
            if text.is_none() || record.is_none_or(|r| r.len() < s[2] as usize) {
                return Err(damaged(Section::Steps, i));
            }
        }
        for (i, pair) in self.section(Section::States).chunks_exact(STATE_WORDS).enumerate() {
            if pair[0] as usize >= ports.0 || pair[1] as usize >= ports.1 {
                return Err(damaged(Section::States, i));
            }
        }
        Ok(())
    }

    /// Bytes a base has when ports are at home.
    fn base_bytes(&self, base: u32) -> usize {
        match base {
            CONSTANTS => self.constants().len(),
            ARENA => self.arena_bytes(),
            STATE => self.state_bytes(),
            port => {
                let at = (port - PORTS) as usize * PORT_WORDS;
                self.section(Section::Ports).get(at + 7).map_or(0, |b| *b as usize)
            }
        }
    }

    fn text_bytes(&self, offset: u32, len: u32) -> Option<&'p [u8]> {
        let text: &[u8] = as_bytes(self.section(Section::Text));
        text.get(offset as usize..)?.get(..len as usize)
    }

    fn text(&self, offset: u32, len: u32) -> &'p str {
        self.text_bytes(offset, len).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }

    pub(super) fn arena_bytes(&self) -> usize {
        self.words[3] as usize
    }

    pub(super) fn state_bytes(&self) -> usize {
        self.words[4] as usize
    }

    pub(super) fn inputs_len(&self) -> usize {
        self.words[5] as usize
    }

    pub(super) fn outputs_len(&self) -> usize {
        self.words[6] as usize
    }

    pub(super) fn dims_len(&self) -> usize {
        self.section(Section::Dims).len() / DIM_WORDS
    }

    pub(super) fn steps_len(&self) -> usize {
        self.section(Section::Steps).len() / STEP_WORDS
    }

    pub(super) fn states_len(&self) -> usize {
        self.section(Section::States).len() / STATE_WORDS
    }

    pub(super) fn buffers(&self) -> Buffers<'p> {
        Buffers(self.section(Section::Buffers))
    }

    pub(super) fn constants(&self) -> &'p [u8] {
        as_bytes(self.section(Section::Constants))
    }

    #[inline(always)]
    pub(super) fn step(&self, i: usize) -> RawStep<'p> {
        let s = &self.section(Section::Steps)[i * STEP_WORDS..][..STEP_WORDS];
        RawStep { kernel: s[0], name: self.text(s[3], s[4]) }
    }

    /// Steps as (kernel, record), the way `run` walks them.
    #[inline(always)]
    pub(super) fn walk(&self) -> impl Iterator<Item = (u32, &'p [u32])> {
        let records = self.section(Section::Records);
        self.section(Section::Steps)
            .chunks_exact(STEP_WORDS)
            .map(move |s| (s[0], &records[s[1] as usize..][..s[2] as usize]))
    }

    /// Port `i`: inputs, then outputs.
    pub(super) fn port(&self, i: usize) -> RawPort<'p> {
        let p = &self.section(Section::Ports)[i * PORT_WORDS..][..PORT_WORDS];
        RawPort {
            name: self.text(p[0], p[1]),
            dtype: DType::from_code(p[2] as u8).unwrap_or(DType::U8),
            shape: &self.section(Section::Records)[p[4] as usize..][..p[3] as usize],
            home: p[5],
            home_offset: p[6] as usize,
            bytes: p[7] as usize,
            room: (p[8] > 0).then(|| (p[8] as usize - 1, p[9] as usize)),
        }
    }

    /// State `i`: (input, output).
    pub(super) fn state(&self, i: usize) -> (usize, usize) {
        let s = &self.section(Section::States)[i * STATE_WORDS..];
        (s[0] as usize, s[1] as usize)
    }

    /// Bounds of dimension `i`, where it is a variable.
    pub(super) fn variable(&self, i: usize) -> Option<(i64, i64, &'p str)> {
        let dim = self.section(Section::Dims).get(i * DIM_WORDS..)?.get(..DIM_WORDS)?;
        let name = || self.text(dim[3] & 0x00ff_ffff, dim[3] >> 24);
        (dim[0] == DimOp::Variable as u32).then(|| (i64::from(dim[1]), i64::from(dim[2]), name()))
    }

    /// Fills everything that is not a variable in.
    pub(super) fn evaluate(&self, dims: &mut [i64]) {
        for (i, dim) in self.section(Section::Dims).chunks_exact(DIM_WORDS).enumerate() {
            let (Some(op), [_, w1, w2, _]) = (DimOp::from_word(dim[0]), dim) else { continue };
            let (a, b) = (Extent(*w1).value(dims), Extent(*w2).value(dims));
            dims[i] = match op {
                DimOp::Constant => (u64::from(*w1) | u64::from(*w2) << 32) as i64,
                DimOp::Variable => continue,
                DimOp::Add => a.saturating_add(b),
                DimOp::Mul => a.saturating_mul(b),
                DimOp::FloorDiv if b == 0 => 0,
                DimOp::FloorDiv => a.div_euclid(b) - i64::from(b < 0 && a.rem_euclid(b) != 0),
                DimOp::Min => a.min(b),
                DimOp::Max => a.max(b),
            };
        }
    }
}

/// The bytes of little-endian words.
fn as_bytes(words: &[u32]) -> &[u8] {
    super::memory::bytes_of(words)
}

#[cfg(feature = "std")]
pub(crate) use builder::{ImageBuilder, PortSpec, StepSpec};

#[cfg(feature = "std")]
mod builder {
    use super::*;

    /// A port to be written.
    pub(crate) struct PortSpec {
        pub(crate) name: String,
        pub(crate) dtype: DType,
        pub(crate) shape: Vec<Extent>,
        pub(crate) room: Option<(usize, usize)>,
        pub(crate) home: u32,
        pub(crate) home_offset: usize,
        pub(crate) bytes: usize,
    }

    /// A step to be written.
    pub(crate) struct StepSpec {
        pub(crate) kernel: u32,
        pub(crate) words: Vec<u32>,
        pub(crate) name: String,
    }

    /// The parts of an image before they are laid out.
    #[derive(Default)]
    pub(crate) struct ImageBuilder {
        pub(crate) dims: Vec<(DimOp, u32, u32, String)>,
        pub(crate) buffers: Vec<Buffer>,
        pub(crate) steps: Vec<StepSpec>,
        pub(crate) inputs: Vec<PortSpec>,
        pub(crate) outputs: Vec<PortSpec>,
        pub(crate) states: Vec<(u32, u32)>,
        pub(crate) constants: Vec<u8>,
        pub(crate) arena_bytes: usize,
        pub(crate) state_bytes: usize,
    }

    impl ImageBuilder {
        /// Lays the image out.
        pub(crate) fn finish(&self) -> Vec<u32> {
            let mut text = Vec::new();
            let mut records = Vec::new();
            let mut intern = |s: &str, limit: usize| {
                let mut end = s.len().min(limit);
                while !s.is_char_boundary(end) {
                    end -= 1;
                }
                text.extend_from_slice(&s.as_bytes()[..end]);
                [(text.len() - end) as u32, end as u32]
            };
            let mut dims = Vec::new();
            for (op, a, b, name) in &self.dims {
                let [offset, len] = intern(name, 255);
                dims.extend([*op as u32, *a, *b, offset | len << 24]);
            }
            let buffers = self
                .buffers
                .iter()
                .flat_map(|b| [b.base, b.offset as u32, b.bytes as u32, u32::from(b.dtype as u8)]);
            let buffers: Vec<u32> = buffers.collect();
            let mut steps = Vec::new();
            for step in &self.steps {
                let [offset, len] = intern(&step.name, usize::MAX);
                steps.extend([step.kernel, records.len() as u32, step.words.len() as u32]);
                steps.extend([offset, len]);
                records.extend(&step.words);
            }
            let mut ports = Vec::new();
            for port in self.inputs.iter().chain(&self.outputs) {
                let [offset, len] = intern(&port.name, usize::MAX);
                let rank = port.shape.len() as u32;
                ports.extend([offset, len, u32::from(port.dtype as u8), rank]);
                let (axis, room) = port.room.map_or((0, 0), |(axis, room)| (axis as u32 + 1, room));
                ports.extend([records.len() as u32, port.home, port.home_offset as u32]);
                ports.extend([port.bytes as u32, axis, room as u32]);
                records.extend(port.shape.iter().map(|e| e.0));
            }
            let states: Vec<u32> = self.states.iter().flat_map(|(i, o)| [*i, *o]).collect();
            let text = words_of(&text);
            let constants = words_of(&self.constants);

            let mut words = vec![0u32; HEADER_WORDS];
            let sections: [&[u32]; SECTIONS] =
                [&dims, &buffers, &steps, &records, &ports, &states, &text, &constants];
            for (i, section) in sections.into_iter().enumerate() {
                // Constants begin on a cache line.
                if i == Section::Constants as usize {
                    words.resize(words.len().next_multiple_of(16), 0);
                }
                words[SECTIONS_AT + 2 * i] = words.len() as u32;
                words[SECTIONS_AT + 2 * i + 1] = section.len() as u32;
                words.extend_from_slice(section);
            }
            let head = [MAGIC, VERSION, words.len() as u32, self.arena_bytes as u32];
            words[..4].copy_from_slice(&head);
            words[4] = self.state_bytes as u32;
            words[5] = self.inputs.len() as u32;
            words[6] = self.outputs.len() as u32;
            words
        }
    }

    fn words_of(bytes: &[u8]) -> Vec<u32> {
        let word = |chunk: &[u8]| {
            let mut le = [0; 4];
            le[..chunk.len()].copy_from_slice(chunk);
            u32::from_le_bytes(le)
        };
        bytes.chunks(4).map(word).collect()
    }
}
