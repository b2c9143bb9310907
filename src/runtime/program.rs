//! A compiled model.

use core::ffi::CStr;
use core::fmt;
#[cfg(feature = "std")]
use core::ops::Range;
#[cfg(feature = "std")]
use std::sync::Arc;

use crate::kernels::Level;
use crate::kernels::gemm::{bf16, int8};
use crate::tensor::DType;
#[cfg(feature = "std")]
use crate::tensor::view;

use super::errors::ImageError;
use super::image::{Image, PORTS, RawPort};
#[cfg(feature = "std")]
use super::memory::Storage;
use super::memory::{MemoryNeeds, Tables};
use super::record::Extent;
use super::step::{KernelId, Kernels};
#[cfg(feature = "std")]
#[cfg(all(test, feature = "std"))]
use super::steps::KERNELS;
use super::steps::flow::Control;
use super::steps::{integer, product};

/// A compiled model: steps, packed weights, memory plan. Plain data, shared by any number of
/// sessions on any number of threads.
///
/// It borrows its image, or keeps the memory that the image lies in.
pub struct Program<'a> {
    words: Words<'a>,
    kernels: Kernels,
}

enum Words<'a> {
    Borrowed(&'a [u32]),
    #[cfg(feature = "std")]
    Shared(Arc<Storage>, Range<usize>),
}

/// An input or output of a program.
#[derive(Clone, Copy)]
pub struct Port<'p> {
    /// Its name in the model.
    pub name: &'p str,
    /// Its element type.
    pub dtype: DType,
    name_at: [u32; 2],
    shape: &'p [u32],
    image: Image<'p>,
    bytes: usize,
    state: bool,
    measured: bool,
    /// Its position among the outputs.
    output: Option<usize>,
}

impl<'p> Port<'p> {
    /// Its name as C reads it: up to its first NUL.
    pub fn c_name(&self) -> &'p CStr {
        self.image.c_text(self.name_at)
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Extent of `axis`, where it is the same in every call.
    pub fn fixed_extent(&self, axis: usize) -> Option<usize> {
        let extent = Extent(*self.shape.get(axis)?);
        let immediate = extent.0 & Extent::TABLE == 0;
        immediate.then(|| extent.value(&[]) as usize)
    }

    /// Largest extent of `axis`.
    pub fn max_extent(&self, axis: usize) -> Option<usize> {
        let extent = self.image.corner(Extent(*self.shape.get(axis)?), true)?;
        usize::try_from(extent).ok()
    }

    /// Whether its shape depends on the data: it is known behind a run, within
    /// [`Port::max_bytes`], and the port cannot be bound to other memory.
    pub fn is_measured(&self) -> bool {
        self.measured
    }

    /// Name and bounds of the dimension that is chosen per call on `axis`.
    pub fn variable(&self, axis: usize) -> Option<(&'p str, usize, usize)> {
        let (min, max, name) = self.image.variable(self.dim(axis)?)?;
        Some((name, min as usize, max as usize))
    }

    /// The name of the dimension that is chosen per call on `axis`, as C reads it.
    pub fn variable_c_name(&self, axis: usize) -> Option<&'p CStr> {
        let dim = self.dim(axis)?;
        self.image.variable(dim).map(|_| self.image.variable_c_name(dim))
    }

    /// The place in the table of dimensions of an extent that is not fixed.
    fn dim(&self, axis: usize) -> Option<usize> {
        let extent = Extent(*self.shape.get(axis)?);
        (extent.0 & Extent::TABLE != 0).then_some((extent.0 & !Extent::TABLE) as usize)
    }

    /// Texts: of an output of i64 what each number means, from zero; of an output of floats the
    /// names of its columns. Most ports have none.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = &'p str> + use<'p> {
        let image = self.image;
        self.labels_at().map(move |[offset, len]| image.text(offset, len))
    }

    /// Text `i` as C reads it: up to its first NUL.
    pub fn label_c_text(&self, i: usize) -> Option<&'p CStr> {
        self.labels_at().nth(i).map(|at| self.image.c_text(at))
    }

    fn labels_at(&self) -> impl ExactSizeIterator<Item = [u32; 2]> + use<'p> {
        self.image.labels(self.output.unwrap_or(usize::MAX))
    }

    /// Bytes at the largest extents.
    pub fn max_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is kept between runs: an output that is the input of the next run, or that
    /// input.
    pub fn is_state(&self) -> bool {
        self.state
    }
}

impl fmt::Debug for Port<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}[", self.name, self.dtype)?;
        for axis in 0..self.rank() {
            let comma = if axis > 0 { ", " } else { "" };
            match (self.fixed_extent(axis), self.variable(axis)) {
                (Some(n), _) => write!(f, "{comma}{n}")?,
                (_, Some((name, min, max))) => write!(f, "{comma}{name}={min}..{max}")?,
                _ => write!(f, "{comma}<={}", self.max_extent(axis).unwrap_or(0))?,
            }
        }
        write!(f, "]")
    }
}

/// A step of a program, for people who ask what runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepInfo<'p> {
    /// The kernel.
    pub id: KernelId,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The node it came from.
    pub node: &'p str,
    /// The step that may be next in place of the one behind it.
    pub target: Option<usize>,
}

impl<'a> Program<'a> {
    /// A program whose image lies in `words`, on a 64-byte boundary.
    ///
    /// Every offset, extent and overlap is checked, at the least and at the largest extents, so
    /// that the weights alone, however damaged, can lead nowhere outside. `kernels` is
    /// [`KERNELS`](super::KERNELS), or the few that the program needs.
    ///
    /// **Errors**: an image that is no image, of another version, cut short or damaged; a kernel
    /// that is not in `kernels`.
    ///
    /// **Cost**: reads the tables once, copies nothing.
    pub fn from_words(words: &'a [u32], kernels: &Kernels) -> Result<Self, ImageError> {
        Image::new(words, kernels)?;
        Ok(Self { words: Words::Borrowed(words), kernels: *kernels })
    }

    /// A program of its own, copied from words.
    #[cfg(all(test, feature = "std"))]
    pub(crate) fn owned(words: &[u32]) -> Result<Program<'static>, ImageError> {
        let bytes = super::memory::bytes_of(words);
        let storage = Storage::copied(bytes).ok_or(ImageError::Misaligned)?;
        Program::from_storage(Arc::new(storage), 0..bytes.len(), &KERNELS)
    }

    /// The program whose image is these bytes of `storage`, which it keeps.
    #[cfg(feature = "std")]
    pub(crate) fn from_storage(
        storage: Arc<Storage>,
        range: Range<usize>,
        kernels: &Kernels,
    ) -> Result<Program<'static>, ImageError> {
        let bytes = storage.bytes().get(range.clone());
        let words = bytes.and_then(view).ok_or(ImageError::Misaligned)?;
        Image::new(words, kernels)?;
        Ok(Program { words: Words::Shared(storage, range), kernels: *kernels })
    }

    pub(super) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    pub(super) fn image(&self) -> Image<'_> {
        Image::checked_before(self.words())
    }

    /// The image: the same words on every host.
    pub fn words(&self) -> &[u32] {
        match &self.words {
            Words::Borrowed(words) => words,
            // The range has been viewed before.
            #[cfg(feature = "std")]
            Words::Shared(storage, range) => {
                storage.bytes().get(range.clone()).and_then(view).unwrap_or_default()
            }
        }
    }

    pub(super) fn tables(&self) -> Tables {
        self.tables_on_host(size_of::<usize>())
    }

    fn tables_on_host(&self, address_bytes: usize) -> Tables {
        let image = self.image();
        Tables::on_host(
            address_bytes,
            image.dims_len(),
            PORTS as usize + image.inputs_len() + image.outputs_len(),
            image.arena_bytes(),
            image.state_bytes(),
        )
    }

    /// What a session of this program needs, in bytes.
    pub fn memory(&self) -> MemoryNeeds {
        let image = self.image();
        MemoryNeeds {
            session_bytes: self.tables().total,
            arena_bytes: image.arena_bytes(),
            state_bytes: image.state_bytes(),
            constant_bytes: image.constants().len(),
            stack_bytes: MemoryNeeds::STACK_BYTES,
        }
    }

    /// The `session_bytes` of [`Program::memory`] on a host whose addresses have this many bytes.
    pub fn session_bytes_on_host(&self, address_bytes: usize) -> usize {
        self.tables_on_host(address_bytes).total
    }

    fn port(&self, i: usize) -> Port<'_> {
        let image = self.image();
        let inputs = image.inputs_len();
        let state = (0..image.states_len()).map(|s| image.state(s));
        let state = state.into_iter().any(|(a, b)| a == i || b + inputs == i);
        let RawPort { name, name_at, dtype, shape, bytes, measured, .. } = image.port(i);
        let output = i.checked_sub(inputs);
        Port { name, dtype, name_at, shape, image, bytes, state, measured, output }
    }

    /// Inputs in the model's order.
    pub fn inputs(&self) -> impl ExactSizeIterator<Item = Port<'_>> {
        (0..self.image().inputs_len()).map(|i| self.port(i))
    }

    /// Outputs in the model's order.
    pub fn outputs(&self) -> impl ExactSizeIterator<Item = Port<'_>> {
        let inputs = self.image().inputs_len();
        (0..self.image().outputs_len()).map(move |i| self.port(inputs + i))
    }

    /// Name of an entry of the table of dimensions that is chosen per call or found in the data.
    pub fn dim_name(&self, dim: u32) -> Option<&str> {
        let image = self.image();
        let found = image.variable(dim as usize).or(image.measured(dim as usize));
        found.map(|(_, _, name)| name)
    }

    /// Position of the input of this name.
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs().position(|p| p.name == name)
    }

    /// Position of the output of this name.
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs().position(|p| p.name == name)
    }

    /// How step `i` is computed at a level, where its kernel has several ways: that of the most
    /// rows that it may have. Of a chain, from what type of elements to which.
    pub fn way(&self, i: usize, level: Level) -> Option<&'static str> {
        let image = self.image();
        let (kernel, words) = image.step_record(i)?;
        let most = |rows| usize::try_from(image.corner(rows, true)?).ok();
        if let Some(rows) = integer::rows_in_i8(kernel, words) {
            return Some(int8::Way::new(level, most(rows)?).name());
        }
        if let Some(types) = integer::types_of_chain(kernel, words) {
            return Some(types);
        }
        let rows = product::rows_in_bf16(kernel, words)?;
        Some(bf16::Way::new(level, most(rows)?).name())
    }

    /// Whether some step would use AMX where it is there.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn uses_amx(&self) -> bool {
        let image = self.image();
        let pays = |rows, least| {
            let most = image.corner(rows, true).and_then(|most| usize::try_from(most).ok());
            most.is_some_and(|most| most >= least)
        };
        image.walk().any(|(kernel, words)| {
            let bytes = integer::rows_in_i8(kernel, words);
            let pairs = product::rows_in_bf16(kernel, words);
            bytes.is_some_and(|rows| pays(rows, int8::Way::AMX_ROWS))
                || pairs.is_some_and(|rows| pays(rows, bf16::Way::AMX_ROWS))
        })
    }

    /// Steps in the order in which they run.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = StepInfo<'_>> {
        let image = self.image();
        (0..image.steps_len()).map(move |i| {
            let step = image.step(i);
            // The check of the image has found each kernel.
            let id = KernelId::from_word(step.kernel).unwrap_or(KernelId::Copy);
            let record = image.step_record(i);
            let control = record.and_then(|(kernel, words)| Control::decode(kernel, words));
            let target = control.and_then(|control| control.target());
            StepInfo { id, kernel: id.name(), node: step.name, target }
        })
    }
}

impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("inputs", &Inputs(self))
            .field("steps", &self.steps().len())
            .field("memory", &self.memory())
            .finish()
    }
}

struct Inputs<'p>(&'p Program<'p>);

impl fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.inputs()).finish()
    }
}
