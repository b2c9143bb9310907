//! Why a call failed: the pinned numbers, and the sentence for each.
//!
//! Owns [`Status`] and [`Failure`]. A failure of a serving call holds numbers only, so that making
//! one allocates nothing.

use core::fmt;

#[cfg(feature = "std")]
use nowcast::bundle::FileError;
use nowcast::bundle::{BundleError, Tag};
#[cfg(feature = "onnx")]
use nowcast::compile::CompileError;
#[cfg(feature = "onnx")]
use nowcast::forecast::ForecasterError;
use nowcast::forecast::{ForecastError, ModelError};
#[cfg(feature = "onnx")]
use nowcast::load::LoadError;
#[cfg(feature = "onnx")]
use nowcast::onnx::ImportError;
use nowcast::runtime::{BindError, ImageError, RunError, SessionError};
use nowcast::sampling::{DrawError, GaussianError, PointError};

macro_rules! statuses {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// What became of a call. The numbers are pinned and never used for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub(crate) enum Status { $($name = $code),* }

        impl Status {
            /// Every status, in the order of its number.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name in the header.
            pub(crate) fn name(self) -> &'static core::ffi::CStr {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

statuses! {
    Ok = 0, c"NOWCAST_OK";
    NullArgument = 1, c"NOWCAST_NULL_ARGUMENT";
    InvalidArgument = 2, c"NOWCAST_INVALID_ARGUMENT";
    InvalidHandle = 3, c"NOWCAST_INVALID_HANDLE";
    Io = 4, c"NOWCAST_IO";
    InvalidModel = 5, c"NOWCAST_INVALID_MODEL";
    Unsupported = 6, c"NOWCAST_UNSUPPORTED";
    OptionNeeded = 7, c"NOWCAST_OPTION_NEEDED";
    NotCompiled = 8, c"NOWCAST_NOT_COMPILED";
    NotFound = 9, c"NOWCAST_NOT_FOUND";
    WrongDtype = 10, c"NOWCAST_WRONG_DTYPE";
    WrongLength = 11, c"NOWCAST_WRONG_LENGTH";
    WrongRank = 12, c"NOWCAST_WRONG_RANK";
    ExtentOutOfBounds = 13, c"NOWCAST_EXTENT_OUT_OF_BOUNDS";
    IsState = 14, c"NOWCAST_IS_STATE";
    StateFull = 15, c"NOWCAST_STATE_FULL";
    Misaligned = 16, c"NOWCAST_MISALIGNED";
    TooSmall = 17, c"NOWCAST_TOO_SMALL";
    Overlap = 18, c"NOWCAST_OVERLAP";
    OutOfMemory = 19, c"NOWCAST_OUT_OF_MEMORY";
    MissingKernel = 20, c"NOWCAST_MISSING_KERNEL";
    InUse = 21, c"NOWCAST_IN_USE";
    NotFinite = 22, c"NOWCAST_NOT_FINITE";
    NotCovariance = 23, c"NOWCAST_NOT_COVARIANCE";
    InvalidForecaster = 24, c"NOWCAST_INVALID_FORECASTER";
    NoForecast = 25, c"NOWCAST_NO_FORECAST";
    InPlace = 26, c"NOWCAST_IN_PLACE";
    NotABundle = 27, c"NOWCAST_NOT_A_BUNDLE";
    OtherVersion = 28, c"NOWCAST_OTHER_VERSION";
    Truncated = 29, c"NOWCAST_TRUNCATED";
    Damaged = 30, c"NOWCAST_DAMAGED";
    SeveralModels = 31, c"NOWCAST_SEVERAL_MODELS";
    TooLarge = 32, c"NOWCAST_TOO_LARGE";
    OutOfRange = 33, c"NOWCAST_OUT_OF_RANGE";
    Measured = 34, c"NOWCAST_MEASURED";
    Panic = 100, c"NOWCAST_PANIC";
}

/// Why a call failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This argument is NULL.
    Null(&'static str),
    /// This argument has no meaning: what it must be.
    Invalid(&'static str, &'static str),
    /// This argument is no live object of its kind.
    Handle(&'static str),
    /// This argument starts at an address that is no multiple of `alignment`.
    Misaligned(&'static str, usize),
    /// This argument has too few bytes.
    TooSmall {
        what: &'static str,
        needed: usize,
        given: u64,
    },
    /// There is none of this name or position.
    NotFound(&'static str),
    /// This output overlaps other memory of the call.
    Overlap(u32),
    /// Sessions of the object are open.
    InUse(u32),
    #[cfg(feature = "onnx")]
    Load(Box<LoadError>),
    #[cfg(feature = "std")]
    File(Box<FileError>),
    Bundle(BundleError),
    Model(ModelError),
    Session(SessionError),
    Bind(BindError),
    Run(RunError),
    Gaussian(GaussianError),
    Draw(DrawError),
    Point(PointError),
    #[cfg(feature = "onnx")]
    Forecaster(Box<ForecasterError>),
    Forecast(ForecastError),
}

impl Failure {
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::Null(_) => Status::NullArgument,
            Self::Invalid(..) => Status::InvalidArgument,
            Self::Handle(_) => Status::InvalidHandle,
            Self::Misaligned(..) => Status::Misaligned,
            Self::TooSmall { .. } => Status::TooSmall,
            Self::NotFound(_) => Status::NotFound,
            Self::Overlap(_) => Status::Overlap,
            Self::InUse(_) => Status::InUse,
            #[cfg(feature = "onnx")]
            Self::Load(error) => of_load(error),
            #[cfg(feature = "std")]
            Self::File(error) => of_file(error),
            Self::Bundle(error) => of_bundle(error),
            Self::Model(error) => of_model(error),
            Self::Session(error) => of_session(error),
            Self::Bind(error) => of_bind(error),
            Self::Run(RunError::Bind { error, .. }) => of_bind(error),
            Self::Run(RunError::OutOfRange { .. }) => Status::OutOfRange,
            Self::Run(_) => Status::StateFull,
            Self::Gaussian(error) => of_gaussian(error),
            Self::Draw(_) => Status::WrongLength,
            Self::Point(error) => of_point(error),
            #[cfg(feature = "onnx")]
            Self::Forecaster(error) => of_forecaster(error),
            Self::Forecast(error) => of_forecast(error),
        }
    }
}

#[cfg(feature = "onnx")]
fn of_load(error: &LoadError) -> Status {
    match error {
        LoadError::Io { .. } => Status::Io,
        LoadError::Import { source, .. } => match source {
            ImportError::Unsupported { .. } => Status::Unsupported,
            ImportError::OpenDimension { .. }
            | ImportError::NotConstant { .. }
            | ImportError::Branch { .. } => Status::OptionNeeded,
            ImportError::Binding(_) => Status::InvalidArgument,
            ImportError::Memory { .. } => Status::TooLarge,
            _ => Status::InvalidModel,
        },
        LoadError::Compile { source: CompileError::Unsupported { .. }, .. } => Status::Unsupported,
        LoadError::Compile { source: CompileError::Memory { .. }, .. } => Status::TooLarge,
        _ => Status::NotCompiled,
    }
}

#[cfg(feature = "std")]
fn of_file(error: &FileError) -> Status {
    match error {
        FileError::Bundle { source, .. } => of_bundle(source),
        _ => Status::Io,
    }
}

fn of_bundle(error: &BundleError) -> Status {
    match error {
        BundleError::NotABundle => Status::NotABundle,
        BundleError::Version { .. } => Status::OtherVersion,
        BundleError::Truncated { .. } => Status::Truncated,
        BundleError::Misaligned => Status::Misaligned,
        BundleError::NotOneModel { .. } => Status::SeveralModels,
        BundleError::NoSuchModel | BundleError::NoSection { .. } => Status::NotFound,
        BundleError::Program(error) => of_image(error),
        _ => Status::Damaged,
    }
}

fn of_image(error: &ImageError) -> Status {
    match error {
        ImageError::Version { .. } => Status::OtherVersion,
        ImageError::Truncated { .. } => Status::Truncated,
        ImageError::Misaligned => Status::Misaligned,
        ImageError::MissingKernel { .. } | ImageError::UnknownKernel { .. } => {
            Status::MissingKernel
        }
        ImageError::TooLarge => Status::TooLarge,
        _ => Status::Damaged,
    }
}

fn of_model(error: &ModelError) -> Status {
    match error {
        ModelError::Bundle(BundleError::NoSection { tag: Tag::FORECASTER }) => {
            Status::InvalidForecaster
        }
        ModelError::Bundle(error) => of_bundle(error),
        ModelError::Section => Status::Damaged,
        ModelError::Covariance(error) => of_gaussian(error),
        _ => Status::InvalidForecaster,
    }
}

fn of_session(error: &SessionError) -> Status {
    match error {
        SessionError::TooSmall { .. } => Status::TooSmall,
        SessionError::Misaligned => Status::Misaligned,
        SessionError::OutOfMemory { .. } => Status::OutOfMemory,
        _ => Status::InvalidArgument,
    }
}

fn of_bind(error: &BindError) -> Status {
    match error {
        BindError::NotFound => Status::NotFound,
        BindError::DType { .. } => Status::WrongDtype,
        BindError::Length { .. } => Status::WrongLength,
        BindError::Rank { .. } => Status::WrongRank,
        BindError::Extent { .. } => Status::ExtentOutOfBounds,
        BindError::State => Status::IsState,
        BindError::Misaligned => Status::Misaligned,
        BindError::InPlace => Status::InPlace,
        BindError::Measured => Status::Measured,
        _ => Status::InvalidArgument,
    }
}

fn of_gaussian(error: &GaussianError) -> Status {
    match error {
        GaussianError::Length { .. } => Status::WrongLength,
        GaussianError::StorageTooSmall { .. } | GaussianError::ScratchTooSmall { .. } => {
            Status::TooSmall
        }
        GaussianError::MeanNotFinite { .. }
        | GaussianError::NotFinite { .. }
        | GaussianError::Value { .. } => Status::NotFinite,
        GaussianError::NotSymmetric { .. }
        | GaussianError::NotPositiveDefinite { .. }
        | GaussianError::NegativeVariance { .. } => Status::NotCovariance,
        GaussianError::Stored => Status::Damaged,
        _ => Status::InvalidArgument,
    }
}

fn of_point(error: &PointError) -> Status {
    match error {
        PointError::Length { .. } => Status::WrongLength,
        PointError::NotFinite { .. } => Status::NotFinite,
        PointError::Singular { .. } => Status::NotCovariance,
        PointError::ScratchTooSmall { .. } => Status::TooSmall,
        _ => Status::InvalidArgument,
    }
}

fn of_forecast(error: &ForecastError) -> Status {
    match error {
        ForecastError::ContextLength { .. } | ForecastError::OutputLength { .. } => {
            Status::WrongLength
        }
        ForecastError::NotFinite { .. } | ForecastError::MeanNotFinite { .. } => Status::NotFinite,
        ForecastError::NoForecast => Status::NoForecast,
        ForecastError::Run(RunError::Bind { error, .. }) => of_bind(error),
        ForecastError::Run(RunError::OutOfRange { .. }) => Status::OutOfRange,
        ForecastError::Run(_) => Status::StateFull,
        _ => Status::InvalidArgument,
    }
}

#[cfg(feature = "onnx")]
fn of_forecaster(error: &ForecasterError) -> Status {
    match error {
        ForecasterError::Io { .. } => Status::Io,
        ForecasterError::Model(error) => of_load(error),
        _ => Status::InvalidForecaster,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null(argument) => write!(f, "{argument} is NULL"),
            Self::Invalid(argument, must) => write!(f, "{argument} must be {must}"),
            Self::Handle(argument) => {
                write!(f, "{argument} is no such object, or it was closed or released")
            }
            Self::Misaligned(argument, alignment) => {
                write!(f, "{argument} must start on a multiple of {alignment} bytes")
            }
            Self::TooSmall { what, needed, given } => {
                write!(f, "{what} needs {needed} bytes, {given} were given")
            }
            Self::NotFound(what) => write!(f, "there is no such {what}"),
            Self::Overlap(output) => {
                write!(f, "the memory of output {output} overlaps other memory of the call")
            }
            Self::InUse(open) => write!(f, "{open} sessions are open: close them first"),
            #[cfg(feature = "onnx")]
            Self::Load(error) => error.fmt(f),
            #[cfg(feature = "std")]
            Self::File(error) => error.fmt(f),
            Self::Bundle(error) => error.fmt(f),
            Self::Model(error) => error.fmt(f),
            Self::Session(error) => error.fmt(f),
            Self::Bind(error) => error.fmt(f),
            Self::Run(error) => error.fmt(f),
            Self::Gaussian(error) => error.fmt(f),
            Self::Draw(error) => error.fmt(f),
            Self::Point(error) => error.fmt(f),
            #[cfg(feature = "onnx")]
            Self::Forecaster(error) => error.fmt(f),
            Self::Forecast(error) => error.fmt(f),
        }
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$variant(error.into())
            }
        }
    )*};
}
#[cfg(feature = "onnx")]
from!(LoadError => Load, ForecasterError => Forecaster);
#[cfg(feature = "std")]
from!(FileError => File);
from!(BundleError => Bundle, ModelError => Model, SessionError => Session, BindError => Bind,
    RunError => Run, GaussianError => Gaussian, DrawError => Draw, PointError => Point,
    ForecastError => Forecast);
