//! What was drawn against what was asked for.
//!
//! Owns the scores: differences in standard errors, as a right draw makes them with a standard
//! normal distribution. Variances are compared by their cube roots (Wilson and Hilferty),
//! correlations by Fisher's transform, whose distributions are close to normal ones from a hundred
//! paths on; their errors come from the fourth moments of what was asked for. A difference that the
//! rounding of the element type explains counts as none.

use std::fmt::Write;

use nowcast::sampling::{Moments, normal_quantile};
use serde::Serialize;

use super::asked::Asked;

/// Correlations of more dimensions than this are not taken: they would be gigabytes.
pub(super) const MOST_CORRELATED: usize = 2048;

/// The chance that a right draw is refused.
pub(super) const FALSE_ALARM: f64 = 1e-6;
/// Paths that a check needs, and of each component of a mixture.
pub(super) const LEAST_PATHS: u64 = 100;

/// How many independent paths there are among those that were drawn.
#[derive(Clone, Copy)]
pub(super) enum Independent {
    All,
    /// Pairs that mirror each other: the mean of a pair is exact, but of a mixture, whose component
    /// is mirrored too.
    Pairs,
    /// None: points that are compared as if they were, and no chance goes with it.
    Points,
}

/// A number that was asked for, what was drawn, and the difference in standard errors.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Compared {
    pub(super) asked: f64,
    pub(super) drawn: f64,
    /// Infinite, in JSON null, where there should be no difference.
    pub(super) standard_errors: f64,
}

impl Compared {
    /// What overflowed is no number, and infinitely far off.
    fn new(asked: f64, drawn: f64, standard_errors: f64) -> Self {
        let is_number = !standard_errors.is_nan();
        let standard_errors = if is_number { standard_errors } else { f64::INFINITY };
        Self { asked, drawn, standard_errors }
    }
}

/// All comparisons.
pub(super) struct Comparison {
    pub(super) means: Vec<Compared>,
    /// None of a single path.
    pub(super) stds: Vec<Compared>,
    /// The lower triangle without its diagonal, row after row; `None` where a dimension is
    /// constant. Empty where there are too few paths or too many dimensions.
    pub(super) correlations: Vec<Option<Compared>>,
    false_alarm: Option<f64>,
}

impl Comparison {
    pub(super) fn new(
        moments: &Moments,
        asked: &Asked,
        independent: Independent,
        rounding: f64,
    ) -> Self {
        let (dim, n) = (asked.dim(), moments.paths() as f64);
        let mixed = asked.components().len() > 1;
        // The error of a mean is its deviation times the first; the others are degrees of freedom,
        // and what makes the mean square an unbiased one.
        let (of_mean, freedom, unbiased) = match independent {
            Independent::All | Independent::Points => (n.sqrt().recip(), n - 1.0, n / (n - 1.0)),
            Independent::Pairs if mixed => ((n / 2.0).sqrt().recip(), (n / 2.0).floor(), 1.0),
            Independent::Pairs => (n % 2.0 / n, (n / 2.0).floor(), 1.0),
        };
        // The sum of an element rounds a few times.
        let slack: Vec<f64> = (0..dim).map(|i| 4.0 * rounding * asked.scale(i)).collect();

        let mean = |i: usize| {
            let (mean, bias) = (asked.mean[i], moments.bias(i));
            let standard_errors = score(bias, slack[i], asked.std[i] * of_mean);
            Compared::new(mean, mean + bias, standard_errors)
        };
        let std = |i: usize| {
            let (std, drawn) = (asked.std[i], moments.variance(i).sqrt());
            let standard_errors = if std == 0.0 || (drawn - std).abs() <= slack[i] {
                score(drawn - std, slack[i], 0.0)
            } else {
                let spread = (asked.kurtosis(i) - 1.0).max(0.0) / (9.0 * freedom);
                let root = ((drawn / std).powi(2) * unbiased).cbrt();
                (root - (1.0 - spread)) / spread.sqrt()
            };
            Compared::new(std, drawn, standard_errors)
        };
        let correlation = |(i, j): (usize, usize)| {
            let (a, b) = (asked.std[i], asked.std[j]);
            let drawn_stds = (moments.variance(i) * moments.variance(j)).sqrt();
            if a == 0.0 || b == 0.0 || drawn_stds == 0.0 {
                return None;
            }
            let (asked, variance) = asked.correlation(i, j);
            let drawn = (moments.covariance(i, j) / drawn_stds).clamp(-1.0, 1.0);
            let slack = 4.0 * (slack[i] / a + slack[j] / b);
            let left = 1.0 - asked * asked;
            let standard_errors = if (drawn - asked).abs() <= slack || left < 1e-12 {
                score(drawn - asked, slack, 0.0)
            } else {
                let bias = asked / (2.0 * freedom);
                let error = variance.sqrt() / left / (freedom - 2.0).sqrt();
                (drawn.atanh() - asked.atanh() - bias) / error
            };
            Some(Compared::new(asked, drawn, standard_errors))
        };
        let pairs = (0..dim).flat_map(|i| (0..i).map(move |j| (i, j)));
        let correlated = moments.has_covariances() && freedom > 2.0;
        let certain = !matches!(independent, Independent::Points);
        Self {
            false_alarm: certain.then_some(FALSE_ALARM),
            means: (0..dim).map(mean).collect(),
            stds: if freedom >= 1.0 { (0..dim).map(std).collect() } else { Vec::new() },
            correlations: if correlated { pairs.map(correlation).collect() } else { Vec::new() },
        }
    }

    /// The correlation of two dimensions, if it was compared.
    fn correlation(&self, row: usize, col: usize) -> Option<&Compared> {
        self.correlations.get(row * row.saturating_sub(1) / 2 + col)?.as_ref()
    }

    /// The largest differences of means, standard deviations and correlations.
    pub(super) fn largest(&self) -> [Difference; 3] {
        let correlations = self.correlations.iter().flatten();
        [
            Difference::largest(self.means.iter()),
            Difference::largest(self.stds.iter()),
            Difference::largest(correlations),
        ]
    }

    /// Whether each difference is within the bound.
    pub(super) fn verdict(&self) -> Verdict {
        let correlations = self.correlations.iter().flatten();
        let all = || self.means.iter().chain(&self.stds).chain(correlations.clone());
        let comparisons = all().count();
        // Bonferroni: the chance of any alarm is at most the sum of all.
        let limit = -normal_quantile(FALSE_ALARM / comparisons as f64 / 2.0);
        let beyond = all().filter(|c| c.standard_errors.abs() > limit).count();
        let largest = Difference::largest(all()).standard_errors;
        let passed = beyond == 0;
        Verdict { passed, comparisons, beyond, largest, limit, false_alarm: self.false_alarm }
    }

    /// A line for each dimension; `names` are theirs.
    pub(super) fn table(&self, names: &[String]) -> String {
        let width = names.iter().map(String::len).max().unwrap_or(0).max(4);
        let mut text = format!(
            "{:width$} {:^33}{:^33}{:^32}",
            "", "mean", "standard deviation", "correlation furthest off"
        );
        text.truncate(text.trim_end().len());
        text += &format!("\n{:width$}", "");
        for _ in 0..2 {
            text += &format!(" {:>12}{:>12}{:>8}", "asked for", "drawn", "s. e.");
        }
        let partner = width + 2;
        let _ =
            writeln!(text, "{:>partner$}{:>10}{:>9}{:>8}", "with", "asked for", "drawn", "s. e.");
        for (i, name) in names.iter().enumerate() {
            let _ = write!(text, "{name:width$}");
            for compared in [self.means.get(i), self.stds.get(i)] {
                text += &match compared {
                    Some(Compared { asked, drawn, standard_errors }) => {
                        let (asked, drawn) = (number(*asked), number(*drawn));
                        format!(" {asked:>12}{drawn:>12}{standard_errors:>8.2}")
                    }
                    None => " ".repeat(33),
                };
            }
            let others = (0..names.len()).filter(|j| *j != i);
            let of = |j: usize| Some((j, *self.correlation(i.max(j), i.min(j))?));
            let size = |(_, c): &(usize, Compared)| c.standard_errors.abs();
            let furthest = others.filter_map(of).max_by(|a, b| size(a).total_cmp(&size(b)));
            if let Some((j, Compared { asked, drawn, standard_errors })) = furthest {
                let (name, asked, drawn) = (&names[j], fixed(asked), fixed(drawn));
                let _ = write!(text, "{name:>partner$}{asked:>10}{drawn:>9}{standard_errors:>8.2}");
            }
            text.truncate(text.trim_end().len());
            text += "\n";
        }
        text
    }
}

/// In standard errors; none within the slack, infinite where there is no error.
fn score(difference: f64, slack: f64, error: f64) -> f64 {
    if difference.abs() <= slack { 0.0 } else { difference / error }
}

/// The difference that is largest in standard errors.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Difference {
    pub(super) difference: f64,
    pub(super) standard_errors: f64,
}

impl Difference {
    fn largest<'a>(all: impl Iterator<Item = &'a Compared>) -> Self {
        all.fold(Self::default(), |largest, compared| {
            let standard_errors = compared.standard_errors.abs();
            if standard_errors <= largest.standard_errors {
                return largest;
            }
            Self { difference: (compared.drawn - compared.asked).abs(), standard_errors }
        })
    }
}

/// Whether what was drawn is what was asked for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) passed: bool,
    comparisons: usize,
    /// Differences that are larger than the limit.
    beyond: usize,
    /// The largest difference in standard errors.
    #[serde(rename = "largest_standard_errors")]
    largest: f64,
    #[serde(rename = "limit_standard_errors")]
    limit: f64,
    /// The chance of that for a right draw of independent paths; Sobol points have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    false_alarm: Option<f64>,
}

impl Verdict {
    /// What a difference may be, and how sure that is.
    pub(super) fn sentence(&self) -> String {
        let Self { comparisons, largest, limit, .. } = self;
        let chance = self.false_alarm.map_or("", |_| ", one false alarm in a million");
        let allowed = format!("{limit:.2} standard errors are allowed{chance}");
        match self.beyond {
            0 => format!(
                "passed: of {comparisons} differences the largest is {largest:.2}; {allowed}"
            ),
            n => format!(
                "{n} of {comparisons} differences are too large, up to {largest:.2}; {allowed}"
            ),
        }
    }
}

/// Four decimals; what is left of a zero has no sign.
fn fixed(x: f64) -> String {
    format!("{:.4}", if x.abs() < 5e-5 { 0.0 } else { x })
}

/// Six digits.
pub(super) fn number(x: f64) -> String {
    let magnitude = x.abs();
    if x == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&magnitude) {
        return format!("{x:.4e}");
    }
    let decimals = (5.0 - magnitude.log10().floor()).clamp(0.0, 8.0) as usize;
    format!("{x:.decimals$}")
}

#[cfg(test)]
mod tests {
    use nowcast::kernels::Level;
    use nowcast::sampling::{Antithetic, OwnedGaussian, PathAddress};

    use super::super::asked::{Component, Covariance};
    use super::*;

    const MEAN: [f64; 2] = [10.0, -1.0];
    const COVARIANCE: [f64; 4] = [4.0, 1.2, 1.2, 1.0];

    fn asked() -> Asked {
        let covariance = Covariance::Dense(COVARIANCE.to_vec());
        Asked::new(vec![Component { weight: 1.0, mean: MEAN.to_vec(), covariance }])
    }

    /// A draw that `spoil` may change, compared.
    fn compared(paths: usize, mirrored: bool, spoil: impl Fn(&mut [f64])) -> Comparison {
        let owned = OwnedGaussian::<f64>::full(&MEAN, &COVARIANCE).expect("definite");
        let (level, first) = (Level::detect(), PathAddress { seed: 7, stream: 0, path: 0 });
        let mut drawn = vec![0.0; 2 * paths];
        match mirrored {
            true => owned.gaussian().draw(level, Antithetic(first), &mut drawn),
            false => owned.gaussian().draw(level, first, &mut drawn),
        }
        .expect("whole paths");
        drawn.chunks_exact_mut(2).for_each(spoil);
        let mut sums = [0.0; Moments::storage_len(2)];
        let mut moments = Moments::new(&MEAN, &mut sums);
        moments.add(level, &drawn);
        let independent = if mirrored { Independent::Pairs } else { Independent::All };
        Comparison::new(&moments, &asked(), independent, f64::EPSILON / 2.0)
    }

    #[test]
    fn a_right_draw_passes_and_a_wrong_one_does_not() {
        for mirrored in [false, true] {
            for paths in [100, 101, 20_000] {
                let verdict = compared(paths, mirrored, |_| {}).verdict();
                assert!(verdict.passed && verdict.comparisons == 5, "{paths}: {verdict:?}");
            }
            // Each of these is ten standard errors or so, and spoils nothing else.
            let fails = |spoil: fn(&mut [f64])| !compared(20_000, mirrored, spoil).verdict().passed;
            assert!(fails(|path| path[0] += 0.15), "a mean");
            assert!(fails(|path| path[1] = -1.0 + 1.06 * (path[1] + 1.0)), "a deviation");
            assert!(fails(|path| path[0] = 10.0 + 1.25 * (path[0] - 10.0 - 0.3 * (path[1] + 1.0))));
        }
    }

    /// Scores over 400 seeds are as those of standard normals: their mean square is one, within
    /// five standard errors of it.
    #[test]
    fn scores_are_standard_normal() {
        let owned = OwnedGaussian::<f64>::full(&MEAN, &COVARIANCE).expect("definite");
        for (mirrored, means) in [(false, 2), (true, 0)] {
            let mut squares = 0.0;
            for seed in 0..400 {
                let (level, first) = (Level::detect(), PathAddress { seed, stream: 1, path: 0 });
                let mut drawn = vec![0.0; 2 * 400];
                match mirrored {
                    true => owned.gaussian().draw(level, Antithetic(first), &mut drawn),
                    false => owned.gaussian().draw(level, first, &mut drawn),
                }
                .expect("whole paths");
                let mut sums = [0.0; Moments::storage_len(2)];
                let mut moments = Moments::new(&MEAN, &mut sums);
                moments.add(level, &drawn);
                let independent = if mirrored { Independent::Pairs } else { Independent::All };
                let all = Comparison::new(&moments, &asked(), independent, f64::EPSILON / 2.0);
                let correlations = all.correlations.iter().flatten();
                let scores = all.means[..means].iter().chain(&all.stds).chain(correlations);
                squares += scores.map(|c| c.standard_errors.powi(2)).sum::<f64>();
            }
            let count = f64::from(400 * (means as u16 + 3));
            // The scores of one draw are correlated: at worst, one counts for all.
            let error = (2.0 / 400.0f64).sqrt();
            assert!((squares / count - 1.0).abs() < 5.0 * error, "{}", squares / count);
        }
    }

    #[test]
    fn constants_must_not_move() {
        let covariance = Covariance::Diagonal(vec![0.0]);
        let asked = Asked::new(vec![Component { weight: 1.0, mean: vec![3.0], covariance }]);
        let passed = |drawn: &[f64]| {
            let mut sums = [0.0; Moments::storage_len(1)];
            let mut moments = Moments::new(&asked.mean, &mut sums);
            moments.add(Level::detect(), drawn);
            Comparison::new(&moments, &asked, Independent::All, 1e-16).verdict().passed
        };
        assert!(passed(&[3.0; 100]));
        assert!(!passed(&[3.0 + 1e-9; 100]));
        let mut one = [3.0; 100];
        one[50] = 3.001;
        assert!(!passed(&one));
    }

    #[test]
    fn numbers_have_six_digits() {
        let cases = [(0.0, "0"), (12.3456789, "12.3457"), (-0.5, "-0.500000"), (1e-9, "1.0000e-9")];
        for (x, text) in cases {
            assert_eq!(number(x), text);
        }
    }
}
