//! The master key and what is derived from it. One secret file; everything else follows.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox};
use sha2::{Digest, Sha256};
use trade_actors::domain::ids::{SourceId, UserId};
use zeroize::Zeroizing;

/// The version of the master key under which secrets are sealed now.
pub const MASTER_VERSION: u32 = 1;

/// The master key: 32 random bytes in a file that only its owner can read.
#[derive(Debug)]
pub struct MasterKey(SecretBox<[u8; 32]>);

impl MasterKey {
    /// Reads the key, or makes one when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, is not 32 bytes long, or others may read it.
    pub fn load_or_create(path: &Path) -> std::io::Result<Self> {
        match OpenOptions::new().read(true).open(path) {
            Ok(mut file) => {
                refuse_if_shared(&file, path)?;
                let mut bytes = Vec::with_capacity(33);
                file.read_to_end(&mut bytes)?;
                let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| {
                    std::io::Error::other(format!(
                        "{} is not a master key: it must be 32 bytes long",
                        path.display()
                    ))
                })?;
                Ok(Self(SecretBox::new(Box::new(key))))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(error),
        }
    }

    fn create(path: &Path) -> std::io::Result<Self> {
        let mut key = Box::new([0_u8; 32]);
        key.copy_from_slice(&random_32());
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(key.as_slice())?;
        file.sync_all()?;
        Ok(Self(SecretBox::new(key)))
    }

    /// Returns a key for one purpose; knowing it tells nothing of the master key or of other purposes.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        // HMAC pads its key with zeros to the hash's block anyway.
        let mut block = Zeroizing::new([0_u8; 64]);
        for (to, from) in block.iter_mut().zip(self.0.expose_secret()) {
            *to = *from;
        }
        let mut mac = <Hmac<Sha256> as KeyInit>::new((&*block).into());
        mac.update(b"trade-executor/derive/v1\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// Returns the key that seals one person's broker credentials; `None`: there is no master key of this version.
    ///
    /// A key a person, so that one that leaks opens nothing of anybody else's.
    ///
    /// # Panics
    /// Never: the length asked for is one that HKDF gives.
    #[must_use]
    pub fn credential_key(&self, version: u32, user: UserId) -> Option<Zeroizing<[u8; 32]>> {
        if version != MASTER_VERSION {
            return None;
        }
        let user = user.uuid();
        let salt = Sha256::new().chain_update(b"user-salt/v1\0").chain_update(user.as_bytes()).finalize();
        let derived = Hkdf::<Sha256>::new(Some(&salt), self.0.expose_secret());
        let mut key = Zeroizing::new([0_u8; 32]);
        let info: [&[u8]; 3] = [b"cred/v1\0", &version.to_be_bytes(), user.as_bytes()];
        derived.expand_multi_info(&info, &mut *key).expect("HKDF gives 32 bytes");
        Some(key)
    }

    /// Returns the secret part of a webhook URL: 256 bits, reproducible, replaced by raising `version`.
    #[must_use]
    pub fn webhook_token(&self, source: SourceId, version: u32) -> String {
        URL_SAFE_NO_PAD.encode(self.derive(&format!("webhook/{source}/{version}")))
    }
}

#[cfg(unix)]
fn refuse_if_shared(file: &std::fs::File, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    if file.metadata()?.mode() & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(std::io::Error::other(format!("others may read {path}; nothing was started; run: chmod 600 {path}")))
}

#[cfg(not(unix))]
fn refuse_if_shared(_: &std::fs::File, _: &Path) -> std::io::Result<()> {
    Ok(())
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
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let first = MasterKey::load_or_create(&path).unwrap().derive("x");
        assert_eq!(MasterKey::load_or_create(&path).unwrap().derive("x"), first);
        assert_ne!(MasterKey::load_or_create(&path).unwrap().derive("y"), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(MasterKey::load_or_create(&path).unwrap_err().to_string().contains("chmod 600"));
        }
    }
}
