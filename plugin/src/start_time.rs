//! From when on transactions come, as a request says it.

/// Whether this is a time in UTC: `YYYY-MM-DDTHH:mm:ss`, a fraction of up to nine digits or none,
/// `Z`; of a day and a time of day that there are.
pub fn is_start_time(text: &str) -> bool {
    parts(text).is_some_and(|[year, month, day, hour, minute, second]| {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            _ => 0,
        };
        (1..=days).contains(&day) && hour < 24 && minute < 60 && second < 60
    })
}

fn parts(text: &str) -> Option<[u32; 6]> {
    let text = text.strip_suffix('Z')?;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if fraction.is_some_and(|digits| !(1..=9).contains(&digits.len()) || !is_digits(digits)) {
        return None;
    }
    // As `YYYY-MM-DDTHH:mm:ss`, byte for byte.
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let matches = |(byte, like): (u8, u8)| match like {
        b'd' => byte.is_ascii_digit(),
        other => byte == other,
    };
    if whole.len() != pattern.len() || !whole.bytes().zip(*pattern).all(matches) {
        return None;
    }
    let part = |from: usize, to: usize| whole.get(from..to)?.parse().ok();
    Some([part(0, 4)?, part(5, 7)?, part(8, 10)?, part(11, 13)?, part(14, 16)?, part(17, 19)?])
}

#[cfg(test)]
mod tests {
    use super::is_start_time;

    #[test]
    fn times() {
        for time in [
            "2022-09-02T20:06:35.993Z",
            "2022-09-02T20:06:35Z",
            "2024-02-29T23:59:59.123456789Z",
            "2000-02-29T00:00:00Z",
        ] {
            assert!(is_start_time(time), "{time}");
        }
        for text in [
            "",
            "Z",
            "now",
            "2022-09-02",
            "2022-09-02T20:06:35.993",
            "2022-09-02T20:06:35.993+00:00",
            "2022-09-02 20:06:35Z",
            "2022-09-02t20:06:35z",
            "2022-09-02T20:06:35.Z",
            "2022-09-02T20:06:35.1234567890Z",
            "2022-09-02T20:06:35.9x3Z",
            "2022-9-02T20:06:35Z",
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2022-13-01T00:00:00Z",
            "2022-00-01T00:00:00Z",
            "2022-01-00T00:00:00Z",
            "2022-01-32T00:00:00Z",
            "2022-01-01T24:00:00Z",
            "2022-01-01T00:60:00Z",
            "2022-01-01T00:00:60Z",
            "+022-01-01T00:00:00Z",
            "2022-01-01T00:00:0äZ",
        ] {
            assert!(!is_start_time(text), "{text}");
        }
    }
}
