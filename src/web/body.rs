//! Reading bodies: never more than the limit, never deeper than needed, never a field that nobody knows.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use rust_decimal::Decimal;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor};
use warp::http::{HeaderMap, StatusCode, header};

use super::edge::Edge;
use super::problem::Problem;

/// Deepest nesting of a JSON body.
const DEPTH_MAX: usize = 16;

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// When it is longer, or the client stops sending.
pub(crate) async fn read<S, B, E>(stream: S, announced: Option<u64>, limit: usize) -> Result<Bytes, Problem>
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    let mut stream = std::pin::pin!(stream);
    if announced.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > limit)) {
        discard(stream).await;
        return Err(Problem::too_large(limit));
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let Ok(chunk) = stream.try_next().await else {
            let detail = "the body did not arrive whole; nothing was done; send it again";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "BODY_INCOMPLETE", detail));
        };
        let Some(mut chunk) = chunk else { break };
        if first.len() + all.len() + chunk.remaining() > limit {
            discard(stream).await;
            return Err(Problem::too_large(limit));
        }
        // Nearly every body is one chunk, and that one is not copied.
        if first.is_empty() && all.is_empty() {
            first = chunk.copy_to_bytes(chunk.remaining());
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&chunk.copy_to_bytes(chunk.remaining()));
        }
    }
    Ok(if first.is_empty() { all.freeze() } else { first })
}

/// Reads on without keeping anything: a client that is still sending when the answer comes sees a broken connection
/// instead of the answer.
async fn discard<S, B, E>(mut stream: std::pin::Pin<&mut S>)
where
    S: Stream<Item = Result<B, E>>,
    B: Buf,
{
    const MOST: usize = 4 << 20;
    let mut seen = 0_usize;
    while seen < MOST
        && let Ok(Some(chunk)) = stream.try_next().await
    {
        seen = seen.saturating_add(chunk.remaining());
    }
}

/// Waits for a body for at most half the time a request may take, so that its handler has the other half.
///
/// # Errors
/// 408 when it does not arrive in time; otherwise what reading it said.
pub(super) async fn within<T>(
    edge: &Edge,
    read: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(edge.web.config.request_timeout() / 2, read).await {
        Ok(read) => read,
        Err(_) => {
            let detail = "the body did not arrive in time; nothing was done; send it again";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "BODY_TIMEOUT", detail))
        }
    }
}

/// Returns the announced length of a body.
#[must_use]
pub(crate) fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Refuses compressed bodies: a small one may hide a huge one.
///
/// # Errors
/// When the body is compressed.
pub(crate) fn refuse_encoded(encoding: Option<&str>) -> Result<(), Problem> {
    match encoding {
        None => Ok(()),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Ok(()),
        Some(_) => {
            let detail = "compressed bodies are not taken; nothing was done; send it uncompressed";
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "ENCODING_UNSUPPORTED", detail))
        }
    }
}

/// Reads a JSON body whose every field is known.
///
/// # Errors
/// 415 for another media type, 400 for what is no JSON, 422 for what is not the JSON asked for.
pub(crate) fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        let detail = "send the body as JSON with \"Content-Type: application/json\"; nothing was done";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "MEDIA_TYPE_UNSUPPORTED", detail));
    }
    if depth(body) > DEPTH_MAX {
        let detail = format!("the JSON is nested deeper than {DEPTH_MAX} levels; nothing was done");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "INVALID_JSON", detail));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut reader);
    // What follows the value is none of it.
    let ended = reader.end();
    match read {
        Ok(value) => ended.map(|()| value).map_err(|error| unreadable(&error, None)),
        Err(error) => Err(unreadable(error.inner(), pointer(error.path()))),
    }
}

/// Words why a body is not what was asked for; `at` is where reading stopped.
fn unreadable(error: &serde_json::Error, at: Option<String>) -> Problem {
    // The message names fields and kinds of values; for unknown fields also those that are known.
    let (status, code) = match error.classify() {
        serde_json::error::Category::Data => (StatusCode::UNPROCESSABLE_ENTITY, "INVALID_VALUE"),
        serde_json::error::Category::Io
        | serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof => (StatusCode::BAD_REQUEST, "INVALID_JSON"),
    };
    let problem = Problem::new(status, code, format!("{error}; nothing was done"));
    match named_field(&error.to_string()).or(at.filter(|_| error.is_data())) {
        Some(pointer) => problem.at(pointer),
        None => problem,
    }
}

/// Returns a place in a body as a JSON pointer; nothing for the body as a whole.
fn pointer(path: &serde_path_to_error::Path) -> Option<String> {
    use serde_path_to_error::Segment;
    let steps = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } | Segment::Enum { variant: key } => {
            Some(key.replace('~', "~0").replace('/', "~1"))
        }
        Segment::Unknown => None,
    });
    let pointer: String = steps.map(|step| format!("/{step}")).collect();
    (!pointer.is_empty()).then_some(pointer)
}

/// Returns the field that an error message names, as a JSON pointer.
fn named_field(message: &str) -> Option<String> {
    let known = ["unknown field `", "missing field `", "duplicate field `"];
    let rest = known.iter().find_map(|start| message.strip_prefix(start))?;
    rest.split('`').next().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
}

/// Returns how deep the brackets of a JSON text are nested, those within strings not counted.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut text, mut escaped) = (0_usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'{' | b'[' if !text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A decimal number from outside, written as a JSON string or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) Decimal);

impl<'de> serde::Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a decimal number such as \"1.5\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                let plain = text.len() <= 40 && !text.starts_with('+') && !text.contains(['_', 'e', 'E']);
                let number = plain.then(|| Decimal::from_str_exact(text).ok()).flatten();
                number.map(Number).ok_or_else(|| E::custom("not a decimal number such as \"1.5\""))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(Decimal::from(number)))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(Decimal::from(number)))
            }

            // The shortest text of a double is what was written, up to 15 digits.
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Number, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Either).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        quantity: Option<Number>,
    }

    fn parse(body: &str) -> Result<Sample, Problem> {
        let headers = [(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())];
        json(&headers.into_iter().collect(), body.as_bytes())
    }

    async fn collected(
        chunks: &[&'static [u8]],
        announced: Option<u64>,
        limit: usize,
    ) -> Result<Bytes, Problem> {
        let chunks = chunks.iter().map(|chunk| Ok::<_, Infallible>(Bytes::from_static(chunk)));
        read(stream::iter(chunks), announced, limit).await
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        assert_eq!(collected(&[b"abc"], Some(3), 3).await.unwrap(), "abc");
        assert_eq!(collected(&[b"ab", b"", b"c", b"d"], None, 4).await.unwrap(), "abcd");
        assert_eq!(collected(&[], None, 4).await.unwrap(), "");
        assert_eq!(collected(&[b"ab", b"cde"], None, 4).await.unwrap_err().status, 413);
        assert_eq!(collected(&[b"a"], Some(5), 4).await.unwrap_err().status, 413);
    }

    #[test]
    fn decimals_are_taken_as_text_and_as_number() {
        for (body, expected) in [
            (r#"{"quantity":"0.1"}"#, "0.1"),
            (r#"{"quantity":0.1}"#, "0.1"),
            (r#"{"quantity":175.25}"#, "175.25"),
            (r#"{"quantity":100}"#, "100"),
            (r#"{"quantity":-3}"#, "-3"),
        ] {
            assert_eq!(parse(body).unwrap().quantity.unwrap().0.to_string(), expected);
        }
        for body in
            [r#"{"quantity":"1e3"}"#, r#"{"quantity":"x"}"#, r#"{"quantity":true}"#, r#"{"quantity":"+1"}"#]
        {
            assert_eq!(parse(body).unwrap_err().status, 422, "{body}");
        }
    }

    #[test]
    fn an_unknown_or_repeated_field_is_refused_by_name() {
        let unknown = parse(r#"{"quantitty":1}"#).unwrap_err();
        assert_eq!((unknown.status.as_u16(), unknown.errors[0].pointer.as_str()), (422, "/quantitty"));
        assert!(unknown.detail.contains("expected `quantity`"), "{}", unknown.detail);
        let twice = parse(r#"{"quantity":1,"quantity":2}"#).unwrap_err();
        assert_eq!((twice.status.as_u16(), twice.errors[0].pointer.as_str()), (422, "/quantity"));
    }

    #[test]
    fn what_is_no_json_is_400_and_what_is_not_called_json_415() {
        assert_eq!(parse("{").unwrap_err().status, 400);
        assert_eq!(parse("").unwrap_err().status, 400);
        assert_eq!(parse(&"[".repeat(17)).unwrap_err().status, 400);
        assert_eq!(json::<Sample>(&HeaderMap::new(), b"{}").unwrap_err().status, 415);
        assert!(refuse_encoded(Some("gzip")).is_err() && refuse_encoded(Some("Identity")).is_ok());
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        assert_eq!(depth(br#"{"a":"[[[[\"[["}"#), 1);
        assert_eq!(depth(br#"{"a":[[1],[2]]}"#), 3);
    }

    proptest! {
        /// Whatever arrives is answered.
        #[test]
        fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(depth(&body) <= body.len());
            let headers = [(header::CONTENT_TYPE, "application/json".parse().unwrap())].into_iter().collect();
            let read: Result<Sample, Problem> = json(&headers, &body);
            prop_assert!(read.is_ok() || read.is_err_and(|problem| problem.status.is_client_error()));
        }

        /// A decimal comes back as it was written.
        #[test]
        fn decimals_survive(units in any::<i32>(), scale in 0_u32..6) {
            let number = Decimal::new(units.into(), scale);
            for body in [format!(r#"{{"quantity":"{number}"}}"#), format!(r#"{{"quantity":{number}}}"#)] {
                prop_assert_eq!(parse(&body).unwrap().quantity.unwrap().0, number);
            }
        }
    }
}
