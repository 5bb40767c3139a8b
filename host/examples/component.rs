//! Writes the clustering component to a file, for hosts of your own (`make component`).

fn main() -> std::io::Result<()> {
    let file = std::env::args_os().nth(1).unwrap_or_else(|| "clustering.wasm".into());
    std::fs::write(file, harper_host::CLUSTERING_COMPONENT)
}
