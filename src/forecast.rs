//! Forecasts: observations in, means, quantiles and correlated paths out.
//!
//! Owns what lies between a series and a model: [`Series`] keeps the latest observations,
//! [`Scale`] and [`calendar`] make a model's inputs of them, [`Forecaster`] binds these to a
//! program and a covariance, and [`ForecastSession`] serves. Its invariant: after a session exists
//! no call of it, nor of a series, allocates, locks or calls the system, and a call that fails
//! leaves the last forecast as it was. It must not read files, but for the folders of
//! [`Forecaster::from_folder`] and the bundles of [`Forecaster::from_file`].
//!
//! The forecast is Gaussian: the model gives the mean, the covariance of its errors comes with
//! it.
//!
//! # Examples
//! ```
//! # #[cfg(feature = "onnx")] {
//! use nowcast::forecast::{ForecastSession, Forecaster};
//!
//! let forecaster = Forecaster::from_folder("models/jfk-temperature")?;
//! let mut session = ForecastSession::new(&forecaster)?;
//! session.prefault();
//!
//! let context = vec![41.0; forecaster.context()];
//! session.forecast(&context, 1_388_448_000)?;
//! let mut upper = vec![0.0; forecaster.horizon()];
//! session.quantile(0.95, &mut upper)?;
//! let mut paths = vec![0.0; 100 * forecaster.horizon()];
//! session.paths(42, 0, 0, &mut paths)?;
//! assert!(session.mean().iter().zip(&upper).all(|(mean, upper)| mean < upper));
//! # }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

pub mod calendar;
#[cfg(feature = "onnx")]
mod description;
mod forecaster;
#[cfg(feature = "onnx")]
mod load;
mod scale;
mod section;
mod series;
mod session;
#[cfg(all(test, feature = "std"))]
mod tests;

#[cfg(feature = "onnx")]
pub use description::{Description, InputDescription};
pub use forecaster::{Forecaster, Input, InputKind, Layout, LayoutError, Memory};
#[cfg(feature = "onnx")]
pub use load::ForecasterError;
pub use scale::{Center, Scale, Spread};
pub use section::ModelError;
pub use series::{Series, SeriesError};
pub use session::{ForecastError, ForecastSession};
