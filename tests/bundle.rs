//! A bundle is the model: the same answers, wherever it lies; and whatever is wrong with one is
//! found before anything runs.
#![cfg(feature = "onnx")]

use nowcast::bundle::{Bundle, BundleError, File, Tag, Writer, write_atomically};
use nowcast::forecast::{ForecastSession, Forecaster};
use nowcast::kernels::Level;
use nowcast::load::{self, Options};
use nowcast::runtime::{ImageError, KERNELS, Kernels, Program, Session, kernels};
use nowcast::tensor::DType;

const ALIGNMENT: usize = 64;

/// Bytes on a boundary of 64, and one byte off it.
struct Aligned(Vec<u8>, usize);

impl Aligned {
    fn new(bytes: &[u8], beyond: usize) -> Self {
        let mut all = vec![0; bytes.len() + 2 * ALIGNMENT];
        let at = all.as_ptr().align_offset(ALIGNMENT) + beyond;
        all[at..at + bytes.len()].copy_from_slice(bytes);
        let at = all.as_ptr().align_offset(ALIGNMENT) + beyond;
        Self(all, at)
    }

    fn bytes(&self, len: usize) -> &[u8] {
        &self.0[self.1..self.1 + len]
    }
}

fn families() -> Vec<std::path::PathBuf> {
    let folder = std::fs::read_dir("models/families").expect("models");
    let mut files: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "onnx"));
    files.sort();
    assert!(files.len() >= 40);
    files
}

/// Loads with every open dimension at 2.
fn load_any(path: &std::path::Path) -> Program<'static> {
    let mut options = Options::new();
    for _ in 0..8 {
        match load::from_path(path, &options) {
            Ok(program) => return program,
            Err(error) => {
                let text = error.to_string();
                let name = text.split("--dim ").nth(1).and_then(|rest| rest.split('=').next());
                let Some(name) = name else { panic!("{text}") };
                options = options.dim(name, 2);
            }
        }
    }
    panic!("{}: too many open dimensions", path.display());
}

fn bundle_of(program: &Program<'_>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.model("m").expect("a name").program(program).metadata("{}");
    writer.finish().expect("a bundle")
}

/// All outputs after a run on numbers that differ.
fn answers(program: &Program<'_>, level: Level) -> Vec<Vec<u8>> {
    let mut session = Session::new_at(program, level).expect("runs");
    for (i, port) in program.inputs().enumerate() {
        match port.dtype {
            DType::F32 => {
                let elements = session.input_mut::<f32>(i).expect("f32");
                (0..).zip(elements).for_each(|(k, x)| *x = ((k * 37 % 19) as f32 - 9.0) / 8.0);
            }
            _ => session.input_bytes_mut(i).expect("bytes").fill(0),
        }
    }
    session.run().expect("runs");
    let output = |i| {
        let bytes: usize = session.output_shape(i).expect("a shape").iter().product();
        session.output_bytes(i).map_or_else(|_| vec![0; bytes], <[u8]>::to_vec)
    };
    (0..program.outputs().len()).map(output).collect()
}

#[test]
fn every_model_answers_alike_from_a_bundle() {
    let mut files = families();
    for folder in ["jfk-temperature", "jfk-lstm", "jfk-sklearn-mlp"] {
        files.push(format!("models/{folder}/model.onnx").into());
    }
    for path in files {
        let compiled = load_any(&path);
        let bytes = bundle_of(&compiled);
        let aligned = Aligned::new(&bytes, 0);
        let bundle = Bundle::open(aligned.bytes(bytes.len())).expect("opens");
        bundle.verify().expect("whole");
        let program = bundle.only_model().and_then(|m| m.program(&KERNELS)).expect("a program");
        assert_eq!(program.words(), compiled.words());
        let inside = aligned.bytes(bytes.len()).as_ptr_range();
        assert!(inside.contains(&program.words().as_ptr().cast()), "copied");
        for level in [Level::scalar(), Level::detect()] {
            assert_eq!(answers(&program, level), answers(&compiled, level), "{}", path.display());
        }
        // The same model compiles to the same bytes.
        assert_eq!(bundle_of(&load_any(&path)), bytes);
    }
}

#[test]
fn a_forecaster_forecasts_alike_from_a_bundle() {
    let folder = Forecaster::from_folder("models/jfk-temperature").expect("a forecaster");
    let mut writer = Writer::new();
    folder.write(&mut writer.model("temperature").expect("a name"));
    let other = Forecaster::from_folder("models/jfk-lstm").expect("a forecaster");
    other.write(&mut writer.model("lstm").expect("a name"));
    let bytes = writer.finish().expect("a bundle");
    let aligned = Aligned::new(&bytes, 0);
    let bundle = Bundle::open(aligned.bytes(bytes.len())).expect("opens");
    assert_eq!(bundle.models().map(|m| m.name()).collect::<Vec<_>>(), ["temperature", "lstm"]);
    assert_eq!(bundle.only_model().err(), Some(BundleError::NotOneModel { models: 2 }));
    assert_eq!(bundle.model("gru").err(), Some(BundleError::NoSuchModel));

    let file = File::from_bytes(&bytes).expect("opens");
    for (name, expected) in [("temperature", &folder), ("lstm", &other)] {
        let model = bundle.model(name).expect("a model");
        let borrowed = Forecaster::from_model(&model, &KERNELS).expect("a forecaster");
        let kept = Forecaster::from_file(&file, Some(name), &KERNELS).expect("a forecaster");
        assert_eq!((borrowed.name(), borrowed.unit()), (expected.name(), expected.unit()));
        let context: Vec<f32> = (0..borrowed.context()).map(|i| 40.0 + (i % 24) as f32).collect();
        let forecast = |forecaster: &Forecaster<'_>| {
            let mut session = ForecastSession::new(forecaster).expect("a session");
            session.forecast(&context, 1_388_448_000).expect("a forecast");
            let mut upper = vec![0.0; forecaster.horizon()];
            session.quantile(0.9, &mut upper).expect("a quantile");
            let mut paths = vec![0.0; 33 * forecaster.horizon()];
            session.paths(7, 1, 5, &mut paths).expect("paths");
            [session.mean().to_vec(), upper, paths]
        };
        assert_eq!(forecast(&borrowed), forecast(expected));
        assert_eq!(forecast(&kept), forecast(expected));
    }
}

#[test]
fn every_byte_counts() {
    let program = load_any("models/families/linear_sklearn.onnx".as_ref());
    let forecaster = Forecaster::from_folder("models/jfk-sklearn-mlp").expect("a forecaster");
    let mut writer = Writer::new();
    let mut model = writer.model("m").expect("a name");
    model.program(&program).metadata("{\"a\": 1}");
    // Of the forecaster the small sections: its weights would take long.
    let mut sections = Writer::new();
    forecaster.write(&mut sections.model("f").expect("a name"));
    let file = File::from_bytes(&sections.finish().expect("a bundle")).expect("opens");
    let of = file.bundle().only_model().expect("a model");
    for tag in [Tag::FORECASTER, Tag::GAUSSIAN] {
        model.section(tag, of.section(tag).expect("a section"));
    }
    let bytes = writer.finish().expect("a bundle");
    let mut aligned = Aligned::new(&bytes, 0);
    let at = aligned.1;
    let sections = |bundle: &Bundle<'_>| {
        for model in bundle.models() {
            let _ = (model.name(), model.metadata(), model.program(&KERNELS).map(|p| p.memory()));
            let _ = Forecaster::from_model(&model, &KERNELS);
        }
    };
    sections(&Bundle::open(aligned.bytes(bytes.len())).expect("opens"));
    for i in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            aligned.0[at + i] ^= flip;
            if let Ok(bundle) = Bundle::open(aligned.bytes(bytes.len())) {
                sections(&bundle);
                assert!(bundle.verify().is_err(), "byte {i} ^ {flip:#x} passes unnoticed");
            }
            aligned.0[at + i] ^= flip;
        }
    }
    // Every length short of the whole is refused; more, as in a partition of flash, is not.
    for len in 0..bytes.len() {
        assert!(Bundle::open(aligned.bytes(len)).is_err(), "{len}");
    }
    let longer = Bundle::open(aligned.bytes(bytes.len() + 7)).expect("opens");
    assert_eq!(longer.as_bytes(), bytes);
}

#[test]
fn each_refusal_is_named() {
    let bytes = bundle_of(&load_any("models/families/linear_sklearn.onnx".as_ref()));
    let open = |change: &dyn Fn(&mut Vec<u8>), beyond: usize| {
        let mut changed = bytes.clone();
        change(&mut changed);
        let aligned = Aligned::new(&changed, beyond);
        Bundle::open(aligned.bytes(changed.len())).map(|_| ())
    };
    let version = |found| Err(BundleError::Version { found, expected: 1 });
    let whole = bytes.len() as u64;
    assert_eq!(open(&|_| {}, 0), Ok(()));
    assert_eq!(open(&|_| {}, 4), Err(BundleError::Misaligned));
    assert_eq!(open(&|b| b[0] = b'n', 0), Err(BundleError::NotABundle));
    assert_eq!(open(&|b| b.clear(), 0), Err(BundleError::NotABundle));
    assert_eq!(open(&|b| b[24] = 2, 0), version(2));
    assert_eq!(open(&|b| b[24] = 0, 0), version(0));
    let truncated = Err(BundleError::Truncated { found: whole - 64, expected: whole });
    assert_eq!(open(&|b| b.truncate(bytes.len() - 64), 0), truncated);
    assert_eq!(open(&|b| b[70] ^= 1, 0), Err(BundleError::Directory));

    // A damaged weight leaves the structure whole, and is found by reading every byte.
    let mut damaged = bytes.clone();
    let last = damaged.len() - ALIGNMENT;
    damaged[last] ^= 1;
    let file = File::from_bytes(&damaged).expect("opens");
    let checksum = BundleError::Checksum { tag: Tag::METADATA, model: 0 };
    assert_eq!(file.bundle().verify(), Err(checksum));

    let file = File::from_bytes(&bytes).expect("opens");
    const FEW: Kernels = Kernels::new(&[kernels::COPY]);
    let missing = ImageError::MissingKernel { kernel: "linear_f32" };
    assert_eq!(file.program(None, &FEW).err(), Some(BundleError::Program(missing)));
    let no_forecaster = Forecaster::from_file(&file, None, &KERNELS).expect_err("a program only");
    assert!(no_forecaster.to_string().contains("no forecaster"), "{no_forecaster}");
    let mut writer = Writer::new();
    assert!(writer.finish().is_err() && writer.model("").is_err());
    writer.model("a").expect("a name");
    assert!(writer.model("a").is_err());
}

#[test]
fn a_file_is_written_whole_and_mapped() {
    let bytes = bundle_of(&load_any("models/families/mlp_jax.onnx".as_ref()));
    let folder = std::env::temp_dir().join(format!("nowcast-bundle-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("m.nowcast");
    write_atomically(&path, b"old").expect("written");
    write_atomically(&path, &bytes).expect("written");
    let names: Vec<_> = std::fs::read_dir(&folder).expect("a folder").flatten().collect();
    assert_eq!(names.len(), 1, "a temporary file is left");
    let read = File::read(&path).expect("opens");
    // SAFETY: nobody writes the file.
    #[allow(unsafe_code, reason = "that the file does not change is up to us")]
    let mapped = unsafe { File::map(&path) }.expect("opens");
    assert_eq!(read.bundle().content_hash(), mapped.bundle().content_hash());
    mapped.bundle().verify().expect("whole");
    let program = mapped.program(None, &KERNELS).expect("a program");
    drop(mapped);
    // The program keeps the mapping, also when the file is gone.
    std::fs::remove_dir_all(&folder).expect("removed");
    assert_eq!(answers(&program, Level::detect()).len(), program.outputs().len());
    assert!(File::read(&path).is_err() && write_atomically("/", b"").is_err());
}
