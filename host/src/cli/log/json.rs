//! An event as a line of JSON: what tracing-subscriber's own format writes (flattened, no spans), in
//! a fifth of the time.

use std::fmt::{self, Debug, Display, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The format. Nothing in this program opens spans, and it shows none.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(metadata.level().as_str())?;
        writer.write_char('"')?;
        let mut fields = Fields { writer: &mut writer, written: Ok(()) };
        event.record(&mut fields);
        fields.string("target", metadata.target());
        fields.written?;
        writer.write_str("}\n")
    }
}

struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    written: fmt::Result,
}

impl Fields<'_, '_> {
    fn add(&mut self, name: &str, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = (|| {
                self.writer.write_str(",\"")?;
                Escaped(self.writer).write_str(name)?;
                self.writer.write_str("\":")?;
                value(self.writer)
            })();
        }
    }

    /// What JSON writes as we do.
    fn plain(&mut self, name: &str, value: impl Display) {
        self.add(name, |writer| write!(writer, "{value}"));
    }

    fn string(&mut self, name: &str, value: &str) {
        self.add(name, |writer| {
            writer.write_char('"')?;
            Escaped(writer).write_str(value)?;
            writer.write_char('"')
        });
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.string(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.plain(field.name(), value),
            false => self.plain(field.name(), "null"),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }
}

/// Text inside a string of JSON.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        while let Some(at) = rest.bytes().position(is_special) {
            self.0.write_str(&rest[..at])?;
            match rest.as_bytes()[at] {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                byte => write!(self.0, "\\u{byte:04x}")?,
            }
            // It is one byte long.
            rest = &rest[at + 1..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Written {
        type Writer = Written;

        fn make_writer(&'a self) -> Written {
            self.clone()
        }
    }

    fn log() {
        let odd: String = (0..0x100).chain([0x2028, 0x1_f600]).filter_map(char::from_u32).collect();
        let error = io::Error::other("no \"way\"");
        tracing::info!(
            odd,
            number = -1,
            large = u64::MAX,
            huge = u128::MAX,
            part = 0.1,
            none = f64::NAN,
            whole = 1e300,
            is = true,
            nothing = None::<u64>,
            shown = %odd,
            debug = ?odd,
            error = &error as &dyn std::error::Error,
            "a message of {} \"words\"\n",
            5
        );
        tracing::error!("plain");
    }

    /// Who reads the log finds what tracing-subscriber's own format has, in the same order.
    #[test]
    fn a_line_is_that_of_the_usual_format() {
        let (ours, usual) = (Written::default(), Written::default());
        with_default(
            tracing_subscriber::fmt().event_format(Json).with_writer(ours.clone()).finish(),
            log,
        );
        let json = tracing_subscriber::fmt().json().flatten_event(true).with_current_span(false);
        with_default(json.with_writer(usual.clone()).finish(), log);
        let lines = |written: Written| -> Vec<Value> {
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(text.ends_with('\n'), "{text}");
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let (ours, usual) = (lines(ours), lines(usual));
        assert_eq!((ours.len(), usual.len()), (2, 2));
        for (mut ours, mut usual) in ours.into_iter().zip(usual) {
            assert!(ours.as_object().unwrap().keys().eq(usual.as_object().unwrap().keys()));
            for line in [&mut ours, &mut usual] {
                let time: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
                assert!(time.as_second() > 1_700_000_000);
                line["timestamp"] = json!(0);
            }
            assert_eq!(ours, usual);
        }
    }
}
