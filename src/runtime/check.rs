//! The check of an image, once, before anything runs.
//!
//! Owns the answer to one question: can anything in this image lead outside of its memory? Its
//! invariant: an image that passes has tables that refer to what exists, and steps whose operands
//! are as large as the kernel will use them, at the least and at the largest extents, and that
//! write nothing they read. What it does not look at is the constants themselves: no value of a
//! weight or an index decides where a kernel reads.
//!
//! Between the least and the largest extents, and behind this check, every access is a slice with
//! its own bounds: a program that lies about those panics and does not read past its memory.

mod flow;
mod reach;

use arrayvec::ArrayVec;

use crate::tensor::DType;

use super::errors::ImageError;
use super::image::{
    ARENA, BUFFER_WORDS, CONSTANTS, DIM_WORDS, DimOp, Image, LABEL_WORDS, PORT_WORDS, PORTS, STATE,
    STATE_WORDS, STEP_WORDS, Section, number,
};
use super::memory::Tables;
use super::record::{Access, Extent};
use super::session::MAX_PORT_RANK;
use super::step::{KernelId, Kernels};

#[cfg(all(test, feature = "std"))]
pub(super) use flow::iterations;
#[cfg(feature = "std")]
pub(crate) use flow::{MAX_ITERATIONS, MAX_NESTING};
pub(crate) use reach::{Reach, count, require};

/// Operands of one step.
const MAX_OPERANDS: usize = 28;

/// Checks an image whose header has been read.
pub(super) fn check(image: &Image<'_>, kernels: &Kernels) -> Result<(), ImageError> {
    sections(image)?;
    table(image, Section::Dims, DIM_WORDS, |i, entry| dim(image, i, entry))?;
    let ports = image.inputs_len().saturating_add(image.outputs_len());
    if image.section(Section::Ports).len() != ports.saturating_mul(PORT_WORDS) {
        return Err(ImageError::Damaged { table: Section::Ports.name(), entry: 0 });
    }
    // Once for all: names may share their bytes.
    let names = core::str::from_utf8(image.text_bytes())
        .map_err(|_| ImageError::Damaged { table: Section::Text.name(), entry: 0 })?;
    let text = |offset: u32, len: u32| {
        let (_, rest) = names.get(offset as usize..)?.split_at_checked(len as usize)?;
        require(rest.starts_with('\0'))
    };
    table(image, Section::Ports, PORT_WORDS, |i, entry| {
        text(entry[0], entry[1])?;
        port(image, i)
    })?;
    table(image, Section::Labels, LABEL_WORDS, |i, entry| {
        let before = i.checked_sub(1).map(|i| image.section(Section::Labels)[i * LABEL_WORDS]);
        require(before.is_none_or(|output| output <= entry[0]))?;
        require((entry[0] as usize) < image.outputs_len())?;
        text(entry[1], entry[2])
    })?;
    table(image, Section::States, STATE_WORDS, |_, pair| state(image, pair))?;
    table(image, Section::Buffers, BUFFER_WORDS, |i, entry| buffer(image, i, entry[3]))?;
    memory(image)?;
    table(image, Section::Steps, STEP_WORDS, |_, entry| {
        image.section(Section::Records).get(entry[1] as usize..)?.get(..entry[2] as usize)?;
        text(entry[3], entry[4])
    })?;
    steps(image, kernels)?;
    flow::flow(image)
}

/// Checks each entry of a table.
fn table(
    image: &Image<'_>,
    section: Section,
    width: usize,
    entry: impl Fn(usize, &[u32]) -> Option<()>,
) -> Result<(), ImageError> {
    let entries = image.section(section).chunks_exact(width);
    let rest = entries.remainder();
    let damaged = |i: usize| ImageError::Damaged { table: section.name(), entry: i as u32 };
    for (i, words) in entries.enumerate() {
        entry(i, words).ok_or(damaged(i))?;
    }
    if rest.is_empty() { Ok(()) } else { Err(damaged(0)) }
}

fn sections(image: &Image<'_>) -> Result<(), ImageError> {
    for section in Section::ALL {
        let place = image.place(section);
        let place = place.ok_or(ImageError::Damaged { table: section.name(), entry: 0 })?;
        if matches!(section, Section::Constants) && !place.start.is_multiple_of(16) {
            return Err(ImageError::Misaligned);
        }
    }
    Ok(())
}

/// An entry refers to earlier ones, and its values at the two corners follow from theirs.
fn dim(image: &Image<'_>, i: usize, entry: &[u32]) -> Option<()> {
    let op = DimOp::from_word(entry[0])?;
    for most in [false, true] {
        let value = |word: u32| {
            let earlier = word & Extent::TABLE == 0 || ((word & !Extent::TABLE) as usize) < i;
            earlier.then(|| image.corner(Extent(word), most)).flatten()
        };
        let expected = match op {
            DimOp::Constant => number([entry[1], entry[2]]),
            DimOp::Variable => i64::from(entry[1 + usize::from(most)]),
            DimOp::Measured => i64::from(entry[1 + usize::from(most)] as i32),
            _ => op.apply(value(entry[1])?, value(entry[2])?),
        };
        require(image.corner(Extent(i as u32 | Extent::TABLE), most) == Some(expected))?;
    }
    require(match op {
        DimOp::Variable => entry[1] <= entry[2],
        DimOp::Measured => entry[1] as i32 <= entry[2] as i32,
        _ => true,
    })
}

/// Type and extents that exist, and a home that holds them.
fn port(image: &Image<'_>, i: usize) -> Option<()> {
    let p = &image.section(Section::Ports)[i * PORT_WORDS..][..PORT_WORDS];
    let dtype = DType::from_code(u8::try_from(p[2]).ok()?)?;
    let rank = p[3] as usize;
    let shape = image.section(Section::Records).get(p[4] as usize..)?.get(..rank)?;
    require(rank <= MAX_PORT_RANK && (ARENA..=STATE).contains(&p[5]) && p[8] <= p[3])?;
    let end = u64::from(p[6]) + u64::from(p[7]);
    require(p[6].is_multiple_of(64) && end <= image.base_bytes(p[5]) as u64)?;
    for most in [false, true] {
        let (mut elements, mut apart) = (1usize, 1usize);
        for (axis, word) in shape.iter().enumerate() {
            let extent = usize::try_from(image.corner(Extent(*word), most)?).ok()?;
            elements = elements.checked_mul(extent)?;
            // A cache that grows in place has room along one axis.
            let room = if p[8] as usize == axis + 1 { p[9] as usize } else { extent };
            require(extent <= room)?;
            apart = apart.checked_mul(room)?;
        }
        require(apart.checked_mul(dtype.bytes())? <= p[7] as usize || elements == 0)?;
    }
    Some(())
}

fn state(image: &Image<'_>, pair: &[u32]) -> Option<()> {
    let (input, output) = (pair[0] as usize, pair[1] as usize);
    require(input < image.inputs_len() && output < image.outputs_len())?;
    let (input, output) = (image.port(input), image.port(image.inputs_len() + output));
    require(input.dtype == output.dtype && input.shape.len() == output.shape.len())?;
    require(input.home == STATE && output.home == STATE)
}

fn buffer(image: &Image<'_>, i: usize, dtype: u32) -> Option<()> {
    DType::from_code(u8::try_from(dtype).ok()?)?;
    let buffer = image.buffers().at(i as u32);
    let ports = image.inputs_len() + image.outputs_len();
    require((buffer.base as usize) < PORTS as usize + ports)?;
    require(buffer.offset.is_multiple_of(buffer.dtype.bytes()))?;
    if buffer.base >= PORTS {
        // The caller's memory is aligned to the port's elements.
        let port = image.port((buffer.base - PORTS) as usize);
        require(port.dtype.bytes() == buffer.dtype.bytes())?;
    }
    require(buffer.offset.checked_add(buffer.bytes)? <= image.base_bytes(buffer.base))
}

/// A session's memory can be addressed.
fn memory(image: &Image<'_>) -> Result<(), ImageError> {
    let ports = image.inputs_len() + image.outputs_len();
    let tables = (image.dims_len() + 2 * (PORTS as usize + ports)) * size_of::<i64>();
    let sizes = [tables, image.arena_bytes(), image.state_bytes(), 4 * 64];
    let total = sizes.iter().try_fold(0usize, |sum, bytes| sum.checked_add(*bytes));
    match total {
        Some(total) if total <= isize::MAX as usize => {
            let (dims, ports) = (image.dims_len(), PORTS as usize + ports);
            let needs = Tables::new(dims, ports, image.arena_bytes(), image.state_bytes());
            debug_assert!(needs.total <= total);
            Ok(())
        }
        _ => Err(ImageError::TooLarge),
    }
}

fn steps(image: &Image<'_>, kernels: &Kernels) -> Result<(), ImageError> {
    for (i, (id, words)) in image.walk().enumerate() {
        let known = KernelId::from_word(id).ok_or(ImageError::UnknownKernel { number: id })?;
        let missing = ImageError::MissingKernel { kernel: known.name() };
        let kernel = kernels.find(id).ok_or(missing)?;
        for most in [false, true] {
            let reach = Reach::new(image, most);
            let outside = ImageError::Step { step: i as u32, kernel: known.name() };
            (kernel.check)(words, &reach).ok_or(outside)?;
        }
    }
    Ok(())
}

/// The operands of a step, while it is found out whether they may lie as they do.
#[derive(Default)]
pub(super) struct Operands(ArrayVec<(u32, Access), MAX_OPERANDS>);

impl Operands {
    /// One more operand. `None` if there are too many.
    pub(super) fn push(&mut self, buffer: u32, access: Access) -> Option<()> {
        self.0.try_push((buffer, access)).ok()
    }

    /// Whether all exist, what is written may be, and nothing that is written overlaps another
    /// operand, unless both are reached through cells.
    pub(super) fn check(&self, image: &Image<'_>) -> Option<()> {
        for (i, (buffer, access)) in self.0.iter().enumerate() {
            require((*buffer as usize) < image.buffers().len())?;
            if !access.writes() {
                continue;
            }
            require(image.is_writable(*buffer))?;
            for (j, (other, of_other)) in self.0.iter().enumerate() {
                let both_written = of_other.writes();
                // Each pair once, and reads against every write.
                if i == j || both_written && j < i || (*other as usize) >= image.buffers().len() {
                    continue;
                }
                let shared = access.is_cells() && of_other.is_cells() && !both_written;
                require(shared || image.are_apart(*buffer, *other))?;
            }
        }
        Some(())
    }
}

impl Access {
    fn writes(self) -> bool {
        matches!(self, Self::Write | Self::WriteShared | Self::Scratch)
    }

    fn is_cells(self) -> bool {
        matches!(self, Self::ReadShared | Self::ReadHeld | Self::WriteShared)
    }
}

impl Image<'_> {
    /// An extent at the least (or the largest) values of all variables. `None` outside the table.
    pub(super) fn corner(&self, extent: Extent, most: bool) -> Option<i64> {
        if extent.0 & Extent::TABLE == 0 {
            return Some(extent.value(&[]));
        }
        let entry = (extent.0 & !Extent::TABLE) as usize;
        let at = entry.checked_mul(DIM_WORDS)?;
        let words = self.section(Section::Dims).get(at..)?.get(..DIM_WORDS)?;
        let (_, corners) = words.split_last_chunk::<4>()?;
        let [a, b, c, d] = *corners;
        Some(if most { number([c, d]) } else { number([a, b]) })
    }

    /// Whether steps may write here: not into constants, nor into inputs of a single run.
    fn is_writable(&self, buffer: u32) -> bool {
        let base = self.buffers().at(buffer).base;
        let input = (base.wrapping_sub(PORTS) as usize) < self.inputs_len();
        base != CONSTANTS && !(base >= PORTS && input && self.home(buffer).0 != STATE)
    }

    /// Where a buffer lies when ports are at home: base, first byte, byte behind the last.
    fn home(&self, buffer: u32) -> (u32, usize, usize) {
        let buffer = self.buffers().at(buffer);
        let (base, at) = match buffer.base {
            base if base < PORTS => (base, 0),
            port => {
                let port = self.port((port - PORTS) as usize);
                (port.home, port.home_offset)
            }
        };
        (base, at + buffer.offset, at + buffer.offset + buffer.bytes)
    }

    /// Bytes of a buffer at the least (or the largest) values of all variables: of a port that may
    /// be bound to memory of the caller, those that its extents ask for.
    fn bytes_at(&self, buffer: u32, most: bool) -> Option<usize> {
        let buffer = self.buffers().at(buffer);
        if buffer.base < PORTS {
            return Some(buffer.bytes);
        }
        let port = self.port((buffer.base - PORTS) as usize);
        if port.home != ARENA || port.measured {
            return Some(buffer.bytes);
        }
        let extent = |n: usize, word: &u32| {
            let extent = usize::try_from(self.corner(Extent(*word), most)?).ok()?;
            n.checked_mul(extent)
        };
        let room = port.shape.iter().try_fold(port.dtype.bytes(), extent)?;
        Some(buffer.bytes.min(room.checked_sub(buffer.offset)?))
    }

    /// Whether two buffers share no byte.
    pub(super) fn are_apart(&self, a: u32, b: u32) -> bool {
        let ((base_a, from_a, to_a), (base_b, from_b, to_b)) = (self.home(a), self.home(b));
        base_a != base_b || to_a <= from_b || to_b <= from_a
    }
}
