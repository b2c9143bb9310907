//! The cases: what `benches/models/make.py` lists beside the models it writes.

use std::path::{Path, PathBuf};
use std::{fs, io};

use nowcast::load::{Options, Precision};
use nowcast::tensor::DType;
use serde::Deserialize;

use crate::draws::Draw;
use crate::engines::Engine;

/// A model, and what it is measured for.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) group: String,
    /// Its name in the record's data.
    pub(crate) case: String,
    /// What people read.
    pub(crate) title: String,
    /// The model's file beside the list.
    pub(crate) file: PathBuf,
    /// In which type the model's weights are, or ours stores them.
    pub(crate) precision: String,
    /// Ours over the fastest peer, where somebody has set a goal.
    pub(crate) to_reach: Option<f64>,
    pub(crate) inputs: Vec<Input>,
    /// Instead of a model: what is drawn.
    #[serde(skip)]
    pub(crate) draw: Option<Draw>,
}

/// An input of a model.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// Integers are from zero up to this.
    pub(crate) below: u64,
}

/// Reads the list in `folder`.
pub(crate) fn read(folder: &Path) -> io::Result<Vec<Case>> {
    let mut cases: Vec<Case> =
        serde_json::from_str(&fs::read_to_string(folder.join("cases.json"))?)?;
    cases.iter_mut().for_each(|case| case.file = folder.join(&case.file));
    Ok(cases)
}

impl Case {
    /// How ours loads it.
    pub(crate) fn options(&self) -> Options {
        let bf16 = self.precision == "bf16";
        Options::default().precision(if bf16 { Precision::Bf16 } else { Precision::F32 })
    }

    /// What the answer of `engine` may differ from the reference, of its largest element; draws, in
    /// their moments, in standard errors.
    pub(crate) fn may_differ(&self, engine: Engine) -> f32 {
        if self.draw.is_some() {
            return 6.0;
        }
        match (&*self.precision, engine) {
            // One level more or less in a layer moves the levels after it: ONNX Runtime with and
            // without its rewriting differs by half of this.
            ("int8", _) => 6e-2,
            // It has 8 significant bits; a peer runs the same model in f32.
            ("bf16", Engine::Nowcast) => 3e-2,
            (_, Engine::Nowcast) => 1e-5,
            _ => 1e-4,
        }
    }
}

impl Input {
    /// Its element type.
    pub(crate) fn dtype(&self) -> DType {
        if self.dtype == "int64" { DType::I64 } else { DType::F32 }
    }

    /// Elements that are the same in every process: floats between -1 and 1, or integers.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..self.shape.iter().product()).map(move |_| {
            // xorshift64: quality does not matter, being the same everywhere does.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state >> 40
        })
    }

    pub(crate) fn floats(&self) -> Vec<f32> {
        self.numbers().map(|n| n as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    pub(crate) fn integers(&self) -> Vec<i64> {
        self.numbers().map(|n| (n % self.below.max(1)) as i64).collect()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self.dtype() {
            DType::I64 => self.integers().iter().flat_map(|n| n.to_ne_bytes()).collect(),
            _ => self.floats().iter().flat_map(|x| x.to_ne_bytes()).collect(),
        }
    }
}
