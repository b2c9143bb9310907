//! `nowcast_forecaster`: opening and freeing.

use core::ffi::{c_char, c_void};

use nowcast::forecast::Forecaster;

use crate::bundle::model;
use crate::forecast;
use crate::guard::{Error, Out, guard, sized};
use crate::handle::{self, Handle, Home, Object, Sessions, Shared, shared};
use crate::kernels::{CallerKernels, kernels};

/// A forecaster.
pub(crate) struct ForecasterObject {
    pub(crate) forecaster: Forecaster<'static>,
    pub(crate) sessions: Sessions,
}

impl Object for ForecasterObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-fcstr");
    const NAME: &'static str = "forecaster";
    const BYTES: usize = 1024;
}

/// `nowcast_forecaster_info`.
#[repr(C)]
pub(crate) struct ForecasterInfo {
    struct_size: u32,
    alignment: u32,
    context: u64,
    horizon: u64,
    step_seconds: i64,
    forecast_bytes: u64,
}

impl Shared for ForecasterObject {
    fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}

impl ForecasterObject {
    pub(crate) fn new(forecaster: Forecaster<'static>, home: Home) -> Self {
        Self { forecaster, sessions: Sessions::new(home) }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_open(
    bundle: *const c_void,
    bundle_bytes: u64,
    name: *const c_char,
    list: *const CallerKernels,
    memory: *mut c_void,
    memory_bytes: u64,
    forecaster: *mut *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL; for a bundle and kernels that outlive
    // the forecaster, and for memory that is the forecaster's alone.
    unsafe {
        guard(error, || {
            let list = kernels(list)?;
            let out = Out::new(forecaster, "forecaster")?;
            let (place, _) = handle::carve::<ForecasterObject>(memory.cast(), memory_bytes, 0)?;
            let opened = Forecaster::from_model(&model(bundle, bundle_bytes, name)?, &list)?;
            place.write(Handle::new(ForecasterObject::new(opened, Home::Caller)));
            out.write(place);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_describe(
    forecaster: *const Handle<ForecasterObject>,
    info: *mut ForecasterInfo,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(forecaster)?;
            let out = sized(info, "info")?;
            out.write(ForecasterInfo {
                struct_size: size_of::<ForecasterInfo>() as u32,
                alignment: handle::ALIGNMENT as u32,
                context: object.forecaster.context() as u64,
                horizon: object.forecaster.horizon() as u64,
                step_seconds: object.forecaster.step_seconds().into(),
                forecast_bytes: forecast::bytes(&object.forecaster) as u64,
            });
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_release(
    forecaster: *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe { guard(error, || handle::release(forecaster)) }
}
