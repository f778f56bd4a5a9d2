//! Password hashing, which blocks a core for tens of milliseconds, on threads of its own.

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};

/// Hashes and checks passwords. One hash a core at once; a full queue is the caller's to bound.
#[derive(Debug)]
pub struct Hasher {
    argon: Argon2<'static>,
}

/// Asks for the hash of a password.
#[derive(Debug, Message)]
#[rtype(result = "Result<String, HashError>")]
pub struct Hash(pub String);

/// Asks whether a password fits a hash.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct Verify {
    /// What was typed.
    pub password: String,
    /// What is stored (PHC string).
    pub hash: String,
}

/// The password could not be hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be hashed; nothing was stored")]
pub struct HashError;

impl Hasher {
    /// Starts one thread for each core.
    ///
    /// # Errors
    /// When the parameters are not accepted by the library.
    pub fn start(threads: usize) -> Result<Addr<Self>, HashError> {
        // argon2id, 19 MiB, two passes (SECURITY-BAR 2).
        let params = Params::new(19_456, 2, 1, None).map_err(|_| HashError)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(SyncArbiter::start(threads, move || Self { argon: argon.clone() }))
    }
}

impl Actor for Hasher {
    type Context = SyncContext<Self>;
}

impl Handler<Hash> for Hasher {
    type Result = Result<String, HashError>;

    fn handle(&mut self, msg: Hash, _: &mut Self::Context) -> Self::Result {
        self.argon.hash_password(msg.0.as_bytes()).map(|hash| hash.to_string()).map_err(|_| HashError)
    }
}

impl Handler<Verify> for Hasher {
    type Result = bool;

    fn handle(&mut self, msg: Verify, _: &mut Self::Context) -> bool {
        argon2::PasswordHash::new(&msg.hash)
            .is_ok_and(|hash| self.argon.verify_password(msg.password.as_bytes(), &hash).is_ok())
    }
}
