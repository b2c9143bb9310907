//! What was drawn against what was asked for.
//!
//! Owns the scores: differences in standard errors, as a right draw makes them with a standard
//! normal distribution. Variances are compared by their cube roots (Wilson and Hilferty),
//! correlations by Fisher's transform, whose distributions are close to normal ones from a hundred
//! paths on; their errors come from the fourth moments of what was asked for. A difference that the
//! rounding of the element type explains counts as none.

use std::fmt::Write;

use nowcast::sampling::normal_quantile;
use serde::Serialize;

use super::asked::Asked;
use super::moments::Moments;

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
}

/// A number that was asked for, what was drawn, and the difference in standard errors.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Compared {
    pub(super) asked: f64,
    pub(super) drawn: f64,
    /// Infinite, in JSON null, where there should be no difference.
    pub(super) standard_errors: f64,
}

/// All comparisons.
pub(super) struct Comparison {
    pub(super) means: Vec<Compared>,
    /// None of a single path.
    pub(super) stds: Vec<Compared>,
    /// The lower triangle without its diagonal, row after row; `None` where a dimension is
    /// constant. Empty where there are too few paths or too many dimensions.
    pub(super) correlations: Vec<Option<Compared>>,
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
            Independent::All => (n.sqrt().recip(), n - 1.0, n / (n - 1.0)),
            Independent::Pairs if mixed => ((n / 2.0).sqrt().recip(), (n / 2.0).floor(), 1.0),
            Independent::Pairs => (n % 2.0 / n, (n / 2.0).floor(), 1.0),
        };
        // The sum of an element rounds a few times.
        let slack: Vec<f64> = (0..dim).map(|i| 4.0 * rounding * asked.scale(i)).collect();

        let mean = |i: usize| {
            let (mean, bias) = (asked.mean[i], moments.bias(i));
            let standard_errors = score(bias, slack[i], asked.std[i] * of_mean);
            Compared { asked: mean, drawn: mean + bias, standard_errors }
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
            Compared { asked: std, drawn, standard_errors }
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
            Some(Compared { asked, drawn, standard_errors })
        };
        let pairs = (0..dim).flat_map(|i| (0..i).map(move |j| (i, j)));
        let correlated = moments.correlated() && freedom > 2.0;
        Self {
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
        let beyond = all().filter(|c| !(c.standard_errors.abs() <= limit)).count();
        let largest = Difference::largest(all()).standard_errors;
        let passed = beyond == 0;
        Verdict { passed, comparisons, beyond, largest, limit, false_alarm: FALSE_ALARM }
    }

    /// A line for each dimension; `names` are theirs.
    pub(super) fn table(&self, names: &[String]) -> String {
        let width = names.iter().map(String::len).max().unwrap_or(0).max(4);
        let mut text = format!(
            "{:width$} {:^32} {:^32} {:^32}\n{:width$}",
            "", "mean", "standard deviation", "correlation furthest off", ""
        );
        for _ in 0..2 {
            text += &format!(" {:>12}{:>12}{:>8}", "asked for", "drawn", "s. e.");
        }
        let _ = writeln!(
            text,
            "{:>width$}{:>9}{:>9}{:>8}",
            "with",
            "asked for",
            "drawn",
            "s. e.",
            width = width + 1
        );
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
                let (name, width) = (&names[j], width + 1);
                let _ =
                    write!(text, "{name:>width$}{asked:>9.4}{drawn:>9.4}{standard_errors:>8.2}");
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
    false_alarm: f64,
}

impl Verdict {
    /// What a difference may be, and how sure that is.
    pub(super) fn sentence(&self) -> String {
        let Self { comparisons, largest, limit, .. } = self;
        let bound = "a right draw exceeds that once in a million runs";
        match self.beyond {
            0 => format!(
                "passed: of {comparisons} differences the largest is {largest:.2} standard errors; \
                 {limit:.2} are allowed, {bound}"
            ),
            beyond => format!(
                "{beyond} of {comparisons} differences are larger than {limit:.2} standard errors, \
                 the largest {largest:.2}; {bound}"
            ),
        }
    }
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
