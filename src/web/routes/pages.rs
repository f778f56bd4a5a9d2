//! The dashboard's pages and files.

use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use warp::http::{Response, StatusCode};

use bytes::Bytes;

use crate::web::assets::{self, Asset};
use crate::web::call::{Answer, Call, see_other};
use crate::web::guard;
use crate::web::problem::Problem;

/// The dashboard, or the way to it.
pub(crate) async fn index(call: Call) -> Result<Answer, Problem> {
    if guard::session(&call.edge, &call.head).is_none() {
        return Ok(see_other("/login"));
    }
    page("index.html")
}

/// The login page.
pub(crate) async fn login(_: Call) -> Result<Answer, Problem> {
    page("login.html")
}

/// A file of the dashboard; pages have addresses of their own.
pub(crate) async fn asset(call: Call) -> Result<Answer, Problem> {
    let asset = assets::find(call.param()).filter(|asset| !asset.name.ends_with(".html"));
    let asset = asset.ok_or_else(Problem::not_found)?;
    let etag = asset.etag();
    let unchanged = call.head.headers.get(IF_NONE_MATCH).is_some_and(|tag| tag.as_bytes() == etag.as_bytes());
    let mut answer = if unchanged {
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        answer
    } else {
        file(asset)
    };
    let headers = answer.headers_mut();
    // Asked for again each time, but sent only when it changed: a new version shows at once.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, etag);
    }
    Ok(answer)
}

/// Returns a page with texts put into the places that are named for them, as texts and never as markup.
pub(super) fn filled(name: &str, status: StatusCode, texts: &[(&str, &str)]) -> Result<Answer, Problem> {
    let asset = assets::find(name).ok_or_else(Problem::not_found)?;
    let page = String::from_utf8_lossy(asset.bytes).into_owned();
    let page = texts.iter().fold(page, |page, (place, text)| page.replace(place, &escaped(text)));
    let mut answer = Response::new(Bytes::from(page));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type()));
    Ok(answer)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '{' => out.push_str("&#123;"),
            other => out.push(other),
        }
    }
    out
}

fn page(name: &str) -> Result<Answer, Problem> {
    assets::find(name).map(file).ok_or_else(Problem::not_found)
}

fn file(asset: &Asset) -> Answer {
    let mut answer = Response::new(Bytes::from_static(asset.bytes));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.media_type()));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_into_a_page_is_text_there() {
        let texts = [("{{title}}", "<b>A & {{detail}}</b>"), ("{{detail}}", "\"it's\""), ("{{advice}}", "")];
        let answer = filled("consent.html", StatusCode::CONFLICT, &texts).unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()["content-type"]),
            (StatusCode::CONFLICT, &HeaderValue::from_static("text/html; charset=utf-8"))
        );
        let page = String::from_utf8(answer.into_body().to_vec()).unwrap();
        assert!(page.contains("<h1>&lt;b&gt;A &amp; &#123;&#123;detail}}&lt;/b&gt;</h1>"), "{page}");
        assert!(page.contains("&quot;it&#39;s&quot;") && !page.contains("{{"), "{page}");
    }
}
