//! The two cookies of a session: a secret one the browser alone sends, and one that our pages read.

use warp::http::HeaderMap;
use warp::http::header::COOKIE;

/// Names of the cookies and how they are set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cookies {
    https: bool,
}

impl Cookies {
    /// Fits them to the way browsers reach us: `__Host-` names need TLS.
    #[must_use]
    pub(crate) const fn new(https: bool) -> Self {
        Self { https }
    }

    const fn session_name(self) -> &'static str {
        if self.https { "__Host-session" } else { "session" }
    }

    const fn csrf_name(self) -> &'static str {
        if self.https { "__Host-csrf" } else { "csrf" }
    }

    const fn secure(self) -> &'static str {
        if self.https { "; Secure" } else { "" }
    }

    /// Returns the session cookie's value.
    #[must_use]
    pub(crate) fn session(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.session_name())
    }

    /// Returns the CSRF cookie's value.
    #[must_use]
    pub(crate) fn csrf(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, self.csrf_name())
    }

    /// Returns the `Set-Cookie` lines of a session that begins.
    #[must_use]
    pub(crate) fn begin(self, session: &str, csrf: &str, max_age_s: i64) -> [String; 2] {
        let secure = self.secure();
        [
            format!(
                "{}={session}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}",
                self.session_name()
            ),
            format!("{}={csrf}; Path=/; Max-Age={max_age_s}; SameSite=Strict{secure}", self.csrf_name()),
        ]
    }

    /// Returns the `Set-Cookie` lines of a session that ends.
    #[must_use]
    pub(crate) fn end(self) -> [String; 2] {
        let secure = self.secure();
        [
            format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax{secure}", self.session_name()),
            format!("{}=; Path=/; Max-Age=0; SameSite=Strict{secure}", self.csrf_name()),
        ]
    }
}

/// Finds a cookie; the same name twice is nobody's, since one of the two may be planted.
fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let value = found.next().filter(|value| !value.is_empty())?;
    found.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, line.parse().unwrap())).collect()
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let cookies = Cookies::new(true);
        let sent = headers(&["a=1; __Host-session=s3cret; x__Host-csrf=no", "__Host-csrf=t.r"]);
        assert_eq!(cookies.session(&sent), Some("s3cret"));
        assert_eq!(cookies.csrf(&sent), Some("t.r"));
        assert_eq!(Cookies::new(false).session(&sent), None);
    }

    #[test]
    fn a_planted_second_cookie_makes_both_worthless() {
        assert_eq!(Cookies::new(false).session(&headers(&["session=a; session=b"])), None);
        assert_eq!(Cookies::new(false).session(&headers(&["session="])), None);
    }

    #[test]
    fn with_tls_cookies_never_travel_without_it() {
        for line in Cookies::new(true).begin("s", "c", 60).iter().chain(&Cookies::new(true).end()) {
            assert!(
                line.starts_with("__Host-") && line.ends_with("; Secure") && line.contains("Path=/;"),
                "{line}"
            );
        }
        let [session, csrf] = Cookies::new(false).begin("s", "c", 60);
        assert_eq!(session, "session=s; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(csrf, "csrf=c; Path=/; Max-Age=60; SameSite=Strict");
    }
}
