//! Canonical JSON (RFC 8785) of what serde_json wrote: the same text with the keys of every object sorted.

/// Sorts the keys in compact JSON.
///
/// `json` is serde_json's compact output, its keys are ASCII and its numbers integers: then nothing else differs from
/// the canonical form.
pub(super) fn sorted(json: &str) -> String {
    let mut sorter = Sorter { rest: json, out: String::with_capacity(json.len()), ..Sorter::default() };
    sorter.value();
    sorter.out
}

#[derive(Default)]
struct Sorter<'a> {
    rest: &'a str,
    out: String,
    /// The members of the objects that are open; each object's are behind those of the one around it.
    members: Vec<Member>,
    scratch: String,
}

/// Where a member is in the output.
struct Member {
    from: usize,
    key_end: usize,
    to: usize,
}

impl Sorter<'_> {
    fn value(&mut self) {
        match self.rest.as_bytes().first() {
            Some(b'{') => self.object(),
            Some(b'[') => {
                self.copy(1);
                while !self.rest.is_empty() && !self.ends(']') {
                    self.value();
                }
            }
            Some(b'"') => self.string(),
            _ => {
                let end = self.rest.bytes().position(|byte| matches!(byte, b',' | b'}' | b']'));
                self.copy(end.unwrap_or(self.rest.len()));
            }
        }
    }

    fn object(&mut self) {
        self.copy(1);
        let (first, start) = (self.members.len(), self.out.len());
        while !self.rest.is_empty() && !self.rest.starts_with('}') {
            let from = self.out.len();
            self.string();
            let key_end = self.out.len();
            self.copy(1);
            self.value();
            self.members.push(Member { from, key_end, to: self.out.len() });
            if self.rest.starts_with(',') {
                self.copy(1);
            }
        }
        self.order(first, start);
        self.copy(1);
    }

    /// Puts the members from `first` on, which begin at `start` of the output, into the order of their keys.
    fn order(&mut self, first: usize, start: usize) {
        let Self { out, members, scratch, .. } = self;
        let key = |member: &Member| out.get(member.from..member.key_end).unwrap_or_default();
        let open = members.get_mut(first..).unwrap_or_default();
        if !open.is_sorted_by_key(&key) {
            open.sort_unstable_by(|one, other| key(one).cmp(key(other)));
            scratch.clear();
            for (at, member) in open.iter().enumerate() {
                scratch.push_str(if at > 0 { "," } else { "" });
                scratch.push_str(out.get(member.from..member.to).unwrap_or_default());
            }
            out.truncate(start);
            out.push_str(scratch);
        }
        members.truncate(first);
    }

    fn string(&mut self) {
        let mut end = 1;
        while let Some(length) = self.rest.get(end..).and_then(|rest| rest.find('"')) {
            let text = self.rest.get(1..end + length).unwrap_or_default();
            end += length + 1;
            let slashes = text.bytes().rev().take_while(|byte| *byte == b'\\').count();
            if slashes.is_multiple_of(2) {
                break;
            }
        }
        self.copy(end);
    }

    /// Copies what follows an element, and returns whether that closes the array.
    fn ends(&mut self, close: char) -> bool {
        let closes = self.rest.starts_with(close);
        if closes || self.rest.starts_with(',') {
            self.copy(1);
        }
        closes
    }

    fn copy(&mut self, bytes: usize) {
        let (part, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.out.push_str(part);
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(("[a-z_]{0,6}", inner), 0..6)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// Writes the members of every object backwards.
    fn reversed(value: &Value) -> String {
        match value {
            Value::Object(members) => {
                let members: Vec<_> = members
                    .iter()
                    .rev()
                    .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), reversed(value)))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
            Value::Array(elements) => {
                format!("[{}]", elements.iter().map(reversed).collect::<Vec<_>>().join(","))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
        }
    }

    proptest! {
        /// `serde_json::Value` sorts its keys, so its text is the expected one.
        #[test]
        fn sorting_restores_the_order(value in json()) {
            prop_assert_eq!(sorted(&reversed(&value)), value.to_string());
        }
    }

    #[test]
    fn brackets_and_quotes_in_strings_are_text() {
        let json = r#"{"b":"}],{\"","a":{"d":[1,{"z":"\\","y":[]}],"c":{}}}"#;
        assert_eq!(sorted(json), r#"{"a":{"c":{},"d":[1,{"y":[],"z":"\\"}]},"b":"}],{\""}"#);
    }
}
