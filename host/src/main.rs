//! The program: `harper-host run` is a node, `harper-host OPERATION` asks one.

mod cli;

/// A request allocates some hundred times; and what one large call needed goes back to the system,
/// where that of the C library keeps it in an arena for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::main()
}
