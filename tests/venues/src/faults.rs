//! What goes wrong on purpose, request by request.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::limits::Meter;

/// Whether the venue has done what was asked when it fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// It has done nothing.
    #[default]
    Before,
    /// It has done all of it.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do", deny_unknown_fields)]
pub enum Action {
    /// Nothing: for a rule that only delays.
    #[default]
    Pass,
    /// This status is answered, in the venue's own words for it.
    Status {
        /// The HTTP status.
        status: u16,
        /// Before or after acting.
        #[serde(default)]
        when: When,
        /// Seconds to wait, told in `Retry-After`.
        #[serde(default)]
        retry_after_s: Option<u32>,
    },
    /// The connection is reset.
    Reset {
        /// Before or after acting.
        #[serde(default)]
        when: When,
    },
    /// Nothing is ever answered; the connection stays.
    Silence {
        /// Before or after acting.
        #[serde(default)]
        when: When,
    },
    /// A 200 is answered, after acting, whose body nobody can read.
    Garble,
    /// It is done and answered well, but for one header that is missing.
    LoseHeader {
        /// Its name, in small letters.
        name: String,
    },
    /// It is taken and answered well, and the order it placed is then rejected before it trades.
    Reject,
    /// It is refused as if its order's name had been used before.
    Duplicate,
    /// It is refused in these words, before acting.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// The venue's code.
        code: i64,
        /// The venue's words.
        message: String,
    },
}

impl Action {
    /// Returns a status, before acting.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status { status, when: When::Before, retry_after_s: None }
    }

    /// Returns a status, after acting.
    #[must_use]
    pub fn status_after(status: u16) -> Self {
        Self::Status { status, when: When::After, retry_after_s: None }
    }

    /// Returns whether the venue acts before this happens.
    #[must_use]
    pub fn acts(&self) -> bool {
        match self {
            Self::Pass | Self::Garble | Self::LoseHeader { .. } | Self::Reject => true,
            Self::Status { when, .. } | Self::Reset { when } | Self::Silence { when } => *when == When::After,
            Self::Duplicate | Self::Refuse { .. } => false,
        }
    }
}

/// Which requests go wrong, how often, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Method and path, such as `POST /v2/orders`; a star stands for anything, and a path alone for any method.
    pub on: String,
    /// Only requests of this account.
    #[serde(default)]
    pub account: Option<String>,
    /// Only requests about the order of this name.
    #[serde(default)]
    pub client_order_id: Option<String>,
    /// Only requests about this symbol.
    #[serde(default)]
    pub symbol: Option<String>,
    /// So many matching requests pass first.
    #[serde(default)]
    pub skip: u32,
    /// So many matching requests go wrong; all if it is left out.
    #[serde(default)]
    pub times: Option<u32>,
    /// How likely it is that a matching request goes wrong, from 0 to 1; certain if it is left out.
    #[serde(default)]
    pub probability: Option<Decimal>,
    /// Milliseconds to wait before anything else.
    #[serde(default)]
    pub delay_ms: u64,
    /// What goes wrong.
    #[serde(default)]
    pub action: Action,
}

impl Rule {
    /// Returns a rule that makes every request to a route go wrong.
    #[must_use]
    pub fn on(route: &str, action: Action) -> Self {
        Self { on: route.to_owned(), action, ..Self::default() }
    }

    /// Limits it to so many requests.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets so many requests pass first.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Limits it to one account.
    #[must_use]
    pub fn of_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Limits it to the order of this name.
    #[must_use]
    pub fn of_order(mut self, client_order_id: &str) -> Self {
        self.client_order_id = Some(client_order_id.to_owned());
        self
    }

    /// Limits it to one symbol.
    #[must_use]
    pub fn of_symbol(mut self, symbol: &str) -> Self {
        self.symbol = Some(symbol.to_owned());
        self
    }

    /// Makes it a matter of chance: from 0, never, to 1, always.
    #[must_use]
    pub fn likely(mut self, probability: Decimal) -> Self {
        self.probability = Some(probability);
        self
    }

    /// Makes it wait before anything else.
    #[must_use]
    pub fn delayed(mut self, ms: u64) -> Self {
        self.delay_ms = ms;
        self
    }
}

/// What a request is about, as far as rules ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Method and path.
    pub route: String,
    /// The account it claims to be of.
    pub account: Option<String>,
    /// Where it is counted against the limits.
    pub meters: Vec<Meter>,
    /// The name of the order it is about.
    pub client_order_id: Option<String>,
    /// The symbol it is about.
    pub symbol: Option<String>,
}

/// A rule, and how often it applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The rule.
    pub rule: Rule,
    /// How many requests it matched.
    pub matched: u32,
    /// How many it made go wrong.
    pub fired: u32,
}

/// The rules in force: the first that fires decides.
#[derive(Clone, Debug, Default)]
pub struct Faults(Vec<Counted>);

impl Faults {
    /// Adds a rule after those there are.
    pub fn add(&mut self, rule: Rule) {
        self.0.push(Counted { rule, matched: 0, fired: 0 });
    }

    /// Removes all rules.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the rules and how often they applied.
    #[must_use]
    pub fn rules(&self) -> &[Counted] {
        &self.0
    }

    /// Returns what goes wrong with a request, and the wait before, if anything does.
    pub fn decide(&mut self, facts: &Facts, rng: &mut ChaCha8Rng) -> Option<(u64, Action)> {
        for counted in &mut self.0 {
            let rule = &counted.rule;
            if !matches(rule, facts) {
                continue;
            }
            counted.matched = counted.matched.saturating_add(1);
            let spent = rule.times.is_some_and(|times| counted.fired >= times);
            if counted.matched <= rule.skip || spent || !happens(rule.probability, rng) {
                continue;
            }
            counted.fired = counted.fired.saturating_add(1);
            return Some((rule.delay_ms, rule.action.clone()));
        }
        None
    }
}

fn happens(probability: Option<Decimal>, rng: &mut ChaCha8Rng) -> bool {
    let Some(probability) = probability else { return true };
    Decimal::from(rng.next_u32()) < probability * (Decimal::from(u32::MAX) + Decimal::ONE)
}

fn matches(rule: &Rule, facts: &Facts) -> bool {
    let is = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
    let route = if rule.on.contains(' ') { rule.on.clone() } else { format!("* {}", rule.on) };
    like(&route, &facts.route)
        && is(&rule.account, &facts.account)
        && is(&rule.client_order_id, &facts.client_order_id)
        && is(&rule.symbol, &facts.symbol)
}

/// Returns whether a text is like a pattern in which a star stands for anything.
fn like(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        assert!(like("POST /v2/orders", "POST /v2/orders"));
        assert!(!like("POST /v2/orders", "POST /v2/orders/1"));
        assert!(like("POST /v2/orders*", "POST /v2/orders/1"));
        assert!(like("* /v2/orders*", "GET /v2/orders:by_client_order_id"));
        assert!(like("*", ""));
        assert!(like("* /v2/*/quotes/*", "GET /v2/stocks/AAPL/quotes/latest"));
        assert!(!like("* /v2/*/quotes/x", "GET /v2/stocks/AAPL/quotes/latest"));
    }

    fn fired(rule: Rule, requests: u32) -> Vec<u32> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut faults = Faults::default();
        faults.add(rule);
        let facts = Facts { route: "GET /a".to_owned(), ..Facts::default() };
        (0..requests).filter(|_| faults.decide(&facts, &mut rng).is_some()).collect()
    }

    #[test]
    fn skipped_and_counted() {
        let rule = Rule::on("GET /a", Action::Garble);
        assert_eq!(fired(rule.clone().after(2).times(2), 6), [2, 3]);
        assert_eq!(fired(rule.clone(), 3), [0, 1, 2]);
        assert_eq!(fired(rule.clone().of_account("b"), 3), [0; 0]);
        let half = rule.likely(Decimal::new(5, 1));
        let some = fired(half.clone(), 1000);
        assert!((400..600).contains(&some.len()), "{}", some.len());
        assert_eq!(some, fired(half, 1000), "one seed makes one course");
    }
}
