//! Bytes of the component and of the program.

use anyhow::Result;

use crate::node::program;
use crate::samples::Samples;
use crate::table::{Row, Unit};

pub(crate) fn measure(rows: &mut Vec<Row>) -> Result<()> {
    let bytes = |bytes: f64| {
        let mut samples = Samples::default();
        samples.push(bytes);
        samples
    };
    let component = bytes(harper_host::CLUSTERING_COMPONENT.len() as f64);
    let program = bytes(std::fs::metadata(program()?)?.len() as f64);
    rows.push(Row::of("size of the component", &component, Unit::Kilobytes, None));
    rows.push(Row::of("size of the program", &program, Unit::Megabytes, None));
    Ok(())
}
