//! Letters as people search for them: without accents, in lower case.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// `text` in lower case and without accents, so that "minh phat" finds "Minh Phát".
pub fn fold(text: &str) -> String {
    text.nfd()
        .filter(|letter| !is_combining_mark(*letter))
        .flat_map(|letter| match letter {
            // The Vietnamese letter has no decomposition.
            'đ' | 'Đ' => 'd'.to_lowercase(),
            other => other.to_lowercase(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vietnamese_names_are_found_without_accents() {
        assert_eq!(fold("Công ty Đặng Minh Phát"), "cong ty dang minh phat");
    }
}
