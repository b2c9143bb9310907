//! The parameters of a step as words.
//!
//! A record is a struct whose fields are written one behind the other as `u32` words when a model
//! is compiled, and read back in the same order when a step runs. [`record!`](crate::record)
//! makes both from one definition, so that they cannot differ.

use arrayvec::ArrayVec;

/// Largest rank a kernel sees, after axes that lie behind one another have been joined.
pub(crate) const MAX_RANK: usize = 8;

/// A number known at compile time, or a reference to the dimension table.
///
/// Bit 31 says which; a number has 31 bits with sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent(pub(crate) u32);

impl Extent {
    pub(crate) const TABLE: u32 = 1 << 31;

    /// The number as a word, if it fits.
    #[cfg(feature = "std")]
    pub(crate) const fn immediate(n: i64) -> Option<Self> {
        if n >= -(1 << 30) && n < (1 << 30) { Some(Self(n as u32 & !Self::TABLE)) } else { None }
    }

    /// Its value under these dimensions; an index outside the table gives zero.
    #[inline(always)]
    pub(crate) fn value(self, dims: &[i64]) -> i64 {
        if self.0 & Self::TABLE == 0 {
            i64::from(((self.0 << 1) as i32) >> 1)
        } else {
            dims.get((self.0 & !Self::TABLE) as usize).copied().unwrap_or(0)
        }
    }
}

/// Extents or strides, one an axis.
pub(crate) type Extents = ArrayVec<Extent, MAX_RANK>;

/// How a step uses an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads; overlaps no operand that is written.
    Read,
    /// Writes; overlaps no other operand.
    Write,
    /// Reads, and may be the very same elements as one that is written.
    ReadShared,
    /// Reads all of it before anything is written.
    ReadHeld,
    /// Writes, and may be the very same elements as one that is read.
    WriteShared,
    /// Working memory: contents do not outlive the step.
    Scratch,
}

/// The number of a buffer in a record.
pub(crate) trait Operand {
    fn buffer(&self) -> u32;
}

macro_rules! operand {
    ($($(#[$doc:meta])* $name:ident => $access:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) u32);
        impl Operand for $name {
            fn buffer(&self) -> u32 { self.0 }
        }
        impl Field for $name {
            #[inline(always)]
            fn take(words: &mut Words<'_>) -> Self { Self(words.next()) }
            #[cfg(feature = "std")]
            fn put(&self, out: &mut Vec<u32>) { out.push(self.0); }
            fn operands(&self, visit: &mut dyn FnMut(u32, Access)) {
                visit(self.0, Access::$access);
            }
        }
    )*};
}

operand! {
    /// An operand that is only read.
    In => Read,
    /// An operand that is only written; it cannot be copied, so that it is borrowed once.
    Out => Write,
    /// An operand read through cells.
    SharedIn => ReadShared,
    /// An operand read through cells before anything is written.
    HeldIn => ReadHeld,
    /// An operand written through cells.
    SharedOut => WriteShared,
    /// Working memory.
    Scratch => Scratch,
}

/// Words that are being read. Reading past the end gives zeros.
pub(crate) struct Words<'w>(pub(crate) &'w [u32]);

impl Words<'_> {
    #[inline(always)]
    pub(crate) fn next(&mut self) -> u32 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }
}

/// A part of a record.
pub(crate) trait Field: Sized {
    /// Reads it.
    fn take(words: &mut Words<'_>) -> Self;
    /// What is read where there is nothing: zeros, and lists without elements.
    #[inline(always)]
    fn empty() -> Self {
        Self::take(&mut Words(&[]))
    }
    /// Reads it to where it lies. What is returned may be copied, and a list is large.
    #[inline(always)]
    fn read(&mut self, words: &mut Words<'_>) {
        *self = Self::take(words);
    }
    /// Writes it.
    #[cfg(feature = "std")]
    fn put(&self, out: &mut Vec<u32>);
    /// Shows the operands in it.
    fn operands(&self, _visit: &mut dyn FnMut(u32, Access)) {}
}

macro_rules! word {
    ($($ty:ty: $w:ident => $from:expr, $v:ident => $to:expr;)*) => {$(
        impl Field for $ty {
            #[inline(always)]
            fn take(words: &mut Words<'_>) -> Self { let $w = words.next(); $from }
            #[cfg(feature = "std")]
            fn put(&self, out: &mut Vec<u32>) { let $v = *self; out.push($to); }
        }
    )*};
}

word! {
    u32: w => w, v => v;
    i32: w => w as i32, v => v as u32;
    f32: w => f32::from_bits(w), v => v.to_bits();
    bool: w => w != 0, v => u32::from(v);
    Extent: w => Self(w), v => v.0;
}

impl Field for f64 {
    #[inline(always)]
    fn take(words: &mut Words<'_>) -> Self {
        let low = u64::from(words.next());
        Self::from_bits(low | u64::from(words.next()) << 32)
    }
    #[cfg(feature = "std")]
    fn put(&self, out: &mut Vec<u32>) {
        out.extend([self.to_bits() as u32, (self.to_bits() >> 32) as u32]);
    }
}

/// An operand that may be left out.
impl<T: Field> Field for Option<T> {
    #[inline(always)]
    fn take(words: &mut Words<'_>) -> Self {
        (words.next() != 0).then(|| T::take(words))
    }
    #[cfg(feature = "std")]
    fn put(&self, out: &mut Vec<u32>) {
        out.push(u32::from(self.is_some()));
        if let Some(field) = self {
            field.put(out);
        }
    }
    fn operands(&self, visit: &mut dyn FnMut(u32, Access)) {
        if let Some(field) = self {
            field.operands(visit);
        }
    }
}

impl<T: Field, const N: usize> Field for ArrayVec<T, N> {
    #[inline(always)]
    fn take(words: &mut Words<'_>) -> Self {
        let mut fields = Self::new();
        fields.read(words);
        fields
    }
    #[inline(always)]
    fn empty() -> Self {
        Self::new()
    }
    #[inline(always)]
    fn read(&mut self, words: &mut Words<'_>) {
        self.clear();
        // In place: what `collect` returns is copied.
        for _ in 0..(words.next() as usize).min(N) {
            self.push(T::take(words));
        }
    }
    #[cfg(feature = "std")]
    fn put(&self, out: &mut Vec<u32>) {
        out.push(self.len() as u32);
        self.iter().for_each(|field| field.put(out));
    }
    fn operands(&self, visit: &mut dyn FnMut(u32, Access)) {
        self.iter().for_each(|field| field.operands(visit));
    }
}

impl<T: Field, const N: usize> Field for [T; N] {
    #[inline(always)]
    fn take(words: &mut Words<'_>) -> Self {
        core::array::from_fn(|_| T::take(words))
    }
    #[cfg(feature = "std")]
    fn put(&self, out: &mut Vec<u32>) {
        self.iter().for_each(|field| field.put(out));
    }
    fn operands(&self, visit: &mut dyn FnMut(u32, Access)) {
        self.iter().for_each(|field| field.operands(visit));
    }
}

/// A field that is an enum without data, with pinned numbers; an unknown number reads as the
/// first variant.
#[macro_export]
#[doc(hidden)]
macro_rules! word_enum {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$vdoc:meta])* $variant:ident = $n:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $vis enum $name { $($(#[$vdoc])* $variant = $n,)* }
        impl $crate::runtime::record::Field for $name {
            #[inline(always)]
            fn take(words: &mut $crate::runtime::record::Words<'_>) -> Self {
                let word = words.next();
                $(if word == $n { return Self::$variant; })*
                [$(Self::$variant),*][0]
            }
            #[cfg(feature = "std")]
            fn put(&self, out: &mut Vec<u32>) { out.push(*self as u32); }
        }
    };
}

/// Defines a record: a struct that is read and written as words, field by field.
#[macro_export]
#[doc(hidden)]
macro_rules! record {
    ($(#[$doc:meta])* $vis:vis struct $name:ident {
        $($(#[$fdoc:meta])* $fvis:vis $field:ident: $ty:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq)]
        $vis struct $name { $($(#[$fdoc])* $fvis $field: $ty,)* }
        impl $crate::runtime::record::Field for $name {
            #[inline(always)]
            fn take(words: &mut $crate::runtime::record::Words<'_>) -> Self {
                Self { $($field: $crate::runtime::record::Field::take(words),)* }
            }
            #[inline(always)]
            fn empty() -> Self {
                Self { $($field: $crate::runtime::record::Field::empty(),)* }
            }
            #[inline(always)]
            fn read(&mut self, words: &mut $crate::runtime::record::Words<'_>) {
                $($crate::runtime::record::Field::read(&mut self.$field, words);)*
            }
            #[cfg(feature = "std")]
            fn put(&self, out: &mut Vec<u32>) {
                $($crate::runtime::record::Field::put(&self.$field, out);)*
            }
            fn operands(&self, visit: &mut dyn FnMut(u32, $crate::runtime::record::Access)) {
                $($crate::runtime::record::Field::operands(&self.$field, visit);)*
            }
        }
    };
}

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    record! {
        struct Sample {
            a: In,
            b: Option<In>,
            c: Out,
            n: Extent,
            shape: Extents,
            x: f64,
            flag: bool,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let extent = |n| Extent::immediate(n).unwrap();
        let record = Sample {
            a: In(3),
            b: None,
            c: Out(7),
            n: extent(-5),
            shape: [extent(2), Extent(Extent::TABLE | 1)].into_iter().collect(),
            x: -0.1,
            flag: true,
        };
        let mut words = Vec::new();
        record.put(&mut words);
        assert_eq!(Sample::take(&mut Words(&words)), record);
        let mut seen = Vec::new();
        record.operands(&mut |operand, access| seen.push((operand, access)));
        assert_eq!(seen, [(3, Access::Read), (7, Access::Write)]);
        assert_eq!(record.n.value(&[]), -5);
        assert_eq!(record.shape[1].value(&[10, 20]), 20);
        assert_eq!(Extent::immediate(1 << 30), None);
        // A damaged record still reads, as zeros.
        assert_eq!(Sample::take(&mut Words(&words[..2])).shape.len(), 0);
    }
}
