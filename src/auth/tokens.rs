//! API tokens: `te_` and 256 random bits; only the hash is kept.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trade_actors::domain::ids::UserId;
use trade_actors::ports::store::StoreError;

use super::{Auth, AuthError, Principal, Scope, Via};
use crate::keys::{random_token, token_hash};

/// Begins every token, so that a leaked one is recognised.
const PREFIX: &str = "te_";
/// Most tokens of one person.
const PER_USER_MAX: usize = 50;
/// The longest text that is looked at as a token.
const LENGTH_MAX: usize = 128;

/// A token just made; its secret is shown once.
#[derive(Clone)]
pub struct NewToken {
    /// Its public id.
    pub id: String,
    /// What the caller sends.
    pub secret: String,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its public id.
    pub id: String,
    /// Whose.
    pub user: UserId,
    /// Shown name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Tokens by the hash of their secret, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<BTreeMap<String, TokenInfo>>);

impl Auth {
    /// Makes a token.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub fn create_token(&self, user: UserId, name: &str, scopes: &[Scope]) -> Result<NewToken, AuthError> {
        if self.list_tokens(user)?.len() >= PER_USER_MAX {
            return Err(AuthError::TooMany(PER_USER_MAX));
        }
        let secret = format!("{PREFIX}{}", random_token());
        let id = self.keep_token(&secret, user, name, scopes)?;
        Ok(NewToken { id, secret })
    }

    /// Returns the token that a person has from the beginning; the same one after a restart.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn owner_token(&self, user: UserId) -> Result<String, AuthError> {
        let secret = self.keys.derive(&format!("owner-api-token/v1/{user}"));
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        // Once revoked it stays so: the mark outlives the row.
        let mark = format!("owner-token/{user}");
        if self.vault.get(mark.as_bytes())?.is_none() {
            self.keep_token(&secret, user, "First token", &Scope::ALL)?;
            self.vault.put(mark.as_bytes(), Some(b"made"))?;
        }
        Ok(secret)
    }

    /// Returns a person's tokens, oldest first.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn list_tokens(&self, user: UserId) -> Result<Vec<TokenInfo>, AuthError> {
        let mut tokens = Vec::new();
        for (_, hash) in self.vault.scan(owned(user, "").as_bytes())? {
            if let Some(row) = self.vault.get(&[b"token/", hash.as_slice()].concat())? {
                tokens.push(read(&row)?);
            }
        }
        tokens.sort_by(|a: &TokenInfo, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tokens)
    }

    /// Revokes a person's token, at once; returns whether there was one of this id.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn revoke_token(&self, user: UserId, id: &str) -> Result<bool, AuthError> {
        let Some(hash) = self.vault.take(owned(user, id).as_bytes())? else { return Ok(false) };
        let hash = String::from_utf8_lossy(&hash).into_owned();
        // The row goes before its copy, so that nobody can read it back into the copies.
        self.vault.take(format!("token/{hash}").as_bytes())?;
        self.tokens.0.write().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        self.revoke_seen();
        Ok(true)
    }

    /// Returns who sends this token.
    #[must_use]
    pub fn bearer(&self, secret: &str) -> Option<Principal> {
        if !secret.starts_with(PREFIX) || secret.len() > LENGTH_MAX {
            return None;
        }
        let hash = token_hash(secret);
        let known = self.tokens.0.read().unwrap_or_else(PoisonError::into_inner).get(&hash).map(principal);
        known.or_else(|| self.recall_token(&hash))
    }

    pub(super) fn token_exists(&self, user: UserId, id: &str) -> bool {
        matches!(self.vault.get(owned(user, id).as_bytes()), Ok(Some(_)))
    }

    fn recall_token(&self, hash: &str) -> Option<Principal> {
        // Under the lock, so that a revocation cannot come between reading the row and keeping its copy.
        let mut known = self.tokens.0.write().unwrap_or_else(PoisonError::into_inner);
        let row = self.vault.get(format!("token/{hash}").as_bytes()).ok()??;
        let info = read(&row).ok()?;
        let found = principal(&info);
        known.insert(hash.to_owned(), info);
        Some(found)
    }

    fn keep_token(
        &self,
        secret: &str,
        user: UserId,
        name: &str,
        scopes: &[Scope],
    ) -> Result<String, AuthError> {
        let hash = token_hash(secret);
        let id: String = hash.chars().take(16).collect();
        let mut scopes = scopes.to_vec();
        scopes.sort_unstable();
        scopes.dedup();
        let info =
            TokenInfo { id: id.clone(), user, name: name.to_owned(), scopes, created_at: self.clock.now() };
        let row = serde_json::to_vec(&info).map_err(|error| StoreError(error.to_string()))?;
        self.vault.put(format!("token/{hash}").as_bytes(), Some(&row))?;
        self.vault.put(owned(user, &id).as_bytes(), Some(hash.as_bytes()))?;
        Ok(id)
    }
}

fn owned(user: UserId, id: &str) -> String {
    format!("token-of/{user}/{id}")
}

fn read(row: &[u8]) -> Result<TokenInfo, StoreError> {
    serde_json::from_slice(row).map_err(|error| StoreError(format!("a token's row is unreadable: {error}")))
}

fn principal(info: &TokenInfo) -> Principal {
    let via = Via::Token { id: info.id.clone() };
    Principal { user: info.user, scopes: info.scopes.clone(), via, until: None }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{fixture, user};
    use super::*;

    #[test]
    fn a_token_is_known_until_it_is_revoked_and_never_stored() {
        let it = fixture();
        let token = it.auth.create_token(user(1), "bot", &[Scope::Read]).unwrap();
        let who = it.auth.bearer(&token.secret).unwrap();
        assert_eq!((who.user, who.scopes.as_slice()), (user(1), &[Scope::Read][..]));
        assert!(!who.may(Scope::Trade));
        assert!(!it.vault_text().contains(&token.secret));
        assert!(!format!("{token:?}").contains(&token.secret));

        assert_eq!(it.restarted().bearer(&token.secret), Some(who.clone()));
        assert!(!it.auth.revoke_token(user(2), &token.id).unwrap(), "another person's token");
        assert!(it.auth.still_holds(&who));
        assert!(it.auth.revoke_token(user(1), &token.id).unwrap());
        assert_eq!(it.auth.bearer(&token.secret), None);
        assert!(!it.auth.still_holds(&who));
        assert!(!it.auth.revoke_token(user(1), &token.id).unwrap());
    }

    #[test]
    fn the_first_token_is_the_same_after_a_restart_and_stays_revoked() {
        let it = fixture();
        let secret = it.auth.owner_token(user(1)).unwrap();
        assert_eq!(it.restarted().owner_token(user(1)).unwrap(), secret);
        assert_eq!(it.auth.list_tokens(user(1)).unwrap().len(), 1);
        let id = it.auth.list_tokens(user(1)).unwrap().remove(0).id;
        assert!(it.auth.revoke_token(user(1), &id).unwrap());
        assert_eq!(it.restarted().owner_token(user(1)).unwrap(), secret);
        assert_eq!(it.restarted().bearer(&secret), None);
    }

    #[test]
    fn people_see_their_own_tokens_and_not_too_many() {
        let it = fixture();
        for number in 0..PER_USER_MAX {
            it.auth.create_token(user(1), &format!("t{number}"), &Scope::ALL).unwrap();
        }
        assert!(matches!(it.auth.create_token(user(1), "one more", &Scope::ALL), Err(AuthError::TooMany(_))));
        assert_eq!(it.auth.list_tokens(user(1)).unwrap().len(), PER_USER_MAX);
        assert_eq!(it.auth.list_tokens(user(2)).unwrap(), []);
    }

    #[test]
    fn what_is_no_token_is_nobody() {
        let it = fixture();
        for text in ["", "te_", "te_x", "Bearer te_x", &format!("te_{}", "A".repeat(10_000))] {
            assert_eq!(it.auth.bearer(text), None);
        }
    }
}
