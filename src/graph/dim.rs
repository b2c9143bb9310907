//! Dimensions: fixed numbers, or polynomials over ranged variables.
//!
//! Owns the arithmetic that shape inference needs and its normal form: two dimensions are equal
//! exactly when their normal forms are, so `past + 1` and `1 + past` are the same dimension.
//! Quotients, remainders, minima and maxima that do not simplify are opaque atoms.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Quotients that a bound looks into.
const MAX_SUBSTITUTIONS: usize = 8;
/// Sums of a bounded number of numbers up to it do not saturate.
const EXACT: i64 = 1 << 48;
/// Most products of a quotient.
const MAX_QUOTIENT: usize = 64;

/// A dimension variable: its position in [`Graph::variables`](super::Graph::variables).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarId(pub u32);

/// A number that dimensions are computed from: an extent that is chosen per call, or one that is
/// found in the data while a program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The name in the model, or the one made for an unnamed dimension or a value.
    pub name: String,
    /// Smallest extent.
    pub min: i64,
    /// Largest extent; memory is planned for it.
    pub max: i64,
    /// Found by a [`Measure`](super::Op::Measure) node while the program runs; the caller cannot
    /// choose it, and it may be negative.
    pub measured: bool,
}

impl Variable {
    /// An extent that is chosen per call.
    pub fn chosen(name: impl Into<String>, min: i64, max: i64) -> Self {
        Self { name: name.into(), min, max, measured: false }
    }

    /// A number that is found while the program runs.
    pub fn measured(name: impl Into<String>, min: i64, max: i64) -> Self {
        Self { name: name.into(), min, max, measured: true }
    }
}

/// An extent, or any integer computed from extents.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A number.
    Fixed(i64),
    /// A polynomial in which at least one variable stands.
    Expr(Arc<Poly>),
}

/// A sum of products; each product is a sorted list of atoms with a coefficient that is not zero.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Poly {
    terms: BTreeMap<Vec<Atom>, i64>,
}

/// A factor that the polynomial does not look into.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// A variable.
    Var(VarId),
    /// The quotient rounded towards minus infinity.
    FloorDiv(Dim, Dim),
    /// The smaller.
    Min(Dim, Dim),
    /// The larger.
    Max(Dim, Dim),
}

impl Dim {
    /// The variable as a dimension.
    pub fn var(id: VarId) -> Self {
        Self::from_terms(BTreeMap::from([(vec![Atom::Var(id)], 1)]))
    }

    fn atom(atom: Atom) -> Self {
        Self::from_terms(BTreeMap::from([(vec![atom], 1)]))
    }

    fn from_terms(mut terms: BTreeMap<Vec<Atom>, i64>) -> Self {
        terms.retain(|_, c| *c != 0);
        match terms.len() {
            0 => Self::Fixed(0),
            1 if terms.contains_key(&Vec::new()) => Self::Fixed(terms[&Vec::new()]),
            _ => Self::Expr(Arc::new(Poly { terms })),
        }
    }

    fn terms(&self) -> BTreeMap<Vec<Atom>, i64> {
        match self {
            Self::Fixed(0) => BTreeMap::new(),
            Self::Fixed(n) => BTreeMap::from([(Vec::new(), *n)]),
            Self::Expr(poly) => poly.terms.clone(),
        }
    }

    /// The products and their coefficients.
    pub fn products(&self) -> impl Iterator<Item = (Vec<Atom>, i64)> {
        self.terms().into_iter()
    }

    /// The number, when no variable stands in it.
    pub fn fixed(&self) -> Option<i64> {
        match self {
            Self::Fixed(n) => Some(*n),
            Self::Expr(_) => None,
        }
    }

    /// Whether it is this number for every extent of its variables.
    pub fn is(&self, n: i64) -> bool {
        self.fixed() == Some(n)
    }

    /// The quotient rounded towards minus infinity; what divides leaves it, so that
    /// `floor((n + 2) / 2)` is `floor(n / 2) + 1`.
    pub fn floor_div(&self, by: &Self) -> Self {
        if let (Self::Fixed(a), Self::Fixed(b)) = (self, by)
            && *b != 0
        {
            return Self::Fixed(a.div_euclid(*b) - i64::from(*b < 0 && a.rem_euclid(*b) != 0));
        }
        if by.is(1) {
            return self.clone();
        }
        if let Some(quotient) = self.exact_div(by) {
            return quotient;
        }
        match by.fixed() {
            Some(by) if by > 1 => self.floor_div_fixed(by),
            _ => Self::atom(Atom::FloorDiv(self.clone(), by.clone())),
        }
    }

    /// The same by a number above one. In the atom that is left the leading coefficient is
    /// positive and every other one, as it is, less than `by`.
    fn floor_div_fixed(&self, by: i64) -> Self {
        let (mut whole, mut rest) = (BTreeMap::new(), BTreeMap::new());
        for (product, c) in self.terms() {
            whole.insert(product.clone(), c / by);
            rest.insert(product, c % by);
        }
        rest.retain(|_, c| *c != 0);
        if leading(&rest).is_some_and(|(product, c)| *c < 0 && !product.is_empty()) {
            // floor(-m / by) = -floor((m + by - 1) / by)
            let turned = -Self::from_terms(rest) + Self::Fixed(by - 1);
            return Self::from_terms(whole) - turned.floor_div_fixed(by);
        }
        for (product, c) in &mut rest {
            if *c < 0 {
                *c += by;
                *whole.entry(product.clone()).or_insert(0) -= 1;
            }
        }
        let whole = Self::from_terms(whole);
        match Self::from_terms(rest) {
            Self::Fixed(_) => whole,
            rest => whole + Self::atom(Atom::FloorDiv(rest, Self::Fixed(by))),
        }
    }

    /// The quotient where `by` divides `self` as a polynomial.
    pub fn exact_div(&self, by: &Self) -> Option<Self> {
        if self == by && !by.is(0) {
            return Some(Self::Fixed(1));
        }
        let divisor = by.terms();
        let (lead, coefficient) = leading(&divisor)?;
        let mut rest = self.terms();
        let mut quotient = BTreeMap::new();
        // Each round takes the leading product away and adds only lesser ones.
        for _ in 0..MAX_QUOTIENT {
            let Some((product, c)) = leading(&rest) else {
                return Some(Self::from_terms(quotient));
            };
            if c.checked_rem(*coefficient)? != 0 {
                return None;
            }
            let (factor, c) = (without(product, lead)?, c / coefficient);
            for (product, by) in &divisor {
                let mut product = [product.as_slice(), factor.as_slice()].concat();
                product.sort();
                let entry = rest.entry(product).or_insert(0i64);
                *entry = entry.checked_sub(by.checked_mul(c)?)?;
            }
            rest.retain(|_, c| *c != 0);
            quotient.insert(factor, c);
        }
        None
    }

    /// The quotient rounded up.
    pub fn ceil_div(&self, by: &Self) -> Self {
        (self.clone() + by.clone() - Self::Fixed(1)).floor_div(by)
    }

    /// The smaller; decided at once where bounds decide it.
    pub fn min(&self, other: &Self, variables: &[Variable]) -> Self {
        let (low, high) = (self.clone() - other.clone()).bounds(variables);
        if high <= 0 {
            self.clone()
        } else if low >= 0 {
            other.clone()
        } else {
            Self::atom(Atom::Min(self.clone(), other.clone()))
        }
    }

    /// The larger; decided at once where bounds decide it.
    pub fn max(&self, other: &Self, variables: &[Variable]) -> Self {
        let (low, high) = (self.clone() - other.clone()).bounds(variables);
        if low >= 0 {
            self.clone()
        } else if high <= 0 {
            other.clone()
        } else {
            Self::atom(Atom::Max(self.clone(), other.clone()))
        }
    }

    /// The smallest and largest value over all extents of the variables (an enclosure: it may be
    /// wider than the truth, never narrower; saturating).
    pub fn bounds(&self, variables: &[Variable]) -> (i64, i64) {
        match self {
            Self::Fixed(n) => (*n, *n),
            Self::Expr(poly) => {
                let (low, high) = self.enclosure(variables);
                if low == high || !poly.terms.keys().any(|p| quotient(p).is_some()) {
                    return (low, high);
                }
                let least = |dim: &Self| dim.least(variables, MAX_SUBSTITUTIONS);
                let low = least(self).map_or(low, |n| n.max(low));
                (low, least(&-self.clone()).map_or(high, |n| high.min(-n)))
            }
        }
    }

    /// Bounds as if no two factors had to do with one another.
    fn enclosure(&self, variables: &[Variable]) -> (i64, i64) {
        if let Self::Fixed(n) = self {
            return (*n, *n);
        }
        let (mut low, mut high) = (0i64, 0i64);
        for (l, h) in self.ranges(variables) {
            low = low.saturating_add(l);
            high = high.saturating_add(h);
        }
        (low, high)
    }

    /// Bounds of each product.
    fn ranges<'a>(&'a self, variables: &'a [Variable]) -> impl Iterator<Item = (i64, i64)> + 'a {
        self.products().map(move |(product, c)| {
            let range =
                product.iter().map(|atom| atom.enclosure(variables)).fold((1, 1), mul_range);
            mul_range(range, (c, c))
        })
    }

    /// A lower bound that knows how a quotient and what it divides belong together: `floor(a / b)`
    /// lies between `(a - b + 1) / b` and `a / b`, which cancels with `a` elsewhere in the sum.
    /// `None` where numbers are so large that sums could saturate.
    fn least(&self, variables: &[Variable], substitutions: usize) -> Option<i64> {
        let exact = |(low, high): (i64, i64)| low.min(high) >= -EXACT && low.max(high) <= EXACT;
        if !self.ranges(variables).all(exact) {
            return None;
        }
        let simple = self.enclosure(variables).0;
        let found = self.products().find_map(|(product, c)| {
            let (a, b) = quotient(&product)?;
            Some((Self::from_terms(BTreeMap::from([(product.clone(), c)])), a.clone(), b, c))
        });
        let Some((term, a, b, c)) = found.filter(|_| substitutions > 0) else {
            return Some(simple);
        };
        let (by, factor) = (Self::Fixed(b), Self::Fixed(c));
        let times_b = if c > 0 { a - Self::Fixed(b - 1) } else { a };
        let scaled = (self.clone() - term) * by + times_b * factor;
        let tight = scaled.least(variables, substitutions - 1)?;
        Some(simple.max(tight.div_euclid(b) + i64::from(tight.rem_euclid(b) != 0)))
    }

    /// Number of factors in it, those inside opaque atoms included; zero for a number.
    ///
    /// The cost of arithmetic grows with it: whoever reads models that may be hostile bounds it.
    pub fn weight(&self) -> usize {
        let Self::Expr(poly) = self else { return 0 };
        let factors = poly.terms.keys().flatten().map(|atom| match atom {
            Atom::Var(_) => 1,
            Atom::FloorDiv(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => 1 + a.weight() + b.weight(),
        });
        poly.terms.len() + factors.sum::<usize>()
    }

    /// Calls `visit` with every variable in it; those that stand in it more than once, as often.
    pub fn variables(&self, visit: &mut dyn FnMut(VarId)) {
        let Self::Expr(poly) = self else { return };
        for atom in poly.terms.keys().flatten() {
            match atom {
                Atom::Var(id) => visit(*id),
                Atom::FloorDiv(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => {
                    a.variables(visit);
                    b.variables(visit);
                }
            }
        }
    }

    /// Whether it is known only while the program runs.
    pub fn is_measured(&self, variables: &[Variable]) -> bool {
        let mut found = false;
        self.variables(&mut |id| {
            found |= variables.get(id.0 as usize).is_some_and(|v| v.measured);
        });
        found
    }

    /// Its largest value.
    pub fn upper(&self, variables: &[Variable]) -> i64 {
        self.bounds(variables).1
    }

    /// The text with variable names in it.
    pub fn display<'a>(&'a self, variables: &'a [Variable]) -> impl fmt::Display + 'a {
        Shown { dim: self, variables }
    }
}

/// The greatest product with its coefficient, in an order that multiplication keeps: by number of
/// factors, then by the factors.
fn leading(terms: &BTreeMap<Vec<Atom>, i64>) -> Option<(&Vec<Atom>, &i64)> {
    terms.iter().max_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)))
}

/// The operands of a product that is nothing but a quotient by a positive number.
fn quotient(product: &[Atom]) -> Option<(&Dim, i64)> {
    match product {
        [Atom::FloorDiv(a, Dim::Fixed(b))] if (1..=1 << 20).contains(b) => Some((a, *b)),
        _ => None,
    }
}

/// A product without some of its factors, where it has all of them.
fn without(product: &[Atom], factors: &[Atom]) -> Option<Vec<Atom>> {
    let mut rest = product.to_vec();
    for factor in factors {
        let at = rest.iter().position(|atom| atom == factor)?;
        rest.remove(at);
    }
    Some(rest)
}

fn mul_range(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
    let all = [
        a.0.saturating_mul(b.0),
        a.0.saturating_mul(b.1),
        a.1.saturating_mul(b.0),
        a.1.saturating_mul(b.1),
    ];
    (*all.iter().min().unwrap_or(&0), *all.iter().max().unwrap_or(&0))
}

impl Atom {
    /// Bounds as if no two factors in it had to do with one another, which costs no more than to
    /// read it.
    fn enclosure(&self, variables: &[Variable]) -> (i64, i64) {
        match self {
            Self::Var(id) => variables.get(id.0 as usize).map_or((0, i64::MAX), |v| (v.min, v.max)),
            Self::FloorDiv(a, b) => {
                let (a, b) = (a.enclosure(variables), b.enclosure(variables));
                if b.0 <= 0 && b.1 >= 0 {
                    return (i64::MIN, i64::MAX);
                }
                let all = [
                    a.0.div_euclid(b.0),
                    a.0.div_euclid(b.1),
                    a.1.div_euclid(b.0),
                    a.1.div_euclid(b.1),
                ];
                (*all.iter().min().unwrap_or(&0), *all.iter().max().unwrap_or(&0))
            }
            Self::Min(a, b) => {
                let (a, b) = (a.enclosure(variables), b.enclosure(variables));
                (a.0.min(b.0), a.1.min(b.1))
            }
            Self::Max(a, b) => {
                let (a, b) = (a.enclosure(variables), b.enclosure(variables));
                (a.0.max(b.0), a.1.max(b.1))
            }
        }
    }
}

impl std::ops::Add for Dim {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        if let (Self::Fixed(a), Self::Fixed(b)) = (&self, &other) {
            return Self::Fixed(a.saturating_add(*b));
        }
        let mut terms = self.terms();
        for (product, c) in other.terms() {
            let entry = terms.entry(product).or_insert(0);
            *entry = entry.saturating_add(c);
        }
        Self::from_terms(terms)
    }
}

impl std::ops::Neg for Dim {
    type Output = Self;
    fn neg(self) -> Self {
        self * Self::Fixed(-1)
    }
}

impl std::ops::Sub for Dim {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl std::ops::Mul for Dim {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        if let (Self::Fixed(a), Self::Fixed(b)) = (&self, &other) {
            return Self::Fixed(a.saturating_mul(*b));
        }
        let mut terms = BTreeMap::new();
        let right = other.terms();
        for (pa, ca) in self.terms() {
            for (pb, cb) in &right {
                let mut product = [pa.as_slice(), pb.as_slice()].concat();
                product.sort();
                let entry = terms.entry(product).or_insert(0i64);
                *entry = entry.saturating_add(ca.saturating_mul(*cb));
            }
        }
        Self::from_terms(terms)
    }
}

impl From<i64> for Dim {
    fn from(n: i64) -> Self {
        Self::Fixed(n)
    }
}

/// The product of dimensions; one for none.
pub fn product<'a>(dims: impl IntoIterator<Item = &'a Dim>) -> Dim {
    dims.into_iter().fold(Dim::Fixed(1), |a, b| a * b.clone())
}

struct Shown<'a> {
    dim: &'a Dim,
    variables: &'a [Variable],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let poly = match self.dim {
            Dim::Fixed(n) => return write!(f, "{n}"),
            Dim::Expr(poly) => poly,
        };
        let show = |dim| Shown { dim, variables: self.variables };
        for (i, (product, c)) in poly.terms.iter().rev().enumerate() {
            match (i, *c < 0) {
                (0, true) => write!(f, "-")?,
                (0, false) => {}
                (_, true) => write!(f, " - ")?,
                (_, false) => write!(f, " + ")?,
            }
            if c.unsigned_abs() != 1 || product.is_empty() {
                write!(f, "{}", c.unsigned_abs())?;
            }
            for (j, atom) in product.iter().enumerate() {
                if j > 0 || c.unsigned_abs() != 1 {
                    write!(f, "*")?;
                }
                match atom {
                    Atom::Var(id) => match self.variables.get(id.0 as usize) {
                        Some(v) => write!(f, "{}", v.name)?,
                        None => write!(f, "d{}", id.0)?,
                    },
                    Atom::FloorDiv(a, b) => write!(f, "floor(({})/({}))", show(a), show(b))?,
                    Atom::Min(a, b) => write!(f, "min({}, {})", show(a), show(b))?,
                    Atom::Max(a, b) => write!(f, "max({}, {})", show(a), show(b))?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.display(&[]))
    }
}

/// Which axes of one shape each axis of another joins, where it does nothing else.
pub fn joined(from: &[Dim], to: &[Dim]) -> Option<Vec<std::ops::Range<usize>>> {
    let mut end = 0;
    let each = to.iter().map(|extent| {
        let (first, mut whole) = (end, Dim::Fixed(1));
        while whole != *extent || first == end {
            whole = whole * from.get(end)?.clone();
            end += 1;
        }
        Some(first..end)
    });
    let each: Option<Vec<std::ops::Range<usize>>> = each.collect();
    each.filter(|_| end == from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vec<Variable> {
        vec![Variable::chosen("past", 0, 512), Variable::chosen("batch", 1, 8)]
    }

    #[test]
    fn normal_form_decides_equality() {
        let (p, b) = (Dim::var(VarId(0)), Dim::var(VarId(1)));
        let one = Dim::Fixed(1);
        assert_eq!(p.clone() + one.clone(), one.clone() + p.clone());
        assert_eq!(p.clone() * b.clone(), b.clone() * p.clone());
        assert_eq!((p.clone() + one.clone()) - p.clone(), one);
        assert_eq!((p.clone() * b.clone()).floor_div(&b), p);
        assert_eq!(Dim::Fixed(-7).floor_div(&Dim::Fixed(2)), Dim::Fixed(-4));
        assert_eq!(Dim::Fixed(7).floor_div(&Dim::Fixed(-2)), Dim::Fixed(-4));
        assert_ne!(p.floor_div(&Dim::Fixed(2)), p);
    }

    #[test]
    fn sums_divide_as_polynomials() {
        let (p, b) = (Dim::var(VarId(0)), Dim::var(VarId(1)));
        let grown = p.clone() + Dim::Fixed(1);
        let whole = (b.clone() + Dim::Fixed(2)) * grown.clone() * Dim::Fixed(4);
        assert_eq!(whole.exact_div(&grown), Some(b.clone() * Dim::Fixed(4) + Dim::Fixed(8)));
        assert_eq!(whole.exact_div(&(b.clone() + Dim::Fixed(2))), Some(grown.clone() * 4.into()));
        assert_eq!((whole.clone() + Dim::Fixed(1)).exact_div(&grown), None);
        assert_eq!((p.clone() * p.clone()).exact_div(&grown), None);
        assert_eq!(whole.exact_div(&Dim::Fixed(3)), None);
        assert_eq!(whole.exact_div(&Dim::Fixed(0)), None);
        assert_eq!(Dim::Fixed(0).exact_div(&grown), Some(Dim::Fixed(0)));
        assert_eq!(Dim::Fixed(0).exact_div(&Dim::Fixed(0)), None);
    }

    /// Every form of a quotient is the quotient, and forms that are equal look equal.
    #[test]
    fn quotients_have_a_normal_form() {
        let v = vars();
        let (p, b) = (Dim::var(VarId(0)), Dim::var(VarId(1)));
        let two = Dim::Fixed(2);
        assert_eq!((p.clone() + 2.into()).floor_div(&two), p.floor_div(&two) + 1.into());
        assert_eq!(-(-p.clone()).floor_div(&two), p.ceil_div(&two));
        let value = |dim: &Dim, p: i64, b: i64| {
            let at = |x: i64| Variable::chosen("", x, x);
            let (low, high) = dim.enclosure(&[at(p), at(b)]);
            assert_eq!(low, high);
            low
        };
        for (x, y, z, by) in [
            (1, 0, 0, 3),
            (-1, 0, 0, 3),
            (-4, 1, 5, 3),
            (7, -2, -1, 4),
            (3, 3, 1, 6),
            (-2, -5, 9, 7),
        ] {
            let dim = p.clone() * x.into() + b.clone() * y.into() + Dim::Fixed(z);
            let floor = dim.floor_div(&by.into());
            let rest = dim.clone() - floor.clone() * by.into();
            for (i, j) in (0..40).flat_map(|i| (1..9).map(move |j| (i, j))) {
                let want = (x * i + y * j + z).div_euclid(by);
                assert_eq!(value(&floor, i, j), want, "{} at {i}, {j}", floor.display(&v));
            }
            let (low, high) = rest.bounds(&v);
            assert!(low >= 0 && high < by, "{low}..{high} of {}", rest.display(&v));
        }
    }

    #[test]
    fn bounds_enclose() {
        let v = vars();
        let (p, b) = (Dim::var(VarId(0)), Dim::var(VarId(1)));
        assert_eq!((p.clone() * b.clone() - Dim::Fixed(3)).bounds(&v), (-3, 4093));
        assert_eq!(Dim::max(&p, &Dim::Fixed(0), &v), p);
        assert_eq!(Dim::min(&p, &Dim::Fixed(512), &v), p);
        assert_eq!(p.floor_div(&Dim::Fixed(2)).bounds(&v), (0, 256));
        assert_eq!(format!("{}", (p + b).display(&v)), "batch + past");
    }
}
