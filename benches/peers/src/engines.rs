//! The runtimes, each at its fastest on one thread: inputs bound, everything rewritten that it can
//! rewrite.

use std::error::Error;

use nowcast::engine::{Array, EngineOptions, OrtEngine, Rewrite, TractEngine};
use nowcast::kernels::Level;
use nowcast::load;
use nowcast::runtime::{Program, Session, prepare_thread};
use rten::{Model, ModelOptions, NodeId, Value, ValueOrView};

use crate::cases::{Case, Input};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A call that is timed.
pub(crate) trait Call {
    /// Runs the model once.
    fn run(&mut self) -> Outcome<()>;
    /// Runs the model once: the first output.
    fn answer(&mut self) -> Outcome<Vec<f32>>;
    /// Bytes of memory for values, where the runtime says it.
    fn arena_bytes(&self) -> Option<usize> {
        None
    }
}

/// What a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Engine {
    Nowcast,
    Ort,
    Tract,
    Rten,
    Mkl,
    Numpy,
}

impl Engine {
    /// Those that run models.
    pub(crate) const PEERS: [Self; 3] = [Self::Ort, Self::Tract, Self::Rten];
    /// Those that draw, in a process of Python.
    pub(crate) const DRAWING: [Self; 2] = [Self::Mkl, Self::Numpy];

    /// Whether it has an answer to a case of this kind.
    pub(crate) fn serves(self, case: &Case) -> bool {
        self == Self::Nowcast || Self::DRAWING.contains(&self) == case.draw.is_some()
    }

    /// What people call it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Nowcast => "nowcast",
            Self::Ort => "ONNX Runtime",
            Self::Tract => "tract",
            Self::Rten => "rten",
            Self::Mkl => "MKL",
            Self::Numpy => "NumPy",
        }
    }

    /// Its name as an argument, and in the record's data.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nowcast => "nowcast",
            Self::Ort => "ort",
            Self::Tract => "tract",
            Self::Rten => "rten",
            Self::Mkl => "mkl",
            Self::Numpy => "numpy",
        }
    }

    /// Loads the model and passes it to `body` ready to run.
    pub(crate) fn with(
        self,
        case: &Case,
        level: Level,
        body: &mut dyn FnMut(&mut dyn Call) -> Outcome<()>,
    ) -> Outcome<()> {
        if let (Self::Nowcast, Some(draw)) = (self, case.draw) {
            return draw.with_ours(level, body);
        }
        match self {
            Self::Nowcast => {
                let program = load::from_path(&case.file, &case.options())?;
                body(&mut Ours::new(&program, level, case)?)
            }
            Self::Ort => {
                let mut engine = OrtEngine::load(&case.file, &EngineOptions::default())?;
                body(&mut engine.prepare(&arrays(case))?)
            }
            Self::Tract => {
                let mut engine = TractEngine::load(&case.file, &EngineOptions::default())?;
                body(&mut engine.prepare(&arrays(case))?)
            }
            Self::Rten => body(&mut Rten::new(case, true)?),
            Self::Mkl | Self::Numpy => Err("benches/peers/sampling.py serves it".into()),
        }
    }

    /// Loads the model once, as far as each runtime goes before it is given inputs.
    pub(crate) fn load(self, case: &Case, level: Level) -> Outcome<()> {
        if let (Self::Nowcast, Some(draw)) = (self, case.draw) {
            return draw.load(level);
        }
        match self {
            Self::Nowcast => {
                let program = load::from_path(&case.file, &case.options())?;
                drop(Session::new_at(&program, level)?);
            }
            Self::Ort => drop(OrtEngine::load(&case.file, &EngineOptions::default())?),
            Self::Tract => drop(TractEngine::load(&case.file, &EngineOptions::default())?),
            // Weights packed beforehand are an option that is off: it loads fastest without.
            Self::Rten => drop(Rten::new(case, false)?),
            Self::Mkl | Self::Numpy => {}
        }
        Ok(())
    }
}

/// What answers are compared with: ONNX Runtime, operator by operator as the file has them.
pub(crate) fn reference(case: &Case) -> Outcome<Vec<f32>> {
    let mut options = EngineOptions::default();
    options.rewrite = Rewrite::None;
    OrtEngine::load(&case.file, &options)?.prepare(&arrays(case))?.answer()
}

fn arrays(case: &Case) -> Vec<Array> {
    let array = |input: &Input| Array {
        name: input.name.clone(),
        dtype: input.dtype(),
        shape: input.shape.clone(),
        bytes: input.bytes(),
        labels: Vec::new(),
    };
    case.inputs.iter().map(array).collect()
}

fn floats(array: &Array) -> Vec<f32> {
    array.bytes.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect()
}

struct Ours<'p>(Session<'p>);

impl<'p> Ours<'p> {
    fn new(program: &'p Program<'p>, level: Level, case: &Case) -> Outcome<Self> {
        let mut session = Session::new_at(program, level)?;
        prepare_thread();
        session.prefault();
        for (i, port) in program.inputs().enumerate() {
            let input = case.inputs.iter().find(|input| input.name == port.name);
            let input = input.ok_or_else(|| format!("input {:?} has no elements", port.name))?;
            session.set_input_shape(i, &input.shape)?;
            session.input_bytes_mut(i)?.copy_from_slice(&input.bytes());
        }
        Ok(Self(session))
    }
}

impl Call for Ours<'_> {
    fn run(&mut self) -> Outcome<()> {
        Ok(self.0.run()?)
    }

    fn answer(&mut self) -> Outcome<Vec<f32>> {
        self.0.run()?;
        Ok(self.0.output::<f32>(0)?.to_vec())
    }

    fn arena_bytes(&self) -> Option<usize> {
        Some(self.0.program().memory().arena_bytes)
    }
}

impl Call for nowcast::engine::OrtCall<'_> {
    fn run(&mut self) -> Outcome<()> {
        Ok(self.run()?)
    }

    fn answer(&mut self) -> Outcome<Vec<f32>> {
        Ok(floats(&self.run_and_read()?[0]))
    }
}

impl Call for nowcast::engine::TractCall<'_> {
    fn run(&mut self) -> Outcome<()> {
        Ok(self.run()?)
    }

    fn answer(&mut self) -> Outcome<Vec<f32>> {
        Ok(floats(&self.run_and_read()?[0]))
    }
}

/// rten and its inputs. Integers are 32 bits wide there.
struct Rten {
    model: Model,
    inputs: Vec<(NodeId, Value)>,
    outputs: Vec<NodeId>,
    options: rten::RunOptions,
}

impl Rten {
    fn new(case: &Case, prepack: bool) -> Outcome<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(prepack).load_file(&case.file)?;
        let value = |input: &Input| -> Outcome<(NodeId, Value)> {
            let value = match input.dtype() {
                nowcast::tensor::DType::I64 => {
                    let integers = input.integers().iter().map(|n| *n as i32).collect::<Vec<_>>();
                    Value::from_shape(&input.shape, integers)?
                }
                _ => Value::from_shape(&input.shape, input.floats())?,
            };
            Ok((model.node_id(&input.name)?, value))
        };
        let inputs = case.inputs.iter().map(value).collect::<Outcome<_>>()?;
        let outputs = model.output_ids().to_vec();
        Ok(Self { model, inputs, outputs, options: rten::RunOptions::default() })
    }

    fn outputs(&self) -> Outcome<Vec<Value>> {
        let inputs = self.inputs.iter().map(|(id, value)| (*id, ValueOrView::from(value)));
        Ok(self.model.run(inputs.collect(), &self.outputs, Some(self.options.clone()))?)
    }
}

impl Call for Rten {
    fn run(&mut self) -> Outcome<()> {
        self.outputs().map(drop)
    }

    fn answer(&mut self) -> Outcome<Vec<f32>> {
        let Some(Value::FloatTensor(tensor)) = self.outputs()?.into_iter().next() else {
            return Err("the output is not f32".into());
        };
        Ok(tensor.into_data())
    }
}

/// Runs `body` on the thread that an engine would hop to, so that no call hops.
pub(crate) fn on_its_thread<R: Send>(engine: Engine, body: impl FnOnce() -> R + Send) -> R {
    match engine {
        Engine::Rten => rten::thread_pool().run(body),
        _ => body(),
    }
}
