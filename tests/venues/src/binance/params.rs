//! The parameters of a request, wherever it carries them, and how they are read.

use rust_decimal::Decimal;
use serde_json::Value;

use super::errors::Error;
use crate::http::{Request, form};

/// Every signed request may carry these.
const ALWAYS: [&str; 4] = ["timestamp", "recvWindow", "signature", "apiKey"];
/// What a number looks like.
const NUMBER: &str = "^([0-9]{1,20})(\\.[0-9]{1,20})?$";
/// What a client's name for an order looks like.
///
/// Binance does not write it down; clients report it.
const NAME: &str = "^[a-zA-Z0-9-_]{1,36}$";
/// What a symbol looks like.
const SYMBOL: &str = "^[A-Z0-9-_.]{1,20}$";

/// The parameters of a request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Returns those of a request: its query's, and those of its form that the query does not have.
    ///
    /// # Errors
    ///
    /// One is there twice.
    pub(crate) fn of(request: &Request) -> Result<Self, Error> {
        let mut all = request.params();
        let body = form(&String::from_utf8_lossy(&request.body));
        if repeats(&all) || repeats(&body) {
            return Err(Error::repeated());
        }
        let asked = all.len();
        all.extend(body);
        let again = |at: usize, name: &str| at >= asked && all.iter().take(asked).any(|(had, _)| had == name);
        let kept = all.iter().enumerate().filter(|(at, (name, _))| !again(*at, name));
        Ok(Self(kept.map(|(_, pair)| pair.clone()).collect()))
    }

    /// Returns those of a message over a socket; what is neither text, number nor truth is read as JSON.
    pub(crate) fn said(params: &Value) -> Self {
        let fields = params.as_object().into_iter().flatten();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self(fields.map(|(name, value)| (name.clone(), text(value))).collect())
    }

    /// Returns the text that a signature over a socket is made of.
    pub(crate) fn sorted(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().filter(|(name, _)| name != "signature").collect();
        pairs.sort();
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    /// Returns these under the names they have without a prefix: `aboveStopPrice` is `stopPrice`.
    pub(crate) fn below(&self, prefix: &str) -> Self {
        let own = self.0.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            let mut letters = rest.chars();
            let first = letters.next()?.to_ascii_lowercase();
            Some((format!("{first}{}", letters.as_str()), value.clone()))
        });
        Self(own.collect())
    }

    /// Returns them with one more, unless it is there.
    pub(crate) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value.filter(|_| self.raw(name).is_none()) {
            self.0.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Returns them without one.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(found, _)| found != name);
        self
    }

    /// Checks that all of them are known.
    ///
    /// # Errors
    ///
    /// Says how many are not.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Error> {
        let is_known = |name: &str| known.contains(&name) || ALWAYS.contains(&name);
        let read = self.0.iter().filter(|(name, _)| is_known(name)).count();
        if read == self.0.len() { Ok(()) } else { Err(Error::unread(read, self.0.len())) }
    }

    /// Returns one as it is, empty or not.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Returns one that may be missing, but not be empty.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.raw(name) {
            Some("") => Err(Error::empty(name)),
            other => Ok(other),
        }
    }

    /// Returns one that has to be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Error> {
        self.raw(name).filter(|value| !value.is_empty()).ok_or_else(|| Error::mandatory(name))
    }

    /// Returns a symbol that has to be there.
    pub(crate) fn symbol(&self) -> Result<&str, Error> {
        let symbol = self.need("symbol")?;
        let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let good = symbol.len() <= 20 && symbol.bytes().all(fits);
        if good { Ok(symbol) } else { Err(Error::characters("symbol", SYMBOL)) }
    }

    /// Returns a client's name for an order, if it is there.
    pub(crate) fn name(&self, name: &str) -> Result<Option<&str>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let good = text.len() <= 36 && text.bytes().all(fits);
        if good { Ok(Some(text)) } else { Err(Error::characters(name, NAME)) }
    }

    /// Returns an amount, if it is there: above zero, and with no more than eight digits behind the point.
    pub(crate) fn amount(&self, name: &str) -> Result<Option<Decimal>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |text: &str| (1..=20).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let amount = Decimal::from_str_exact(text).ok().filter(|_| digits(whole) && digits(part));
        let amount = amount.ok_or_else(|| Error::characters(name, NUMBER))?;
        if amount.normalize().scale() > 8 {
            return Err(Error::precision(name));
        }
        Ok(Some(amount))
    }

    /// Returns a whole number, if it is there.
    pub(crate) fn whole(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::characters(name, "^[0-9]{1,20}$"))
    }

    /// Returns whether one says `true`.
    pub(crate) fn flag(&self, name: &str, otherwise: bool) -> Result<bool, Error> {
        match self.text(name)?.map(str::to_ascii_lowercase).as_deref() {
            None => Ok(otherwise),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Error::value(name)),
        }
    }
}

fn repeats(pairs: &[(String, String)]) -> bool {
    pairs.iter().enumerate().any(|(at, (name, _))| pairs.iter().take(at).any(|(before, _)| before == name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn legs_of_a_list_are_read_as_orders() {
        let all = Params::said(&json!({"aboveType": "STOP_LOSS", "aboveStopPrice": "5", "side": "BUY"}));
        let above = all.below("above").with("quantity", Some("1"));
        assert_eq!(above.raw("type"), Some("STOP_LOSS"));
        assert_eq!(above.amount("stopPrice"), Ok(Some(Decimal::from(5))));
        assert_eq!((above.raw("side"), above.raw("quantity")), (None, Some("1")));
    }

    #[test]
    fn numbers_are_plain_positive_and_not_too_fine() {
        let amount =
            |text: &str| Params::said(&json!({"price": text})).amount("price").map_err(|error| error.code);
        assert_eq!(amount("0.10000000"), Ok(Some(Decimal::new(1, 1))));
        assert_eq!(amount("0.1000000000"), Ok(Some(Decimal::new(1, 1))), "zeros are no digits");
        assert_eq!(amount("0.123456789"), Err(-1111));
        for odd in ["-1", "+1", "1e3", ".5", "5.", "1,5", "abc", "1.2.3", " 1"] {
            assert_eq!(amount(odd), Err(-1100), "{odd}");
        }
        assert_eq!(amount(""), Err(-1105));
    }
}
