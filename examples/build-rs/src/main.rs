//! Forecasts and runs models that the program carries: no file is read, nothing is parsed, and
//! `build.rs` has chosen the kernels that are linked.
#![deny(warnings, missing_docs)]

use std::error::Error;

use nowcast::kernels::Level;

mod temperature {
    include!(concat!(env!("OUT_DIR"), "/temperature.rs"));
}

mod families {
    include!(concat!(env!("OUT_DIR"), "/families.rs"));
}

fn main() -> Result<(), Box<dyn Error>> {
    let level = Level::detect();

    let model = temperature::open()?;
    let mut memory = temperature::Memory::new();
    let mut session = model.session(level, &mut memory)?;
    let context: [f32; temperature::CONTEXT] =
        core::array::from_fn(|hour| 40.0 + hour as f32 / 8.0);
    session.forecast(&context, 1_388_448_000)?;
    let mut high = [0.0; temperature::HORIZON];
    session.quantile(0.95, &mut high)?;
    for (hour, (mean, high)) in session.mean().iter().zip(&high).enumerate() {
        println!("in {:>2} h  {mean:.1}  below {high:.1} with 95 %", hour + 1);
    }

    let model = families::mlp::open()?;
    let mut memory = families::mlp::Memory::new();
    let mut session = model.session(level, &mut memory)?;
    session.set_batch(*families::mlp::BATCH.end())?;
    session.in_0_mut().fill(0.5);
    session.run()?;
    println!("{:?} {:?}", session.add_out_1_shape(), session.add_out_1());

    let model = families::decoder::open()?;
    let mut memory = families::decoder::Memory::new();
    let mut session = model.session(level, &mut memory)?;
    for token in 0..3 {
        *session.token_mut() = [token];
        session.run()?;
    }
    println!("{:?}", session.logits());
    Ok(())
}

#[cfg(test)]
mod tests {
    use nowcast::forecast::{ForecastSession, Forecaster};
    use nowcast::load::{self, Options};
    use nowcast::runtime::Session;

    use super::*;

    const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models");

    #[test]
    fn what_is_carried_answers_as_the_files() -> Result<(), Box<dyn Error>> {
        main()?;
        let level = Level::detect();

        let context = [41.0; temperature::CONTEXT];
        let expected = Forecaster::from_folder(format!("{MODELS}/jfk-sklearn-mlp"))?;
        let mut expected = ForecastSession::new(&expected)?;
        expected.forecast(&context, 0)?;
        let mut expected_paths = [[0.0; temperature::HORIZON]; 3];
        expected.paths(7, 1, 2, expected_paths.as_flattened_mut())?;
        let model = temperature::open()?;
        let mut memory = temperature::Memory::default();
        let mut session = model.session(level, &mut memory)?;
        assert_eq!(session.mean(), &[0.0; temperature::HORIZON]);
        session.forecast(&context, 0)?;
        let mut paths = [[0.0; temperature::HORIZON]; 3];
        session.paths(7, 1, 2, &mut paths)?;
        assert_eq!((session.mean().as_slice(), paths), (expected.mean(), expected_paths));
        let memory = model.forecaster().memory();
        assert_eq!(memory.session_bytes, temperature::SESSION_BYTES);
        assert_eq!(session.inner().forecaster().horizon(), temperature::HORIZON);

        let options = Options::new().dim_range("batch", 1, 8);
        let program = load::from_path(format!("{MODELS}/families/mlp_jax_batch.onnx"), &options)?;
        let mut expected = Session::new(&program)?;
        expected.set_extent("batch", 3)?;
        expected.input_mut::<f32>(0)?.fill(0.25);
        expected.run()?;
        let model = families::mlp::open()?;
        let mut memory = families::mlp::Memory::new();
        let mut session = model.session(level, &mut memory)?;
        assert!(session.set_batch(9).is_err());
        session.set_batch(3)?;
        assert_eq!(session.in_0_shape()[..], [3, 16]);
        session.in_0_mut().fill(0.25);
        session.run()?;
        assert_eq!(session.add_out_1(), expected.output::<f32>(0)?);
        assert_eq!(families::mlp::ADD_OUT_1_MAX_LEN, 64);
        assert_eq!(model.program().memory().session_bytes, families::mlp::SESSION_BYTES);
        Ok(())
    }

    #[test]
    fn a_state_that_grows_is_kept_and_copied() -> Result<(), Box<dyn Error>> {
        use families::decoder;

        let model = decoder::open()?;
        let mut memory = decoder::Memory::new();
        let mut session = model.session(Level::detect(), &mut memory)?;
        assert_eq!(decoder::TOKEN_SHAPE, [1, 1]);
        for token in 0..5 {
            *session.token_mut() = [token];
            session.run()?;
        }
        assert_eq!(session.present_key_0_shape()[..], [1, 2, 5, 8]);
        let mut keys = [0.0; 2 * 5 * 8];
        session.copy_present_key_0(&mut keys)?;
        assert!(keys.iter().any(|key| *key != 0.0));
        assert!(session.copy_present_key_0(&mut keys[1..]).is_err());
        let [rows, cols] = decoder::LOGITS_SHAPE;
        assert_eq!(session.logits().len(), rows * cols);
        Ok(())
    }
}
