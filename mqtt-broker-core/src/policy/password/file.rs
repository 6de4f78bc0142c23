//! The file of passwords, and how it is made.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::PasswordError;

/// Of nobody, with the usual costs: for files without users.
const DECOY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdA$2gkK0HwJQ1hVZ0tCvnG2k3hXr6rYv6R5Xr8mS0pQk1E";

pub(super) struct Users {
    hashes: HashMap<Box<str>, PasswordHash>,
    decoy: Option<PasswordHash>,
}

impl Users {
    pub(super) fn parse(text: &str) -> Result<Self, PasswordError> {
        let mut hashes = HashMap::new();
        let mut decoy = None;
        for (content, line) in text.lines().zip(1..) {
            let content = content.trim_end();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (user, hash) = content.split_once(':').ok_or(PasswordError::Line { line })?;
            let wrong = || PasswordError::Hash { line, user: user.to_owned() };
            let hash = PasswordHash::new(hash).map_err(|_| wrong())?;
            if !hash.algorithm.as_str().starts_with("argon2") || hash.hash.is_none() || hash.salt.is_none() {
                return Err(wrong());
            }
            decoy.get_or_insert_with(|| hash.clone());
            if hashes.insert(Box::from(user), hash).is_some() {
                return Err(PasswordError::Twice { line, user: user.to_owned() });
            }
        }
        Ok(Self { hashes, decoy: decoy.or_else(|| PasswordHash::new(DECOY).ok()) })
    }

    #[cfg(test)]
    pub(super) fn has_decoy(&self) -> bool {
        self.decoy.is_some()
    }

    pub(super) fn contains(&self, user: &str) -> bool {
        self.hashes.contains_key(user)
    }

    /// Whether it is the user's password. Takes as long for a user who does not exist.
    pub(super) fn verify(&self, user: &str, password: &[u8]) -> bool {
        let known = self.hashes.get(user);
        let Some(hash) = known.or(self.decoy.as_ref()) else { return false };
        let fits = Argon2::default().verify_password(password, hash).is_ok();
        fits && known.is_some()
    }
}

pub(super) fn read(path: &Path) -> Result<Users, PasswordError> {
    let text =
        fs::read_to_string(path).map_err(|source| PasswordError::Io { path: path.to_owned(), source })?;
    Users::parse(&text)
}

/// Hashes a password for the file, with the costs that OWASP recommends and a random salt. It takes tens of
/// milliseconds.
///
/// # Errors
/// [`PasswordError::Unhashable`].
pub fn hash_password(password: &[u8]) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password).map_err(|_| PasswordError::Unhashable)?;
    Ok(hash.to_string())
}

/// The text of a file of passwords in which `user` has this password: in the user's line, if there is one, or else in
/// a new one. Everything else stays as it is.
///
/// ```
/// # fn main() -> Result<(), mqttkit_broker_core::PasswordError> {
/// let text = mqttkit_broker_core::set_password("# the house\n", "alice", b"secret")?;
/// assert!(text.starts_with("# the house\nalice:$argon2id$"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`PasswordError::Name`] and [`PasswordError::Unhashable`].
pub fn set_password(text: &str, user: &str, password: &[u8]) -> Result<String, PasswordError> {
    if user.is_empty() || user.starts_with('#') || user.contains([':', '\n', '\r', '\0']) {
        return Err(PasswordError::Name { user: user.to_owned() });
    }
    let entry = format!("{user}:{}\n", hash_password(password)?);
    let mut made = String::with_capacity(text.len() + entry.len());
    let mut replaced = false;
    for line in text.lines() {
        if line.split_once(':').is_some_and(|(name, _)| name == user) {
            if !replaced {
                made.push_str(&entry);
            }
            replaced = true;
        } else {
            made.push_str(line);
            made.push('\n');
        }
    }
    if !replaced {
        made.push_str(&entry);
    }
    Ok(made)
}
