//! Writes images.
//!
//! Owns the order of sections and words as [`image`](super) describes them. Constants, most of an
//! image, stand before the tables: they are written where they stay while a program is compiled,
//! and the tables, whose lengths are known last, behind them.

use super::{Buffer, DimOp, HEADER_WORDS, MAGIC, SECTIONS, SECTIONS_AT, Section, VERSION, number};
use crate::runtime::Storage;
use crate::runtime::record::Extent;
use crate::tensor::DType;

/// A port to be written.
pub(crate) struct PortSpec {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<Extent>,
    pub(crate) room: Option<(usize, usize)>,
    pub(crate) measured: bool,
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

/// Words of a cache line.
const LINE: usize = 16;

/// The constants of an image where they will stay in it, behind room for its header.
pub(crate) struct Constants {
    storage: Storage,
    /// Words so far, the header's among them.
    len: usize,
}

impl Constants {
    /// Room for so many bytes, and for what tables and padding usually add. It grows if it must.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let header = size_of::<[u32; HEADER_WORDS]>();
        // Zeros that nothing was written to cost no memory where there are many of them.
        let room = header + bytes + bytes / 2 + (1 << 12);
        Self { storage: zeroed(room), len: HEADER_WORDS }
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> usize {
        (self.len - HEADER_WORDS) * size_of::<u32>()
    }

    /// Room for one more, of zeros: where it lies among the constants in bytes, and its words,
    /// which begin on a cache line.
    pub(crate) fn room(&mut self, bytes: usize) -> (usize, &mut [u32]) {
        let first = self.len.next_multiple_of(LINE);
        let words = self.resize(first + bytes.div_ceil(size_of::<u32>()));
        ((first - HEADER_WORDS) * size_of::<u32>(), &mut words[first..])
    }

    /// All words, as many as are asked for; those that are new are zeros.
    fn resize(&mut self, len: usize) -> &mut [u32] {
        let bytes = len * size_of::<u32>();
        if bytes > self.storage.bytes().len() {
            let mut larger = zeroed(bytes.saturating_mul(2));
            let written = self.len * size_of::<u32>();
            larger.bytes_mut()[..written].copy_from_slice(&self.storage.bytes()[..written]);
            self.storage = larger;
        }
        self.len = len;
        &mut bytemuck::cast_slice_mut(self.storage.bytes_mut())[..len]
    }
}

fn zeroed(bytes: usize) -> Storage {
    // As `Vec` does when there is no memory; what a model may take is checked before.
    let bytes = bytes.next_multiple_of(LINE * size_of::<u32>());
    Storage::zeroed(bytes).unwrap_or_else(|| panic!("no memory for a program of {bytes} bytes"))
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
    /// Outputs with their texts, in order.
    pub(crate) labels: Vec<(u32, Vec<String>)>,
    pub(crate) arena_bytes: usize,
    pub(crate) state_bytes: usize,
}

impl ImageBuilder {
    /// Writes header and tables around the constants: the image, and its bytes.
    pub(crate) fn finish(&self, mut constants: Constants) -> (Storage, usize) {
        let mut text = Vec::new();
        let mut records = Vec::new();
        let mut intern = |s: &str, limit: usize| {
            let mut end = s.len().min(limit);
            while !s.is_char_boundary(end) {
                end -= 1;
            }
            let offset = text.len() as u32;
            text.extend_from_slice(&s.as_bytes()[..end]);
            text.push(0);
            [offset, end as u32]
        };
        let mut dims = Vec::new();
        let mut corners: [Vec<i64>; 2] = Default::default();
        for (op, a, b, name) in &self.dims {
            let [offset, len] = intern(name, 255);
            dims.extend([*op as u32, *a, *b, offset | len << 24]);
            for (bound, corner) in [a, b].into_iter().zip(&mut corners) {
                let value = match op {
                    DimOp::Constant => number([*a, *b]),
                    DimOp::Variable => i64::from(*bound),
                    DimOp::Measured => i64::from(*bound as i32),
                    _ => op.apply(Extent(*a).value(corner), Extent(*b).value(corner)),
                };
                corner.push(value);
                dims.extend([value as u32, (value >> 32) as u32]);
            }
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
            ports.extend([port.bytes as u32, axis, room as u32, u32::from(port.measured)]);
            records.extend(port.shape.iter().map(|e| e.0));
        }
        let mut labels = Vec::new();
        for (output, texts) in &self.labels {
            for text in texts {
                let [offset, len] = intern(text, usize::MAX);
                labels.extend([*output, offset, len]);
            }
        }
        let states: Vec<u32> = self.states.iter().flat_map(|(i, o)| [*i, *o]).collect();
        let text: Vec<u32> = words_of(&text).collect();
        let tables: [(Section, &[u32]); SECTIONS - 1] = [
            (Section::Dims, &dims),
            (Section::Buffers, &buffers),
            (Section::Steps, &steps),
            (Section::Records, &records),
            (Section::Ports, &ports),
            (Section::States, &states),
            (Section::Text, &text),
            (Section::Labels, &labels),
        ];
        let first = constants.len.next_multiple_of(LINE);
        let tables_len: usize = tables.iter().map(|(_, table)| table.len()).sum();
        let words = constants.resize(first + tables_len);
        let mut put = |section: Section, start: usize, len: usize| {
            let at = SECTIONS_AT + 2 * section as usize;
            words[at] = start as u32;
            words[at + 1] = len as u32;
            start + len
        };
        put(Section::Constants, HEADER_WORDS, first - HEADER_WORDS);
        let mut starts = [first; SECTIONS];
        for (i, (section, table)) in tables.iter().enumerate() {
            starts[i + 1] = put(*section, starts[i], table.len());
        }
        for ((_, table), start) in tables.iter().zip(starts) {
            words[start..start + table.len()].copy_from_slice(table);
        }
        let (len, bytes) = (words.len(), size_of_val(words));
        words[..4].copy_from_slice(&[MAGIC, VERSION, len as u32, self.arena_bytes as u32]);
        words[4] = self.state_bytes as u32;
        words[5] = self.inputs.len() as u32;
        words[6] = self.outputs.len() as u32;
        (constants.storage, bytes)
    }
}

fn words_of(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    let word = |chunk: &[u8]| {
        let mut le = [0; 4];
        le[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(le)
    };
    bytes.chunks(4).map(word)
}
