//! A forecaster in a bundle: its layout as flat words beside program and covariance.
//!
//! Owns the format of the section [`Tag::FORECASTER`]. Its invariant: what is read is checked as a
//! layout that was written by hand is, and borrows its names from the bundle. Little-endian words
//! of 32 bits: version, context, horizon, seconds of a step, center (number, f64), spread (number,
//! f64), place and length of name, unit and output, number of inputs; for each input place and
//! length of its name, kind, number of features, features; then the names.

use core::fmt;

use arrayvec::ArrayVec;

use super::calendar::Feature;
#[cfg(feature = "std")]
use super::forecaster::Feed;
use super::forecaster::{
    Errors, Forecaster, Input, InputKind, Layout, LayoutError, MAX_FEATURES, MAX_INPUTS, Text,
};
use super::scale::{Center, Scale, Spread};
use crate::bundle::{BundleError, Model, Tag};
#[cfg(feature = "std")]
use crate::runtime::Port;
use crate::runtime::{Kernels, Program};
use crate::sampling::{Gaussian, GaussianError};

const VERSION: u32 = 1;

/// Why a model of a bundle is no forecaster.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// A section is missing, or the program is refused.
    Bundle(BundleError),
    /// The forecaster's section is of another version or damaged.
    Section,
    /// Program, covariance and layout do not suit one another.
    Layout(LayoutError),
    /// The covariance is refused.
    Covariance(GaussianError),
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundle(BundleError::NoSection { tag: Tag::FORECASTER }) => {
                write!(f, "the model is no forecaster: compile a folder that has a forecaster.json")
            }
            Self::Bundle(error) => write!(f, "{error}"),
            Self::Section => {
                write!(f, "the forecaster's section is damaged or of another version")
            }
            Self::Layout(error) => write!(f, "{error}"),
            Self::Covariance(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for ModelError {}

impl From<BundleError> for ModelError {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl From<LayoutError> for ModelError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}

impl From<GaussianError> for ModelError {
    fn from(error: GaussianError) -> Self {
        Self::Covariance(error)
    }
}

impl<'a> Forecaster<'a> {
    /// The forecaster that a model of a bundle is, where it lies. `kernels` is
    /// [`KERNELS`](crate::runtime::KERNELS), or the few that the program needs.
    ///
    /// **Errors**: any [`ModelError`].
    ///
    /// **Cost**: checks program and layout; copies nothing, no allocation.
    pub fn from_model(model: &Model<'a>, kernels: &Kernels) -> Result<Self, ModelError> {
        let stored = Stored::read(model.section(Tag::FORECASTER)?).ok_or(ModelError::Section)?;
        let program = model.program(kernels)?;
        let errors = Gaussian::from_bytes(model.section(Tag::GAUSSIAN)?)?;
        let texts = (Text::Borrowed(stored.name), Text::Borrowed(stored.unit));
        stored.forecaster(program, texts, Errors::Borrowed(errors))
    }
}

#[cfg(feature = "std")]
impl Forecaster<'static> {
    /// The forecaster that a model of a file is, or its only model; it keeps the memory of the
    /// file.
    ///
    /// **Errors**: any [`ModelError`].
    ///
    /// **Cost**: that of [`Forecaster::from_model`]; copies the factor and the names.
    pub fn from_file(
        file: &crate::bundle::File,
        model: Option<&str>,
        kernels: &Kernels,
    ) -> Result<Self, ModelError> {
        let bundle = file.bundle();
        let of = model.map_or_else(|| bundle.only_model(), |name| bundle.model(name))?;
        let stored = Stored::read(of.section(Tag::FORECASTER)?).ok_or(ModelError::Section)?;
        let program = file.program(model, kernels)?;
        let errors = Gaussian::from_bytes(of.section(Tag::GAUSSIAN)?)?.to_owned();
        let texts = (Text::Owned(stored.name.to_owned()), Text::Owned(stored.unit.to_owned()));
        stored.forecaster(program, texts, Errors::Owned(errors))
    }
}

#[cfg(feature = "std")]
impl Forecaster<'_> {
    /// Adds program, layout and covariance to a model of a bundle.
    pub fn write(&self, model: &mut crate::bundle::ModelWriter<'_>) {
        let section = write(self);
        model
            .program(self.program())
            .section(Tag::FORECASTER, &section)
            .section(Tag::GAUSSIAN, &self.errors().to_bytes());
    }
}

/// A layout as it is stored.
struct Stored<'a> {
    name: &'a str,
    unit: &'a str,
    output: &'a str,
    context: usize,
    horizon: usize,
    step_seconds: u32,
    scale: Scale,
    inputs: ArrayVec<StoredInput<'a>, MAX_INPUTS>,
}

/// An input's name, and its features if it is given the calendar.
type StoredInput<'a> = (&'a str, Option<ArrayVec<Feature, MAX_FEATURES>>);

impl<'a> Stored<'a> {
    fn read(section: &'a [u8]) -> Option<Self> {
        let mut words = Words { section, at: 0 };
        if words.next()? != VERSION {
            return None;
        }
        let (context, horizon) = (words.next()? as usize, words.next()? as usize);
        let step_seconds = words.next()?;
        let center = match (words.next()?, words.number()?) {
            (1, _) => Center::ContextMean,
            (2, _) => Center::Last,
            (3, center) => Center::Fixed(center),
            _ => return None,
        };
        let spread = match (words.next()?, words.number()?) {
            (1, _) => Spread::ContextStd,
            (2, spread) => Spread::Fixed(spread),
            _ => return None,
        };
        let (name, unit, output) = (words.text()?, words.text()?, words.text()?);
        let mut inputs = ArrayVec::new();
        for _ in 0..words.next()? {
            inputs.try_push(words.input()?).ok()?;
        }
        let scale = Scale { center, spread };
        Some(Self { name, unit, output, context, horizon, step_seconds, scale, inputs })
    }

    /// The forecaster of this layout.
    fn forecaster<'f>(
        &self,
        program: Program<'f>,
        texts: (Text<'f>, Text<'f>),
        errors: Errors<'f>,
    ) -> Result<Forecaster<'f>, ModelError> {
        let inputs: ArrayVec<Input<'_>, MAX_INPUTS> = self
            .inputs
            .iter()
            .map(|(name, calendar)| {
                let kind = calendar.as_deref().map_or(InputKind::Context, InputKind::Calendar);
                Input { name, kind }
            })
            .collect();
        let layout = Layout {
            name: self.name,
            unit: self.unit,
            context: self.context,
            horizon: self.horizon,
            step_seconds: self.step_seconds,
            scale: self.scale,
            inputs: &inputs,
            output: self.output,
        };
        Ok(Forecaster::of_parts(program, texts, errors, &layout)?)
    }
}

/// Words that are being read.
struct Words<'a> {
    section: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<u32> {
        let word = self.section.get(self.at..)?.first_chunk()?;
        self.at += size_of::<u32>();
        Some(u32::from_le_bytes(*word))
    }

    fn number(&mut self) -> Option<f64> {
        let (low, high) = (u64::from(self.next()?), u64::from(self.next()?));
        Some(f64::from_bits(low | high << 32))
    }

    fn text(&mut self) -> Option<&'a str> {
        let (place, len) = (self.next()? as usize, self.next()? as usize);
        core::str::from_utf8(self.section.get(place..)?.get(..len)?).ok()
    }

    fn input(&mut self) -> Option<StoredInput<'a>> {
        let name = self.text()?;
        let (kind, features) = (self.next()?, self.next()?);
        if kind == 1 && features == 0 {
            return Some((name, None));
        }
        let mut calendar = ArrayVec::new();
        for _ in 0..features {
            calendar.try_push(Feature::from_code(self.next()?)?).ok()?;
        }
        (kind == 2).then_some((name, Some(calendar)))
    }
}

#[cfg(feature = "std")]
fn write(forecaster: &Forecaster<'_>) -> Vec<u8> {
    let number = |x: f64| [x.to_bits() as u32, (x.to_bits() >> 32) as u32];
    let (center, at) = match forecaster.scale.center {
        Center::ContextMean => (1, 0.0),
        Center::Last => (2, 0.0),
        Center::Fixed(center) => (3, center),
    };
    let (spread, by) = match forecaster.scale.spread {
        Spread::ContextStd => (1, 0.0),
        Spread::Fixed(spread) => (2, spread),
    };
    let (context, horizon) = (forecaster.context() as u32, forecaster.horizon() as u32);
    let mut words = vec![VERSION, context, horizon, forecaster.step_seconds(), center];
    words.extend(number(at));
    words.push(spread);
    words.extend(number(by));
    // Where the place of a text goes, once the words are counted.
    let mut texts: Vec<(usize, String)> = Vec::new();
    let mut text = |words: &mut Vec<u32>, text: &str| {
        texts.push((words.len(), text.to_owned()));
        words.extend([0, text.len() as u32]);
    };
    let program = forecaster.program();
    let port = |mut ports: Box<dyn Iterator<Item = Port<'_>> + '_>, i: usize| {
        ports.nth(i).map_or(String::new(), |port| port.name.to_owned())
    };
    text(&mut words, forecaster.name());
    text(&mut words, forecaster.unit());
    text(&mut words, &port(Box::new(program.outputs()), forecaster.bound.output));
    words.push(forecaster.bound.feeds.len() as u32);
    for (input, feed) in &forecaster.bound.feeds {
        text(&mut words, &port(Box::new(program.inputs()), *input));
        match feed {
            Feed::Context => words.extend([1, 0]),
            Feed::Calendar(features) => {
                words.extend([2, features.len() as u32]);
                words.extend(features.iter().map(|feature| feature.code()));
            }
        }
    }
    let mut place = words.len() * size_of::<u32>();
    for (word, text) in &texts {
        words[*word] = place as u32;
        place += text.len();
    }
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend(texts.iter().flat_map(|(_, text)| text.bytes()));
    bytes
}
