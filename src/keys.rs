//! The master key in its versions, and what is derived from it. A few secret files; everything else follows.
//!
//! Two things follow from it, and a rotation changes one of them:
//!
//! - **Broker credentials** are sealed under the newest version. The two before it still open what was sealed under
//!   them, until nothing needs them and [`schedule::KEEP_DAYS`] days have passed since the next one was made.
//! - **Everything else** ([`MasterKey::derive`]: webhook addresses, the owner's API token, CSRF tokens, the marks that tell
//!   accounts apart, the signature of the log) follows from the first version, for ever. That one is the root: what
//!   people pasted elsewhere, and what was signed, must outlive a rotation. So its file stays even when, as a version,
//!   it is dropped.

mod files;
pub mod schedule;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
use trade_actors::domain::ids::{SourceId, UserId};
use zeroize::Zeroizing;

use files::Held;
use schedule::Version;

/// The number of the version that is the root of everything but credentials.
pub const FIRST_VERSION: u32 = 1;

/// Why there is no key to a row of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// Its version of the master key is not here: dropped, lost, or never known.
    #[error("version {0} of the master key, which is not here")]
    Absent(u32),
    /// Its version is here, but too many came after it.
    #[error("version {0} of the master key, which is no longer read, as more than two came after it")]
    TooOld(u32),
}

/// The master key: in each version 32 random bytes, in a file that only its owner can read.
#[derive(Debug)]
pub struct MasterKey {
    path: PathBuf,
    /// The first version, kept apart: it stays when it no longer opens credentials.
    root: SecretBox<[u8; 32]>,
    versions: RwLock<BTreeMap<u32, Held>>,
}

impl MasterKey {
    /// Reads the key in all its versions, or makes the first when there is none.
    ///
    /// The first is in the file at `path`, later ones beside it: `master.key`, `master.key.2`, `master.key.3`.
    ///
    /// # Errors
    /// When a file cannot be read or written, is not a master key, or others may read it.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        let root = files::read_or_make_first(path)?;
        let mut versions = files::read_later(path)?;
        let first = SecretBox::new(Box::new(*root.key.expose_secret()));
        if !files::is_first_dropped(path) {
            versions.insert(FIRST_VERSION, root);
        }
        Ok(Self { path: path.to_owned(), root: first, versions: RwLock::new(versions) })
    }

    /// Returns the versions, oldest first.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        self.held().iter().map(|(number, held)| Version { number: *number, made: held.made }).collect()
    }

    /// Returns the number of the version under which credentials are sealed now.
    #[must_use]
    pub fn newest(&self) -> u32 {
        self.held().last_key_value().map_or(FIRST_VERSION, |(number, _)| *number)
    }

    /// Returns whether the newest version is older than a year.
    #[must_use]
    pub fn is_old(&self, now: DateTime<Utc>) -> bool {
        self.versions().last().is_some_and(|newest| schedule::is_old(*newest, now))
    }

    /// Returns the file of a version.
    #[must_use]
    pub fn file(&self, version: u32) -> PathBuf {
        files::path_of(&self.path, version)
    }

    /// Makes a version; what is sealed from now on is sealed under it. On return it survives a power cut.
    ///
    /// Only one process may do this at a time: the one that holds the data directory.
    ///
    /// # Errors
    /// When its file is there already or cannot be written; then the versions are what they were.
    pub fn make(&self, number: u32, now: DateTime<Utc>) -> io::Result<Version> {
        if number <= self.newest() {
            return Err(io::Error::other(format!("there is a version {} already", self.newest())));
        }
        let held = files::make_later(&self.path, number, now)?;
        let made = held.made;
        self.versions.write().unwrap_or_else(PoisonError::into_inner).insert(number, held);
        Ok(Version { number, made })
    }

    /// Drops a version for good: nothing that was sealed under it opens any more. The newest is never dropped.
    ///
    /// # Errors
    /// When it is the newest, or its file cannot be removed; then it may come back at the next start.
    pub fn drop_version(&self, number: u32) -> io::Result<()> {
        if number == self.newest() {
            return Err(io::Error::other("the newest version cannot be dropped"));
        }
        files::remove(&self.path, number)?;
        self.versions.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
        Ok(())
    }

    fn held(&self) -> RwLockReadGuard<'_, BTreeMap<u32, Held>> {
        self.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a key for one purpose; knowing it tells nothing of the master key or of other purposes.
    ///
    /// It follows from the first version, so that it is the same after every rotation.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        // HMAC pads its key with zeros to the hash's block anyway.
        let mut block = Zeroizing::new([0_u8; 64]);
        for (to, from) in block.iter_mut().zip(self.root.expose_secret()) {
            *to = *from;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
        mac.update(b"trade-executor/derive/v1\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Returns the key that seals one person's broker credentials under a version of the master key.
    ///
    /// A key a person, so that one that leaks opens nothing of anybody else's.
    ///
    /// # Errors
    /// When the version is not here, or is not one of the newest three.
    ///
    /// # Panics
    /// Never: the length asked for is one that HKDF gives.
    pub fn credential_key(&self, version: u32, user: UserId) -> Result<Zeroizing<[u8; 32]>, NoKey> {
        let versions = self.held();
        let held = versions.get(&version).ok_or(NoKey::Absent(version))?;
        if !schedule::are_read(versions.keys().copied()).contains(&version) {
            return Err(NoKey::TooOld(version));
        }
        let user = user.uuid();
        let salt = Sha256::new().chain_update(b"user-salt/v1\0").chain_update(user.as_bytes()).finalize();
        let derived = Hkdf::<Sha256>::new(Some(&salt), held.key.expose_secret());
        let mut key = Zeroizing::new([0_u8; 32]);
        let info: [&[u8]; 3] = [b"cred/v1\0", &version.to_be_bytes(), user.as_bytes()];
        derived.expand_multi_info(&info, &mut *key).expect("HKDF gives 32 bytes");
        Ok(key)
    }

    /// Returns the secret part of a webhook URL: 256 bits, reproducible, replaced by raising `version`.
    #[must_use]
    pub fn webhook_token(&self, source: SourceId, version: u32) -> String {
        URL_SAFE_NO_PAD.encode(self.derive(&format!("webhook/{source}/{version}")))
    }
}

/// Returns 256 random bits of the operating system.
#[must_use]
pub fn random_32() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Without randomness no secret can be made, and nothing here would be safe.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Returns a number for one use with AES-GCM.
#[must_use]
pub fn random_nonce() -> [u8; 12] {
    let mut bytes = [0; 12];
    // The same number twice under one key would open both messages.
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Returns a fresh 256-bit secret as text for URLs, cookies and tokens.
#[must_use]
pub fn random_token() -> String {
    URL_SAFE_NO_PAD.encode(random_32())
}

/// Returns the SHA-256 of a token in hexadecimal: what is stored in its place.
#[must_use]
pub fn token_hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write as _;
        if write!(text, "{byte:02x}").is_err() {
            text.clear();
        }
        text
    })
}

#[cfg(test)]
mod tests;
