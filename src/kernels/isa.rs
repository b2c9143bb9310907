//! Which instruction set a kernel is compiled for, and the proof that the CPU has it.
//!
//! Owns [`Isa`], a name, and [`Level`], a name that has been checked, with what a CPU of that name
//! has beyond it. Its invariant: a `Level` says no more than the CPU and the operating system were
//! found to support.

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

/// The tiles of AMX: registers of a kilobyte, which the operating system gives a process that asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tiles {
    /// The CPU has none, or a limit leaves them out.
    #[default]
    None,
    /// They are there for a process that asks: [`Level::ask_for_amx`].
    Offered,
    /// The operating system said no: a thread may have set a signal stack that is too small for
    /// them.
    Refused,
    /// The process may use them.
    Allowed,
}

impl Tiles {
    /// A word for it: `none`, `offered`, `refused`, `allowed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Offered => "offered",
            Self::Refused => "refused",
            Self::Allowed => "allowed",
        }
    }
}

/// The instruction set that kernels may use here: a value that only detection makes.
///
/// Beside an [`Isa`] it knows of instructions that some CPUs of that instruction set have, which a
/// few kernels use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Level {
    isa: Isa,
    avx512_bf16: bool,
    /// An instruction that sums products of four bytes: AVX-VNNI, AVX512-VNNI, or `SDOT`. One flag
    /// for all keeps a level in a register.
    dots: bool,
    tiles: Tiles,
}

impl Level {
    /// The best level of this CPU, as far as the operating system saves its registers.
    ///
    /// **Cost**: on x86-64 a few `CPUID` instructions, which a hypervisor may trap (tens of
    /// microseconds): ask once, at set-up. On AArch64, without `std`, nothing is asked: a level has
    /// what the build relies on.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return super::x86_64::detect();
        #[cfg(target_arch = "aarch64")]
        return super::aarch64::detect();
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        Self::scalar()
    }

    /// Every level that this CPU has, from the one of portable code to the best.
    pub fn each() -> impl Iterator<Item = Self> {
        let best = Self::detect();
        Isa::ALL.into_iter().filter(move |isa| best.has(*isa)).map(move |isa| best.at_most(isa))
    }

    /// The level that every CPU has.
    pub const fn scalar() -> Self {
        Self::plain(Isa::Scalar)
    }

    /// What an instruction set names, and nothing beyond it.
    pub(super) const fn plain(isa: Isa) -> Self {
        Self { isa, avx512_bf16: false, dots: false, tiles: Tiles::None }
    }

    /// AVX2, and these instructions beyond it.
    #[cfg(target_arch = "x86_64")]
    pub(super) const fn avx2(avx_vnni: bool) -> Self {
        Self { dots: avx_vnni, ..Self::plain(Isa::Avx2) }
    }

    /// AVX-512, and these instructions beyond it.
    #[cfg(target_arch = "x86_64")]
    pub(super) const fn avx512(avx512_bf16: bool, avx512_vnni: bool, tiles: Tiles) -> Self {
        Self { isa: Isa::Avx512, avx512_bf16, dots: avx512_vnni, tiles }
    }

    /// Advanced SIMD, and these instructions beyond it.
    #[cfg(target_arch = "aarch64")]
    pub(super) const fn neon(neon_dotprod: bool) -> Self {
        Self { dots: neon_dotprod, ..Self::plain(Isa::Neon) }
    }

    /// This level, lowered to `limit` if `limit` is not above it: the very instruction set, without
    /// instructions beyond it. It never raises: a limit above leaves the level as it is, and a
    /// limit of another architecture gives scalar.
    pub const fn at_most(self, limit: Isa) -> Self {
        if limit.is_within(self.isa) {
            Self::plain(limit)
        } else if self.isa.is_within(limit) {
            self
        } else {
            Self::scalar()
        }
    }

    /// This level without AMX, for processes that do not want to ask for its tiles: signal frames
    /// grow by eight kilobytes, and signal stacks too small for that are refused from then on.
    #[must_use]
    pub const fn without_amx(self) -> Self {
        Self { tiles: Tiles::None, ..self }
    }

    /// Asks the operating system for the tiles of AMX where the CPU offers them, on behalf of the
    /// process. A session does it when its program has steps that use them.
    ///
    /// **Cost**: one system call, where they are offered: for set-up.
    #[must_use]
    pub fn ask_for_amx(self) -> Self {
        match self.tiles {
            #[cfg(target_arch = "x86_64")]
            Tiles::Offered => Self { tiles: super::x86_64::amx::ask(), ..self },
            _ => self,
        }
    }

    /// The instruction set that it proves.
    pub const fn isa(self) -> Isa {
        self.isa
    }

    /// Whether code for `isa` may run.
    pub const fn has(self, isa: Isa) -> bool {
        isa.is_within(self.isa)
    }

    /// Whether AVX512-BF16 may be used: products of pairs of bf16.
    pub const fn has_avx512_bf16(self) -> bool {
        self.avx512_bf16
    }

    /// Whether AVX-VNNI may be used without AVX-512: sums of products of four bytes, on 256 bits.
    pub const fn has_avx_vnni(self) -> bool {
        self.dots && matches!(self.isa, Isa::Avx2)
    }

    /// Whether AVX512-VNNI may be used: sums of products of four bytes.
    pub const fn has_avx512_vnni(self) -> bool {
        self.dots && matches!(self.isa, Isa::Avx512)
    }

    /// Whether `SDOT` of AArch64 may be used: sums of products of four bytes.
    pub const fn has_neon_dotprod(self) -> bool {
        self.dots && matches!(self.isa, Isa::Neon)
    }

    /// Whether the tiles of AMX may be used, with products of pairs of bf16.
    pub const fn tiles(self) -> Tiles {
        self.tiles
    }
}

/// Pays beforehand what the first use of registers costs a thread: the tiles of AMX, where the
/// process has asked for them.
///
/// **Cost**: one system call on x86-64 under Linux.
pub(crate) fn prepare_thread() {
    #[cfg(target_arch = "x86_64")]
    super::x86_64::amx::touch();
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
        let [avx2, avx512] = [Isa::Avx2, Isa::Avx512].map(Level::plain);
        assert_eq!(avx512.at_most(Isa::Avx2), avx2);
        assert_eq!(avx2.at_most(Isa::Avx512), avx2);
        assert_eq!(avx512.at_most(Isa::Neon), Level::scalar());
        #[cfg(target_arch = "x86_64")]
        {
            let more = Level::avx512(true, true, Tiles::Allowed);
            assert_eq!(more.at_most(Isa::Avx512), avx512);
            assert_eq!(more.without_amx(), Level::avx512(true, true, Tiles::None));
            assert_eq!(Level::avx2(true).at_most(Isa::Avx2), avx2);
            assert_eq!(Level::avx2(true).at_most(Isa::Avx512), Level::avx2(true));
        }
        #[cfg(target_arch = "aarch64")]
        assert_eq!(Level::neon(true).at_most(Isa::Neon), Level::plain(Isa::Neon));
    }

    #[test]
    fn a_level_fits_a_register() {
        assert_eq!(size_of::<Level>(), 4);
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
        let bf16 = avx512 && std::is_x86_feature_detected!("avx512bf16");
        assert_eq!(Level::detect().has_avx512_bf16(), bf16);
        let vnni = avx512 && std::is_x86_feature_detected!("avx512vnni");
        assert_eq!(Level::detect().has_avx512_vnni(), vnni);
        let vnni = avx2 && !avx512 && std::is_x86_feature_detected!("avxvnni");
        assert_eq!(Level::detect().has_avx_vnni(), vnni);
    }
}
