use super::*;

/// FNV-1a of 64 bits, a word at a time.
fn digest(words: impl Iterator<Item = u32>) -> u64 {
    words.fold(0xcbf2_9ce4_8422_2325, |h: u64, word| {
        (h ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Numbers of every sign, exponent and upper mantissa, on and beside halves of all types.
fn grid() -> impl Iterator<Item = f32> {
    let tails = [0, 1, 0x1000, 0x8000, 0xffff];
    let number = |tail: u32| (0..1u32 << 16).step_by(7).map(move |high| high << 16 | tail);
    tails.into_iter().flat_map(number).map(f32::from_bits).filter(|x| !x.is_nan())
}

/// The digest of what the codes of a type mean, and of what [`grid`] becomes, saturating and not.
///
/// Source: ml_dtypes 0.6.0 and, for saturation, onnx 1.23.2.
const DIGESTS: [(DType, u64, [u64; 2]); 9] = [
    (DType::F16, 0xa29f_cd30_7f1d_2325, [0xe53a_b113_8786_42ba; 2]),
    (DType::BF16, 0xae86_4f38_855e_2325, [0xa914_7b2e_fed2_7ab8; 2]),
    (DType::F8E4M3FN, 0x0899_3af4_628b_b725, [0xe6ff_5aa6_75ca_50cb, 0xe5fd_c2dd_9624_7d60]),
    (DType::F8E4M3FNUZ, 0x4065_565a_f2ab_b725, [0x87d0_30cf_255b_ed43, 0x10bd_c784_1aec_03e6]),
    (DType::F8E5M2, 0x00ce_e283_8e6b_b725, [0x6b3c_a197_0cfd_7c67, 0x18f1_3b3c_10d8_277e]),
    (DType::F8E5M2FNUZ, 0x3996_9815_ceab_b725, [0xcd73_65d6_7b9d_c0d8, 0x41ef_d7d2_5cf9_22ed]),
    (DType::F6E2M3, 0x437d_aba9_a23d_0825, [0xa714_d2a2_ba33_53e3; 2]),
    (DType::F6E3M2, 0x4c67_d140_5afd_0825, [0xc8b0_946b_b6ac_a40f; 2]),
    (DType::F4E2M1, 0x0073_7516_397f_6465, [0x4260_481d_9392_826c; 2]),
];

#[test]
fn floats_are_those_of_ml_dtypes() {
    for (dtype, widened, narrowed) in DIGESTS {
        let codes = 0..=u16::MAX >> (16 - dtype.bits());
        let number = |code: u16| {
            let x = widen(dtype, code);
            if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }
        };
        assert_eq!(digest(codes.map(number)), widened, "{dtype}");
        for (saturate, expected) in [true, false].into_iter().zip(narrowed) {
            let rounding = Rounding { saturate, ..Rounding::default() };
            let code = |x: f32| u32::from(narrow(dtype, x.into(), rounding));
            assert_eq!(digest(grid().map(code)), expected, "{dtype}, saturate {saturate}");
        }
    }
}

#[test]
fn every_code_comes_back() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_small()) {
        for code in 0..=u16::MAX >> (16 - dtype.bits()) {
            let x = widen(dtype, code);
            if !x.is_nan() {
                let rounding = Rounding { saturate: false, ..Rounding::default() };
                assert_eq!(narrow(dtype, x.into(), rounding), code, "{dtype} {x}");
            }
        }
    }
}

#[test]
fn bits_above_an_element_are_ignored() {
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.bits() < 16 && dtype.is_small()) {
        let above = 0xffff << dtype.bits();
        for code in 0..1 << dtype.bits() {
            let (low, high) = (widen(dtype, code), widen(dtype, code | above));
            assert!(low == high || (low.is_nan() && high.is_nan()), "{dtype} {code}");
        }
    }
}

#[test]
fn not_a_number_and_beyond() {
    let all = |dtype, saturate| {
        let rounding = Rounding { saturate, ..Rounding::default() };
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e6].map(|x| narrow(dtype, x, rounding))
    };
    assert_eq!(all(DType::F16, true), [0x7e00, 0x7c00, 0xfc00, 0x7c00]);
    assert_eq!(all(DType::F8E4M3FN, true), [0x7f, 0x7e, 0xfe, 0x7e]);
    assert_eq!(all(DType::F8E4M3FN, false), [0x7f, 0x7f, 0xff, 0x7f]);
    assert_eq!(all(DType::F8E4M3FNUZ, true), [0x80, 0x7f, 0xff, 0x7f]);
    assert_eq!(all(DType::F8E4M3FNUZ, false), [0x80; 4]);
    assert_eq!(all(DType::F8E5M2, true), [0x7e, 0x7b, 0xfb, 0x7b]);
    assert_eq!(all(DType::F8E5M2, false), [0x7e, 0x7c, 0xfc, 0x7c]);
    assert_eq!(all(DType::F4E2M1, false), [0x8, 0x7, 0xf, 0x7]);
}

#[test]
fn one_rounding_from_double_precision() {
    // Between the half of two f16 and the f32 above it: the nearer one, not what f32 makes even.
    let x = 1.0 + 1.0 / 2048.0 + 1e-12;
    assert_eq!(narrow(DType::F16, x, Rounding::default()), 0x3c01);
    assert_eq!(F16::from_f32(x as f32), F16(0x3c00));
    assert_eq!(narrow(DType::F16, f64::from_bits(1), Rounding::default()), 0);
    assert_eq!(narrow(DType::BF16, -f64::MAX, Rounding::default()), 0xff80);
}

#[test]
fn powers_of_two() {
    let to = |x: f64, saturate, towards| narrow(DType::F8E8M0, x, Rounding { saturate, towards });
    let ways = |x| [Towards::Up, Towards::Down, Towards::Nearest].map(|way| to(x, true, way));
    assert_eq!(ways(1.0), [127, 127, 127]);
    assert_eq!(ways(1.25), [128, 127, 127]);
    assert_eq!(ways(1.5), [128, 127, 128]);
    assert_eq!(ways(0.0), [0, 0, 0]);
    assert_eq!(ways(f64::INFINITY), [0xfe, 0xfe, 0xfe]);
    assert_eq!(ways(f64::NAN), [0xff, 0xff, 0xff]);
    assert_eq!([0.0, f64::INFINITY].map(|x| to(x, false, Towards::Nearest)), [0xff, 0xff]);
    assert_eq!(widen(DType::F8E8M0, 0), f32::from_bits(1 << 22));
}

#[test]
fn integers_keep_their_low_bits() {
    let to = |dtype, x| narrow(dtype, x, Rounding::default());
    assert_eq!([-9.0, 7.9, -0.5, 20.0].map(|x| to(DType::I4, x)), [7, 7, 0, 4]);
    assert_eq!([-1.0, 5.0].map(|x| to(DType::U2, x)), [3, 1]);
    assert_eq!([8, 15, 7].map(|code| widen(DType::I4, code)), [-8.0, -1.0, 7.0]);
    assert_eq!([2, 3].map(|code| widen(DType::I2, code)), [-2.0, -1.0]);
}

#[test]
fn halves_compare_as_numbers() {
    assert_eq!(F16(0x8000), F16(0));
    assert!(F16::from_f32(-2.0) < F16::from_f32(1.5));
    assert_ne!(Bf16::from_f32(f32::NAN), Bf16::from_f32(f32::NAN));
    assert_eq!(Bf16::from_f32(-1.5).to_f32(), -1.5);
}
