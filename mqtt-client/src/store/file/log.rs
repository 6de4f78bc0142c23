//! The log: a title, then records, each with its length and a checksum.
//!
//! ```text
//!   title │ length u32 │ crc32 of the rest u32 │ op … │ length …
//! ```

use super::crc::crc32;
use super::{Snapshot, StoreError};
use crate::store::StoreOp;
use bytes::{BufMut, BytesMut};

/// What the file begins with; the number is that of the format.
pub(super) const TITLE: &[u8] = b"mqttkit session 1\n";
const HEAD: usize = 8;

/// Appends the record of an op.
pub(super) fn append(op: &StoreOp, out: &mut BytesMut) -> Result<(), StoreError> {
    let start = out.len();
    out.put_bytes(0, HEAD);
    op.to_bytes(out)?;
    let body = &out[start + HEAD..];
    let length = u32::try_from(body.len()).map_err(|_| StoreError::Custom("a message of 4 GiB".into()))?;
    let crc = crc32(body);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + HEAD].copy_from_slice(&crc.to_be_bytes());
    Ok(())
}

/// Reads a log up to its end, or to the first record that is not whole. Returns how many bytes count, and what they
/// amount to.
///
/// # Errors
/// It is another file, or a record is whole and makes no sense.
pub(super) fn read(bytes: &[u8]) -> Result<(usize, Snapshot), StoreError> {
    let mut snapshot = Snapshot::new();
    if !bytes.starts_with(TITLE) {
        // A crash may have come before the title was written.
        return if TITLE.starts_with(bytes) {
            Ok((0, snapshot.with_cut(bytes.len() as u64)))
        } else {
            Err(StoreError::Corrupt("the file is no session, or one of another version".into()))
        };
    }
    let mut rest = &bytes[TITLE.len()..];
    while let Some((body, behind)) = record(rest) {
        snapshot.apply(StoreOp::from_bytes(body)?);
        rest = behind;
    }
    Ok((bytes.len() - rest.len(), snapshot.with_cut(rest.len() as u64)))
}

/// The first record's op, and what is behind it; none if it is not whole.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (body, behind) = rest.split_at_checked(length)?;
    // No op is empty: zeroes, as a file system may leave them behind the end, are no record.
    (!body.is_empty() && crc32(body) == u32::from_be_bytes(*crc)).then_some((body, behind))
}
