//! One thread's memory for a program, and the calls that serve.

use core::fmt;
use core::marker::PhantomData;

use arrayvec::ArrayVec;

use crate::kernels::{Isa, Level};
use crate::tensor::{DType, Element};

use super::image::{ARENA, CONSTANTS, PORTS, STATE};
use super::memory::{Base, Bases, Block, MemoryNeeds, Tables, elements, elements_mut};
use super::program::{Program, STACK_BYTES};
use super::record::Extent;
use super::step::{KernelId, Kernels, Operands, Step, StepFn};

/// Largest rank of an input or output.
pub const MAX_PORT_RANK: usize = 16;

/// Extents of a port.
pub type Shape = ArrayVec<usize, MAX_PORT_RANK>;

/// Why a session cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// The program needs a kernel that the table passed does not have.
    MissingKernel {
        /// The kernel's name.
        kernel: &'static str,
    },
    /// The memory is smaller than [`Program::memory`] says.
    TooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The memory is not aligned to [`MemoryNeeds::ALIGNMENT`].
    Misaligned,
    /// The allocator has no memory left.
    OutOfMemory {
        /// Bytes needed.
        needed: usize,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingKernel { kernel } => write!(
                f,
                "the program needs the kernel {kernel}, which the table of kernels does not have"
            ),
            Self::TooSmall { needed, given } => {
                write!(f, "the session needs {needed} bytes, {given} were given")
            }
            Self::Misaligned => {
                write!(f, "the memory is not aligned to {} bytes", MemoryNeeds::ALIGNMENT)
            }
            Self::OutOfMemory { needed } => write!(f, "no {needed} bytes of memory are left"),
        }
    }
}

impl core::error::Error for SessionError {}

/// Why an input, output or extent was refused. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// No input or output has this position, or no dimension this name.
    NotFound,
    /// The port has another element type.
    DType {
        /// The port's type.
        expected: DType,
        /// The type asked for.
        got: DType,
    },
    /// The port has another number of bytes.
    Length {
        /// Bytes the port has under the present extents.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The port has another rank.
    Rank {
        /// The port's rank.
        expected: usize,
        /// The rank given.
        got: usize,
    },
    /// An extent outside its bounds, or other than the one it must be.
    Extent {
        /// The axis, or zero for a dimension by name.
        axis: usize,
        /// Smallest extent allowed.
        min: usize,
        /// Largest extent allowed.
        max: usize,
        /// The extent given.
        got: usize,
    },
    /// The port is kept between runs and cannot be bound to other memory.
    State,
    /// The memory is not aligned to its element type.
    Misaligned,
    /// The port is a cache that grows in place, so its elements do not lie behind one another:
    /// copy them with [`Session::copy_output`] or [`Session::copy_input`].
    InPlace,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "the program has no such input, output or dimension"),
            Self::DType { expected, got } => write!(f, "the elements are {expected}, not {got}"),
            Self::Length { expected, got } => write!(f, "{expected} bytes expected, got {got}"),
            Self::Rank { expected, got } => write!(f, "{expected} axes expected, got {got}"),
            Self::Extent { axis, min, max, got } => {
                write!(f, "extent {got} of axis {axis} is not within {min} to {max}")
            }
            Self::State => {
                write!(f, "the port is kept between runs and cannot be bound to other memory")
            }
            Self::Misaligned => write!(f, "the memory is not aligned to its element type"),
            Self::InPlace => write!(
                f,
                "the port grows in place and its elements do not lie behind one another: copy it"
            ),
        }
    }
}

impl core::error::Error for BindError {}

/// Why a run was refused. Outputs and state are unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// A cache that grows with each run has reached its largest extent: `reset` or `restore`.
    StateFull {
        /// The largest extent.
        max: usize,
    },
    /// A view that was passed does not suit its port.
    Bind {
        /// Position among the inputs, or behind them among the outputs.
        port: usize,
        /// Why.
        error: BindError,
    },
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StateFull { max } => {
                write!(f, "the state has reached its largest extent, {max}: reset or restore it")
            }
            Self::Bind { port, error } => write!(f, "port {port}: {error}"),
        }
    }
}

impl core::error::Error for RunError {}

/// Elements that a run reads where they are.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    dtype: DType,
    pointer: *const u8,
    bytes: usize,
    elements: PhantomData<&'a [u8]>,
}

impl<'a> View<'a> {
    /// These elements. Bytes (`u8`) also serve a boolean port: zero or one each.
    pub fn new<T: Element>(elements: &'a [T]) -> Self {
        Self {
            dtype: T::DTYPE,
            pointer: elements.as_ptr().cast(),
            bytes: size_of_val(elements),
            elements: PhantomData,
        }
    }
}

/// Elements that a run writes where they are.
#[derive(Debug)]
pub struct ViewMut<'a> {
    dtype: DType,
    pointer: *mut u8,
    bytes: usize,
    elements: PhantomData<&'a mut [u8]>,
}

impl<'a> ViewMut<'a> {
    /// These elements. Bytes (`u8`) also serve a boolean port.
    pub fn new<T: Element>(elements: &'a mut [T]) -> Self {
        Self {
            dtype: T::DTYPE,
            pointer: elements.as_mut_ptr().cast(),
            bytes: size_of_val(elements),
            elements: PhantomData,
        }
    }
}

/// One thread's memory for a program.
///
/// Making one may allocate (not in [`Session::in_memory`]); nothing after that does, nor locks,
/// nor calls the system. A session moves between threads, but serves one at a time.
///
/// # Examples
/// ```no_run
/// use nowcast::runtime::{KERNELS, Program, Session};
///
/// # fn serve(program: &Program<'_>) -> Result<(), Box<dyn std::error::Error>> {
/// let mut session = Session::new(program, &KERNELS)?;
/// session.input_mut::<f32>(0)?.fill(0.5);
/// session.run()?;
/// let y: &[f32] = session.output(0)?;
/// # Ok(()) }
/// ```
pub struct Session<'p> {
    program: &'p Program<'p>,
    level: Level,
    code: [StepFn; KernelId::LEN],
    tables: Tables,
    block: Block<'p>,
    /// A state has been written that is longer than the extents say.
    grown: bool,
}

fn missing(_: Step<'_>) {}

impl<'p> Session<'p> {
    /// A session in memory of its own, on the best instruction set of this CPU.
    ///
    /// **Errors**: a kernel the program needs is not in `kernels`; no memory.
    ///
    /// **Cost**: one allocation.
    #[cfg(feature = "std")]
    pub fn new(program: &'p Program<'p>, kernels: &Kernels) -> Result<Self, SessionError> {
        Self::new_at(program, kernels, Level::detect())
    }

    /// A session in memory of its own, on the instruction set that `level` allows.
    ///
    /// **Errors** and **cost** as [`Session::new`].
    #[cfg(feature = "std")]
    pub fn new_at(
        program: &'p Program<'p>,
        kernels: &Kernels,
        level: Level,
    ) -> Result<Self, SessionError> {
        let needed = program.tables().total;
        let block = Block::owned(needed).ok_or(SessionError::OutOfMemory { needed })?;
        Self::assemble(program, kernels, level, block)
    }

    /// A session in the caller's memory.
    ///
    /// **Shapes and units**: `memory` has at least `program.memory().session_bytes` bytes and
    /// starts on a multiple of [`MemoryNeeds::ALIGNMENT`].
    ///
    /// **Errors**: memory too small or misaligned; a missing kernel.
    ///
    /// **Cost**: no allocation; clears the memory.
    pub fn in_memory(
        program: &'p Program<'p>,
        kernels: &Kernels,
        level: Level,
        memory: &'p mut [u8],
    ) -> Result<Self, SessionError> {
        let (needed, given) = (program.tables().total, memory.len());
        if given < needed {
            return Err(SessionError::TooSmall { needed, given });
        }
        let block = Block::borrowed(memory).ok_or(SessionError::Misaligned)?;
        Self::assemble(program, kernels, level, block)
    }

    fn assemble(
        program: &'p Program<'p>,
        kernels: &Kernels,
        level: Level,
        block: Block<'p>,
    ) -> Result<Self, SessionError> {
        let mut code = [missing as StepFn; KernelId::LEN];
        for (id, _) in program.image().walk() {
            let kernel = kernels.find(id).ok_or(SessionError::MissingKernel {
                kernel: KernelId::from_word(id).map_or("of a later version", KernelId::name),
            })?;
            code[id as usize] = kernel.code(level.isa());
        }
        let tables = program.tables();
        let mut session = Self { program, level, code, tables, block, grown: false };
        session.set_homes();
        session.set_least_extents();
        Ok(session)
    }

    /// Points every base at the place the plan gives it.
    fn set_homes(&mut self) {
        let image = self.program.image();
        let pointer = self.block.pointer();
        let constants = image.constants();
        let home = |offset: usize, len: usize| Base { pointer: pointer.wrapping_add(offset), len };
        let (arena_at, state_at) = (self.tables.arena_at, self.tables.state_at);
        let (_, bases) = self.tables.split(&mut self.block);
        bases[CONSTANTS as usize] =
            Base { pointer: constants.as_ptr().cast_mut(), len: constants.len() };
        bases[ARENA as usize] = home(arena_at, image.arena_bytes());
        bases[STATE as usize] = home(state_at, image.state_bytes());
        for (i, base) in bases[PORTS as usize..].iter_mut().enumerate() {
            let port = image.port(i);
            let at = if port.home == STATE { state_at } else { arena_at };
            *base = home(at + port.home_offset, port.bytes);
        }
    }

    fn set_least_extents(&mut self) {
        let image = self.program.image();
        let (dims, _) = self.tables.split(&mut self.block);
        for (i, dim) in dims.iter_mut().enumerate() {
            if let Some((min, _, _)) = image.variable(i) {
                *dim = min;
            }
        }
        image.evaluate(dims);
    }

    /// The instruction set that steps run on.
    pub fn isa(&self) -> Isa {
        self.level.isa()
    }

    /// The proof of that instruction set, for [`sampling`](crate::sampling).
    pub fn level(&self) -> Level {
        self.level
    }

    /// The program.
    pub fn program(&self) -> &'p Program<'p> {
        self.program
    }

    /// Sets a dimension that is chosen per call, by its name.
    ///
    /// **Errors**: no such dimension; an extent outside its bounds. Nothing is changed then.
    ///
    /// **Cost**: evaluates the dimension table; no allocation.
    pub fn set_extent(&mut self, name: &str, extent: usize) -> Result<(), BindError> {
        let image = self.program.image();
        let found = (0..image.dims_len())
            .find_map(|i| image.variable(i).filter(|v| v.2 == name).map(|v| (i, v.0, v.1)));
        let (i, min, max) = found.ok_or(BindError::NotFound)?;
        self.set_variable(i, 0, min, max, extent)?;
        self.evaluate();
        Ok(())
    }

    fn set_variable(
        &mut self,
        i: usize,
        axis: usize,
        min: i64,
        max: i64,
        extent: usize,
    ) -> Result<(), BindError> {
        if (extent as i64) < min || extent as i64 > max {
            let (min, max) = (min as usize, max as usize);
            return Err(BindError::Extent { axis, min, max, got: extent });
        }
        self.tables.split(&mut self.block).0[i] = extent as i64;
        Ok(())
    }

    fn evaluate(&mut self) {
        let image = self.program.image();
        image.evaluate(self.tables.split(&mut self.block).0);
    }

    /// Sets the dimensions that are chosen per call from the shape of input `i`.
    ///
    /// **Errors**: no such input, another rank, an extent outside its bounds. The extents are
    /// unchanged then.
    ///
    /// **Cost**: evaluates the dimension table; no allocation.
    pub fn set_input_shape(&mut self, i: usize, shape: &[usize]) -> Result<(), BindError> {
        let image = self.program.image();
        if i >= image.inputs_len() {
            return Err(BindError::NotFound);
        }
        let port = image.port(i);
        if port.shape.len() != shape.len() {
            return Err(BindError::Rank { expected: port.shape.len(), got: shape.len() });
        }
        for write in [false, true] {
            for (axis, (word, extent)) in port.shape.iter().zip(shape).enumerate() {
                let slot = (word & !Extent::TABLE) as usize;
                let in_table = word & Extent::TABLE != 0;
                match in_table.then(|| image.variable(slot)).flatten() {
                    Some((min, max, _)) if write => {
                        self.set_variable(slot, axis, min, max, *extent)?;
                    }
                    Some((min, max, _)) => {
                        let (min, max) = (min as usize, max as usize);
                        if *extent < min || *extent > max {
                            return Err(BindError::Extent { axis, min, max, got: *extent });
                        }
                    }
                    None => {
                        let must = Extent(*word).value(self.dims()) as usize;
                        if must != *extent {
                            let (min, max, got) = (must, must, *extent);
                            return Err(BindError::Extent { axis, min, max, got });
                        }
                    }
                }
            }
        }
        self.evaluate();
        Ok(())
    }

    fn dims(&self) -> &[i64] {
        self.tables.view(&self.block).0
    }

    fn port_shape(&self, port: usize) -> Shape {
        let raw = self.program.image().port(port);
        raw.shape.iter().map(|w| Extent(*w).value(self.dims()).max(0) as usize).collect()
    }

    /// Shape of input `i` under the present extents.
    ///
    /// **Errors**: no such input.
    pub fn input_shape(&self, i: usize) -> Result<Shape, BindError> {
        self.check_input(i)?;
        Ok(self.port_shape(i))
    }

    /// Shape of output `i` under the present extents.
    ///
    /// **Errors**: no such output.
    pub fn output_shape(&self, i: usize) -> Result<Shape, BindError> {
        self.check_output(i).map(|port| self.port_shape(port))
    }

    fn check_input(&self, i: usize) -> Result<(), BindError> {
        if i < self.program.image().inputs_len() { Ok(()) } else { Err(BindError::NotFound) }
    }

    /// Position of output `i` among all ports.
    fn check_output(&self, i: usize) -> Result<usize, BindError> {
        let image = self.program.image();
        if i < image.outputs_len() { Ok(image.inputs_len() + i) } else { Err(BindError::NotFound) }
    }

    fn check_type(expected: DType, got: DType) -> Result<(), BindError> {
        if expected == got || (expected, got) == (DType::Bool, DType::U8) {
            return Ok(());
        }
        Err(BindError::DType { expected, got })
    }

    /// Where port `port` lives, and its bytes under the present extents.
    fn place(&self, port: usize) -> Result<(*mut u8, usize), BindError> {
        let raw = self.program.image().port(port);
        let shape = self.port_shape(port);
        if raw.room.is_some_and(|(axis, _)| shape[..axis].iter().product::<usize>() > 1) {
            return Err(BindError::InPlace);
        }
        let bytes = shape.iter().product::<usize>() * raw.dtype.bytes();
        let base = self.tables.view(&self.block).1[PORTS as usize + port];
        Ok((base.pointer, bytes.min(base.len)))
    }

    /// Copies the elements of output `i` of the last run, row-major, also those of a cache that
    /// grows in place.
    ///
    /// **Errors**: no such output; another element type; `to` has another length. `to` is
    /// unchanged then.
    pub fn copy_output<T: Element>(&self, i: usize, to: &mut [T]) -> Result<(), BindError> {
        let port = self.check_output(i)?;
        self.check_elements::<T>(port, to.len())?;
        let mut at = 0;
        self.each_run(port, |pointer, len| {
            // SAFETY: `each_run` gives runs inside this session's block, which is borrowed.
            #[allow(unsafe_code)]
            let run: &[T] = unsafe { elements(pointer, len) };
            to[at..at + len].copy_from_slice(run);
            at += len;
        });
        Ok(())
    }

    /// Copies elements into input `i`, row-major, also into a cache that grows in place.
    ///
    /// **Errors**: no such input; another element type; `from` has another length. The input is
    /// unchanged then.
    pub fn copy_input<T: Element>(&mut self, i: usize, from: &[T]) -> Result<(), BindError> {
        self.check_input(i)?;
        self.check_elements::<T>(i, from.len())?;
        let mut at = 0;
        self.each_run(i, |pointer, len| {
            // SAFETY: as for `copy_output`, borrowed for writing.
            #[allow(unsafe_code)]
            let run: &mut [T] = unsafe { elements_mut(pointer, len) };
            run.copy_from_slice(&from[at..at + len]);
            at += len;
        });
        Ok(())
    }

    fn check_elements<T: Element>(&self, port: usize, len: usize) -> Result<(), BindError> {
        Self::check_type(self.program.image().port(port).dtype, T::DTYPE)?;
        let (expected, got) = (self.port_shape(port).iter().product::<usize>(), len);
        let width = size_of::<T>();
        if expected == got {
            return Ok(());
        }
        Err(BindError::Length { expected: expected * width, got: got * width })
    }

    /// Calls `run` with each run of elements of a port that lie behind one another, and how many.
    fn each_run(&self, port: usize, mut run: impl FnMut(*mut u8, usize)) {
        let raw = self.program.image().port(port);
        let shape = self.port_shape(port);
        let base = self.tables.view(&self.block).1[PORTS as usize + port];
        let (axis, room) = raw.room.unwrap_or((0, *shape.first().unwrap_or(&1)));
        let inner: usize = shape.iter().skip(axis + 1).product();
        let len = inner * shape.get(axis).copied().unwrap_or(1);
        let apart = room * inner * raw.dtype.bytes();
        for i in 0..shape[..axis].iter().product::<usize>() {
            assert!(i * apart + len * raw.dtype.bytes() <= base.len, "a port outside its memory");
            run(base.pointer.wrapping_add(i * apart), len);
        }
    }

    /// The elements of input `i`, to be written. They keep their values from run to run.
    ///
    /// **Errors**: no such input; another element type. A boolean input is bytes (`u8`).
    #[allow(unsafe_code)]
    pub fn input_mut<T: Element>(&mut self, i: usize) -> Result<&mut [T], BindError> {
        self.check_input(i)?;
        Self::check_type(self.program.image().port(i).dtype, T::DTYPE)?;
        let (pointer, bytes) = self.place(i)?;
        // SAFETY: the port's home lies in this session's block, which is borrowed for writing.
        Ok(unsafe { elements_mut(pointer, bytes / size_of::<T>()) })
    }

    /// The bytes of input `i`, to be written.
    ///
    /// **Errors**: no such input.
    #[allow(unsafe_code)]
    pub fn input_bytes_mut(&mut self, i: usize) -> Result<&mut [u8], BindError> {
        self.check_input(i)?;
        let (pointer, bytes) = self.place(i)?;
        // SAFETY: as for `input_mut`.
        Ok(unsafe { elements_mut(pointer, bytes) })
    }

    /// The elements of output `i` of the last run. Before the first run they are zero.
    ///
    /// **Errors**: no such output; another element type. A boolean output is bytes (`u8`).
    #[allow(unsafe_code)]
    pub fn output<T: Element>(&self, i: usize) -> Result<&[T], BindError> {
        let port = self.check_output(i)?;
        Self::check_type(self.program.image().port(port).dtype, T::DTYPE)?;
        let (pointer, bytes) = self.place(port)?;
        // SAFETY: the port's home lies in this session's block, which is borrowed.
        Ok(unsafe { elements(pointer, bytes / size_of::<T>()) })
    }

    /// The bytes of output `i` of the last run.
    ///
    /// **Errors**: no such output.
    #[allow(unsafe_code)]
    pub fn output_bytes(&self, i: usize) -> Result<&[u8], BindError> {
        let (pointer, bytes) = self.place(self.check_output(i)?)?;
        // SAFETY: as for `output`.
        Ok(unsafe { elements(pointer, bytes) })
    }

    /// Runs the program on the inputs as they are.
    ///
    /// **Errors**: [`RunError::StateFull`]; outputs and state are unchanged then.
    ///
    /// **Cost**: no allocation, no lock, no system call.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.advance()?;
        self.execute();
        Ok(())
    }

    #[allow(unsafe_code)]
    fn execute(&mut self) {
        let image = self.program.image();
        let (dims, bases) = self.tables.view(&self.block);
        // SAFETY: `set_homes` pointed every base into the block or the image, and `run_with` into
        // memory that is borrowed for the call.
        let bases = unsafe { Bases::new(bases) };
        let operands = Operands { buffers: image.buffers(), dims, bases, level: self.level };
        for (kernel, words) in image.walk() {
            (self.code[kernel as usize])(Step { words, operands });
        }
        self.grown = true;
    }

    /// Runs the program on memory of the caller: each pair is a position and its elements.
    /// Ports that are not named stay where they are.
    ///
    /// **Errors**: a view of another type or length than its port, or of a port that is kept
    /// between runs; [`RunError::StateFull`]. Outputs are unchanged then.
    ///
    /// **Cost**: that of [`Session::run`]; nothing is copied.
    pub fn run_with(
        &mut self,
        inputs: &[(usize, View<'_>)],
        outputs: &mut [(usize, ViewMut<'_>)],
    ) -> Result<(), RunError> {
        self.advance()?;
        let inputs_len = self.program.image().inputs_len();
        for (i, view) in inputs {
            let port = *i;
            let checked = self.check_input(port);
            checked
                .and_then(|()| self.check_view(port, view.dtype, view.bytes, view.pointer.addr()))
                .map_err(|error| RunError::Bind { port, error })?;
        }
        for (i, view) in outputs.iter() {
            let port = inputs_len + *i;
            self.check_output(*i)
                .and_then(|p| self.check_view(p, view.dtype, view.bytes, view.pointer.addr()))
                .map_err(|error| RunError::Bind { port, error })?;
        }
        let (_, bases) = self.tables.split(&mut self.block);
        for (i, view) in inputs {
            bases[PORTS as usize + i] = Base { pointer: view.pointer.cast_mut(), len: view.bytes };
        }
        for (i, view) in outputs.iter_mut() {
            bases[PORTS as usize + inputs_len + *i] =
                Base { pointer: view.pointer, len: view.bytes };
        }
        self.execute();
        self.set_homes();
        Ok(())
    }

    fn check_view(
        &self,
        port: usize,
        dtype: DType,
        bytes: usize,
        address: usize,
    ) -> Result<(), BindError> {
        let image = self.program.image();
        let raw = image.port(port);
        Self::check_type(raw.dtype, dtype)?;
        if raw.home != ARENA {
            return Err(BindError::State);
        }
        let expected = self.port_shape(port).iter().product::<usize>() * raw.dtype.bytes();
        if expected != bytes {
            return Err(BindError::Length { expected, got: bytes });
        }
        if !address.is_multiple_of(raw.dtype.bytes()) {
            return Err(BindError::Misaligned);
        }
        Ok(())
    }

    /// Takes over the extents of states that the last run has lengthened.
    fn advance(&mut self) -> Result<(), RunError> {
        if !self.grown {
            return Ok(());
        }
        let image = self.program.image();
        for write in [false, true] {
            for i in 0..image.states_len() {
                let (input, output) = image.state(i);
                let (from, to) = (image.port(image.inputs_len() + output), image.port(input));
                for (now, before) in from.shape.iter().zip(to.shape) {
                    let slot = (before & !Extent::TABLE) as usize;
                    let Some((_, max, _)) =
                        image.variable(slot).filter(|_| before & Extent::TABLE != 0)
                    else {
                        continue;
                    };
                    let extent = Extent(*now).value(self.dims());
                    if extent > max {
                        return Err(RunError::StateFull { max: max as usize });
                    }
                    if write {
                        self.tables.split(&mut self.block).0[slot] = extent;
                    }
                }
            }
        }
        self.grown = false;
        self.evaluate();
        Ok(())
    }

    /// Clears the state and takes the least extents.
    pub fn reset(&mut self) {
        let at = self.tables.state_at;
        self.block.bytes_mut()[at..].fill(0);
        self.grown = false;
        self.set_least_extents();
    }

    /// Length of a snapshot in bytes.
    pub fn snapshot_bytes(&self) -> usize {
        self.tables.dims_len * size_of::<i64>() + self.program.image().state_bytes()
    }

    /// Copies the state and the extents into `into`.
    ///
    /// **Errors**: `into` is not [`Session::snapshot_bytes`] long; it is unchanged then.
    pub fn snapshot(&mut self, into: &mut [u8]) -> Result<(), BindError> {
        let (expected, got) = (self.snapshot_bytes(), into.len());
        if got != expected {
            return Err(BindError::Length { expected, got });
        }
        let full = self.advance().is_err();
        let (head, state) = into.split_at_mut(self.tables.dims_len * size_of::<i64>());
        for (to, dim) in head.chunks_exact_mut(8).zip(self.dims()) {
            to.copy_from_slice(&dim.to_le_bytes());
        }
        let at = self.tables.state_at;
        state.copy_from_slice(&self.block.bytes()[at..at + state.len()]);
        if full { Err(BindError::State) } else { Ok(()) }
    }

    /// Puts back what [`Session::snapshot`] took of a session of the same program.
    ///
    /// **Errors**: another length, or extents outside their bounds; nothing is changed then.
    pub fn restore(&mut self, from: &[u8]) -> Result<(), BindError> {
        let (expected, got) = (self.snapshot_bytes(), from.len());
        if got != expected {
            return Err(BindError::Length { expected, got });
        }
        let image = self.program.image();
        let (head, state) = from.split_at(self.tables.dims_len * size_of::<i64>());
        let extent = |i: usize| {
            let mut le = [0; 8];
            le.copy_from_slice(&head[i * 8..][..8]);
            i64::from_le_bytes(le)
        };
        let variables = || (0..image.dims_len()).filter_map(|i| Some((i, image.variable(i)?)));
        for (i, (min, max, _)) in variables() {
            if extent(i) < min || extent(i) > max {
                let (min, max, got) = (min as usize, max as usize, extent(i).max(0) as usize);
                return Err(BindError::Extent { axis: 0, min, max, got });
            }
        }
        let (dims, _) = self.tables.split(&mut self.block);
        for (i, _) in variables() {
            dims[i] = extent(i);
        }
        let at = self.tables.state_at;
        self.block.bytes_mut()[at..at + state.len()].copy_from_slice(state);
        self.grown = false;
        self.evaluate();
        Ok(())
    }

    /// Pays beforehand what the first run would: touches all memory and code by running once on
    /// zeros, then clears inputs, outputs and state. The session is as new afterwards.
    pub fn prefault(&mut self) {
        // Reading one byte a page of the constants maps them.
        let constants = self.program.image().constants();
        let sum = constants.iter().step_by(4096).fold(0u8, |a, b| a.wrapping_add(*b));
        core::hint::black_box(sum);
        let at = self.tables.arena_at;
        self.block.bytes_mut()[at..].fill(0);
        self.execute();
        self.block.bytes_mut()[at..].fill(0);
        self.grown = false;
        self.set_least_extents();
    }
}

/// Pays beforehand what a thread's first run would: the pages of its stack.
///
/// **Cost**: writes [`MemoryNeeds::stack_bytes`] of stack once.
#[inline(never)]
pub fn prepare_thread() {
    let mut stack = [0u8; STACK_BYTES];
    core::hint::black_box(&mut stack);
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("isa", &self.isa()).field("program", self.program).finish()
    }
}
