//! Amounts as Kubernetes writes them.

/// `500m`, `1Gi`, `2e3`: in the unit without a suffix.
pub fn parse(text: &str) -> Option<f64> {
    let text = text.trim();
    let suffixes = [
        ("Ki", 1024f64),
        ("Mi", 1024f64.powi(2)),
        ("Gi", 1024f64.powi(3)),
        ("Ti", 1024f64.powi(4)),
        ("Pi", 1024f64.powi(5)),
        ("Ei", 1024f64.powi(6)),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let found = suffixes.iter().find_map(|(suffix, factor)| {
        let number = text.strip_suffix(suffix)?;
        Some(number.parse::<f64>().ok()? * factor)
    });
    let number = found.or_else(|| text.parse().ok())?;
    number.is_finite().then_some(number)
}

/// `1.5`, `12`
pub fn cores(amount: f64) -> String {
    let text = format!("{amount:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `1.5 GiB`
pub fn bytes(amount: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut amount = amount.max(0.0);
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let text = if amount < 10.0 && unit > 0 {
        format!("{amount:.1}")
    } else {
        format!("{amount:.0}")
    };
    format!("{text} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (text, amount) in [
            ("500m", 0.5),
            ("2", 2.0),
            ("1Ki", 1024.0),
            ("1.5G", 1.5e9),
            ("2e3", 2000.0),
            ("1E", 1e18),
        ] {
            assert_eq!(parse(text), Some(amount), "{text}");
        }
        for wrong in ["", "x", "m", "NaN", "inf"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            (cores(1.5), cores(12.0)),
            ("1.5".to_owned(), "12".to_owned())
        );
        assert_eq!(bytes(1.5 * 1024f64.powi(3)), "1.5 GiB");
        assert_eq!(bytes(512.0), "512 B");
    }
}
