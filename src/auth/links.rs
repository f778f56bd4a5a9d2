//! Login links: 256 random bits that open one session, once.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use trade_actors::domain::ids::UserId;
use trade_actors::ports::store::StoreError;

use super::{Auth, AuthError};
use crate::keys::{random_token, token_hash};

/// How long a link may be followed.
pub const LINK_LIFE: TimeDelta = TimeDelta::hours(1);

#[derive(Serialize, Deserialize)]
struct Link {
    user: UserId,
    until: DateTime<Utc>,
}

impl Auth {
    /// Makes a login link and returns its secret part.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn login_link(&self, user: UserId) -> Result<String, AuthError> {
        self.forget_old_links()?;
        let secret = random_token();
        let link = Link { user, until: self.clock.now() + LINK_LIFE };
        let row = serde_json::to_vec(&link).map_err(|error| StoreError(error.to_string()))?;
        self.vault.put(key(&secret).as_bytes(), Some(&row))?;
        Ok(secret)
    }

    /// Uses a link up and returns whose it was; of any number of callers, one gets it.
    ///
    /// # Errors
    /// When the vault fails; then the link may be used up.
    pub fn follow_link(&self, secret: &str) -> Result<Option<UserId>, AuthError> {
        let Some(row) = self.vault.take(key(secret).as_bytes())? else { return Ok(None) };
        let link = serde_json::from_slice::<Link>(&row).ok();
        Ok(link.filter(|link| link.until > self.clock.now()).map(|link| link.user))
    }

    fn forget_old_links(&self) -> Result<(), AuthError> {
        let now = self.clock.now();
        for (key, row) in self.vault.scan(b"login/")? {
            if serde_json::from_slice::<Link>(&row).map_or(true, |link| link.until <= now) {
                self.vault.put(&key, None)?;
            }
        }
        Ok(())
    }
}

fn key(secret: &str) -> String {
    format!("login/{}", token_hash(secret))
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{fixture, user};

    #[test]
    fn a_link_works_once_also_after_a_restart_and_for_an_hour() {
        let it = fixture();
        let link = it.auth.login_link(user(1)).unwrap();
        assert!(!it.vault_text().contains(&link));
        let later = it.restarted();
        assert_eq!(later.follow_link(&link).unwrap(), Some(user(1)));
        assert_eq!(it.auth.follow_link(&link).unwrap(), None);

        let old = it.auth.login_link(user(1)).unwrap();
        it.pass(3_600);
        assert_eq!(it.auth.follow_link(&old).unwrap(), None);
        assert_eq!(it.auth.follow_link("guess").unwrap(), None);
    }

    #[test]
    fn links_nobody_followed_do_not_pile_up() {
        let it = fixture();
        for _ in 0..5 {
            it.auth.login_link(user(1)).unwrap();
        }
        it.pass(3_600);
        it.auth.login_link(user(1)).unwrap();
        assert_eq!(it.vault_text().lines().count(), 1);
    }
}
