//! The flat image of a program: layout and access.
//!
//! Owns the format. Its invariant: an [`Image`] has been [checked](super::check), so that whatever
//! it names lies where it says. Little-endian words of 32 bits:
//!
//! | part | contents |
//! |---|---|
//! | header | magic, version, length, memory sizes, counts, place of each section |
//! | constants | packed weights, 64-byte aligned |
//! | dims | eight words each: operation, two extents (of earlier entries), name, the value when all variables are least, the value when all are largest |
//! | buffers | four words each: base, offset, length in bytes, element type |
//! | steps | five words each: kernel, place and length of the record, place and length of the name |
//! | records | the steps' parameters |
//! | ports | eleven words each: inputs, then outputs |
//! | states | two words each: input, output |
//! | text | names, UTF-8, each ended by a zero that its length does not count |
//! | labels | three words each: output, place and length of the text; in the order of outputs |

use core::ffi::CStr;
use core::ops::Range;

use crate::tensor::DType;

use super::errors::ImageError;
use super::record::Extent;
use super::step::Kernels;

pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"nwc\0");
pub(super) const VERSION: u32 = 5;
const HEADER_WORDS: usize = 32;
const SECTIONS_AT: usize = 8;
const SECTIONS: usize = 9;

/// The base of constants; the image itself.
pub(crate) const CONSTANTS: u32 = 0;
/// The base of the arena.
pub(crate) const ARENA: u32 = 1;
/// The base of what is kept between runs.
pub(crate) const STATE: u32 = 2;
/// The base of the first port; inputs, then outputs.
pub(crate) const PORTS: u32 = 3;

pub(super) const DIM_WORDS: usize = 8;
pub(super) const BUFFER_WORDS: usize = 4;
pub(super) const STEP_WORDS: usize = 5;
pub(super) const PORT_WORDS: usize = 11;
pub(super) const STATE_WORDS: usize = 2;
pub(super) const LABEL_WORDS: usize = 3;

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
    /// Set by a step, between two numbers with sign.
    Measured = 7,
}

impl DimOp {
    const ALL: [Self; 8] = [
        Self::Constant,
        Self::Variable,
        Self::Add,
        Self::Mul,
        Self::FloorDiv,
        Self::Min,
        Self::Max,
        Self::Measured,
    ];

    pub(super) fn from_word(word: u32) -> Option<Self> {
        Self::ALL.get(word as usize).copied()
    }

    /// The value of an entry that is computed from two others.
    pub(super) fn apply(self, a: i64, b: i64) -> i64 {
        match self {
            Self::Constant | Self::Variable | Self::Measured | Self::Add => a.saturating_add(b),
            Self::Mul => a.saturating_mul(b),
            Self::FloorDiv if b == 0 => 0,
            Self::FloorDiv => {
                a.wrapping_div_euclid(b) - i64::from(b < 0 && a.wrapping_rem_euclid(b) != 0)
            }
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
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

    pub(super) fn len(&self) -> usize {
        self.0.len() / BUFFER_WORDS
    }
}

/// Sections in the order of the header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Section {
    Dims = 0,
    Buffers = 1,
    Steps = 2,
    Records = 3,
    Ports = 4,
    States = 5,
    Text = 6,
    Constants = 7,
    Labels = 8,
}

impl Section {
    pub(super) const ALL: [Self; SECTIONS] = [
        Self::Dims,
        Self::Buffers,
        Self::Steps,
        Self::Records,
        Self::Ports,
        Self::States,
        Self::Text,
        Self::Constants,
        Self::Labels,
    ];

    /// What its entries are called in errors.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dims => "dimensions",
            Self::Buffers => "buffers",
            Self::Steps => "steps",
            Self::Records => "records",
            Self::Ports => "ports",
            Self::States => "states",
            Self::Text => "names",
            Self::Constants => "constants",
            Self::Labels => "labels",
        }
    }
}

/// A port as it stands in the image.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawPort<'p> {
    pub(super) name: &'p str,
    /// Place and length of the name.
    pub(super) name_at: [u32; 2],
    pub(super) dtype: DType,
    pub(super) shape: &'p [u32],
    /// The axis along which a cache grows in place, and the extent there is room for; the axes
    /// before it lie that far apart.
    pub(super) room: Option<(usize, usize)>,
    /// Its shape is known only behind a run.
    pub(super) measured: bool,
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

/// A number of 64 bits, low word first.
pub(super) fn number([low, high]: [u32; 2]) -> i64 {
    (u64::from(low) | u64::from(high) << 32) as i64
}

/// A checked image.
#[derive(Clone, Copy)]
pub(super) struct Image<'p> {
    words: &'p [u32],
}

impl<'p> Image<'p> {
    /// Checks `words`, which may use these kernels.
    pub(super) fn new(words: &'p [u32], kernels: &Kernels) -> Result<Self, ImageError> {
        if words.len() < HEADER_WORDS || words[0] != MAGIC {
            return Err(ImageError::NotAnImage);
        }
        if words[1] != VERSION {
            return Err(ImageError::Version { found: words[1], expected: VERSION });
        }
        let expected = words[2] as usize;
        if words.len() < expected || expected < HEADER_WORDS {
            let (found, expected) = (words.len() * 4, expected.saturating_mul(4));
            return Err(ImageError::Truncated { found, expected });
        }
        if !words.as_ptr().addr().is_multiple_of(64) {
            return Err(ImageError::Misaligned);
        }
        let image = Self { words: &words[..expected] };
        super::check::check(&image, kernels)?;
        Ok(image)
    }

    /// Takes words that have been checked before.
    pub(super) fn checked_before(words: &'p [u32]) -> Self {
        Self { words }
    }

    /// Where a section says that it lies, if that is behind the header and within the image.
    pub(super) fn place(&self, section: Section) -> Option<Range<usize>> {
        let at = SECTIONS_AT + 2 * section as usize;
        let start = self.words[at] as usize;
        let end = start.checked_add(self.words[at + 1] as usize)?;
        (start >= HEADER_WORDS && end <= self.words.len()).then_some(start..end)
    }

    fn range(&self, section: Section) -> Range<usize> {
        let at = SECTIONS_AT + 2 * section as usize;
        let start = self.words[at] as usize;
        start..start + self.words[at + 1] as usize
    }

    pub(super) fn section(&self, section: Section) -> &'p [u32] {
        &self.words[self.range(section)]
    }

    /// Bytes a base has when ports are at home.
    pub(super) fn base_bytes(&self, base: u32) -> usize {
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

    /// All names.
    pub(super) fn text_bytes(&self) -> &'p [u8] {
        as_bytes(self.section(Section::Text))
    }

    pub(super) fn text(&self, offset: u32, len: u32) -> &'p str {
        let bytes = self.text_bytes().get(offset as usize..).and_then(|b| b.get(..len as usize));
        bytes.and_then(|b| core::str::from_utf8(b).ok()).unwrap_or("")
    }

    /// The same as C reads it: up to its first zero.
    pub(super) fn c_text(&self, [offset, len]: [u32; 2]) -> &'p CStr {
        let text = self.text_bytes().get(offset as usize..);
        let text = text.and_then(|bytes| bytes.get(..(len as usize).saturating_add(1)));
        text.and_then(|bytes| CStr::from_bytes_until_nul(bytes).ok()).unwrap_or_default()
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

    /// Step `i` as (kernel, record).
    #[inline(always)]
    pub(super) fn step_record(&self, i: usize) -> Option<(u32, &'p [u32])> {
        let at = i.checked_mul(STEP_WORDS)?;
        let s = self.section(Section::Steps).get(at..)?.get(..STEP_WORDS)?;
        let records = self.section(Section::Records);
        Some((s[0], &records[s[1] as usize..][..s[2] as usize]))
    }

    /// Port `i`: inputs, then outputs.
    pub(super) fn port(&self, i: usize) -> RawPort<'p> {
        let p = &self.section(Section::Ports)[i * PORT_WORDS..][..PORT_WORDS];
        RawPort {
            name: self.text(p[0], p[1]),
            name_at: [p[0], p[1]],
            dtype: DType::from_code(p[2] as u8).unwrap_or(DType::U8),
            shape: &self.section(Section::Records)[p[4] as usize..][..p[3] as usize],
            home: p[5],
            home_offset: p[6] as usize,
            bytes: p[7] as usize,
            room: (p[8] > 0).then(|| (p[8] as usize - 1, p[9] as usize)),
            measured: p[10] != 0,
        }
    }

    /// State `i`: (input, output).
    pub(super) fn state(&self, i: usize) -> (usize, usize) {
        let s = &self.section(Section::States)[i * STATE_WORDS..];
        (s[0] as usize, s[1] as usize)
    }

    /// Places of the texts of output `i`.
    pub(super) fn labels(&self, i: usize) -> impl ExactSizeIterator<Item = [u32; 2]> + use<'p> {
        let (labels, _) = self.section(Section::Labels).as_chunks::<LABEL_WORDS>();
        let start = labels.partition_point(|label| (label[0] as usize) < i);
        let len = labels[start..].partition_point(|label| label[0] as usize == i);
        labels[start..start + len].iter().map(|label| [label[1], label[2]])
    }

    /// Bounds of dimension `i`, where it is a variable.
    pub(super) fn variable(&self, i: usize) -> Option<(i64, i64, &'p str)> {
        let dim = self.section(Section::Dims).get(i * DIM_WORDS..)?.get(..DIM_WORDS)?;
        let name = || self.text(dim[3] & 0x00ff_ffff, dim[3] >> 24);
        (dim[0] == DimOp::Variable as u32).then(|| (i64::from(dim[1]), i64::from(dim[2]), name()))
    }

    /// The name of dimension `i` as C reads it.
    pub(super) fn variable_c_name(&self, i: usize) -> &'p CStr {
        let dim = self.section(Section::Dims).get(i * DIM_WORDS + 3);
        dim.map_or(c"", |name| self.c_text([name & 0x00ff_ffff, name >> 24]))
    }

    /// Bounds of dimension `i`, where a step sets it.
    pub(super) fn measured(&self, i: usize) -> Option<(i64, i64, &'p str)> {
        let dim = self.section(Section::Dims).get(i.checked_mul(DIM_WORDS)?..)?.get(..DIM_WORDS)?;
        let name = || self.text(dim[3] & 0x00ff_ffff, dim[3] >> 24);
        let bound = |word: u32| i64::from(word as i32);
        (dim[0] == DimOp::Measured as u32).then(|| (bound(dim[1]), bound(dim[2]), name()))
    }

    /// Fills everything that is not a variable in.
    pub(super) fn evaluate(&self, dims: &mut [i64]) {
        for (i, dim) in self.section(Section::Dims).chunks_exact(DIM_WORDS).enumerate() {
            let (Some(op), [_, w1, w2, ..]) = (DimOp::from_word(dim[0]), dim) else { continue };
            dims[i] = match op {
                DimOp::Constant => number([*w1, *w2]),
                DimOp::Variable | DimOp::Measured => continue,
                _ => op.apply(Extent(*w1).value(dims), Extent(*w2).value(dims)),
            };
        }
    }
}

/// The bytes of little-endian words.
fn as_bytes(words: &[u32]) -> &[u8] {
    super::memory::bytes_of(words)
}

#[cfg(feature = "std")]
mod builder;
#[cfg(feature = "std")]
pub(crate) use builder::{Constants, ImageBuilder, PortSpec, StepSpec};
