//! What is in the example's ELF file, as the host's binutils tell it.

use std::path::Path;

use crate::context::{Context, Failure, Outcome, output};

/// Sections of an image, in bytes, and its symbols.
pub(crate) struct Image {
    /// All that lies in flash: vectors, code, constants, initial values.
    pub(crate) flash: u64,
    symbols: Vec<String>,
}

/// Parts of names that an allocator has, from Rust or from C.
const ALLOCATOR: &[&str] =
    &["__rust_alloc", "__rust_realloc", "__rg_alloc", "__rdl_alloc", "__rust_no_alloc_shim"];
/// Whole names of it in C.
const C_ALLOCATOR: &[&str] =
    &["malloc", "calloc", "realloc", "free", "sbrk", "_sbrk", "aligned_alloc"];

impl Image {
    pub(crate) fn read(context: &Context, program: &Path) -> Outcome<Self> {
        let sentence = "the image cannot be read: install binutils";
        let sections = output(context.command("size").args(["-A", "-d"]).arg(program), sentence)?;
        let symbols = output(context.command("nm").arg(program), sentence)?;
        Self::parse(&sections, &symbols)
    }

    fn parse(sections: &str, symbols: &str) -> Outcome<Self> {
        let size = |name: &str| {
            let line = sections.lines().find(|line| line.split_whitespace().next() == Some(name));
            let size = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
            size.ok_or_else(|| Failure::new(format!("the image has no section {name}")))
        };
        let flash = size(".vector_table")? + size(".text")? + size(".rodata")? + size(".data")?;
        let symbols: Vec<String> = symbols
            .lines()
            .filter_map(|line| line.split_whitespace().next_back().map(str::to_owned))
            .collect();
        // An image that was stripped would prove nothing.
        if !symbols.iter().any(|name| name == "main") {
            return Err(Failure::new("the image has no symbols"));
        }
        Ok(Self { flash, symbols })
    }

    pub(crate) fn symbols_len(&self) -> usize {
        self.symbols.len()
    }

    /// Fails on a symbol of an allocator.
    pub(crate) fn check_no_allocator(&self) -> Outcome {
        let allocator = self.symbols.iter().find(|name| {
            ALLOCATOR.iter().any(|part| name.contains(part)) || C_ALLOCATOR.contains(&name.as_str())
        });
        match allocator {
            Some(name) => Err(Failure::new(format!("the image has an allocator: {name}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTIONS: &str = "x:\nsection size addr\n.vector_table 1024 0\n.text 100 1024\n\
                            .rodata 20 1124\n.data 3 536870912\n.bss 7 536870912";

    #[test]
    fn flash_is_counted_and_an_allocator_found() {
        let image = |symbols: &str| Image::parse(SECTIONS, symbols);
        let clean = image("00000400 T main\n00000500 t _ZN4core3fmt5write17h0E\n");
        let clean = clean.unwrap_or_else(|Failure(sentence)| panic!("{sentence}"));
        assert_eq!(clean.flash, 1147);
        assert!(clean.check_no_allocator().is_ok());
        for name in ["_RNvCs1_7___rustc12___rust_alloc", "malloc", "_sbrk"] {
            let with = image(&format!("00000400 T main\n00000500 T {name}\n"));
            assert!(with.is_ok_and(|image| image.check_no_allocator().is_err()), "{name}");
        }
        assert!(image("").is_err());
    }
}
