extern crate std;

use std::vec::Vec;

use super::*;
use crate::kernels::Scalar;
use crate::sampling::quantile::normal_quantile;
use crate::sampling::variates::tests::{Given, words};

/// Probabilities beyond the quantiles of [`QUANTILES`] on either side together.
const BEYOND: [f64; 9] = [5.421010862427522e-20, 1e-15, 1e-9, 1e-5, 0.01, 0.2, 0.5, 0.9, 0.999];
/// Degrees of freedom and quantiles: 60 decimal digits (mpmath), rounded; the last row by the
/// expansion of Cornish and Fisher, which is exact to the last digit there.
#[rustfmt::skip]
const QUANTILES: [(f64, [f64; 9]); 13] = [
    (0.001, [f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY, f64::INFINITY, 1.6949002133401277e299, 9.049801033941716e43, 0.037204415218544465]),
    (0.05, [f64::INFINITY, 1.140435942218297e299, 1.1404359422183149e179, 1.1404359422183262e99, 1.1404359422183362e39, 10876044676001.924, 119583.3758546469, 0.9243843459076488, 0.004625601560584863]),
    (0.5, [1.3999096201143083e38, 4.1139646252653596e29, 4.1139646252653594e17, 4113964625.2653594, 4113.964588804181, 10.270324410234505, 1.5537739740300374, 0.18864420884630664, 0.001854077864083285]),
    (1.0, [1.1743562013128006e19, 636619772367581.2, 636619772.3675812, 63661.97723152214, 63.65674116287158, 3.077683537175253, 1.0, 0.15838444032453625, 0.001570797618724368]),
    (1.5, [5784415797453.293, 8285391259.682731, 828539.1259676266, 1785.0331349203054, 17.820310514462808, 2.196398417565537, 0.8725946625415706, 0.1476266434609474, 0.0014674169854237869]),
    (2.0, [4294967296.0, 31622776.60168377, 31622.77657796671, 316.22539430365174, 9.924843200918293, 1.8856180831641267, 0.816496580927726, 0.14213381090374025, 0.0014142142694804078]),
    (3.0, [3439247.969090245, 130163.80891149577, 1301.6371672916928, 60.39682404158735, 5.840909309733357, 1.63774435369621, 0.7648923284043453, 0.13659819935369888, 0.0013603500825973625]),
    (4.5, [32227.87358182945, 3632.866418170387, 168.61145549230648, 21.690919407999555, 4.272823993011293, 1.5008853175085575, 0.7328666862359945, 0.1329100721020201, 0.0013243395283629965]),
    (7.0, [1253.8375516127899, 308.18450790316894, 42.75080247724534, 11.214849796476559, 3.499483297350494, 1.4149239276505083, 0.7111417780817864, 0.13029279659177737, 0.0012987305550741417]),
    (30.0, [21.87552010119705, 15.319488637237535, 8.72151122437306, 5.299451342153792, 2.7499956535672254, 1.3104150253913955, 0.6827556933212926, 0.12672961313207357, 0.001263800460697567]),
    (250.0, [9.990509175617673, 8.582427642806886, 6.351446390714664, 4.509431467519443, 2.5956376304661806, 1.2849470554222557, 0.6754723613974393, 0.12578906033132825, 0.0012545684053926656]),
    (1e4, [9.174742265145586, 8.040007147981976, 6.1152685850398045, 4.419439497251231, 2.5763210466685287, 1.2816362297304775, 0.6745142844835924, 0.1256645380385817, 0.0012533457987350242]),
    (1e8, [9.155295714052825, 8.026860195537466, 6.109410790225677, 4.4171736399752906, 2.5758293527143774, 1.2815515740104482, 0.674489752649431, 0.1256613471741881, 0.0012533144685658467]),
];

fn made(freedom: f64, check: impl FnOnce(StudentT<'_>)) {
    let mut storage = std::vec![0.0; StudentT::len(freedom)];
    check(StudentT::new(freedom, &mut storage).unwrap());
}

/// How far `t` may be off where `e` is the logarithm of one over the probability beyond it.
fn tolerance(freedom: f64, e: f64) -> f64 {
    2e-15 * (1.0 + (1.0 + 2.0 * e) / freedom)
}

fn assert_near(found: f64, wanted: f64, tolerance: f64, what: &str) {
    let near = found == wanted || ((found - wanted) / wanted).abs() <= tolerance;
    assert!(near, "{what}: {found:e} is not {wanted:e} ({:e})", (found - wanted) / wanted);
}

#[test]
fn quantiles_agree_with_sixty_digits() {
    for (freedom, quantiles) in QUANTILES {
        made(freedom, |student| {
            for (beyond, wanted) in BEYOND.into_iter().zip(quantiles) {
                let e = -beyond.ln();
                let root = Exact::new(freedom).quantile(beyond / 2.0);
                // The probability itself is rounded, where it is far from zero.
                let rounding = 1e-16 / e + 1e-16 / freedom;
                let tolerance = tolerance(freedom, e) + rounding;
                assert_near(-root, wanted, tolerance, &std::format!("{freedom} {beyond}"));
                assert_eq!(student.quantile(beyond / 2.0), root);
                // And by the table.
                let t = student.magnitude(Scalar, student.root(Scalar, e));
                let tolerance = tolerance + 2.0 * rounding;
                assert_near(t, wanted, tolerance, &std::format!("{freedom} {beyond} table"));
            }
        });
    }
}

#[test]
fn quantiles_with_closed_forms() {
    for p in [1e-300, 1e-18, 1e-3, 0.2, 0.49, 0.51, 0.7, 0.999] {
        let cauchy = if p < 0.5 {
            -1.0 / (core::f64::consts::PI * p).tan()
        } else {
            (core::f64::consts::PI * (p - 0.5)).tan()
        };
        made(1.0, |student| assert_near(student.quantile(p), cauchy, 1e-13, "one"));
        let two = (2.0 * p - 1.0) / (2.0 * p * (1.0 - p)).sqrt();
        made(2.0, |student| assert_near(student.quantile(p), two, 1e-13, "two"));
        let normal = normal_quantile(p);
        made(f64::MAX, |student| assert_near(student.quantile(p), normal, 1e-13, "normal"));
    }
    made(3.0, |student| {
        assert_eq!(student.quantile(0.5), 0.0);
        assert_eq!(student.quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(student.quantile(1.0), f64::INFINITY);
        assert!(student.quantile(1.5).is_nan() && student.quantile(f64::NAN).is_nan());
    });
}

/// The table against what it was made of, between the nodes, for the words of a path.
#[test]
fn draws_are_quantiles() {
    let mut worst = 0.0f64;
    for freedom in [1e-3, 0.07, 0.4, 1.0, 1.7, 2.0, 3.5, 9.0, 64.5, 1e3, 1e7, 1e40] {
        made(freedom, |student| {
            let exact = Exact::new(freedom);
            for Given(word, second) in words().step_by(if cfg!(debug_assertions) { 17 } else { 3 })
            {
                let magnitude = if word >> 31 == 0 { word } else { !word };
                let within = (f64::from(second) + 0.5) / 4_294_967_296.0;
                let between = (f64::from(magnitude) + (1.0 - within)) / 2_147_483_648.0;
                let tail = f64::from((u32::MAX >> 1) ^ magnitude) + within;
                let e = if between < 0.5 {
                    -libm::log1p(-between)
                } else {
                    -libm::log(tail / 2_147_483_648.0)
                };
                let wanted = exact.magnitude(exact.root(e, e.min(1.0) * exact.first_ratio()));
                let [found, _] = student.next::<Scalar, f64>(Scalar, &mut Given(word, second));
                assert_eq!(found.is_sign_negative(), word >> 31 == 1);
                if found.abs() != wanted {
                    let error = (found.abs() / wanted - 1.0).abs();
                    let units = error / tolerance(freedom, e);
                    assert!(units < 1.0, "{freedom} {e}: {found:e} {wanted:e} {units}");
                    worst = worst.max(units);
                }
                let single = student.next::<Scalar, f32>(Scalar, &mut Given(word, second));
                assert_eq!(single, found as f32);
                let [mirrored, _] = student.next::<Scalar, f64>(Scalar, &mut Given(!word, second));
                assert_eq!(mirrored, -found);
            }
        });
    }
    assert!(worst > 0.3, "the stated bound is loose: {worst}");
}

#[test]
fn refusals() {
    let mut storage = [7.0; StudentT::len(3.0)];
    for value in [0.0, -1.0, 9e-4, f64::INFINITY] {
        let refused = StudentT::new(value, &mut storage).err();
        assert_eq!(refused, Some(VariateError::Freedom { value }));
    }
    assert!(matches!(StudentT::new(f64::NAN, &mut storage), Err(VariateError::Freedom { .. })));
    let (needed, got) = (StudentT::len(0.1), storage.len());
    let refused = StudentT::new(0.1, &mut storage).err();
    assert_eq!(refused, Some(VariateError::StorageTooSmall { needed, got }));
    assert_eq!(storage, [7.0; StudentT::len(3.0)]);
    let lens: Vec<usize> = [1e-3, 0.1, 0.999, 1.0, 1e300].map(StudentT::len).into();
    assert_eq!(lens, [2104, 1336, 952, 824, 824]);
}
