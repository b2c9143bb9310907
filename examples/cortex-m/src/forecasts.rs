//! Two forecasters that lie in flash, opened and run in place.
//!
//! A line that begins with `same` holds bits that every machine gives, one with `near` answers
//! that are rounded in another order elsewhere, `size` bytes and `ticks` clock cycles.

use core::fmt::{self, Write};

use nowcast::bundle::{Bundle, Model};
use nowcast::forecast::{ForecastSession, Forecaster};
use nowcast::kernels::Level;
use nowcast::runtime::{Kernels, kernels};
use nowcast::sampling::{PathAddress, standard_normals};

/// What sessions and bundles lie on: a 64-byte boundary.
#[repr(C, align(64))]
pub struct Aligned<T: ?Sized>(pub T);

/// Memory for one session at a time: as much as the larger forecaster says that it needs.
pub type Arena = Aligned<[u8; 98 * 1024]>;

impl Arena {
    pub const NEW: Self = Self([0; _]);
}

/// `nowcast compile models/jfk-sklearn-mlp models/jfk-lstm -o forecasters.nowcast`
static FORECASTERS: &Aligned<[u8]> = &Aligned(*include_bytes!("../forecasters.nowcast"));

/// What their programs run; the linker drops all other kernels.
const KERNELS: Kernels = Kernels::new(&[kernels::LINEAR_F32, kernels::LSTM_F32, kernels::COPY]);

/// Observations of a forecast, and steps that it reaches.
const CONTEXT: usize = 96;
const HORIZON: usize = 24;
const PATHS: usize = 4;
/// The clock of a Cortex-M, SysTick, has 24 bits.
pub const TICKS_MASK: u32 = 0x00ff_ffff;
/// 30 December 2013, 06:00 UTC.
const FIRST_STEP: i64 = 1_388_383_200;
const FIRST_PATH: PathAddress = PathAddress { seed: 42, stream: 7, path: 1_000_000 };

/// What was refused. The errors of the library say why, at the price of their text in flash.
#[derive(Debug)]
pub struct Refused(pub &'static str);

impl From<fmt::Error> for Refused {
    fn from(_: fmt::Error) -> Self {
        Self("the output")
    }
}

/// Forecasts with every model of the bundle. `ticks` tells clock cycles, modulo 2^24.
pub fn run(out: &mut impl Write, arena: &mut Arena, ticks: fn() -> u32) -> Result<(), Refused> {
    let bundle = Bundle::open(&FORECASTERS.0).map_err(|_| Refused("the bundle"))?;
    for model in bundle.models() {
        forecast(out, &model, &mut arena.0, ticks)?;
    }
    let mut normals = [0.0; PATHS * HORIZON];
    standard_normals(Level::detect(), FIRST_PATH, HORIZON, &mut normals)
        .map_err(|_| Refused("normals"))?;
    print_bits(out, "same normals", &normals)
}

fn forecast(
    out: &mut impl Write,
    model: &Model<'static>,
    arena: &mut [u8],
    ticks: fn() -> u32,
) -> Result<(), Refused> {
    let name = model.name();
    let since = |start: u32| ticks().wrapping_sub(start) & TICKS_MASK;
    let mut start = ticks();
    // Checked once: nothing of the file can lead outside of it or of the arena afterwards.
    let forecaster =
        Forecaster::from_model(model, &KERNELS).map_err(|_| Refused("a forecaster"))?;
    let mut session = ForecastSession::in_memory(&forecaster, Level::detect(), arena)
        .map_err(|_| Refused("the arena"))?;
    let opened = since(start);

    let context = observations();
    start = ticks();
    session.forecast(&context, FIRST_STEP).map_err(|_| Refused("a context"))?;
    let forecast = since(start);

    let mut high = [0.0; HORIZON];
    session.quantile(0.9, &mut high).map_err(|_| Refused("a quantile"))?;

    let mut paths = [0.0; PATHS * HORIZON];
    let PathAddress { seed, stream, path } = FIRST_PATH;
    start = ticks();
    session.paths(seed, stream, path, &mut paths).map_err(|_| Refused("paths"))?;
    let drawn = since(start);

    for (step, (mean, high)) in session.mean().iter().zip(&high).enumerate() {
        let (mean, high, unit) = (Tenths(*mean), Tenths(*high), forecaster.unit());
        writeln!(out, "{name}: in {:2} h {mean} {unit}, 90 % below {high}", step + 1)?;
    }
    print_bits(out, format_args!("near {name}.mean"), session.mean())?;
    print_bits(out, format_args!("near {name}.q90"), &high)?;
    print_bits(out, format_args!("near {name}.paths"), &paths)?;
    // The errors alone do not go through the model.
    forecaster
        .errors()
        .draw(Level::detect(), FIRST_PATH, &mut paths)
        .map_err(|_| Refused("errors"))?;
    print_bits(out, format_args!("same {name}.errors"), &paths)?;

    let memory = forecaster.memory();
    writeln!(out, "size {name}.session {}", memory.session_bytes)?;
    writeln!(out, "size {name}.weights {}", memory.constant_bytes + memory.factor_bytes)?;
    writeln!(out, "ticks {name}.open {opened}")?;
    writeln!(out, "ticks {name}.forecast {forecast}")?;
    writeln!(out, "ticks {name}.paths {drawn}")?;
    Ok(())
}

/// Four days of hourly temperature, warmest at two in the afternoon.
fn observations() -> [f32; CONTEXT] {
    core::array::from_fn(|hour| {
        let from_two = (hour as i32 % 24 - 14).unsigned_abs().min(12) as f32;
        42.0 + hour as f32 / 16.0 - 0.75 * from_two
    })
}

fn print_bits(
    out: &mut impl Write,
    what: impl fmt::Display,
    values: &[f32],
) -> Result<(), Refused> {
    write!(out, "{what}")?;
    values.iter().try_for_each(|value| write!(out, " {:08x}", value.to_bits()))?;
    Ok(writeln!(out)?)
}

/// A number with one decimal, without the code that prints floats.
struct Tenths(f32);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0 * 10.0) as i32;
        let sign = if tenths < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{}", tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10)
    }
}
