//! The dashboard's files, built into the program.

use sha2::{Digest, Sha256};

/// A file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its name under `/assets/`.
    pub name: &'static str,
    /// What it holds.
    pub bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal)*) => {
        /// Every file.
        pub const ASSETS: &[Asset] =
            &[$(Asset { name: $name, bytes: include_bytes!(concat!("assets/", $name)) }),*];
    };
}

assets! {
    "api.js"
    "app.css"
    "chart.js"
    "connection.js"
    "consent.html"
    "dialog.js"
    "dom.js"
    "format.js"
    "icon.svg"
    "index.html"
    "login.html"
    "login.js"
    "main.js"
    "position-dialogs.js"
    "state.js"
    "toast.js"
    "trade-detail.js"
    "view-header.js"
    "view-positions.js"
    "view-quotes.js"
    "view-setup.js"
    "view-signals.js"
    "view-summary.js"
    "view-trades.js"
}

/// Finds a file by its name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

impl Asset {
    /// Returns the media type that browsers are told.
    #[must_use]
    pub fn media_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some(_) | None => "application/octet-stream",
        }
    }

    /// Returns the name of this version of the file.
    pub(super) fn etag(&self) -> String {
        let hash = Sha256::digest(self.bytes);
        let short = hash.iter().take(8).fold(0_u64, |tag, byte| (tag << 8) | u64::from(*byte));
        format!("\"{short:016x}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_folder_agree() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ASSETS.iter().map(|asset| asset.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_file_has_a_media_type_of_its_own() {
        for asset in ASSETS {
            assert_ne!(asset.media_type(), "application/octet-stream", "{}", asset.name);
            assert!(asset.etag().len() == 18, "{}", asset.name);
        }
        assert!(find("../web.rs").is_none());
    }

    #[test]
    fn pages_hold_no_inline_script_or_style() {
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".html")) {
            let text = std::str::from_utf8(asset.bytes).unwrap();
            assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="));
            assert!(!text.replace("<script type=\"module\" src=", "").contains("<script"), "{}", asset.name);
        }
    }
}
