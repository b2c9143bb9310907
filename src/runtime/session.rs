//! One thread's memory for a program, and the calls that serve.

mod flow;
mod ports;
mod state;
#[cfg(feature = "std")]
mod work;

use core::fmt;

use arrayvec::ArrayVec;

use crate::kernels::{Isa, Level, isa};

pub use ports::{View, ViewMut};
#[cfg(feature = "std")]
pub use work::Work;

use super::errors::{BindError, RunError, SessionError};
use super::image::{ARENA, CONSTANTS, PORTS, STATE};
use super::memory::{Base, Bases, Block, MemoryNeeds, Tables};
use super::program::Program;
use super::record::Extent;
use super::step::{KernelId, Operands, Step, StepFn};
use super::steps::dynamic::{self, Measured};
use super::steps::flow::Control;

/// Largest rank of an input or output.
pub const MAX_PORT_RANK: usize = 16;

/// Extents of a port.
pub type Shape = ArrayVec<usize, MAX_PORT_RANK>;

/// One thread's memory for a program.
///
/// Making one may allocate (not in [`Session::in_memory`]); nothing after that does, nor locks,
/// nor calls the system. A session moves between threads, but serves one at a time.
///
/// # Examples
/// ```no_run
/// use nowcast::runtime::{Program, Session};
///
/// # fn serve(program: &Program<'_>) -> Result<(), Box<dyn std::error::Error>> {
/// let mut session = Session::new(program)?;
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
    /// Some step decides which one is next.
    has_flow: bool,
    /// A state has been written that is longer than the extents say.
    grown: bool,
}

fn missing(_: Step<'_>) {}

impl<'p> Session<'p> {
    /// A session in memory of its own, on the best instruction set of this CPU.
    ///
    /// Where the CPU has AMX and a step of the program would use it, the process asks for its tiles
    /// ([`Level::without_amx`] keeps it from that).
    ///
    /// **Errors**: no memory.
    ///
    /// **Cost**: one allocation; one system call where tiles are asked for.
    #[cfg(feature = "std")]
    pub fn new(program: &'p Program<'p>) -> Result<Self, SessionError> {
        Self::new_at(program, Level::detect())
    }

    /// A session in memory of its own, on the instruction set that `level` allows.
    ///
    /// **Errors** and **cost** as [`Session::new`].
    #[cfg(feature = "std")]
    pub fn new_at(program: &'p Program<'p>, level: Level) -> Result<Self, SessionError> {
        let needed = program.tables().total;
        let block = Block::owned(needed).ok_or(SessionError::OutOfMemory { needed })?;
        Ok(Self::assemble(program, level, block))
    }

    /// A session in the caller's memory.
    ///
    /// **Shapes and units**: `memory` has at least `program.memory().session_bytes` bytes and
    /// starts on a multiple of [`MemoryNeeds::ALIGNMENT`](super::MemoryNeeds::ALIGNMENT).
    ///
    /// **Errors**: memory too small or misaligned.
    ///
    /// **Cost**: no allocation; clears the memory.
    pub fn in_memory(
        program: &'p Program<'p>,
        level: Level,
        memory: &'p mut [u8],
    ) -> Result<Self, SessionError> {
        let (needed, given) = (program.tables().total, memory.len());
        if given < needed {
            return Err(SessionError::TooSmall { needed, given });
        }
        let block = Block::borrowed(memory).ok_or(SessionError::Misaligned)?;
        Ok(Self::assemble(program, level, block))
    }

    fn assemble(program: &'p Program<'p>, level: Level, block: Block<'p>) -> Self {
        let mut code = [missing as StepFn; KernelId::LEN];
        let mut has_flow = false;
        // Tiles are asked for once there is something to do with them.
        #[cfg(target_arch = "x86_64")]
        let level = if program.uses_amx() { level.ask_for_amx() } else { level.without_amx() };
        for (id, words) in program.image().walk() {
            has_flow |= Control::decode(id, words).is_some();
            // The check of the image has found each kernel.
            let Some(kernel) = program.kernels().find(id) else { continue };
            code[id as usize] = kernel.code(level.isa());
        }
        let tables = program.tables();
        let mut session = Self { program, level, code, tables, block, has_flow, grown: false };
        session.set_homes();
        session.set_least_extents();
        session
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
            if let Some((min, _, _)) = image.variable(i).or(image.measured(i)) {
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

    /// Runs the program on the inputs as they are.
    ///
    /// **Errors**: [`RunError::StateFull`]; outputs and state are unchanged then.
    /// [`RunError::OutOfRange`]; outputs and state are undefined then.
    ///
    /// **Cost**: no allocation, no lock, no system call.
    pub fn run(&mut self) -> Result<(), RunError> {
        self.advance()?;
        self.execute()
    }

    /// Runs the program as [`Session::run`] does, and calls `watch` with the position of each step
    /// before it runs, and at the end with the number of steps. With a clock in `watch` this says
    /// where the time goes.
    ///
    /// **Errors** as [`Session::run`].
    ///
    /// **Cost**: that of [`Session::run`], a few nanoseconds a step, and what `watch` takes.
    pub fn run_watched(&mut self, watch: &mut dyn FnMut(usize)) -> Result<(), RunError> {
        self.advance()?;
        self.execute_flow(&mut *watch)?;
        self.grown = true;
        watch(self.program.image().steps_len());
        Ok(())
    }

    fn execute(&mut self) -> Result<(), RunError> {
        match self.has_flow {
            true => self.execute_flow(|_| ())?,
            false => self.execute_straight()?,
        }
        self.grown = true;
        Ok(())
    }

    /// Runs the steps of a program one after the other.
    fn execute_straight(&mut self) -> Result<(), RunError> {
        let image = self.program.image();
        let mut steps = image.walk();
        loop {
            let operands = self.operands();
            // Dimensions stay what they are up to the next step that measures one.
            let measured = loop {
                let Some((kernel, words)) = steps.next() else { return Ok(()) };
                let step = Step { words, operands };
                if kernel == KernelId::Measure as u32 {
                    break dynamic::measure(step);
                }
                (self.code[kernel as usize])(step);
            };
            self.set_measured(&measured)?;
        }
    }

    /// The way to the operands of steps, and the present extents.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn operands(&self) -> Operands<'_> {
        let (dims, bases) = self.tables.view(&self.block);
        // SAFETY: `set_homes` pointed every base into the block or the image, and `run_with` into
        // memory that is borrowed for the call.
        let bases = unsafe { Bases::new(bases) };
        Operands { buffers: self.program.image().buffers(), dims, bases, level: self.level }
    }

    /// Takes over a number that a step has found.
    fn set_measured(&mut self, measured: &Measured) -> Result<(), RunError> {
        let Measured { dim, number, saturate } = *measured;
        let image = self.program.image();
        // The check of the image has found the dimension.
        let (min, max, _) = image.measured(dim as usize).unwrap_or_default();
        if !saturate && !(min..=max).contains(&number) {
            return Err(RunError::OutOfRange { dim, min, max, got: number });
        }
        let (dims, _) = self.tables.split(&mut self.block);
        dims[dim as usize] = number.clamp(min, max);
        image.evaluate(dims);
        Ok(())
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
        // Ports go home even where a step panics: the caller's memory is borrowed for this call.
        let bound = Bound(self);
        let (_, bases) = bound.0.tables.split(&mut bound.0.block);
        for (i, view) in inputs {
            bases[PORTS as usize + i] = Base { pointer: view.pointer.cast_mut(), len: view.bytes };
        }
        for (i, view) in outputs.iter_mut() {
            bases[PORTS as usize + inputs_len + *i] =
                Base { pointer: view.pointer, len: view.bytes };
        }
        bound.0.execute()
    }
}

/// A session whose ports are bound to memory of the caller.
struct Bound<'s, 'p>(&'s mut Session<'p>);

impl Drop for Bound<'_, '_> {
    fn drop(&mut self) {
        self.0.set_homes();
    }
}

/// Pays beforehand what a thread's first run would: the pages of its stack, and the tiles of AMX
/// where a session of this process uses them. Call it when the sessions are made.
///
/// **Cost**: writes [`MemoryNeeds::stack_bytes`](super::MemoryNeeds::stack_bytes) of stack once; a
/// system call on x86-64.
#[inline(never)]
pub fn prepare_thread() {
    isa::prepare_thread();
    let mut stack = [0u8; MemoryNeeds::STACK_BYTES];
    core::hint::black_box(&mut stack);
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("isa", &self.isa()).field("program", self.program).finish()
    }
}
