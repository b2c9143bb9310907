//! The files of a ZIP archive as NumPy writes them: stored or deflated, in one volume.
//!
//! **Source**: PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", 6.3.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

/// The most bytes of all files: 4 GiB.
const MAX_BYTES: u64 = 1 << 32;
const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const LONGEST_COMMENT: usize = u16::MAX as usize;

/// Names and bytes of the files in an archive.
pub(super) fn files(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let end = end_of_directory(archive)
        .ok_or("no NPZ archive: save it with numpy.savez or numpy.savez_compressed")?;
    let count = number::<2>(archive, end + 10).unwrap_or(0);
    let mut at = number::<4>(archive, end + 16).unwrap_or(0) as usize;
    let (mut files, mut left) = (Vec::new(), MAX_BYTES);
    for _ in 0..count {
        let (file, len) = entry(archive, at, &mut left)
            .map_err(|what| format!("the archive {what}: save it again"))?;
        files.push(file);
        at += len;
    }
    Ok(files)
}

fn end_of_directory(archive: &[u8]) -> Option<usize> {
    let last = archive.len().checked_sub(END_BYTES)?;
    let first = last.saturating_sub(LONGEST_COMMENT);
    (first..=last).rev().find(|at| archive[*at..].starts_with(END))
}

/// The little-endian number of so many bytes at a place.
fn number<const N: usize>(archive: &[u8], at: usize) -> Option<u64> {
    let bytes = archive.get(at..at.checked_add(N)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

type Entry = ((String, Vec<u8>), usize);

/// The file of an entry of the directory, and the length of the entry.
fn entry(archive: &[u8], at: usize, left: &mut u64) -> Result<Entry, &'static str> {
    let short = "ends early";
    if !archive.get(at..).is_some_and(|entry| entry.starts_with(b"PK\x01\x02")) {
        return Err(short);
    }
    let field = |offset| number::<2>(archive, at + offset).map(|n| n as usize).ok_or(short);
    let (method, name_len) = (field(10)?, field(28)?);
    let len = 46 + name_len + field(30)? + field(32)?;
    let name = archive.get(at + 46..at + 46 + name_len).ok_or(short)?;
    let name = String::from_utf8_lossy(name).into_owned();
    let mut sizes = [24, 20, 42].map(|offset| number::<4>(archive, at + offset).unwrap_or(0));
    let extra = archive.get(at + 46 + name_len..at + 46 + name_len + field(30)?).ok_or(short)?;
    wide_sizes(extra, &mut sizes);
    let [whole, stored, local] = sizes;
    *left = left.checked_sub(whole).ok_or("has more than 4 GiB")?;
    let local = usize::try_from(local).map_err(|_| short)?;
    let lengths =
        |offset: usize| number::<2>(archive, local.checked_add(offset)?).map(|n| n as usize);
    let start = local + 30 + lengths(26).ok_or(short)? + lengths(28).ok_or(short)?;
    let end = usize::try_from(stored).ok().and_then(|stored| start.checked_add(stored));
    let data = end.and_then(|end| archive.get(start..end)).ok_or(short)?;
    let bytes = match method {
        0 => data.to_vec(),
        8 => {
            decompress_to_vec_with_limit(data, whole as usize).map_err(|_| "does not decompress")?
        }
        _ => return Err("is compressed in another way than deflate"),
    };
    Ok(((name, bytes), len))
}

/// Sizes of 64 bits in the place of those that have none in 32.
fn wide_sizes(mut extra: &[u8], sizes: &mut [u64; 3]) {
    while let (Some(id), Some(len)) = (number::<2>(extra, 0), number::<2>(extra, 2)) {
        let end = 4 + len as usize;
        if id == 1 {
            let mut at = 4;
            for size in sizes.iter_mut().filter(|size| **size == u64::from(u32::MAX)) {
                if let Some(wide) = number::<8>(extra, at).filter(|_| at + 8 <= end) {
                    *size = wide;
                    at += 8;
                }
            }
        }
        extra = extra.get(end..).unwrap_or_default();
    }
}
