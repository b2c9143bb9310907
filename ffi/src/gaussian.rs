//! `nowcast_gaussian`.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::slice;

use nowcast::kernels::Level;
use nowcast::sampling::{Gaussian, GaussianError, PathAddress};

use crate::guard::{Error, Out, elements, elements_mut, guard};
use crate::handle::{self, Handle, Object, shared};
use crate::status::Failure;

/// A distribution in the caller's memory.
pub(crate) struct GaussianObject {
    gaussian: Gaussian<'static>,
    level: Level,
}

impl GaussianObject {
    /// Elements of so many paths.
    fn elements(&self, paths: u64) -> Result<u64, Failure> {
        let elements = paths.checked_mul(self.gaussian.dim() as u64);
        elements.ok_or(Failure::Invalid("paths", "few enough for memory"))
    }
}

impl Object for GaussianObject {
    const TAG: u64 = u64::from_le_bytes(*b"nc-gauss");
    const NAME: &'static str = "gaussian";
    const BYTES: usize = size_of::<Handle<Self>>();
}

/// A number of dimensions whose covariance memory can hold.
fn dims(dim: u64) -> Result<usize, Failure> {
    match u32::try_from(dim).ok().map(|dim| dim as usize) {
        Some(dim)
            if dim > 0 && dim.checked_mul(dim).is_some_and(|n| n <= isize::MAX as usize / 16) =>
        {
            Ok(dim)
        }
        _ => Err(Failure::Invalid("dim", "at least 1, with a covariance that fits memory")),
    }
}

fn full_bytes(dim: usize) -> (usize, usize) {
    let storage = Gaussian::full_len(dim) * size_of::<f32>();
    let scratch = Gaussian::full_scratch_len(dim) * size_of::<f64>();
    (storage, scratch)
}

fn diagonal_bytes(dim: usize) -> usize {
    Gaussian::diagonal_len(dim) * size_of::<f32>()
}

/// A number of common factors that memory can hold for so many dimensions.
fn ranks(dim: usize, rank: u64) -> Result<usize, Failure> {
    let rank = u32::try_from(rank).map_or(usize::MAX, |rank| rank as usize);
    let most = isize::MAX as usize / 16;
    let fits = |side: usize| side.checked_mul(rank).is_some_and(|n| n <= most);
    match rank {
        1.. if fits(dim) && fits(rank) => Ok(rank),
        _ => Err(Failure::Invalid("rank", "at least 1, with loadings that fit memory")),
    }
}

fn low_rank_bytes(dim: usize, rank: usize) -> (usize, usize) {
    let storage = Gaussian::low_rank_len(dim, rank) * size_of::<f32>();
    let scratch = Gaussian::low_rank_scratch_len(rank) * size_of::<f64>();
    (storage, scratch)
}

/// A number of known dimensions that leaves some.
fn known(gaussian: &Gaussian<'_>, known: u64) -> Result<usize, Failure> {
    match usize::try_from(known) {
        Ok(known) if known < gaussian.dim() => Ok(known),
        _ => Err(Failure::Invalid("known", "fewer than the dimensions")),
    }
}

fn given_bytes(gaussian: &Gaussian<'_>, known: usize) -> (usize, usize) {
    let storage = gaussian.len_of(gaussian.dim() - known) * size_of::<f32>();
    (storage, gaussian.given_scratch_len() * size_of::<f64>())
}

fn density_bytes(gaussian: &Gaussian<'_>) -> usize {
    gaussian.density_scratch_len() * size_of::<f64>()
}

/// `nowcast_clock`.
type Clock = Option<unsafe extern "C" fn(context: *mut c_void) -> u64>;

/// Aligned bytes as elements: zeros first, so that every element is one.
fn cleared<T: nowcast::tensor::Element>(bytes: &'static mut [u8]) -> &'static mut [T] {
    if bytes.is_empty() {
        return &mut [];
    }
    bytes.fill(0);
    let len = bytes.len() / size_of::<T>();
    debug_assert!(bytes.as_ptr().cast::<T>().is_aligned());
    // SAFETY: aligned to 64, as `room` checked; every bit pattern is a value of an `Element`.
    unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), len) }
}

/// Bytes of memory for a distribution whose storage takes so many.
fn with_handle(storage_bytes: usize) -> u64 {
    (Handle::<GaussianObject>::BYTES + storage_bytes) as u64
}

/// Memory of the caller: where it is, its bytes, and those that are needed.
type Given = (*mut u8, u64, usize);

/// Makes a distribution in memory, of which `storage_bytes` are for its numbers, with scratch, of
/// which none may be needed.
///
/// # Safety
/// As for [`handle::carve`], of both.
unsafe fn make(
    level: Level,
    (memory, memory_bytes, storage_bytes): Given,
    (scratch, scratch_bytes, needed): Given,
    out: Out<*mut Handle<GaussianObject>>,
    gaussian: impl FnOnce(&'static mut [f32], &mut [f64]) -> Result<Gaussian<'static>, GaussianError>,
) -> Result<(), Failure> {
    // SAFETY: as promised by the caller.
    unsafe {
        let (place, rest) = handle::carve::<GaussianObject>(memory, memory_bytes, storage_bytes)?;
        let scratch = handle::optional("scratch", scratch, scratch_bytes, needed)?;
        let gaussian = gaussian(cleared(rest), cleared(scratch))?;
        place.write(Handle::new(GaussianObject { gaussian, level }));
        out.write(place);
    }
    Ok(())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_full_bytes(
    dim: u64,
    memory_bytes: *mut u64,
    scratch_bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let memory = Out::new(memory_bytes, "memory_bytes")?;
            let scratch = Out::new(scratch_bytes, "scratch_bytes")?;
            let (storage_bytes, bytes) = full_bytes(dims(dim)?);
            memory.write(with_handle(storage_bytes));
            scratch.write(bytes as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_diagonal_bytes(
    dim: u64,
    memory_bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let memory = Out::new(memory_bytes, "memory_bytes")?;
            memory.write(with_handle(diagonal_bytes(dims(dim)?)));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_full(
    mean: *const f64,
    covariance: *const f64,
    dim: u64,
    isa: i32,
    memory: *mut c_void,
    memory_bytes: u64,
    scratch: *mut c_void,
    scratch_bytes: u64,
    gaussian: *mut *mut Handle<GaussianObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL, and for memory that is the
    // distribution's alone.
    unsafe {
        guard(error, || {
            let len = dims(dim)?;
            let mean = elements(mean, dim, "mean")?;
            let covariance = elements(covariance, (len * len) as u64, "covariance")?;
            let out = Out::new(gaussian, "gaussian")?;
            let level = handle::level(isa)?;
            let (storage_bytes, needed) = full_bytes(len);
            let memory = (memory.cast(), memory_bytes, storage_bytes);
            let scratch = (scratch.cast(), scratch_bytes, needed);
            make(level, memory, scratch, out, |storage, scratch| {
                Gaussian::full(level, mean, covariance, storage, scratch)
            })
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_diagonal(
    mean: *const f64,
    variances: *const f64,
    dim: u64,
    isa: i32,
    memory: *mut c_void,
    memory_bytes: u64,
    gaussian: *mut *mut Handle<GaussianObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL, and for memory that is the
    // distribution's alone.
    unsafe {
        guard(error, || {
            let len = dims(dim)?;
            let mean = elements(mean, dim, "mean")?;
            let variances = elements(variances, dim, "variances")?;
            let out = Out::new(gaussian, "gaussian")?;
            let level = handle::level(isa)?;
            let memory = (memory.cast(), memory_bytes, diagonal_bytes(len));
            make(level, memory, (null_mut(), 0, 0), out, |storage, _| {
                Gaussian::diagonal(mean, variances, storage)
            })
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_low_rank_bytes(
    dim: u64,
    rank: u64,
    memory_bytes: *mut u64,
    scratch_bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let memory = Out::new(memory_bytes, "memory_bytes")?;
            let scratch = Out::new(scratch_bytes, "scratch_bytes")?;
            let dim = dims(dim)?;
            let (storage_bytes, bytes) = low_rank_bytes(dim, ranks(dim, rank)?);
            memory.write(with_handle(storage_bytes));
            scratch.write(bytes as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_low_rank(
    mean: *const f64,
    loadings: *const f64,
    variances: *const f64,
    dim: u64,
    rank: u64,
    isa: i32,
    memory: *mut c_void,
    memory_bytes: u64,
    scratch: *mut c_void,
    scratch_bytes: u64,
    gaussian: *mut *mut Handle<GaussianObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for valid pointers, or NULL, and for memory that is the
    // distribution's alone.
    unsafe {
        guard(error, || {
            let len = dims(dim)?;
            let rank = ranks(len, rank)?;
            let mean = elements(mean, dim, "mean")?;
            let loadings = elements(loadings, (len * rank) as u64, "loadings")?;
            let variances = elements(variances, dim, "variances")?;
            let out = Out::new(gaussian, "gaussian")?;
            let level = handle::level(isa)?;
            let (storage_bytes, needed) = low_rank_bytes(len, rank);
            let memory = (memory.cast(), memory_bytes, storage_bytes);
            let scratch = (scratch.cast(), scratch_bytes, needed);
            make(level, memory, scratch, out, |storage, scratch| {
                Gaussian::low_rank(level, mean, loadings, variances, storage, scratch)
            })
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_given_bytes(
    gaussian: *const Handle<GaussianObject>,
    count: u64,
    memory_bytes: *mut u64,
    scratch_bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let memory = Out::new(memory_bytes, "memory_bytes")?;
            let scratch = Out::new(scratch_bytes, "scratch_bytes")?;
            let GaussianObject { gaussian, .. } = shared(gaussian)?;
            let (storage_bytes, bytes) = given_bytes(gaussian, known(gaussian, count)?);
            memory.write(with_handle(storage_bytes));
            scratch.write(bytes as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_given(
    gaussian: *const Handle<GaussianObject>,
    indices: *const usize,
    values: *const f64,
    count: u64,
    memory: *mut c_void,
    memory_bytes: u64,
    scratch: *mut c_void,
    scratch_bytes: u64,
    rest: *mut *mut Handle<GaussianObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL, and for memory that is
    // the new distribution's alone.
    unsafe {
        guard(error, || {
            let &GaussianObject { ref gaussian, level } = shared(gaussian)?;
            let len = known(gaussian, count)?;
            let indices = elements(indices, count, "indices")?;
            let values = elements(values, count, "values")?;
            let out = Out::new(rest, "rest")?;
            let (storage_bytes, needed) = given_bytes(gaussian, len);
            let memory = (memory.cast(), memory_bytes, storage_bytes);
            let scratch = (scratch.cast(), scratch_bytes, needed);
            make(level, memory, scratch, out, |storage, scratch| {
                gaussian.given(level, indices, values, storage, scratch)
            })
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_log_density_bytes(
    gaussian: *const Handle<GaussianObject>,
    scratch_bytes: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let scratch = Out::new(scratch_bytes, "scratch_bytes")?;
            scratch.write(density_bytes(&shared(gaussian)?.gaussian) as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_log_density(
    gaussian: *const Handle<GaussianObject>,
    x: *const f64,
    scratch: *mut c_void,
    scratch_bytes: u64,
    value: *mut f64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL, and for scratch that is
    // the call's alone.
    unsafe {
        guard(error, || {
            let &GaussianObject { ref gaussian, level } = shared(gaussian)?;
            let x = elements(x, gaussian.dim() as u64, "x")?;
            let out = Out::new(value, "value")?;
            let needed = density_bytes(gaussian);
            let scratch = handle::optional("scratch", scratch.cast(), scratch_bytes, needed)?;
            out.write(gaussian.log_density(level, x, cleared(scratch))?);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_dim(
    gaussian: *const Handle<GaussianObject>,
    dim: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(gaussian)?;
            Out::new(dim, "dim")?.write(object.gaussian.dim() as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_draw(
    gaussian: *const Handle<GaussianObject>,
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
            let object = shared(gaussian)?;
            let out = elements_mut(out, object.elements(paths)?, "out")?;
            let first = PathAddress { seed, stream, path: first_path };
            Ok(object.gaussian.draw(object.level, first, out)?)
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_draw_until(
    gaussian: *const Handle<GaussianObject>,
    seed: u64,
    stream: u64,
    first_path: u64,
    clock: Clock,
    context: *mut c_void,
    deadline: u64,
    out: *mut f32,
    paths: u64,
    drawn: *mut u64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL, and for a clock that
    // takes the context.
    unsafe {
        guard(error, || {
            let object = shared(gaussian)?;
            let clock = clock.ok_or(Failure::Null("clock"))?;
            let drawn = Out::new(drawn, "drawn")?;
            let out = elements_mut(out, object.elements(paths)?, "out")?;
            let first = PathAddress { seed, stream, path: first_path };
            let now = || clock(context);
            let paths = object.gaussian.draw_until(object.level, first, now, deadline, out)?;
            drawn.write(paths as u64);
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_quantile(
    gaussian: *const Handle<GaussianObject>,
    index: u64,
    p: f64,
    value: *mut f64,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for live handles and valid pointers, or NULL.
    unsafe {
        guard(error, || {
            let object = shared(gaussian)?;
            let out = Out::new(value, "value")?;
            if index >= object.gaussian.dim() as u64 {
                return Err(Failure::NotFound("dimension"));
            }
            if !(p > 0.0 && p < 1.0) {
                return Err(Failure::Invalid("p", "between zero and one"));
            }
            out.write(object.gaussian.marginal_quantile(index as usize, p));
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nowcast_gaussian_release(
    gaussian: *mut Handle<GaussianObject>,
    error: *mut Error,
) -> i32 {
    // SAFETY: the header asks for a live handle that nobody else uses, or NULL.
    unsafe { guard(error, || handle::close(gaussian)) }
}
