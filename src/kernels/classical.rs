//! Lookups, distances and support vector machines.
//!
//! Functions here panic when a slice is shorter than its shape.

use core::cmp::Ordering;

use super::number::{BinaryCode, Number, UnaryCode};

/// Smaller numbers first; NaN behind all, and equal to NaN.
#[inline(always)]
fn order<T: Number>(a: T, b: T) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Where each element stands in `list`, which is sorted (NaN last); its length for one that is
/// not in it.
///
/// **Cost**: a binary search for each element.
pub fn lookup<T: Number>(list: &[T], x: &[T], y: &mut [i64]) {
    for (x, y) in x.iter().zip(y) {
        let found = list.binary_search_by(|item| order(*item, *x));
        *y = found.unwrap_or(list.len()) as i64;
    }
}

/// Distances between the rows of `a` and those of `b`, or their squares.
///
/// **Shapes and units**: `a` is `[m, k]`, `b` `[n, k]`, `y` `[m, n]`.
pub fn distances<T: Number>(squared: bool, [m, n, k]: [usize; 3], a: &[T], b: &[T], y: &mut [T]) {
    if n == 0 {
        // Nothing bounds the number of rows then, if they have no elements either.
        return;
    }
    for i in 0..m {
        for j in 0..n {
            let rows = a[i * k..][..k].iter().zip(&b[j * k..][..k]);
            let sum = rows.fold(T::default(), |sum, (a, b)| {
                let apart = a.binary(BinaryCode::Sub, *b);
                sum.binary(BinaryCode::Add, apart.binary(BinaryCode::Mul, apart))
            });
            y[i * n + j] = if squared { sum } else { sum.unary(UnaryCode::Sqrt, [0.0; 2]) };
        }
    }
}

/// What a support vector classifier decides between each two classes `i < j`, in the order of
/// `i`, then `j`: above zero for `i`. And how many decisions each class wins.
///
/// **Shapes and units**: `kernel` (of the data with each support vector) is `[rows, vectors]`,
/// `coefficients` `[classes - 1, vectors]`, `rho` and a row of `scores` one number a pair, a row
/// of `votes` one a class. `starts` says where the vectors of each class begin.
///
/// **Cost**: rows by classes by vectors; sums in double precision.
/// **Source**: Chang, Lin, "LIBSVM: a library for support vector machines", 2011.
pub fn svm_pairs(
    [rows, vectors, classes]: [usize; 3],
    [kernel, coefficients, rho]: [&[f32]; 3],
    starts: &[u32],
    scores: &mut [f32],
    votes: &mut [f32],
) {
    let pairs = classes * (classes - 1) / 2;
    // The vectors of a class; none where the table is damaged.
    let of = |class: usize| {
        let end = starts.get(class + 1).map_or(vectors, |end| (*end as usize).min(vectors));
        (starts[class] as usize).min(end)..end
    };
    for r in 0..rows {
        let kernel = &kernel[r * vectors..][..vectors];
        let votes = &mut votes[r * classes..][..classes];
        votes.fill(0.0);
        let dot = |row: usize, class: usize| {
            let weights = coefficients[row * vectors..][..vectors][of(class)].iter();
            let terms = weights.zip(&kernel[of(class)]);
            terms.fold(0.0, |sum, (a, b)| sum + f64::from(a * b))
        };
        let mut pair = 0;
        for i in 0..classes {
            for j in i + 1..classes {
                let score = dot(j - 1, i) + dot(i, j) + f64::from(rho[pair]);
                scores[r * pairs + pair] = score as f32;
                votes[if score > 0.0 { i } else { j }] += 1.0;
                pair += 1;
            }
        }
    }
}

/// Rounds that the coupling of probabilities may take.
const COUPLING_ROUNDS: usize = 100;

/// Probabilities of classes that agree best with those between each two of them.
///
/// **Shapes and units**: `pairs` is `[rows, pairs]`: of class `i` against `j`, in the order of
/// `i`, then `j`. `y` is `[rows, classes]`. `scratch` has `classes * (classes + 1)` elements.
///
/// **Cost**: rows by at most a hundred rounds by classes squared.
/// **Source**: Wu, Lin, Weng, "Probability estimates for multi-class classification by pairwise
/// coupling", 2004, algorithm 2, stopped as LIBSVM does.
pub fn pair_coupling(
    [rows, classes]: [usize; 2],
    pairs: &[f32],
    scratch: &mut [f32],
    y: &mut [f32],
) {
    let pairs_len = classes * (classes - 1) / 2;
    let (q, qp) = scratch[..classes * (classes + 1)].split_at_mut(classes * classes);
    let near = 0.005 / classes as f32;
    for r in 0..rows {
        let pairs = &pairs[r * pairs_len..][..pairs_len];
        let p = &mut y[r * classes..][..classes];
        p.fill(1.0 / classes as f32);
        q.fill(0.0);
        let mut pair = 0;
        for i in 0..classes {
            for j in i + 1..classes {
                let (of_i, of_j) = (pairs[pair], 1.0 - pairs[pair]);
                q[i * classes + i] += of_j * of_j;
                q[j * classes + j] += of_i * of_i;
                q[i * classes + j] = -of_j * of_i;
                q[j * classes + i] = q[i * classes + j];
                pair += 1;
            }
        }
        for _ in 0..COUPLING_ROUNDS {
            let mut pqp = 0.0;
            for (i, qp) in qp.iter_mut().enumerate() {
                let row = q[i * classes..][..classes].iter().zip(&*p);
                *qp = row.fold(0.0, |sum, (q, p)| sum + q * p);
                pqp += p[i] * *qp;
            }
            let worst = qp.iter().fold(0f32, |worst, qp| worst.max((qp - pqp).abs()));
            if worst < near {
                break;
            }
            for i in 0..classes {
                let diagonal = q[i * classes + i];
                let step = (pqp - qp[i]) / diagonal;
                p[i] += step;
                let whole = 1.0 + step;
                pqp = (pqp + step * (step * diagonal + 2.0 * qp[i])) / whole / whole;
                for (j, (qp, p)) in qp.iter_mut().zip(&mut *p).enumerate() {
                    *qp = (*qp + step * q[i * classes + j]) / whole;
                    *p /= whole;
                }
            }
        }
    }
}
