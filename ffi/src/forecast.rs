//! `nowcast_forecast`: one thread's memory of a forecaster.

use core::ffi::c_void;

use nowcast::forecast::{ForecastError, ForecastSession, Forecaster};

use crate::forecaster::ForecasterObject;
use crate::guard::{Error, Out, elements, elements_mut, guard};
use crate::handle::{self, Handle, Object, Open, shared, unique};
use crate::status::Failure;

/// A forecast in the caller's memory.
pub(crate) struct ForecastObject {
    session: ForecastSession<'static>,
    horizon: usize,
    _open: Open,
}

impl Object for ForecastObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-fcast");
    const NAME: &'static str = "forecast";
    const BYTES: usize = 256 * size_of::<usize>();
}

/// Bytes of a forecast with its handle.
pub(crate) fn bytes(forecaster: &Forecaster<'_>) -> usize {
    Handle::<ForecastObject>::BYTES + forecaster.memory().session_bytes
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_open(
    forecaster: *const Handle<ForecasterObject>,
    isa: i32,
    memory: *mut c_void,
    memory_bytes: u64,
    forecast: *mut *mut Handle<ForecastObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL; for a forecaster that
    // outlives its forecasts, and for memory that is the forecast's alone.
    unsafe {
        guard(error, || {
            let object: &'static ForecasterObject = shared(forecaster)?;
            let out = Out::new(forecast, "forecast")?;
            let level = handle::level(isa)?;
            let needed = object.forecaster.memory().session_bytes;
            let (place, rest) =
                handle::carve::<ForecastObject>(memory.cast(), memory_bytes, needed)?;
            let session = ForecastSession::in_memory(&object.forecaster, level, rest)?;
            place.write(Handle::new(ForecastObject {
                session,
                horizon: object.forecaster.horizon(),
                _open: object.sessions.open(),
            }));
            out.write(place);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_close(
    forecast: *mut Handle<ForecastObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe { guard(error, || handle::close(forecast)) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_prefault(
    forecast: *mut Handle<ForecastObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe {
        guard(error, || {
            unique(forecast)?.session.prefault();
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_run(
    forecast: *mut Handle<ForecastObject>,
    context: *const f32,
    context_len: u64,
    first_step: i64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = unique(forecast)?;
            let context = elements(context, context_len, "context")?;
            Ok(object.session.forecast(context, first_step)?)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_mean(
    forecast: *const Handle<ForecastObject>,
    out: *mut f32,
    horizon: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(forecast)?;
            let out = elements_mut(out, horizon, "out")?;
            if out.len() != object.horizon {
                let (horizon, got) = (object.horizon, out.len());
                return Err(ForecastError::OutputLength { horizon, got }.into());
            }
            match object.session.mean() {
                [] => return Err(ForecastError::NoForecast.into()),
                mean => out.copy_from_slice(mean),
            }
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_quantile(
    forecast: *const Handle<ForecastObject>,
    p: f64,
    out: *mut f32,
    horizon: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(forecast)?;
            let out = elements_mut(out, horizon, "out")?;
            Ok(object.session.quantile(p, out)?)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecast_paths(
    forecast: *const Handle<ForecastObject>,
    seed: u64,
    stream: u64,
    first_path: u64,
    out: *mut f32,
    paths: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(forecast)?;
            let len = paths
                .checked_mul(object.horizon as u64)
                .ok_or(Failure::Invalid("paths", "few enough for memory"))?;
            let out = elements_mut(out, len, "out")?;
            Ok(object.session.paths(seed, stream, first_path, out)?)
        })
    }
}
