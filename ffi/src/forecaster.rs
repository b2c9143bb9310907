//! `nowcast_forecaster`: loading and freeing.

use core::ffi::{c_char, c_void};

use nowcast::forecast::Forecaster;

use crate::forecast;
use crate::guard::{Error, Out, elements, guard, sized, text};
use crate::handle::{self, Handle, Object, Sessions, shared};
use crate::status::Failure;

/// A forecaster on the heap.
pub(crate) struct ForecasterObject {
    pub(crate) forecaster: Forecaster<'static>,
    pub(crate) sessions: Sessions,
}

impl Object for ForecasterObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-fcstr");
    const NAME: &'static str = "forecaster";
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

fn boxed(forecaster: Forecaster<'static>) -> *mut Handle<ForecasterObject> {
    let object = ForecasterObject { forecaster, sessions: Sessions::default() };
    Box::into_raw(Box::new(Handle::new(object)))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_load(
    path: *const c_char,
    forecaster: *mut *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let path = text(path, "path")?;
            let out = Out::new(forecaster, "forecaster")?;
            out.write(boxed(Forecaster::from_folder(path)?));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_forecaster_load_parts(
    json: *const c_void,
    json_bytes: u64,
    model: *const c_void,
    model_bytes: u64,
    covariance: *const c_void,
    covariance_bytes: u64,
    forecaster: *mut *mut Handle<ForecasterObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            for (part, name) in [(json, "json"), (model, "model"), (covariance, "covariance")] {
                if part.is_null() {
                    return Err(Failure::Null(name));
                }
            }
            let json = elements(json.cast::<u8>(), json_bytes, "json")?;
            let json = str::from_utf8(json).map_err(|_| Failure::Invalid("json", "UTF-8"))?;
            let model = elements(model.cast::<u8>(), model_bytes, "model")?;
            let covariance = elements(covariance.cast::<u8>(), covariance_bytes, "covariance")?;
            let out = Out::new(forecaster, "forecaster")?;
            out.write(boxed(Forecaster::from_parts(json, model, covariance)?));
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
    unsafe { guard(error, || handle::free(forecaster, |object| &object.sessions)) }
}
