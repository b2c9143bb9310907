//! Which instruction set a kernel is compiled for, and the proof that the CPU has it.
//!
//! Owns [`Isa`], a name, and [`Level`], a name that has been checked. Its invariant: a `Level`
//! says no more than the CPU and the operating system were found to support.

/// An instruction set that kernels are compiled for.
///
/// The numbers are reported by name and in the C header: they are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Isa {
    /// Portable Rust, one element at a time.
    Scalar = 0,
    /// x86-64 with AVX2 and FMA, eight floats at a time.
    Avx2 = 1,
    /// x86-64 with AVX-512 F, BW, VL and DQ, sixteen floats at a time.
    Avx512 = 2,
    /// AArch64 Advanced SIMD, four floats at a time.
    Neon = 3,
}

impl Isa {
    /// Every instruction set, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon];

    /// Its short name, as it ends the name of a kernel: `scalar`, `avx2`, `avx512`, `neon`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether code for `self` runs wherever code for `other` does.
    pub const fn is_within(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Scalar, _)
                | (Self::Avx2, Self::Avx2 | Self::Avx512)
                | (Self::Avx512, Self::Avx512)
                | (Self::Neon, Self::Neon)
        )
    }
}

impl core::fmt::Display for Isa {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// The instruction set that kernels may use here: a value that only detection makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level(Isa);

impl Level {
    /// The best level of this CPU, as far as the operating system saves its registers.
    ///
    /// **Cost**: on x86-64 a few `CPUID` instructions, which a hypervisor may trap (tens of
    /// microseconds): ask once, at set-up.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self(super::x86_64::detect());
        #[cfg(target_arch = "aarch64")]
        return Self(Isa::Neon);
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Self(Isa::Scalar)
    }

    /// The level that every CPU has.
    pub const fn scalar() -> Self {
        Self(Isa::Scalar)
    }

    /// This level, lowered to `limit` if `limit` is below it. It never raises: a limit above
    /// leaves the level as it is, and a limit of another architecture gives scalar.
    pub const fn at_most(self, limit: Isa) -> Self {
        if limit.is_within(self.0) {
            Self(limit)
        } else if self.0.is_within(limit) {
            self
        } else {
            Self(Isa::Scalar)
        }
    }

    /// The instruction set that it proves.
    pub const fn isa(self) -> Isa {
        self.0
    }

    /// Whether code for `isa` may run.
    pub const fn has(self, isa: Isa) -> bool {
        isa.is_within(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_never_raise() {
        for isa in Isa::ALL {
            assert_eq!(Level::scalar().at_most(isa), Level::scalar());
            let limited = Level::detect().at_most(isa);
            assert!(limited.isa().is_within(Level::detect().isa()));
            assert!(limited.isa().is_within(isa));
        }
        assert_eq!(Level(Isa::Avx512).at_most(Isa::Avx2), Level(Isa::Avx2));
        assert_eq!(Level(Isa::Avx2).at_most(Isa::Avx512), Level(Isa::Avx2));
        assert_eq!(Level(Isa::Avx512).at_most(Isa::Neon), Level(Isa::Scalar));
    }

    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    #[test]
    fn agrees_with_the_standard_library() {
        let avx2 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma");
        let avx512 = avx2
            && std::is_x86_feature_detected!("avx512f")
            && std::is_x86_feature_detected!("avx512bw")
            && std::is_x86_feature_detected!("avx512vl")
            && std::is_x86_feature_detected!("avx512dq");
        assert_eq!(Level::detect().has(Isa::Avx2), avx2);
        assert_eq!(Level::detect().has(Isa::Avx512), avx512);
    }
}
