//! What is in a bundle, for reports.

use std::fmt::Write;

use nowcast::bundle::Bundle;
use serde::Serialize;

/// The directory of a bundle.
#[derive(Serialize)]
pub(crate) struct Contents {
    bytes: usize,
    content_hash: String,
    /// Names, in the order of the file.
    models: Vec<String>,
    sections: Vec<SectionReport>,
}

#[derive(Serialize)]
struct SectionReport {
    model: String,
    tag: String,
    bytes: usize,
    checksum: String,
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Contents {
    pub(crate) fn new(bundle: &Bundle<'_>) -> Self {
        let models: Vec<String> = bundle.models().map(|model| model.name().to_owned()).collect();
        let sections = bundle.sections().map(|section| SectionReport {
            model: models.get(section.model).cloned().unwrap_or_default(),
            tag: section.tag.to_string(),
            bytes: section.bytes.len(),
            checksum: format!("{:016x}", section.checksum),
        });
        Self {
            bytes: bundle.as_bytes().len(),
            content_hash: hex(&bundle.content_hash()),
            sections: sections.collect(),
            models,
        }
    }

    pub(crate) fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "Bundle: {} bytes, hash {}", self.bytes, self.content_hash)?;
        for section in &self.sections {
            let SectionReport { model, tag, bytes, checksum } = section;
            writeln!(out, "  {tag} {bytes:>9} bytes  {checksum}  {model}")?;
        }
        Ok(())
    }
}
