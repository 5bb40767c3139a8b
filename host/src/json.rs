//! How much memory JSON takes once it is built, told before it is.

/// Roughly the bytes that `text` takes as a `serde_json::Value`, rather too many than too few. A
/// megabyte of `{"":0},` takes sixty. What nests deeper than a parser goes is not looked at.
pub(crate) fn built_size(text: &[u8]) -> usize {
    const DEEPEST: usize = 128;
    let (mut size, mut depth, mut in_string, mut escaped) = (text.len(), 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => {
                in_string = !in_string;
                size += 16;
            }
            _ if in_string => {}
            // Room for four entries each, which is what the first one takes.
            b'{' | b'[' if depth == DEEPEST => break,
            b'{' | b'[' => {
                depth += 1;
                size += if *byte == b'{' { 512 } else { 288 };
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' | b':' => size += 80,
            _ => {}
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_string_is_text() {
        assert_eq!(built_size(br#""{[,:\\\"{""#), 11 + 32);
        assert_eq!(built_size(b"[0,0]"), 5 + 288 + 80);
        assert!(built_size("[".repeat(1 << 20).as_bytes()) < 2 << 20);
        assert!(built_size("{\"\":0},".repeat(1 << 20).as_bytes()) > 400 << 20);
    }
}
