//! Who signed what.

use crate::signed::{Hash, Signed};

/// Returns the signature of a body that is sent to a path; none if the secret is no base64.
pub(super) fn signature(secret: &str, path: &str, nonce: u64, body: &[u8]) -> Option<String> {
    let key = Signed::read_base64(secret)?;
    let digest = Signed::sha256(&[nonce.to_string().as_bytes(), body].concat());
    let payload = [path.as_bytes(), &digest.0].concat();
    Some(Signed::hmac(Hash::Sha512, &key.0, &payload).base64())
}

/// Returns a token: the one of this number.
pub(super) fn token(account: &str, number: usize) -> String {
    Signed::sha256(format!("{account} {number}").as_bytes()).base64()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kraken's own example.
    #[test]
    fn the_examples_of_the_documentation_are_signed() {
        let secret =
            "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg==";
        let signed = |body: &str| {
            signature(secret, "/0/private/AddOrder", 1_616_492_376_594, body.as_bytes()).unwrap()
        };
        let form = "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25";
        assert_eq!(
            signed(form),
            "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
        );
        assert_ne!(signed(&form.replace("37500", "37500.0")), signed(form));
        assert_eq!(
            signed(
                r#"{"nonce":"1616492376594","ordertype":"limit","pair":"XBTUSD","price":"37500","type":"buy","volume":"1.25"}"#
            ),
            "r/o+GpKxXjV/mls/r5CKLu5R+yzK5psqvQ4hXxMX1nzdxTBhV+ui82QGgPZMMitpFwCOAdPEZMmXgZxD2chJEg=="
        );
        assert_eq!(signature("no base64!", "/", 1, b""), None);
    }
}
