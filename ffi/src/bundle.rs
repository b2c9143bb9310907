//! Bundles where they lie: what is in one, and whether it is whole.

use core::ffi::{c_char, c_void};

use nowcast::bundle::{Bundle, Model};

use crate::guard::{Error, Out, elements, guard, sized, text};
use crate::status::Failure;

/// `nowcast_bundle_info`.
#[repr(C)]
pub(crate) struct BundleInfo {
    struct_size: u32,
    models_len: u32,
    bytes: u64,
    content_hash: [u8; 16],
}

/// The bundle that an argument is.
///
/// # Safety
/// `bundle` is NULL or valid for reads of `bytes` bytes during `'a`.
pub(crate) unsafe fn bundle<'a>(bundle: *const c_void, bytes: u64) -> Result<Bundle<'a>, Failure> {
    if bundle.is_null() {
        return Err(Failure::Null("bundle"));
    }
    // SAFETY: promised by the caller.
    let bytes = unsafe { elements(bundle.cast::<u8>(), bytes, "bundle") }?;
    Ok(Bundle::open(bytes)?)
}

/// The name of a model, or `None` for the only one.
///
/// # Safety
/// `name` is NULL or text that is valid during `'a`.
pub(crate) unsafe fn name<'a>(name: *const c_char) -> Result<Option<&'a str>, Failure> {
    if name.is_null() {
        return Ok(None);
    }
    // SAFETY: promised by the caller.
    unsafe { text(name, "model") }.map(Some)
}

/// The model that two arguments name.
///
/// # Safety
/// As for [`bundle`] and [`name`].
pub(crate) unsafe fn model<'a>(
    bytes: *const c_void,
    len: u64,
    model: *const c_char,
) -> Result<Model<'a>, Failure> {
    // SAFETY: promised by the caller.
    let (bundle, name) = unsafe { (bundle(bytes, len)?, name(model)?) };
    Ok(name.map_or_else(|| bundle.only_model(), |name| bundle.model(name))?)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_bundle_describe(
    bytes: *const c_void,
    len: u64,
    info: *mut BundleInfo,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let out = sized(info, "info")?;
            let bundle = bundle(bytes, len)?;
            out.write(BundleInfo {
                struct_size: size_of::<BundleInfo>() as u32,
                models_len: bundle.models().count() as u32,
                bytes: bundle.as_bytes().len() as u64,
                content_hash: bundle.content_hash(),
            });
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_bundle_model_name(
    bytes: *const c_void,
    len: u64,
    index: u32,
    name: *mut *const c_char,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let out = Out::new(name, "name")?;
            let found = bundle(bytes, len)?.models().nth(index as usize);
            out.write(found.ok_or(Failure::NotFound("model"))?.c_name().as_ptr());
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_bundle_verify(
    bytes: *const c_void,
    len: u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe { guard(error, || Ok(bundle(bytes, len)?.verify()?)) }
}
