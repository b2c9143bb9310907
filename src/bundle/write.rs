//! Writes bundles.
//!
//! Owns the order of bytes. The same sections give the same file on every host: nothing of the
//! time, the machine or a path goes into it.

use twox_hash::{XxHash3_64, XxHash3_128};

use super::{
    ALIGNMENT, HASHED_FROM, HEADER_BYTES, MAGIC, MAX_MODELS, MODEL_BYTES, SECTION_BYTES, Tag,
    VERSION,
};
use crate::runtime::Program;

/// A bundle that is being put together.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    models: Vec<String>,
    sections: Vec<(Tag, usize, Vec<u8>)>,
}

/// A model that is being put together.
#[derive(Debug)]
pub struct ModelWriter<'w> {
    writer: &'w mut Writer,
    index: usize,
}

impl Writer {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more model, which gets the sections that are added to what this returns.
    ///
    /// **Errors**: a name that is empty or taken; more than 256 models.
    pub fn model(&mut self, name: &str) -> Result<ModelWriter<'_>, String> {
        if name.is_empty() {
            return Err("a model in a bundle needs a name".to_owned());
        }
        if self.models.iter().any(|model| model == name) {
            return Err(format!("two models are called {name:?}: give one another name"));
        }
        if self.models.len() == MAX_MODELS {
            return Err(format!("a bundle holds at most {MAX_MODELS} models"));
        }
        self.models.push(name.to_owned());
        let index = self.models.len() - 1;
        Ok(ModelWriter { writer: self, index })
    }

    /// The bundle's bytes.
    ///
    /// **Errors**: no model.
    pub fn finish(&self) -> Result<Vec<u8>, String> {
        if self.models.is_empty() {
            return Err("a bundle needs a model".to_owned());
        }
        let names_at =
            HEADER_BYTES + self.sections.len() * SECTION_BYTES + self.models.len() * MODEL_BYTES;
        let names: usize = self.models.iter().map(|name| name.len() + 1).sum();
        let directory_end = (names_at + names).next_multiple_of(ALIGNMENT);
        let mut file = vec![0; directory_end];

        for (i, (tag, model, contents)) in self.sections.iter().enumerate() {
            let place = file.len();
            file.extend_from_slice(contents);
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            let checksum = XxHash3_64::oneshot(&file[place..]);
            let entry = &mut file[HEADER_BYTES + i * SECTION_BYTES..][..SECTION_BYTES];
            entry[..4].copy_from_slice(&tag.0);
            entry[4..8].copy_from_slice(&(*model as u32).to_le_bytes());
            entry[8..16].copy_from_slice(&(place as u64).to_le_bytes());
            entry[16..24].copy_from_slice(&(contents.len() as u64).to_le_bytes());
            entry[24..32].copy_from_slice(&checksum.to_le_bytes());
        }
        let (mut at, mut name_at) = (HEADER_BYTES + self.sections.len() * SECTION_BYTES, names_at);
        for name in &self.models {
            file[at..at + 4].copy_from_slice(&(name_at as u32).to_le_bytes());
            file[at + 4..at + 8].copy_from_slice(&(name.len() as u32).to_le_bytes());
            file[name_at..name_at + name.len()].copy_from_slice(name.as_bytes());
            at += MODEL_BYTES;
            name_at += name.len() + 1;
        }
        let length = file.len() as u64;
        file[..8].copy_from_slice(MAGIC);
        file[24..28].copy_from_slice(&VERSION.to_le_bytes());
        file[28..32].copy_from_slice(&(self.sections.len() as u32).to_le_bytes());
        file[32..36].copy_from_slice(&(self.models.len() as u32).to_le_bytes());
        file[40..48].copy_from_slice(&length.to_le_bytes());
        file[48..56].copy_from_slice(&(directory_end as u64).to_le_bytes());
        let hash = XxHash3_128::oneshot(&file[HASHED_FROM..directory_end]);
        file[8..24].copy_from_slice(&hash.to_le_bytes());
        Ok(file)
    }
}

impl ModelWriter<'_> {
    /// Adds a section.
    pub fn section(&mut self, tag: Tag, contents: &[u8]) -> &mut Self {
        self.writer.sections.push((tag, self.index, contents.to_vec()));
        self
    }

    /// Adds the program.
    pub fn program(&mut self, program: &Program<'_>) -> &mut Self {
        let bytes: Vec<u8> = program.words().iter().flat_map(|word| word.to_le_bytes()).collect();
        self.section(Tag::PROGRAM, &bytes)
    }

    /// Adds what is known of the model, as JSON.
    pub fn metadata(&mut self, json: &str) -> &mut Self {
        self.section(Tag::METADATA, json.as_bytes())
    }
}
