//! Bytes of a bundle: opened as they are, and once more with checksums that fit, so that what
//! lies behind them is reached.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use nowcast::bundle::{ALIGNMENT, Bundle, File, Model, Tag, VERSION};
use nowcast::forecast::{ForecastSession, Forecaster};
use nowcast::kernels::Level;
use nowcast::runtime::KERNELS;
use nowcast::sampling::{Gaussian, PathAddress};
use nowcast_fuzz::aligned::Aligned;
use nowcast_fuzz::change;
use nowcast_fuzz::choices::Choices;
use nowcast_fuzz::serve::{MOST_BYTES, Origin, serve};
use twox_hash::{XxHash3_64, XxHash3_128};

fuzz_target!(|bytes: &[u8]| {
    open(bytes);
    let mut repaired = bytes.to_vec();
    if repair(&mut repaired).is_some() && repaired != bytes {
        open(&repaired);
    }
});

fn open(bytes: &[u8]) {
    let memory = Aligned::copy(bytes);
    let Ok(bundle) = Bundle::open(memory.bytes()) else { return };
    let _ = bundle.verify().map_err(|error| error.to_string());
    std::hint::black_box((bundle.content_hash(), format!("{bundle:?}")));
    for section in bundle.sections() {
        std::hint::black_box(section.bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
    }
    let file = File::from_bytes(bytes).expect("opened before");
    let _ = file.program(None, &KERNELS);
    for model in bundle.models().take(4) {
        let _ = (bundle.model(model.name()), model.metadata());
        let _ = Forecaster::from_file(&file, Some(model.name()), &KERNELS);
        attempt(&model, bytes);
    }
}

fn attempt(model: &Model<'_>, bytes: &[u8]) {
    if let Ok(program) = model.program(&KERNELS) {
        serve(&program, Origin::Words, &mut Choices::new(change::tail(bytes)));
    }
    if let Ok(gaussian) = model.section(Tag::GAUSSIAN).and_then(|bytes| {
        Gaussian::from_bytes(bytes).map_err(|_| nowcast::bundle::BundleError::Metadata)
    }) {
        draw(&gaussian);
    }
    match Forecaster::from_model(model, &KERNELS) {
        Ok(forecaster) => forecast(&forecaster),
        Err(error) => drop(std::hint::black_box(error.to_string())),
    }
}

fn draw(gaussian: &Gaussian<'_>) {
    let mut out = vec![0.0; 17 * gaussian.dim()];
    for level in [Level::scalar(), Level::detect()] {
        let first = PathAddress { seed: 1, stream: 2, path: u64::from(u32::MAX) - 5 };
        gaussian.draw(level, first, &mut out).expect("whole paths");
    }
    for i in [0, gaussian.dim() - 1] {
        std::hint::black_box((gaussian.marginal_std(i), gaussian.marginal_quantile(i, 0.1)));
    }
}

fn forecast(forecaster: &Forecaster<'_>) {
    if forecaster.memory().session_bytes > MOST_BYTES {
        return;
    }
    let mut memory = Aligned::zeroed(forecaster.memory().session_bytes);
    let session = ForecastSession::in_memory(forecaster, Level::detect(), memory.bytes_mut());
    let mut session = session.expect("memory as asked for");
    let context: Vec<f32> = (0..forecaster.context()).map(|i| i as f32).collect();
    session.prefault();
    for time in [0, i64::MAX, i64::MIN] {
        if session.forecast(&context, time).is_ok() {
            let mut out = vec![0.0; forecaster.horizon()];
            session.quantile(0.9, &mut out).expect("a forecast");
            let mut paths = vec![0.0; 9 * forecaster.horizon()];
            session.paths(1, 2, 3, &mut paths).expect("a forecast");
            assert_eq!(session.mean().len(), forecaster.horizon());
        }
    }
}

/// Makes the header and the checksums fit what lies there.
fn repair(bytes: &mut Vec<u8>) -> Option<()> {
    bytes.truncate(bytes.len() / ALIGNMENT * ALIGNMENT);
    let len = bytes.len();
    if len < ALIGNMENT {
        return None;
    }
    bytes[..8].copy_from_slice(b"NOWCAST\0");
    bytes[24..28].copy_from_slice(&VERSION.to_le_bytes());
    bytes[40..48].copy_from_slice(&(len as u64).to_le_bytes());
    let number = |bytes: &[u8], at: usize| {
        let mut le = [0; 8];
        le.copy_from_slice(&bytes[at..at + 8]);
        usize::try_from(u64::from_le_bytes(le)).ok()
    };
    let directory_end = number(bytes, 48)?.clamp(ALIGNMENT, len);
    bytes[48..56].copy_from_slice(&(directory_end as u64).to_le_bytes());
    for entry in (ALIGNMENT..directory_end).step_by(32).take(number(bytes, 28)? & 0xff) {
        let Some(end) = bytes.get(entry..entry + 32).and_then(|entry| {
            number(entry, 8)?.checked_add(number(entry, 16)?.checked_next_multiple_of(ALIGNMENT)?)
        }) else {
            break;
        };
        let place = number(bytes, entry + 8)?;
        let checksum = bytes.get(place..end).map(XxHash3_64::oneshot)?;
        bytes[entry + 24..entry + 32].copy_from_slice(&checksum.to_le_bytes());
    }
    let hash = XxHash3_128::oneshot(&bytes[24..directory_end]);
    bytes[8..24].copy_from_slice(&hash.to_le_bytes());
    Some(())
}

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match change::bundle(data, size, seed) {
        Some(size) => size,
        None => fuzzer_mutate(data, size, max_size),
    }
});
