//! What the sampler serves, everything but set-up.

use std::hint::black_box;

use nowcast::kernels::Level;
use nowcast::runtime::prepare_thread;
use nowcast::sampling::{
    Antithetic, Decay, ExponentialCovariance, Gaussian, Moments, OwnedGaussian, OwnedSobol,
    PathAddress, Real, Source, standard_normals,
};

use super::Failure;

const DIM: usize = 20;
/// More than a block of anything, and no multiple of a vector.
const PATHS: usize = 301;
const FORMS: [&str; 4] = ["diagonal", "full", "low rank", "mixture"];
const ONLINE: &str = "sampling: online covariance";

/// The names of its calls.
pub(crate) fn served() -> impl Iterator<Item = String> {
    let precisions = ["f32", "f64"].into_iter();
    let of_form = precisions.flat_map(|precision| {
        FORMS.into_iter().map(move |form| format!("sampling: {form} {precision}"))
    });
    of_form.chain([ONLINE.to_owned()])
}

/// Sets up `what`, one of [`served`], and passes `body` its call.
pub(crate) fn with_serving(
    what: &str,
    body: &mut dyn FnMut(&mut dyn FnMut()),
) -> Result<(), Failure> {
    if what == ONLINE {
        return online(body);
    }
    let name = what.trim_start_matches("sampling: ");
    match name.strip_suffix(" f32") {
        Some(form) => gaussian::<f32>(form, body),
        None => gaussian::<f64>(name.trim_end_matches(" f64"), body),
    }
}

fn refused(error: impl std::fmt::Display) -> Failure {
    Failure::Run(error.to_string())
}

fn make<T: Real>(form: &str) -> Result<OwnedGaussian<T>, Failure> {
    let mut covariance = [0.5f64; DIM * DIM];
    covariance.iter_mut().step_by(DIM + 1).for_each(|variance| *variance = 1.0);
    let (mean, variances) = ([0.0; DIM], [1.5; DIM]);
    let made = match form {
        "diagonal" => OwnedGaussian::diagonal(&mean, &variances),
        "low rank" => OwnedGaussian::low_rank(&mean, &[0.25; DIM * 3], &variances),
        _ => OwnedGaussian::full(&mean, &covariance),
    };
    let made = made.map_err(refused)?;
    if form != "mixture" {
        return Ok(made);
    }
    let other = OwnedGaussian::full(&[1.0; DIM], &covariance).map_err(refused)?;
    OwnedGaussian::mixture(&[1.0, 2.0], &[made.gaussian(), other.gaussian()]).map_err(refused)
}

/// Every call on a distribution.
fn gaussian<T: Real>(form: &str, body: &mut dyn FnMut(&mut dyn FnMut())) -> Result<(), Failure> {
    let owned = make::<T>(form)?;
    let gaussian = owned.gaussian();
    let sobol = OwnedSobol::new(2 * DIM).map_err(refused)?;
    let level = Level::detect();
    // Ones, since memory of zeros may have no pages yet.
    let mut paths = vec![T::from_f64(1.0); DIM * PATHS];
    let mut scratch = vec![1.0; gaussian.given_scratch_len().max(2 * DIM)];
    let mut storage = vec![T::from_f64(1.0); gaussian.len_of(DIM)];
    let mut sums = vec![1.0; Moments::storage_len(DIM)];
    let bounds = [T::from_f64(0.25); DIM];
    let mut first = PathAddress { seed: 1, stream: 0, path: 0 };
    prepare_thread();
    body(&mut || {
        draws(gaussian, level, first, &mut paths);
        draws(gaussian, level, Antithetic(first), &mut paths);
        draws(gaussian, level, sobol.sobol().paths(first), &mut paths);
        let mut moments = Moments::new(gaussian.mean(), &mut sums);
        gaussian.draw_moments(level, first, 400, &mut moments, &mut paths).expect("room");
        black_box(moments.covariance(0, 1));
        let crossed = gaussian.probability_above(level, first, 400, &bounds, &mut paths);
        black_box(crossed.expect("room"));
        let within = gaussian.probability_within(level, first, 400, &bounds, &bounds, &mut paths);
        black_box(within.expect("room"));

        let point = [0.5; DIM];
        black_box(gaussian.log_density(level, &point, &mut scratch).expect("a density"));
        let _no_mixture = gaussian.mahalanobis(level, &point, &mut scratch);
        black_box(gaussian.linear_quantile(level, &point, 0.9, &mut scratch).expect("weights"));
        black_box(gaussian.marginal_quantile(3, 0.9));
        for known in [[0, 1], [7, 3]] {
            let given = gaussian.given(level, &known, &[1.0; 2], &mut storage, &mut scratch);
            black_box(given.expect("known").dim());
            let alone = gaussian.marginal(level, &known, &mut storage, &mut scratch);
            black_box(alone.expect("known").dim());
        }
        first.path += PATHS as u64;
    });
    Ok(())
}

fn draws<T: Real>(gaussian: Gaussian<'_, T>, level: Level, source: impl Source, out: &mut [T]) {
    gaussian.draw(level, source, out).expect("whole paths");
    gaussian.draw_transposed(level, source, out).expect("whole paths");
    standard_normals(level, source, DIM, out).expect("whole paths");
    let mut now = 0;
    let clock = || {
        now += 1;
        now
    };
    black_box(gaussian.draw_until(level, source, clock, 1000, out).expect("whole paths"));
}

/// A covariance that follows a stream, and the distribution that it makes.
fn online(body: &mut dyn FnMut(&mut dyn FnMut())) -> Result<(), Failure> {
    let mut storage = vec![1.0; ExponentialCovariance::storage_len(DIM)];
    let decay = Decay::from_half_life(50.0).map_err(refused)?;
    let mut covariance =
        ExponentialCovariance::from_variances(&[0.0; DIM], &[1.0; DIM], decay, &mut storage)
            .map_err(refused)?;
    let mut n = 0;
    prepare_thread();
    body(&mut || {
        let x: [f64; DIM] =
            std::array::from_fn(|index| f64::from((n * 31 + index as u32 * 17) % 64));
        covariance.observe(&x).expect("finite");
        black_box(covariance.covariance(0, 1));
        n += 1;
    });
    Ok(())
}
